//! What a client does, one request after the other, and what it notes of each answer. `None`: it fits none of its volumes.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::RngExt;
use serde_json::{Value, json};

use super::{LARGEST, PATIENCE, PAUSE, Reply, SNAPSHOTS, Worker};
use crate::data;
use crate::nodes::{VOLUME_NODES, volume_name};
use crate::told::{Attachment, Snapshot, There, Thing, Volume};

impl Worker {
    pub(super) fn create(&mut self) -> Option<()> {
        self.has_room()?;
        let name = self.name("volume");
        let metadata = self.metadata();
        let count = metadata.as_object().map_or(0, serde_json::Map::len);
        let body = json!({"volume": {"size": 1, "name": name, "metadata": metadata}});
        let volume = Volume {
            metadata: [count].into(),
            ..Volume::asked(name, 1, None)
        };
        let refused = self.make(volume, "create", &body)?;
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
        let (index, id) = self.pick(|volume| volume.thing.sure_id().map(str::to_owned))?;
        let metadata = self.metadata();
        let count = metadata.as_object().map_or(0, serde_json::Map::len);
        let body = json!({"metadata": metadata});
        let reply = self.ask("describe", "PUT", &format!("/volumes/{id}/metadata"), &body);
        self.must_be_known(&reply, "volume", &id);
        self.learn_bound(count, matches!(reply, Reply::Refused(400 | 413)));
        let told = &mut self.book().volumes[index].metadata;
        match reply {
            Reply::Done(_) => *told = [count].into(),
            Reply::Refused(_) => {}
            Reply::Open | Reply::Broken => drop(told.insert(count)),
        }
        Some(())
    }

    pub(super) fn create_from_snapshot(&mut self) -> Option<()> {
        self.has_room()?;
        let (volume, snapshot) = self.pick(|volume| {
            let sure = volume.snapshots.iter().enumerate();
            sure.filter(|(_, snapshot)| snapshot.thing.sure_id().is_some() && snapshot.sizes.len() == 1)
                .map(|(index, _)| index)
                .next_back()
        })?;
        let source = self.book().volumes[volume].snapshots[snapshot].clone();
        let size = source.sizes.first()? + u64::from(self.rng.random_bool(0.3));
        let name = self.name("copy");
        let body = json!({"volume": {"size": size, "snapshot_id": source.thing.id, "name": name}});
        self.make(
            Volume::asked(name, size, source.data),
            "create from snapshot",
            &body,
        )?;
        Some(())
    }

    /// Whether it was refused.
    fn make(&mut self, volume: Volume, verb: &'static str, body: &Value) -> Option<bool> {
        // Before it is sent: whatever becomes of this client, what it asked for is known.
        let index = {
            let mut told = self.book();
            told.volumes.push(volume);
            told.volumes.len() - 1
        };
        let reply = self.ask(verb, "POST", "/volumes", body);
        let made = made(&mut self.book().volumes[index].thing, &reply, "volume");
        self.note_if_not(made.is_ok(), || format!("{verb}: {made:?}"));
        if self.rng.random_bool(0.6) {
            self.watch(index);
        }
        Some(matches!(reply, Reply::Refused(400 | 413)))
    }

    /// Watches a volume until it rests.
    fn watch(&mut self, index: usize) -> Option<String> {
        let limit = Instant::now() + PATIENCE;
        while Instant::now() < limit {
            let id = self.book().volumes[index].thing.sure_id()?.to_owned();
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
        let (index, ()) = self.pick(|volume| volume.is_untouched().then_some(()))?;
        if self.watch(index)? != "available" {
            return None;
        }
        let thing = self.book().volumes[index].thing.clone();
        let file = format!("volumes/file/volume-{}", thing.sure_id()?);
        let path = (0..VOLUME_NODES)
            .map(|node| self.common.folder.join(volume_name(node)).join(&file))
            .find(|path: &PathBuf| path.exists());
        let Some(path) = path else {
            self.note(format!("{file} is available and not on its storage"));
            return None;
        };
        self.write(&path, &thing.name)?;
        self.book().volumes[index].data = Some(thing.name);
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
        let (index, id) = self.pick(|volume| {
            let id = volume.thing.sure_id()?;
            (volume.snapshots.len() < SNAPSHOTS).then(|| id.to_owned())
        })?;
        let name = self.name("snapshot");
        let at = {
            let volume = &mut self.book().volumes[index];
            volume.snapshots.push(Snapshot {
                thing: Thing::asked(name.clone()),
                sizes: volume.sizes.clone(),
                data: volume.data.clone(),
            });
            volume.snapshots.len() - 1
        };
        let body = json!({"snapshot": {"volume_id": id, "name": name}});
        let reply = self.ask("create snapshot", "POST", "/snapshots", &body);
        self.must_be_known(&reply, "volume", &id);
        let made = made(
            &mut self.book().volumes[index].snapshots[at].thing,
            &reply,
            "snapshot",
        );
        self.note_if_not(made.is_ok(), || format!("create snapshot: {made:?}"));
        Some(())
    }

    pub(super) fn extend(&mut self) -> Option<()> {
        let (index, (id, size)) = self.pick(|volume| {
            let size = volume.sizes.last()? + 1;
            (size <= LARGEST).then_some((volume.thing.sure_id()?.to_owned(), size))
        })?;
        let body = json!({"os-extend": {"new_size": size}});
        let reply = self.ask("extend", "POST", &format!("/volumes/{id}/action"), &body);
        self.must_be_known(&reply, "volume", &id);
        let sizes = &mut self.book().volumes[index].sizes;
        match reply {
            Reply::Done(_) => *sizes = [size].into(),
            Reply::Refused(_) => {}
            Reply::Open | Reply::Broken => drop(sizes.insert(size)),
        }
        Some(())
    }

    /// Reserves a volume for a server, and connects at once or not yet.
    pub(super) fn attach(&mut self, at_once: bool) -> Option<()> {
        let (index, id) = self.pick(|volume| {
            let free = volume.attachment().is_none();
            free.then(|| volume.thing.sure_id().map(str::to_owned))?
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
        let at = {
            let attachments = &mut self.book().volumes[index].attachments;
            attachments.push(Attachment {
                thing: Thing::asked(server),
                statuses: [status].into(),
            });
            attachments.len() - 1
        };
        let body = json!({"attachment": &wanted});
        let reply = self.ask(verb, "POST", "/attachments", &body);
        self.must_be_known(&reply, "volume", &id);
        self.learn_connector_bound(&wanted["connector"], &reply);
        let made = {
            let attachment = &mut self.book().volumes[index].attachments[at];
            if matches!(reply, Reply::Open) && at_once {
                attachment.statuses.insert("error_attaching");
            }
            made(&mut attachment.thing, &reply, "attachment")
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
        let (index, id) = self.pick_attachment("reserved")?;
        let connector = self.connector();
        let body = json!({"attachment": {"connector": &connector}});
        let reply = self.ask("connect", "PUT", &format!("/attachments/{id}"), &body);
        self.must_be_known(&reply, "attachment", &id);
        self.learn_connector_bound(&connector, &reply);
        let mut told = self.book();
        let attachment = told.volumes[index].attachment_mut()?;
        match reply {
            Reply::Done(_) => attachment.statuses = ["attaching"].into(),
            Reply::Refused(_) => {}
            Reply::Broken => drop(attachment.statuses.insert("attaching")),
            Reply::Open => attachment.statuses.extend(["attaching", "error_attaching"]),
        }
        Some(())
    }

    pub(super) fn complete(&mut self) -> Option<()> {
        let (index, id) = self.pick_attachment("attaching")?;
        let path = format!("/attachments/{id}/action");
        let reply = self.ask("complete", "POST", &path, &json!({"os-complete": {}}));
        self.must_be_known(&reply, "attachment", &id);
        let mut told = self.book();
        let attachment = told.volumes[index].attachment_mut()?;
        match reply {
            Reply::Done(_) => attachment.statuses = ["attached"].into(),
            Reply::Refused(_) => {}
            Reply::Open | Reply::Broken => drop(attachment.statuses.insert("attached")),
        }
        Some(())
    }

    pub(super) fn detach(&mut self) -> Option<()> {
        let (index, id) = self.pick(|volume| volume.attachment()?.thing.id.clone())?;
        let reply = self.ask("detach", "DELETE", &format!("/attachments/{id}"), &Value::Null);
        let lost = {
            let mut told = self.book();
            let attachment = told.volumes[index].attachment_mut()?;
            if matches!(reply, Reply::Open) {
                attachment.statuses.insert("error_detaching");
            }
            removed(&mut attachment.thing, &reply)
        };
        self.note_if_not(!lost, || format!("attachment {id} was acknowledged and is gone"));
        Some(())
    }

    pub(super) fn delete_snapshot(&mut self) -> Option<()> {
        let (index, at) = self.pick(|volume| {
            let known =
                |snapshot: &Snapshot| snapshot.thing.there != There::No && snapshot.thing.id.is_some();
            volume.snapshots.iter().position(known)
        })?;
        let id = self.book().volumes[index].snapshots[at].thing.id.clone()?;
        let reply = self.ask(
            "delete snapshot",
            "DELETE",
            &format!("/snapshots/{id}"),
            &Value::Null,
        );
        let lost = removed(&mut self.book().volumes[index].snapshots[at].thing, &reply);
        self.note_if_not(!lost, || format!("snapshot {id} was acknowledged and is gone"));
        Some(())
    }

    pub(super) fn delete(&mut self, with_snapshots: bool) -> Option<()> {
        let (index, id) = self.pick(|volume| {
            let has_snapshots = volume.snapshots.iter().any(|one| one.thing.there != There::No);
            let known = volume.thing.there != There::No && has_snapshots == with_snapshots;
            known.then(|| volume.thing.id.clone())?
        })?;
        let (verb, how) = if with_snapshots {
            ("delete with snapshots", "?cascade=true")
        } else {
            ("delete", "")
        };
        let reply = self.ask(verb, "DELETE", &format!("/volumes/{id}{how}"), &Value::Null);
        let lost = {
            let volume = &mut self.book().volumes[index];
            let lost = removed(&mut volume.thing, &reply);
            if volume.thing.there == There::No {
                volume.is_gone();
            }
            if volume.thing.there == There::Perhaps && with_snapshots {
                for snapshot in volume.snapshots.iter_mut().filter(|one| one.thing.is_sure()) {
                    snapshot.thing.there = There::Perhaps;
                }
            }
            lost
        };
        self.note_if_not(!lost, || format!("volume {id} was acknowledged and is gone"));
        Some(())
    }

    /// Looks what became of something that nobody answered, as a client does that wants to go on with it.
    pub(super) fn look_again(&mut self) -> Option<()> {
        let unsure = |thing: &Thing| thing.there == There::Perhaps && !thing.may_come;
        let (index, thing) = self
            .pick(|volume| unsure(&volume.thing).then(|| ("volume", 0, volume.thing.clone())))
            .or_else(|| {
                self.pick(|volume| {
                    let at = volume.snapshots.iter().position(|one| unsure(&one.thing))?;
                    Some(("snapshot", at, volume.snapshots[at].thing.clone()))
                })
            })
            .or_else(|| {
                self.pick(|volume| {
                    let at = volume.attachments.iter().position(|one| unsure(&one.thing))?;
                    Some(("attachment", at, volume.attachments[at].thing.clone()))
                })
            })?;
        let (kind, at, thing) = thing;
        let found = self.find(index, kind, &thing)?;
        let mut told = self.book();
        let volume = &mut told.volumes[index];
        if kind == "volume" && found.is_none() {
            volume.is_gone();
            return Some(());
        }
        let book = match kind {
            "volume" => &mut volume.thing,
            "snapshot" => &mut volume.snapshots[at].thing,
            _ => &mut volume.attachments[at].thing,
        };
        match found {
            None => book.is_gone(),
            Some((_, Some(status))) if status == "deleting" => {}
            // That it is to go cannot be seen by looking at it.
            Some(_) if kind == "attachment" && thing.id.is_some() => {}
            Some((id, _)) => book.is_there(&id),
        }
        Some(())
    }

    /// Its id and status; `Some(None)` if it is not there, and nothing if that cannot be said now.
    #[expect(
        clippy::option_option,
        reason = "that nobody answers and that it is not there are two things"
    )]
    fn find(&mut self, index: usize, kind: &str, thing: &Thing) -> Option<Option<(String, Option<String>)>> {
        let brief = |found: &Value| {
            let id = found["id"].as_str()?.to_owned();
            Some((id, found["status"].as_str().map(str::to_owned)))
        };
        if let Some(id) = &thing.id {
            return match self.ask("look", "GET", &format!("/{kind}s/{id}"), &Value::Null) {
                Reply::Done(shown) => brief(&shown[kind]).map(Some),
                Reply::Refused(404) => Some(None),
                _ => None,
            };
        }
        let path = match kind {
            "attachment" => {
                let volume = self.book().volumes[index].thing.id.clone()?;
                format!("/attachments/detail?volume_id={volume}")
            }
            _ => format!("/{kind}s/detail?name={}", thing.name),
        };
        let Reply::Done(listed) = self.ask("look", "GET", &path, &Value::Null) else {
            return None;
        };
        let key = if kind == "attachment" { "instance" } else { "name" };
        let mut listed = listed[format!("{kind}s")].as_array()?.iter();
        Some(listed.find(|one| one[key] == thing.name.as_str()).and_then(brief))
    }
}

/// What an answer says of something that was to be made.
fn made(thing: &mut Thing, reply: &Reply, kind: &str) -> Result<(), String> {
    match reply {
        Reply::Done(body) => match body[kind]["id"].as_str() {
            Some(id) => thing.is_there(id),
            None => return Err(format!("no id in {body}")),
        },
        Reply::Refused(_) => thing.is_gone(),
        Reply::Open => {}
        Reply::Broken => thing.may_come = false,
    }
    Ok(())
}

/// What an answer says of something that was to go; true if it was surely there, and nobody knows of it.
fn removed(thing: &mut Thing, reply: &Reply) -> bool {
    let was_sure = thing.is_sure();
    match reply {
        Reply::Done(_) => thing.is_gone(),
        Reply::Refused(404) => {
            thing.is_gone();
            return was_sure;
        }
        Reply::Refused(_) => {}
        Reply::Open => (thing.there, thing.may_come) = (There::Perhaps, true),
        Reply::Broken => thing.there = There::Perhaps,
    }
    false
}
