//! One client: it makes, copies, grows, attaches and deletes as chance will have it, and keeps book of what it is told. Its volumes are
//! its own, so what it was told is the whole truth about them; that others work at the same time is not its concern.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::client::Client;
use crate::data;
use crate::gate::Gate;
use crate::nodes::{VOLUME_NODES, volume_name};
use crate::tally::{End, Tally};
use crate::told::{Attachment, Snapshot, There, Thing, Told, Volume};

/// How many volumes a client has at once, and snapshots of one; how large one becomes.
const VOLUMES: usize = 8;
const SNAPSHOTS: usize = 3;
const LARGEST: u64 = 5;

/// How long a client watches what it made before it does something else.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long it waits before it asks or connects again.
const PAUSE: Duration = Duration::from_millis(10);

/// What all clients share.
pub struct Common {
    pub folder: PathBuf,
    pub address: SocketAddr,
    pub gate: Gate,
    pub tally: Tally,
    pub began: Instant,
}

/// See the module.
pub struct Worker {
    common: Arc<Common>,
    told: Arc<Mutex<Told>>,
    index: usize,
    rng: StdRng,
    client: Option<Client>,
    /// Every question and its answer, for whoever looks for the cause of a fault.
    log: std::fs::File,
    /// How many things it gave a name.
    named: u64,
}

#[derive(Clone, Copy)]
enum Verb {
    Create,
    Fill,
    CreateSnapshot,
    CreateFromSnapshot,
    Extend,
    Reserve,
    Attach,
    Connect,
    Complete,
    Detach,
    DeleteSnapshot,
    Delete,
    DeleteCascade,
    LookAgain,
}

/// What a client does, and how often in proportion. Where it fits none of its volumes, something else is done.
const VERBS: [(Verb, u32); 14] = [
    (Verb::Create, 20),
    (Verb::Fill, 15),
    (Verb::CreateSnapshot, 14),
    (Verb::CreateFromSnapshot, 10),
    (Verb::Extend, 10),
    (Verb::Reserve, 3),
    (Verb::Attach, 14),
    (Verb::Connect, 10),
    (Verb::Complete, 14),
    (Verb::Detach, 12),
    (Verb::DeleteSnapshot, 12),
    (Verb::Delete, 12),
    (Verb::DeleteCascade, 3),
    (Verb::LookAgain, 20),
];

/// What came of a request.
enum Reply {
    /// 2xx, and the body.
    Done(Value),
    /// 4xx, or it could not be sent: it has changed nothing.
    Refused(u16),
    /// 5xx, or no answer in time.
    Open,
    /// The server died: what has come of it so far is all that will.
    Broken,
}

impl Worker {
    pub fn new(
        common: Arc<Common>,
        told: Arc<Mutex<Told>>,
        index: usize,
        seed: u64,
    ) -> std::io::Result<Self> {
        let log = std::fs::File::create(common.folder.join(format!("client-{index}.log")))?;
        Ok(Self {
            common,
            told,
            index,
            rng: StdRng::seed_from_u64(seed.wrapping_add(1 + index as u64)),
            client: None,
            log,
            named: 0,
        })
    }

    /// Works until the gate says that there is no more work.
    pub fn run(mut self) {
        let common = Arc::clone(&self.common);
        while let Some(_pass) = common.gate.enter() {
            if !self.is_connected() {
                std::thread::sleep(PAUSE);
                continue;
            }
            let total = VERBS.iter().map(|(_, weight)| weight).sum();
            let mut at = self.rng.random_range(0..total);
            let chosen = VERBS.iter().find(|(_, weight)| match at.checked_sub(*weight) {
                Some(left) => {
                    at = left;
                    false
                }
                None => true,
            });
            if let Some((verb, _)) = chosen {
                self.step(*verb);
            }
        }
    }

    /// False if it does not fit.
    fn step(&mut self, verb: Verb) {
        let _ = match verb {
            Verb::Create => self.create(),
            Verb::Fill => self.fill(),
            Verb::CreateSnapshot => self.create_snapshot(),
            Verb::CreateFromSnapshot => self.create_from_snapshot(),
            Verb::Extend => self.extend(),
            Verb::Reserve => self.attach(false),
            Verb::Attach => self.attach(true),
            Verb::Connect => self.connect_reserved(),
            Verb::Complete => self.complete(),
            Verb::Detach => self.detach(),
            Verb::DeleteSnapshot => self.delete_snapshot(),
            Verb::Delete => self.delete(false),
            Verb::DeleteCascade => self.delete(true),
            Verb::LookAgain => self.look_again(),
        };
    }

    fn create(&mut self) -> Option<()> {
        self.has_room()?;
        let name = self.name("volume");
        let body = json!({"volume": {"size": 1, "name": name}});
        self.make(Volume::asked(name, 1, None), "create", &body)
    }

    fn create_from_snapshot(&mut self) -> Option<()> {
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
        )
    }

    fn make(&mut self, volume: Volume, verb: &'static str, body: &Value) -> Option<()> {
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
        Some(())
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
    fn fill(&mut self) -> Option<()> {
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

    fn create_snapshot(&mut self) -> Option<()> {
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

    fn extend(&mut self) -> Option<()> {
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
    fn attach(&mut self, at_once: bool) -> Option<()> {
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
        let reply = self.ask(verb, "POST", "/attachments", &json!({"attachment": wanted}));
        self.must_be_known(&reply, "volume", &id);
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

    fn connector(&self) -> Value {
        let host = format!("host-{}", self.index);
        json!({"initiator": format!("iqn.1993-08.org.debian:01:{host}"), "host": host, "ip": "127.0.0.1"})
    }

    fn connect_reserved(&mut self) -> Option<()> {
        let (index, id) = self.pick_attachment("reserved")?;
        let body = json!({"attachment": {"connector": self.connector()}});
        let reply = self.ask("connect", "PUT", &format!("/attachments/{id}"), &body);
        self.must_be_known(&reply, "attachment", &id);
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

    fn complete(&mut self) -> Option<()> {
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

    fn detach(&mut self) -> Option<()> {
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

    fn delete_snapshot(&mut self) -> Option<()> {
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

    fn delete(&mut self, with_snapshots: bool) -> Option<()> {
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
    fn look_again(&mut self) -> Option<()> {
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

    fn pick_attachment(&mut self, status: &str) -> Option<(usize, String)> {
        self.pick(|volume| {
            let mut sure = volume
                .attachments
                .iter()
                .filter(|one| one.statuses.iter().eq([&status]));
            sure.find_map(|one| one.thing.sure_id()).map(str::to_owned)
        })
    }

    /// Any of the volumes that are fit for something.
    fn pick<T>(&mut self, fit: impl Fn(&Volume) -> Option<T>) -> Option<(usize, T)> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let all = told.volumes.iter().enumerate();
        all.filter_map(|(index, volume)| Some((index, fit(volume)?)))
            .choose(&mut self.rng)
    }

    fn has_room(&self) -> Option<()> {
        let told = self.book();
        let some = told
            .volumes
            .iter()
            .filter(|volume| volume.thing.there != There::No);
        (some.count() < VOLUMES).then_some(())
    }

    fn name(&mut self, kind: &str) -> String {
        self.named += 1;
        format!("soak-{}-{kind}-{}", self.index, self.named)
    }

    fn book(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&mut self, fault: String) {
        self.write_log(&format!("FAULT {fault}"));
        let fault = format!("client {}: {fault}", self.index);
        self.book().faults.push(fault);
    }

    fn note_if_not(&mut self, fine: bool, fault: impl FnOnce() -> String) {
        if !fine {
            self.note(fault());
        }
    }

    /// What surely is there cannot be unknown.
    fn must_be_known(&mut self, reply: &Reply, kind: &str, id: &str) {
        if matches!(reply, Reply::Refused(404)) {
            self.note(format!("{kind} {id} was acknowledged and is gone"));
        }
    }

    fn is_connected(&mut self) -> bool {
        if self.client.is_none() {
            self.client = Client::connect(self.common.address).ok();
        }
        self.client.is_some()
    }

    fn ask(&mut self, verb: &'static str, method: &str, path: &str, body: &Value) -> Reply {
        if !self.is_connected() {
            return Reply::Refused(0);
        }
        let text = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        self.write_log(&format!("{method} {path} {text}"));
        let Some(client) = &mut self.client else {
            return Reply::Refused(0);
        };
        let (end, reply) = match client.send(method, path, &text) {
            Ok(answer) => {
                self.write_log(&format!(
                    "  {} {}",
                    answer.status,
                    String::from_utf8_lossy(&answer.body)
                ));
                match answer.status {
                    200..300 => (
                        End::Acknowledged,
                        Reply::Done(answer.json().unwrap_or(Value::Null)),
                    ),
                    status @ 400..500 => (End::Refused, Reply::Refused(status)),
                    status => {
                        let words = String::from_utf8_lossy(&answer.body);
                        self.common.tally.note_failure(verb, status, &words);
                        (End::Failed, Reply::Open)
                    }
                }
            }
            Err(error) => {
                self.client = None;
                self.write_log(&format!("  {error:#}"));
                let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
                match kind {
                    Some(ErrorKind::WouldBlock | ErrorKind::TimedOut) => (End::Silent, Reply::Open),
                    _ => (End::Broken, Reply::Broken),
                }
            }
        };
        self.common.tally.note(verb, end);
        reply
    }

    fn write_log(&mut self, line: &str) {
        let at = self.common.began.elapsed().as_secs_f64();
        // Without it the test is as good, only harder to read.
        let _ = writeln!(self.log, "{at:9.3} {line}");
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
