//! Histories of calls through all control nodes while they are killed, stopped and cut off: for each of them an order is sought in which one volume, called one
//! call after the other, would have answered alike.
//!
//! A few clients at once ask about one volume, each of any control node, which is that of `tests/linearizability` as seen over HTTP. A call that is not answered, or with
//! an error of the server, may have been done at any time since, or not at all. A read that is marked as stale counts for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use parking_lot::Mutex;
use pumice::model::VolumeStatus;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::checker::{Event, contradiction};
use crate::client;
use crate::load::Common;
use crate::volume::{Answer, Call, View, Volume};

const CLIENTS: usize = 3;
const CALLS: usize = 12;

/// How long it waits before it asks again.
const PAUSE: Duration = Duration::from_millis(20);

/// What was found, in all.
#[derive(Default)]
pub struct Histories {
    checked: AtomicUsize,
    calls: AtomicUsize,
    unanswered: AtomicUsize,
    stale: AtomicUsize,
    pub faults: Mutex<Vec<String>>,
}

impl Histories {
    pub fn count(&self) -> usize {
        self.checked.load(Ordering::Relaxed)
    }

    pub fn line(&self) -> String {
        let of = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        format!(
            "{} histories of {} calls were checked; {} calls had no answer that says what was done, {} reads were marked as stale",
            self.count(),
            of(&self.calls),
            of(&self.unanswered),
            of(&self.stale)
        )
    }
}

/// Makes histories, one after the other.
pub struct Historian {
    pub common: Arc<Common>,
    pub histories: Arc<Histories>,
    pub index: usize,
    pub seed: u64,
}

impl Historian {
    /// Works until the gate says that there is no more work.
    pub fn run(self) {
        let common = Arc::clone(&self.common);
        for number in 0_u64.. {
            let Some(_pass) = common.gate.enter() else { return };
            if let Err(error) = self.history(number) {
                let fault = format!("history {number} of {}: {error:#}", self.index);
                self.histories.faults.lock().push(fault);
            }
        }
    }

    fn history(&self, number: u64) -> Result<()> {
        let seed = self.seed ^ (self.index as u64) << 32 ^ number;
        let mut rng = StdRng::seed_from_u64(seed);
        let id = self.make(&mut rng, number)?;
        let shared = Shared::default();
        let callers = (0..CLIENTS).map(|client| Caller {
            common: &self.common,
            histories: &self.histories,
            shared: &shared,
            id: &id,
            number: client,
            rng: StdRng::seed_from_u64(rng.random()),
            client: None,
            noted: Vec::new(),
        });
        let callers: Vec<Caller<'_>> = callers.collect();
        let mut history = std::thread::scope(|scope| {
            let working = callers.into_iter().map(|caller| scope.spawn(|| caller.work()));
            let working: Vec<_> = working.collect();
            let mut all = Vec::new();
            for caller in working {
                all.extend(caller.join().expect("a caller's thread ends")?);
            }
            Ok::<_, anyhow::Error>(all)
        })?;
        history.sort_by_key(|event| event.begun);
        let checked = contradiction(&Volume::available(1).growing_in_use(), &history);
        self.remove(&mut rng, &id)?;
        if let Some(shortest) = checked {
            let lines = shortest.iter().map(|event| {
                let (answered, answer) = event.answer.as_ref().expect("only answers are left");
                let (begun, client, call) = (event.begun, event.client, &event.call);
                format!("{begun:>4}..{answered:<4} client {client}: {call:?} -> {answer:?}")
            });
            let lines: Vec<_> = lines.collect();
            bail!(
                "volume {id}: no order of these calls gives these answers:\n{}",
                lines.join("\n")
            );
        }
        self.histories.checked.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Makes a volume: asked for with the same key until that is answered, it is made once.
    fn make(&self, rng: &mut StdRng, number: u64) -> Result<String> {
        let name = format!("history-{}-{number}", self.index);
        let body = json!({"volume": {"size": 1, "name": name}}).to_string();
        let id = self.until(rng, |client| {
            client.use_key(Some(name.clone()));
            let made = client.send("POST", "/volumes", &body)?;
            Ok(match made.status {
                202 => {
                    let made = made.json()?;
                    Step::Done(made["volume"]["id"].as_str().unwrap_or_default().to_owned())
                }
                // The same is asked already, or the token is old.
                401 | 409 | 500.. => Step::Again,
                status => Step::Wrong(format!("create: {status} {}", made.text())),
            })
        })?;
        self.until(rng, |client| {
            let shown = client.send("GET", &format!("/volumes/{id}"), "")?;
            let is_made =
                !shown.is_stale && shown.status == 200 && shown.json()?["volume"]["status"] == "available";
            Ok(match is_made {
                true => Step::Done(()),
                false => Step::Again,
            })
        })?;
        Ok(id)
    }

    /// Deletes the volume, whatever was left of it.
    fn remove(&self, rng: &mut StdRng, id: &str) -> Result<()> {
        self.until(rng, |client| {
            let shown = client.send("GET", &format!("/volumes/{id}"), "")?;
            if shown.is_stale || !matches!(shown.status, 200 | 404) {
                return Ok(Step::Again);
            }
            if shown.status == 404 {
                return Ok(Step::Done(()));
            }
            let volume = &shown.json()?["volume"];
            for attachment in volume["attachments"].as_array().into_iter().flatten() {
                if let Some(attachment) = attachment["attachment_id"].as_str() {
                    client.send("DELETE", &format!("/attachments/{attachment}"), "")?;
                }
            }
            let listed = client.send("GET", &format!("/attachments?volume_id={id}"), "")?;
            for attachment in listed.json()?["attachments"].as_array().into_iter().flatten() {
                if let Some(attachment) = attachment["id"].as_str() {
                    client.send("DELETE", &format!("/attachments/{attachment}"), "")?;
                }
            }
            match volume["status"].as_str() {
                Some("attaching") => {
                    client.send(
                        "POST",
                        &format!("/volumes/{id}/action"),
                        r#"{"os-unreserve": {}}"#,
                    )?;
                }
                Some("available" | "error" | "error_extending" | "error_deleting") => {
                    client.send("DELETE", &format!("/volumes/{id}"), "")?;
                }
                _ => {}
            }
            Ok(Step::Again)
        })
    }

    /// Asks control nodes until there is an answer. What cannot be sent or is not answered is asked again.
    fn until<T>(
        &self,
        rng: &mut StdRng,
        mut ask: impl FnMut(&mut client::Client) -> Result<Step<T>>,
    ) -> Result<T> {
        let limit = std::time::Instant::now() + Duration::from_secs(300);
        let mut last = None;
        while std::time::Instant::now() < limit {
            let number = rng.random_range(0..self.common.endpoints.count());
            let asked = self
                .common
                .endpoints
                .connect(number)
                .and_then(|mut client| ask(&mut client));
            match asked {
                Ok(Step::Done(answer)) => return Ok(answer),
                Ok(Step::Again) => {}
                Ok(Step::Wrong(why)) => bail!(why),
                Err(error) => last = Some(error),
            }
            std::thread::sleep(PAUSE);
        }
        Err(last
            .context("asked in vain")
            .unwrap_or_else(|why| why)
            .context("asked for five minutes"))
    }
}

/// What an answer means to one who asks until there is the right one.
enum Step<T> {
    Done(T),
    Again,
    Wrong(String),
}

/// What the clients of one volume share.
#[derive(Default)]
struct Shared {
    clock: AtomicU64,
    next: AtomicUsize,
    attachments: Mutex<Vec<(usize, String)>>,
}

struct Caller<'a> {
    common: &'a Common,
    histories: &'a Histories,
    shared: &'a Shared,
    id: &'a str,
    number: usize,
    rng: StdRng,
    client: Option<client::Client>,
    noted: Vec<Event<Volume>>,
}

/// What came of a call.
enum Asked {
    Answered(Answer),
    /// It may have been done, or be done later.
    Unknown,
    /// It says nothing about the volume.
    Void,
}

impl Caller<'_> {
    fn work(mut self) -> Result<Vec<Event<Volume>>> {
        for _ in 0..CALLS {
            if let Some(call) = self.draw() {
                self.make(call)?;
            }
        }
        Ok(self.noted)
    }

    fn draw(&mut self) -> Option<Call> {
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let word = self.rng.random_range(0..3).to_string();
        let attachment = {
            let attachments = self.shared.attachments.lock();
            let count = attachments.len();
            (count > 0).then(|| attachments[self.rng.random_range(0..count)].0)
        };
        Some(match self.rng.random_range(0..36) {
            0..11 => Call::Show,
            11..15 => Call::Rename(word),
            15..19 => Call::Note("a".to_owned(), word),
            19..21 => Call::Reserve,
            21..24 => Call::Unreserve,
            24..27 => Call::Extend(number, self.rng.random_range(2..8)),
            27..30 => Call::Attach(number),
            30..32 => Call::Complete(attachment?),
            32..35 => Call::Detach(attachment?),
            _ if self.rng.random_bool(0.2) => Call::Delete(number),
            _ => Call::Show,
        })
    }

    fn now(&self) -> u64 {
        self.shared.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn make(&mut self, call: Call) -> Result<()> {
        let begun = self.now();
        let asked = self.ask(&call)?;
        let answered = self.now();
        let answer = match asked {
            Asked::Void => return Ok(()),
            // It has changed nothing.
            Asked::Unknown if matches!(call, Call::Show) => return Ok(()),
            Asked::Unknown => None,
            Asked::Answered(answer) => Some((answered, answer)),
        };
        self.histories.calls.fetch_add(1, Ordering::Relaxed);
        if answer.is_none() {
            self.histories.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        let is_refused = matches!(answer, Some((_, Answer::NotNow | Answer::NotThere)));
        if let Call::Extend(number, _) | Call::Delete(number) = call
            && !is_refused
        {
            self.noted.push(Event {
                client: self.number,
                begun,
                call: Call::Ended(number),
                answer: None,
            });
        }
        self.noted.push(Event {
            client: self.number,
            begun,
            call,
            answer,
        });
        Ok(())
    }

    fn ask(&mut self, call: &Call) -> Result<Asked> {
        let volume = format!("/volumes/{}", self.id);
        let action = format!("{volume}/action");
        let attachment = |number: &usize| {
            let attachments = self.shared.attachments.lock();
            let mut known = attachments.iter();
            known
                .find(|(known, _)| known == number)
                .map(|(_, id)| format!("/attachments/{id}"))
                .context("an attachment that was made")
        };
        let (method, path, body) = match call {
            Call::Show => ("GET", volume, Value::Null),
            Call::Rename(name) => ("PUT", volume, json!({"volume": {"name": name}})),
            Call::Note(key, value) => (
                "POST",
                format!("{volume}/metadata"),
                json!({"metadata": {key: value}}),
            ),
            Call::Reserve => ("POST", action, json!({"os-reserve": {}})),
            Call::Unreserve => ("POST", action, json!({"os-unreserve": {}})),
            Call::Extend(_, size) => ("POST", action, json!({"os-extend": {"new_size": size}})),
            Call::Delete(_) => ("DELETE", volume, Value::Null),
            Call::Attach(_) => (
                "POST",
                "/attachments".to_owned(),
                json!({"attachment": {"volume_uuid": self.id, "instance_uuid": uuid::Uuid::new_v4()}}),
            ),
            Call::Complete(number) => (
                "POST",
                format!("{}/action", attachment(number)?),
                json!({"os-complete": {}}),
            ),
            Call::Detach(number) => ("DELETE", attachment(number)?, Value::Null),
            Call::Replace { .. } | Call::Reset(_) | Call::Ended(_) => bail!("{call:?} is not drawn"),
        };
        let text = match &body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        // Mostly the same node as before.
        if self.client.is_none() || self.rng.random_bool(0.3) {
            let number = self.rng.random_range(0..self.common.endpoints.count());
            self.client = self.common.endpoints.connect(number).ok();
        }
        let Some(client) = &mut self.client else {
            return Ok(Asked::Void);
        };
        let Ok(answer) = client.send(method, &path, &text) else {
            self.client = None;
            return Ok(Asked::Unknown);
        };
        if answer.is_stale {
            self.histories.stale.fetch_add(1, Ordering::Relaxed);
            return Ok(Asked::Void);
        }
        Ok(match answer.status {
            200..300 => Asked::Answered(self.done(call, &answer)?),
            400 => Asked::Answered(Answer::NotNow),
            404 => Asked::Answered(Answer::NotThere),
            401 => {
                self.common.endpoints.forget_token();
                self.client = None;
                Asked::Void
            }
            500.. => {
                self.client = None;
                Asked::Unknown
            }
            status => bail!("{call:?}: {status} {}", answer.text()),
        })
    }

    fn done(&self, call: &Call, answer: &client::Answer) -> Result<Answer> {
        match call {
            Call::Show | Call::Rename(_) => {
                let shown = &answer.json()?["volume"];
                let notes = shown["metadata"].as_object().context("no metadata")?;
                let notes = notes.iter().map(|(key, value)| {
                    let value = value.as_str().unwrap_or_default();
                    (key.clone(), value.to_owned())
                });
                let status = shown["status"].as_str().context("no status")?;
                Ok(Answer::Seen(View {
                    status: status.parse::<VolumeStatus>()?,
                    size: u32::try_from(shown["size"].as_u64().context("no size")?)?,
                    // A volume is made with a name, which is none to the model.
                    name: shown["name"]
                        .as_str()
                        .filter(|name| !name.starts_with("history-"))
                        .map(str::to_owned),
                    notes: notes.collect(),
                }))
            }
            Call::Attach(number) => {
                let made = answer.json()?;
                let id = made["attachment"]["id"].as_str().context("no id")?;
                self.shared.attachments.lock().push((*number, id.to_owned()));
                Ok(Answer::Done)
            }
            _ => Ok(Answer::Accepted),
        }
    }
}
