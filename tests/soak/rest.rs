//! At rest: what is there against what the clients were told, and the records, the quota, the files and the exports against each other.
//! What nobody answered becomes a fact here, so that the clients go on from what is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::client::{Client, PROJECT};
use crate::data;
use crate::nodes::{Nodes, VOLUME_NODES, volume_name};
use crate::told::{Attachment, Snapshot, There, Thing, Told, Volume};

/// Within this all must have ended by itself. Nothing that clients ask for here takes a second.
const REST_LIMIT: Duration = Duration::from_secs(120);

/// A daemon that was started anew is noticed and given its exports within this.
const EXPORTS_LIMIT: Duration = Duration::from_secs(60);

/// How often it is asked.
const LOOK: Duration = Duration::from_millis(20);

/// What is there, by name. An attachment's name is its server.
pub struct Found {
    volumes: BTreeMap<String, Value>,
    snapshots: BTreeMap<String, Value>,
    attachments: BTreeMap<String, Value>,
}

/// Waits until every operation has ended by itself, and says how long that took.
pub fn wait_for_rest(nodes: &Nodes) -> Result<Duration> {
    let began = Instant::now();
    loop {
        let mut client = Client::connect(nodes.address)?;
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

impl Found {
    /// Reads all that the service shows.
    pub fn read(nodes: &Nodes, faults: &mut Vec<String>) -> Result<Self> {
        let mut client = Client::connect(nodes.address)?;
        Ok(Self {
            volumes: all(&mut client, "volumes", "name", faults)?,
            snapshots: all(&mut client, "snapshots", "name", faults)?,
            attachments: all(&mut client, "attachments", "instance", faults)?,
        })
    }

    /// Takes what all clients were told apart from what is there; what is left is nobody's.
    pub fn compare(&self, told: &mut [&mut Told], faults: &mut Vec<String>) {
        let mut known = BTreeSet::new();
        for volume in told.iter_mut().flat_map(|told| told.volumes.iter_mut()) {
            self.compare_volume(volume, &mut known, faults);
        }
        for (name, thing) in self
            .volumes
            .iter()
            .chain(&self.snapshots)
            .chain(&self.attachments)
        {
            if !known.contains(name) {
                faults.push(format!(
                    "{name} is there, and nobody can have asked for it: {thing}"
                ));
            }
        }
    }

    fn compare_volume(&self, volume: &mut Volume, known: &mut BTreeSet<String>, faults: &mut Vec<String>) {
        let found = self.volumes.get(&volume.thing.name);
        let shown = is_as_told("volume", &mut volume.thing, found, known, faults);
        for snapshot in &mut volume.snapshots {
            if shown.is_none() && snapshot.thing.there == There::Perhaps {
                snapshot.thing.is_gone();
            }
            self.compare_snapshot(snapshot, known, faults);
        }
        for attachment in &mut volume.attachments {
            self.compare_attachment(attachment, known, faults);
        }
        let Some(shown) = shown else { return };
        has_size("volume", shown, &mut volume.sizes, faults);
        let pairs = shown["metadata"].as_object().map_or(0, serde_json::Map::len);
        if volume.metadata.contains(&pairs) {
            volume.metadata = [pairs].into();
        } else {
            let (name, told) = (&volume.thing.name, &volume.metadata);
            faults.push(format!(
                "{name} has {pairs} pairs of metadata, not one of {told:?}"
            ));
        }
        let status = shown["status"].as_str().unwrap_or_default();
        let expected = match volume
            .attachment()
            .and_then(|attachment| attachment.statuses.first())
        {
            None | Some(&"error_attaching") => "available",
            Some(&"attached" | &"error_detaching") => "in-use",
            Some(&other) => other,
        };
        if status != expected {
            faults.push(format!("a volume rests in {status}, not {expected}: {shown}"));
        }
    }

    fn compare_snapshot(
        &self,
        snapshot: &mut Snapshot,
        known: &mut BTreeSet<String>,
        faults: &mut Vec<String>,
    ) {
        let found = self.snapshots.get(&snapshot.thing.name);
        if let Some(shown) = is_as_told("snapshot", &mut snapshot.thing, found, known, faults) {
            has_size("snapshot", shown, &mut snapshot.sizes, faults);
            if shown["status"] != "available" {
                faults.push(format!("a snapshot does not rest in available: {shown}"));
            }
        }
    }

    fn compare_attachment(
        &self,
        attachment: &mut Attachment,
        known: &mut BTreeSet<String>,
        faults: &mut Vec<String>,
    ) {
        let found = self.attachments.get(&attachment.thing.name);
        if let Some(shown) = is_as_told("attachment", &mut attachment.thing, found, known, faults) {
            let status = shown["status"].as_str().unwrap_or_default();
            match attachment.statuses.get(status) {
                Some(status) => attachment.statuses = [*status].into(),
                None => faults.push(format!(
                    "an attachment does not rest in one of {:?}: {shown}",
                    attachment.statuses
                )),
            }
        }
    }

    /// Usage is the sum over what is there, and nothing is reserved.
    pub fn compare_quota(&self, nodes: &Nodes, faults: &mut Vec<String>) -> Result<()> {
        let mut client = Client::connect(nodes.address)?;
        let quota = client
            .send("GET", &format!("/os-quota-sets/{PROJECT}?usage=True"), "")?
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
    pub fn compare_files(&self, nodes: &Nodes, told: &[&mut Told], faults: &mut Vec<String>) -> Result<()> {
        let mut data = BTreeMap::new();
        for volume in told.iter().flat_map(|told| &told.volumes) {
            data.insert(&volume.thing.name, &volume.data);
            let snapshots = volume.snapshots.iter();
            data.extend(snapshots.map(|snapshot| (&snapshot.thing.name, &snapshot.data)));
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
                    .map(|file| format!("{}: {file} is nobody's", volume_name(index))),
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
        let file = |prefix: &str, one: &Value| format!("{prefix}-{}", one["id"].as_str().unwrap_or_default());
        let size = |one: &Value| one["size"].as_u64().unwrap_or_default();
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
    pub fn compare_exports(&self, nodes: &Nodes, faults: &mut Vec<String>) {
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

    fn exports_differ(&self, index: usize, mut exports: crate::nodes::Exports) -> Vec<String> {
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
                // Whether one that failed is exported is told by nobody.
                (Some("error_attaching" | "error_detaching"), _) | (_, None) => {}
                (_, Some(_)) => wrong.push(format!("{export} is exported, and nobody is connected to it")),
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

    /// Attachments that could not be made or taken back. Their clients were told so, and may try again; but none should be.
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

/// Holds one thing against what was told of it; what is shown of it, if it may be there. What was open is told from now on.
fn is_as_told<'a>(
    kind: &str,
    thing: &mut Thing,
    found: Option<&'a Value>,
    known: &mut BTreeSet<String>,
    faults: &mut Vec<String>,
) -> Option<&'a Value> {
    let Some(shown) = found else {
        if thing.is_sure() {
            faults.push(format!("{kind} was acknowledged and is gone: {thing:?}"));
        }
        thing.is_gone();
        return None;
    };
    if thing.there == There::No {
        // Nobody's, and told as such.
        return None;
    }
    known.insert(thing.name.clone());
    let id = shown["id"].as_str().unwrap_or_default();
    if thing.id.as_deref().is_some_and(|told| told != id) {
        faults.push(format!("{kind} has another id than was told: {thing:?}, {shown}"));
    }
    thing.is_there(id);
    Some(shown)
}

fn has_size(kind: &str, shown: &Value, sizes: &mut BTreeSet<u64>, faults: &mut Vec<String>) {
    let size = shown["size"].as_u64().unwrap_or_default();
    if sizes.contains(&size) {
        *sizes = [size].into();
    } else {
        faults.push(format!("a {kind} has {size} GiB, not one of {sizes:?}: {shown}"));
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
