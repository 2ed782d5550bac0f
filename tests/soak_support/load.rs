//! One client: it makes, copies, grows, attaches and deletes as chance will have it, and records its answers. Its volumes are
//! its own, so its answers are the whole truth about them; that others work at the same time is not its concern.

mod verbs;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::acknowledged::Answer;
use crate::client::Client;
use crate::endpoints::Endpoints;
use crate::gate::Gate;
use crate::tally::{End, Tally};
use crate::{Facts, Known};

/// How many snapshots of one volume a client has at once; how large one becomes.
const SNAPSHOTS: usize = 3;
const LARGEST: u64 = 5;

/// How long a client watches what it made before it does something else.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long it waits before it asks or connects again.
const PAUSE: Duration = Duration::from_millis(10);

/// What all clients share.
pub struct Common {
    pub folder: PathBuf,
    pub endpoints: Arc<Endpoints>,
    pub gate: Gate,
    pub tally: Tally,
    pub began: Instant,
}

/// See the module.
pub struct Worker {
    common: Arc<Common>,
    facts: Arc<Mutex<Facts>>,
    index: usize,
    habit: Habit,
    /// The most that the service was not seen to refuse.
    bounds: Bounds,
    rng: StdRng,
    client: Option<Client>,
    /// Every question and its answer, for the search for the cause of a fault.
    log: std::fs::File,
    /// How many things it gave a name.
    named: u64,
}

/// How much a client writes of what has no other use: less each time that it was too much, so that it ends near the bound.
struct Bounds {
    /// Pairs of metadata.
    pairs: usize,
    /// Bytes of a connector.
    connector: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            pairs: 160,
            connector: 64 << 10,
        }
    }
}

#[derive(Clone, Copy)]
enum Verb {
    Create,
    Fill,
    CreateSnapshot,
    CreateFromSnapshot,
    Extend,
    Describe,
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

/// What a client does, how often in proportion, and with how many volumes at once. What fits none of its volumes is not done.
pub struct Habit {
    verbs: &'static [(Verb, u32)],
    volumes: usize,
}

/// Some of everything.
pub const ALL_VERBS: Habit = Habit {
    verbs: &VERBS,
    volumes: 12,
};

/// Volumes come and go all the time, in whatever else happens: deletes are under way through every restart.
pub const COME_AND_GO: Habit = Habit {
    verbs: &[(Verb::Create, 50), (Verb::Delete, 45), (Verb::LookAgain, 20)],
    volumes: 40,
};

const VERBS: [(Verb, u32); 15] = [
    (Verb::Create, 20),
    (Verb::Fill, 15),
    (Verb::CreateSnapshot, 14),
    (Verb::CreateFromSnapshot, 10),
    (Verb::Extend, 10),
    (Verb::Describe, 6),
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
    /// The connection broke; `Endpoints::broken` says what that means.
    Broken(Answer),
}

impl Reply {
    fn is_open(&self) -> bool {
        self.answer() == Answer::Open
    }

    fn answer(&self) -> Answer {
        match self {
            Self::Done(_) => Answer::Acknowledged,
            Self::Refused(_) => Answer::Refused,
            Self::Open => Answer::Open,
            Self::Broken(answer) => *answer,
        }
    }
}

impl Worker {
    pub fn new(
        common: Arc<Common>,
        facts: Arc<Mutex<Facts>>,
        index: usize,
        habit: Habit,
        seed: u64,
    ) -> std::io::Result<Self> {
        let log = std::fs::File::create(common.folder.join(format!("client-{index}.log")))?;
        Ok(Self {
            common,
            facts,
            index,
            habit,
            bounds: Bounds::default(),
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
            let verbs = self.habit.verbs;
            let total = verbs.iter().map(|(_, weight)| weight).sum();
            let mut at = self.rng.random_range(0..total);
            let chosen = verbs.iter().find(|(_, weight)| match at.checked_sub(*weight) {
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
            Verb::Describe => self.describe(),
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

    /// The name and id of something that surely exists and is fit.
    fn pick_existing(
        &mut self,
        kind: &str,
        is_fit: impl Fn(&Facts, &String, &Known) -> bool,
    ) -> Option<(String, String)> {
        self.pick_possible(kind, |facts, name, one| one.exists() && is_fit(facts, name, one))
    }

    /// The name and id of something that may exist and is fit.
    fn pick_possible(
        &mut self,
        kind: &str,
        is_fit: impl Fn(&Facts, &String, &Known) -> bool,
    ) -> Option<(String, String)> {
        self.pick(|facts| {
            let fit = facts.all(kind).filter(|(name, one)| is_fit(facts, name, one));
            fit.filter_map(|(name, one)| Some((name.clone(), one.id.clone()?)))
                .collect()
        })
    }

    /// One of what is fit for something.
    fn pick<T>(&mut self, fit: impl FnOnce(&Facts) -> Vec<T>) -> Option<T> {
        let fit = fit(&self.facts());
        fit.into_iter().choose(&mut self.rng)
    }

    fn has_room(&self) -> Option<()> {
        let facts = self.facts();
        (facts.all("volume").count() < self.habit.volumes).then_some(())
    }

    fn name(&mut self, kind: &str) -> String {
        self.named += 1;
        format!("soak-{}-{kind}-{:05}", self.index, self.named)
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock()
    }

    fn note(&mut self, fault: String) {
        self.write_log(&format!("FAULT {fault}"));
        let fault = format!("client {}: {fault}", self.index);
        self.facts().faults.push(fault);
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
            let number = self.rng.random_range(0..self.common.endpoints.count());
            self.client = self.common.endpoints.connect(number).ok();
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
                    status @ 400..500 => {
                        if status == 401 {
                            self.common.endpoints.forget_token();
                            self.client = None;
                        }
                        (End::Refused, Reply::Refused(status))
                    }
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
                    _ => (End::Broken, Reply::Broken(self.common.endpoints.broken)),
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
