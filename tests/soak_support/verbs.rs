//! What a client does, one request after the other, and what it notes of each answer. `None`: it fits none of its volumes.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::RngExt;
use serde_json::{Value, json};

use super::{LARGEST, PATIENCE, PAUSE, Reply, SNAPSHOTS, Worker};
use crate::Known;
use crate::acknowledged::Answer;
use crate::data;
use crate::nodes::{VOLUME_NODES, volume_name};

impl Worker {
    pub(super) fn create(&mut self) -> Option<()> {
        self.has_room()?;
        let name = self.name("volume");
        let metadata = self.metadata();
        let count = metadata.as_object().map_or(0, serde_json::Map::len);
        let body = json!({"volume": {"size": 1, "name": name, "metadata": metadata}});
        let volume = Known {
            sizes: [1].into(),
            metadata: [count].into(),
            ..Known::requested("volume", None)
        };
        let refused = self.make(name, volume, "create", &body)?;
        self.learn_bound(count, refused);
        Some(())
    }

    /// Mostly none, sometimes as much as there may be.
    fn metadata(&mut self) -> Value {
        if self.rng.random_bool(0.8) {
            return json!({});
        }
        let pairs = (0..self.bounds.pairs).map(|n| (format!("{n:0>200}"), json!("v".repeat(200))));
        Value::Object(pairs.collect())
    }

    fn learn_bound(&mut self, count: usize, refused: bool) {
        if refused && count > 0 {
            self.bounds.pairs = count - (count / 10).max(1);
        }
    }

    /// Changes all of a volume's metadata.
    pub(super) fn describe(&mut self) -> Option<()> {
        let (name, id) = self.pick_existing("volume", |_, _, _| true)?;
        let metadata = self.metadata();
        let count = metadata.as_object().map_or(0, serde_json::Map::len);
        let body = json!({"metadata": metadata});
        let before = self.facts().of(&name).metadata.begin_change(count);
        let reply = self.ask("describe", "PUT", &format!("/volumes/{id}/metadata"), &body);
        self.must_be_known(&reply, "volume", &id);
        self.learn_bound(count, matches!(reply, Reply::Refused(400 | 413)));
        let mut facts = self.facts();
        let known = &mut facts.of(&name).metadata;
        known.end_change(before, count, reply.answer());
        Some(())
    }

    pub(super) fn create_from_snapshot(&mut self) -> Option<()> {
        self.has_room()?;
        let source = self.pick(|facts| {
            let fit = facts.all("snapshot").map(|(_, one)| one);
            let fit = fit.filter(|one| one.exists() && one.sizes.certain().is_some());
            fit.cloned().collect()
        })?;
        let size = source.sizes.certain()? + u64::from(self.rng.random_bool(0.3));
        let name = self.name("copy");
        let body = json!({"volume": {"size": size, "snapshot_id": source.id, "name": name}});
        let volume = Known {
            sizes: [size].into(),
            metadata: [0].into(),
            data: source.data,
            ..Known::requested("volume", None)
        };
        self.make(name, volume, "create from snapshot", &body)?;
        Some(())
    }

    /// Whether it was refused.
    fn make(&mut self, name: String, wanted: Known, verb: &'static str, body: &Value) -> Option<bool> {
        let (kind, path) = (wanted.kind, format!("/{}s", wanted.kind));
        let has_volume = wanted.volume.is_some();
        self.facts().resources.insert(name.clone(), wanted);
        let reply = self.ask(verb, "POST", &path, body);
        if has_volume {
            self.must_be_known(&reply, "the volume of", &name);
        }
        let made = made(self.facts().of(&name), &reply);
        self.note_if_not(made.is_ok(), || format!("{verb}: {made:?}"));
        if kind == "volume" && self.rng.random_bool(0.6) {
            self.watch(&name);
        }
        Some(matches!(reply, Reply::Refused(400 | 413)))
    }

    /// Watches a volume until it rests.
    fn watch(&mut self, name: &String) -> Option<String> {
        let limit = Instant::now() + PATIENCE;
        while Instant::now() < limit {
            let id = self.facts().of(name).id.clone()?;
            let shown = match self.ask("show", "GET", &format!("/volumes/{id}"), &Value::Null) {
                Reply::Done(shown) => shown,
                Reply::Refused(404) => {
                    self.note(format!("volume {id} was acknowledged and is gone"));
                    return None;
                }
                _ => return None,
            };
            let status = shown["volume"]["status"].as_str()?.to_owned();
            if status.starts_with("error") {
                self.note(format!("volume {id} is {status}"));
            }
            if !matches!(status.as_str(), "creating" | "extending") {
                return Some(status);
            }
            std::thread::sleep(PAUSE);
        }
        None
    }

    /// Writes data into a volume that nothing hangs on yet.
    pub(super) fn fill(&mut self) -> Option<()> {
        let (name, id) = self.pick_existing("volume", |facts, name, one| {
            let mut all = facts.resources.values();
            one.data.is_none() && all.all(|one| one.volume.as_ref() != Some(name))
        })?;
        if self.watch(&name)? != "available" {
            return None;
        }
        let file = format!("volumes/file/volume-{id}");
        let path = (0..VOLUME_NODES)
            .map(|node| self.common.folder.join(volume_name(node)).join(&file))
            .find(|path: &PathBuf| path.exists());
        let Some(path) = path else {
            self.note(format!("{file} is available and not on its storage"));
            return None;
        };
        self.write(&path, &name)?;
        self.facts().of(&name).data = Some(name.clone());
        Some(())
    }

    fn write(&mut self, path: &Path, name: &str) -> Option<()> {
        match data::write(path, name) {
            Ok(()) => Some(()),
            Err(error) => {
                self.note(format!("cannot write {}: {error}", path.display()));
                None
            }
        }
    }

    pub(super) fn create_snapshot(&mut self) -> Option<()> {
        let (volume, id) = self.pick_existing("volume", |facts, name, _| {
            facts.of_volume("snapshot", name).count() < SNAPSHOTS
        })?;
        let name = self.name("snapshot");
        let source = self.facts().of(&volume).clone();
        let snapshot = Known {
            sizes: source.sizes,
            statuses: ["available"].into(),
            data: source.data,
            ..Known::requested("snapshot", Some(volume))
        };
        let body = json!({"snapshot": {"volume_id": id, "name": name}});
        self.make(name, snapshot, "create snapshot", &body)?;
        Some(())
    }

    pub(super) fn extend(&mut self) -> Option<()> {
        let (name, id) = self.pick_existing("volume", |_, _, one| one.sizes.largest() < Some(&LARGEST))?;
        let size = self.facts().of(&name).sizes.largest()? + 1;
        let before = self.facts().of(&name).sizes.begin_change(size);
        let body = json!({"os-extend": {"new_size": size}});
        let reply = self.ask("extend", "POST", &format!("/volumes/{id}/action"), &body);
        self.must_be_known(&reply, "volume", &id);
        let mut facts = self.facts();
        let sizes = &mut facts.of(&name).sizes;
        sizes.end_change(before, size, reply.answer());
        Some(())
    }

    /// Reserves a volume for a server, and connects at once or not yet.
    pub(super) fn attach(&mut self, at_once: bool) -> Option<()> {
        let (volume, id) = self.pick_existing("volume", |facts, name, _| {
            facts.of_volume("attachment", name).next().is_none()
        })?;
        let server = uuid::Uuid::from_u128(self.rng.random()).to_string();
        let (verb, status) = if at_once {
            ("attach", "attaching")
        } else {
            ("reserve", "reserved")
        };
        let mut wanted = json!({"volume_uuid": id, "instance_uuid": server});
        if at_once {
            wanted["connector"] = self.connector();
        }
        let attachment = Known {
            statuses: [status].into(),
            ..Known::requested("attachment", Some(volume))
        };
        self.facts().resources.insert(server.clone(), attachment);
        let body = json!({"attachment": &wanted});
        let reply = self.ask(verb, "POST", "/attachments", &body);
        self.must_be_known(&reply, "volume", &id);
        self.learn_connector_bound(&wanted["connector"], &reply);
        let made = {
            let mut facts = self.facts();
            let attachment = facts.of(&server);
            if reply.is_open() && at_once {
                attachment.statuses.add("error_attaching");
            }
            made(attachment, &reply)
        };
        self.note_if_not(made.is_ok(), || format!("{verb}: {made:?}"));
        Some(())
    }

    /// Sometimes as large as one may be.
    fn connector(&mut self) -> Value {
        let host = format!("host-{}", self.index);
        let mut connector = json!({"initiator": format!("iqn.1993-08.org.debian:01:{host}"), "host": host, "ip": "127.0.0.1"});
        if self.rng.random_bool(0.2) {
            connector["system uuid"] = json!("u".repeat(self.bounds.connector));
        }
        connector
    }

    fn learn_connector_bound(&mut self, connector: &Value, reply: &Reply) {
        let length = connector["system uuid"].as_str().map_or(0, str::len);
        if length > 0 && matches!(reply, Reply::Refused(400 | 413)) {
            self.bounds.connector = length - length / 10;
        }
    }

    pub(super) fn connect_reserved(&mut self) -> Option<()> {
        let (server, id) = self.pick_attachment("reserved")?;
        let connector = self.connector();
        let body = json!({"attachment": {"connector": &connector}});
        let before = self.facts().of(&server).statuses.begin_change("attaching");
        let reply = self.ask("connect", "PUT", &format!("/attachments/{id}"), &body);
        self.must_be_known(&reply, "attachment", &id);
        self.learn_connector_bound(&connector, &reply);
        let mut facts = self.facts();
        let statuses = &mut facts.of(&server).statuses;
        statuses.end_change(before, "attaching", reply.answer());
        if reply.is_open() {
            statuses.add("error_attaching");
        }
        Some(())
    }

    pub(super) fn complete(&mut self) -> Option<()> {
        let (server, id) = self.pick_attachment("attaching")?;
        let path = format!("/attachments/{id}/action");
        let before = self.facts().of(&server).statuses.begin_change("attached");
        let reply = self.ask("complete", "POST", &path, &json!({"os-complete": {}}));
        self.must_be_known(&reply, "attachment", &id);
        let mut facts = self.facts();
        let statuses = &mut facts.of(&server).statuses;
        statuses.end_change(before, "attached", reply.answer());
        Some(())
    }

    fn pick_attachment(&mut self, status: &str) -> Option<(String, String)> {
        self.pick_existing("attachment", |_, _, one| {
            one.statuses.certain().is_some_and(|it| *it == status)
        })
    }

    pub(super) fn detach(&mut self) -> Option<()> {
        let (server, id) = self.pick_possible("attachment", |_, _, _| true)?;
        let reply = self.remove("detach", &server, &format!("/attachments/{id}"), false);
        if reply.is_open() {
            self.facts().of(&server).statuses.add("error_detaching");
        }
        Some(())
    }

    pub(super) fn delete_snapshot(&mut self) -> Option<()> {
        let (name, id) = self.pick_possible("snapshot", |_, _, _| true)?;
        self.remove("delete snapshot", &name, &format!("/snapshots/{id}"), false);
        Some(())
    }

    pub(super) fn delete(&mut self, with_snapshots: bool) -> Option<()> {
        let (name, id) = self.pick_possible("volume", |facts, name, _| {
            facts.of_volume("snapshot", name).next().is_some() == with_snapshots
        })?;
        let (verb, how) = if with_snapshots {
            ("delete with snapshots", "?cascade=true")
        } else {
            ("delete", "")
        };
        self.remove(verb, &name, &format!("/volumes/{id}{how}"), with_snapshots);
        Some(())
    }

    /// What surely exists cannot be unknown.
    fn remove(&mut self, verb: &'static str, name: &String, path: &str, with_snapshots: bool) -> Reply {
        let existed = self.facts().of(name).exists();
        let before = self.facts().begin_delete(name, with_snapshots);
        let reply = self.ask(verb, "DELETE", path, &Value::Null);
        let is_unknown = matches!(reply, Reply::Refused(404));
        let answer = if is_unknown {
            Answer::Acknowledged
        } else {
            reply.answer()
        };
        self.facts().end_delete(name, before, answer);
        self.note_if_not(!(existed && is_unknown), || {
            format!("{path} was acknowledged and is gone")
        });
        reply
    }

    /// Looks what became of something that was not answered, as a client does that wants to go on with it.
    pub(super) fn look_again(&mut self) -> Option<()> {
        let (name, known) = self.pick(|facts| {
            let unsure = facts.resources.iter().filter(|(_, one)| one.is_unsure());
            unsure.map(|(name, one)| (name.clone(), one.clone())).collect()
        })?;
        let found = self.find(&name, &known)?;
        let mut facts = self.facts();
        match found {
            None => facts.is_gone(&name),
            Some((_, Some(status))) if status == "deleting" => {}
            // That it is to go cannot be seen by looking at it.
            Some(_) if known.kind == "attachment" && known.id.is_some() => {}
            Some((id, _)) => facts.of(&name).exists_as(id),
        }
        Some(())
    }

    /// Its id and status; `Some(None)` if it is not there, and nothing if that cannot be said now.
    #[expect(
        clippy::option_option,
        reason = "that there is no answer and that it is not there are two things"
    )]
    fn find(&mut self, name: &String, known: &Known) -> Option<Option<(String, Option<String>)>> {
        let kind = known.kind;
        let brief = |found: &Value| {
            let id = found["id"].as_str()?.to_owned();
            Some((id, found["status"].as_str().map(str::to_owned)))
        };
        if let Some(id) = &known.id {
            return match self.ask("look", "GET", &format!("/{kind}s/{id}"), &Value::Null) {
                Reply::Done(shown) => brief(&shown[kind]).map(Some),
                Reply::Refused(404) => Some(None),
                _ => None,
            };
        }
        let path = match kind {
            "attachment" => {
                let volume = self.facts().of(known.volume.as_ref()?).id.clone()?;
                format!("/attachments/detail?volume_id={volume}")
            }
            _ => format!("/{kind}s/detail?name={name}"),
        };
        let Reply::Done(listed) = self.ask("look", "GET", &path, &Value::Null) else {
            return None;
        };
        let key = if kind == "attachment" { "instance" } else { "name" };
        let mut listed = listed[format!("{kind}s")].as_array()?.iter();
        Some(listed.find(|one| one[key] == name.as_str()).and_then(brief))
    }
}

/// What an answer says of something that was to be made.
fn made(wanted: &mut Known, reply: &Reply) -> Result<(), String> {
    match reply {
        Reply::Done(body) => match body[wanted.kind]["id"].as_str() {
            Some(id) => wanted.exists_as(id),
            None => return Err(format!("no id in {body}")),
        },
        _ => wanted.end_create(reply.answer()),
    }
    Ok(())
}
