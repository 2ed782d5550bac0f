//! At rest: what is there against the answers to the clients, and the records, the quota, the files and the exports
//! against each other. What was not answered becomes a fact here, so that the clients go on from what is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use serde_json::Value;

use crate::Facts;
use crate::acknowledged::Existence;
use crate::client::Client;
use crate::data;
use crate::nodes::{Nodes, VOLUME_NODES, volume_name};

/// Within this all must have ended by itself. Nothing that clients ask for here takes a second.
const REST_LIMIT: Duration = Duration::from_secs(120);

/// A daemon that was started anew is noticed and given its exports within this.
const EXPORTS_LIMIT: Duration = Duration::from_secs(60);

/// How often it is asked.
const LOOK: Duration = Duration::from_millis(20);

/// What is there, by name. An attachment's name is its server.
#[derive(PartialEq)]
pub struct Found {
    volumes: BTreeMap<String, Value>,
    snapshots: BTreeMap<String, Value>,
    attachments: BTreeMap<String, Value>,
}

/// Waits until every operation has ended by itself, and says how long that took.
pub fn wait_for_rest(nodes: &Nodes) -> Result<Duration> {
    let began = Instant::now();
    loop {
        let mut client = nodes.endpoints().connect_any()?;
        let open = client.send_raw("GET", "/inspect/operations", "")?.json()?;
        let count = open["operations"]
            .as_array()
            .context("no operations in the answer")?
            .len();
        if count == 0 {
            return Ok(began.elapsed());
        }
        ensure!(
            began.elapsed() < REST_LIMIT,
            "{count} operations are still open after {REST_LIMIT:?}: {open}"
        );
        std::thread::sleep(LOOK);
    }
}

/// Compares all with all, while nothing is under way and no client is let in: what is there, and what is wrong with it.
pub fn compare_all(nodes: &Nodes, all_facts: &[Arc<Mutex<Facts>>]) -> Result<(Found, Vec<String>)> {
    let mut faults = Vec::new();
    let mut facts: Vec<_> = all_facts.iter().map(|facts| facts.lock()).collect();
    let mut facts: Vec<&mut Facts> = facts.iter_mut().map(|facts| &mut **facts).collect();
    for facts in &mut facts {
        faults.append(&mut facts.faults);
    }
    let found = Found::read(nodes, &mut faults)?;
    found.compare(&mut facts, &mut faults);
    found.compare_quota(nodes, &mut faults)?;
    found.compare_files(nodes, &facts, &mut faults)?;
    found.compare_exports(nodes, &mut faults);
    for facts in facts {
        facts.forget_what_is_gone();
    }
    Ok((found, faults))
}

impl Found {
    /// Reads all that the service shows.
    fn read(nodes: &Nodes, faults: &mut Vec<String>) -> Result<Self> {
        Self::read_with(&mut nodes.endpoints().connect_any()?, faults)
    }

    /// The same, through the control node of this client.
    pub fn read_with(client: &mut Client, faults: &mut Vec<String>) -> Result<Self> {
        Ok(Self {
            volumes: all(client, "volumes", "name", faults)?,
            snapshots: all(client, "snapshots", "name", faults)?,
            attachments: all(client, "attachments", "instance", faults)?,
        })
    }

    /// Takes what all clients know of from what is there; what is left has no owner.
    fn compare(&self, facts: &mut [&mut Facts], faults: &mut Vec<String>) {
        let mut claimed = BTreeSet::new();
        for facts in facts {
            self.compare_client(facts, &mut claimed, faults);
        }
        let all = self.volumes.iter().chain(&self.snapshots);
        for (name, resource) in all.chain(&self.attachments) {
            if !claimed.contains(name) {
                faults.push(format!(
                    "{name} is there, and no client can have requested it: {resource}"
                ));
            }
        }
    }

    fn of_kind(&self, kind: &str) -> &BTreeMap<String, Value> {
        match kind {
            "volume" => &self.volumes,
            "snapshot" => &self.snapshots,
            _ => &self.attachments,
        }
    }

    fn compare_client(&self, facts: &mut Facts, claimed: &mut BTreeSet<String>, faults: &mut Vec<String>) {
        let mut names: Vec<(bool, String)> = Vec::new();
        names.extend(
            facts
                .resources
                .iter()
                .map(|(name, one)| (one.kind != "volume", name.clone())),
        );
        // Volumes first: what belongs to one that is gone is gone, unless it was acknowledged.
        names.sort();
        for (_, name) in &names {
            let volume = facts.of(name).volume.clone();
            let is_left = volume.is_some_and(|volume| !facts.of(&volume).exists());
            let known = facts.of(name);
            if is_left && known.kind == "snapshot" && !known.exists() {
                known.existence = Existence::Gone;
            }
            let found = self.of_kind(known.kind).get(name);
            let wrong = known.observe(found.map(|found| found["id"].as_str().unwrap_or_default()));
            faults.extend(wrong.map(|why| format!("{} {name} {why}", known.kind)));
            let Some(shown) = found.filter(|_| known.exists()) else {
                continue;
            };
            claimed.insert(name.clone());
            let status = shown["status"].as_str().unwrap_or_default();
            let pairs = shown["metadata"].as_object().map_or(0, serde_json::Map::len);
            let size = shown["size"].as_u64().unwrap_or_default();
            let wrong = [
                ("size", known.sizes.observe(&size)),
                ("number of pairs of metadata", known.metadata.observe(&pairs)),
                ("status", known.statuses.observe(status)),
            ];
            let wrong = wrong.into_iter().filter_map(|(what, why)| Some((what, why?)));
            faults.extend(wrong.map(|(what, why)| format!("the {what} {why}: {shown}")));
        }
        for (name, volume) in facts.all("volume") {
            let mut attachments = facts.of_volume("attachment", name);
            let expected = match attachments.next().and_then(|(_, one)| one.statuses.largest()) {
                None | Some(&"error_attaching") => "available",
                Some(&"attached" | &"error_detaching") => "in-use",
                Some(&other) => other,
            };
            let shown = self.volumes.get(name).filter(|_| volume.exists());
            if let Some(shown) = shown.filter(|shown| shown["status"] != expected) {
                faults.push(format!("a volume does not rest in {expected}: {shown}"));
            }
        }
    }

    /// Usage is the sum over what is there, and nothing is reserved.
    fn compare_quota(&self, nodes: &Nodes, faults: &mut Vec<String>) -> Result<()> {
        let mut client = nodes.endpoints().connect_any()?;
        let quota = client
            .send(
                "GET",
                &format!("/os-quota-sets/{}?usage=True", nodes.endpoints().project()),
                "",
            )?
            .json()?;
        let sizes = self.volumes.values().chain(self.snapshots.values());
        let sum: u64 = sizes.filter_map(|one| one["size"].as_u64()).sum();
        let is = [
            ("volumes", self.volumes.len() as u64),
            ("snapshots", self.snapshots.len() as u64),
            ("gigabytes", sum),
        ];
        for (resource, count) in is {
            let usage = &quota["quota_set"][resource];
            if usage["in_use"] != count || usage["reserved"] != 0 {
                faults.push(format!(
                    "{count} {resource} are there, and the quota says {usage}"
                ));
            }
        }
        Ok(())
    }

    /// The folders hold the files of the records, no more, no fewer; each as large as its record says, and with its data.
    fn compare_files(&self, nodes: &Nodes, facts: &[&mut Facts], faults: &mut Vec<String>) -> Result<()> {
        let mut data = BTreeMap::new();
        for facts in facts {
            data.extend(facts.resources.iter().map(|(name, one)| (name, &one.data)));
        }
        for index in 0..VOLUME_NODES {
            let mut files = nodes.files(index)?;
            for (name, file, gib) in self.files_of(index) {
                let Some(path) = files.remove(&file) else {
                    faults.push(format!("{file} ({name}) is not on its storage"));
                    continue;
                };
                let bytes = std::fs::metadata(&path)?.len();
                if bytes != gib << 30 {
                    faults.push(format!("{file} ({name}) has {bytes} bytes, not {gib} GiB"));
                } else if let Some(Some(owner)) = data.get(name)
                    && !data::are_in(&path, owner)?
                {
                    faults.push(format!("{file} ({name}) has not the data that {owner} was given"));
                }
            }
            faults.extend(
                files
                    .keys()
                    .map(|file| format!("{}: {file} has no owner", volume_name(index))),
            );
        }
        Ok(())
    }

    /// Name, file and size of what is on a node.
    fn files_of(&self, index: usize) -> Vec<(&String, String, u64)> {
        let host = format!("{}@", volume_name(index));
        let is_here = |volume: &Value| {
            let at = volume["os-vol-host-attr:host"].as_str();
            at.is_some_and(|at| at.starts_with(&host))
        };
        let here: BTreeSet<&str> = self
            .volumes
            .values()
            .filter(|volume| is_here(volume))
            .filter_map(|volume| volume["id"].as_str())
            .collect();
        let size = |one: &Value| one["size"].as_u64().unwrap_or_default();
        let file = |prefix: &str, one: &Value| format!("{prefix}-{}", one["id"].as_str().unwrap_or_default());
        let volumes = self
            .volumes
            .iter()
            .filter(|(_, volume)| is_here(volume))
            .map(|(name, volume)| (name, file("volume", volume), size(volume)));
        let snapshots = self
            .snapshots
            .iter()
            .filter(|(_, snapshot)| snapshot["volume_id"].as_str().is_some_and(|id| here.contains(id)))
            .map(|(name, snapshot)| (name, file("_snapshot", snapshot), size(snapshot)));
        volumes.chain(snapshots).collect()
    }

    /// What the target daemons export is what is connected, in its present size; soon, for they may have been started this moment.
    fn compare_exports(&self, nodes: &Nodes, faults: &mut Vec<String>) {
        if !nodes.shows_exports() {
            return;
        }
        let began = Instant::now();
        for index in 0..VOLUME_NODES {
            loop {
                let wrong = match nodes.exports(index) {
                    Ok(exports) => self.exports_differ(index, exports),
                    Err(error) => vec![format!("{error:#}")],
                };
                if wrong.is_empty() {
                    break;
                }
                if began.elapsed() >= EXPORTS_LIMIT {
                    faults.extend(
                        wrong
                            .into_iter()
                            .map(|what| format!("{}: {what}", volume_name(index))),
                    );
                    break;
                }
                std::thread::sleep(LOOK);
            }
        }
    }

    fn exports_differ(&self, index: usize, mut exports: crate::daemon::Exports) -> Vec<String> {
        let mut wrong = Vec::new();
        for (_, export, gib) in self.files_of(index) {
            let of_it = |attachment: &&Value| {
                let volume = attachment["volume_id"].as_str();
                volume.is_some_and(|id| export == format!("volume-{id}"))
            };
            let attachment = self.attachments.values().find(of_it);
            let status = attachment.and_then(|attachment| attachment["status"].as_str());
            let shown = exports.remove(&export);
            match (status, shown) {
                (Some("attaching" | "attached"), Some(megabytes)) => {
                    let is = (gib << 30) / 1_000_000;
                    // The daemon rounds in its own way.
                    if megabytes.abs_diff(is) > 2 {
                        wrong.push(format!("{export} of {gib} GiB is exported with {megabytes} MB"));
                    }
                }
                (Some("attaching" | "attached"), None) => wrong.push(format!("{export} is not exported")),
                // Whether one that failed is exported is unknown.
                (Some("error_attaching" | "error_detaching"), _) | (_, None) => {}
                (_, Some(_)) => wrong.push(format!("{export} is exported, and no client is connected to it")),
            }
        }
        wrong.extend(
            exports
                .keys()
                .map(|export| format!("{export} is exported, and is no volume of this node")),
        );
        wrong
    }

    /// The names that the storage has for all of it.
    pub fn storage_names(&self) -> BTreeSet<String> {
        let files = (0..VOLUME_NODES).flat_map(|index| self.files_of(index));
        files.map(|(_, file, _)| file).collect()
    }

    /// Attachments that could not be made or taken back. Their clients received the error, and may try again; but none should be.
    pub fn in_error(&self) -> Vec<&Value> {
        let is_in_error = |attachment: &&Value| {
            let status = attachment["status"].as_str();
            status.is_some_and(|status| status.starts_with("error"))
        };
        self.attachments.values().filter(is_in_error).collect()
    }

    pub fn counts(&self) -> String {
        format!(
            "{} volumes, {} snapshots, {} attachments",
            self.volumes.len(),
            self.snapshots.len(),
            self.attachments.len()
        )
    }
}

/// All pages of a list, by what is unique in it.
fn all(
    client: &mut Client,
    kind: &str,
    key: &str,
    faults: &mut Vec<String>,
) -> Result<BTreeMap<String, Value>> {
    let mut all = BTreeMap::new();
    let mut marker = String::new();
    loop {
        let page = client
            .send("GET", &format!("/{kind}/detail?limit=500{marker}"), "")?
            .json()?;
        let page = page[kind].as_array().context("no list in the answer")?;
        let Some(last) = page.last() else {
            return Ok(all);
        };
        marker = format!("&marker={}", last["id"].as_str().context("no id")?);
        for one in page {
            let name = one[key].as_str().context("no name")?.to_owned();
            if let Some(other) = all.insert(name, one.clone()) {
                faults.push(format!("asked for once and there twice: {one} and {other}"));
            }
        }
    }
}
