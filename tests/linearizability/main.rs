//! Concurrent calls look as if they had come one after the other: for one volume, and for one quota.
//!
//! Clients in threads of their own call the real Api actor over the real store, and note when each call began and was answered,
//! and how. Then an order is sought in which a plain model of a volume, or of a quota, would have answered alike. If there is
//! none, somebody was told what was never true.
//!
//! What is asked is drawn from a seed, what meets whom is up to the threads: `PUMICE_HISTORIES=500` for more of it,
//! `PUMICE_HISTORY_SEED=7` for the same questions again.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod checker;
mod quota;
mod volume;
mod world;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use checker::{Event, Model, contradiction};
use pumice::messages::api::{
    ChangeVolume, CompleteAttachment, CreateAttachment, DeleteAttachment, DeleteVolume, ExtendVolume,
    MetadataChange, UpdateVolume, UpdateVolumeMetadata, VolumeChange,
};
use pumice::model::quota::Resource;
use pumice::model::{AttachmentId, Error, ErrorKind, ProjectId, Volume, VolumeId, VolumeStatus};
use pumice::store::catalog::verify::verify;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use world::{Caller, Clock, World, clients};

const CLIENTS: usize = 4;
const CALLS: usize = 14;

fn seeds(default: u64) -> std::ops::Range<u64> {
    let setting = |name| {
        let text: Option<String> = std::env::var(name).ok();
        text.and_then(|text| text.parse::<u64>().ok())
    };
    match setting("PUMICE_HISTORY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("PUMICE_HISTORIES").unwrap_or(default),
    }
}

/// What is wrong with a history, in full.
fn complaint<M: Model>(start: &M, history: &[Event<M>]) -> Option<String> {
    let mut text = "no order of these calls gives these answers:\n".to_owned();
    for event in contradiction(start, history)? {
        let (answered, answer) = event.answer?;
        let (begun, client, call) = (event.begun, event.client, event.call);
        writeln!(
            text,
            "{begun:>4}..{answered:<4} client {client}: {call:?} -> {answer:?}"
        )
        .ok()?;
    }
    Some(text)
}

/// One who asks about one volume.
struct VolumeClient {
    caller: Caller,
    clock: Arc<Clock>,
    number: usize,
    id: VolumeId,
    rng: StdRng,
    attachments: Arc<Mutex<Vec<(usize, AttachmentId)>>>,
    next: Arc<AtomicUsize>,
    noted: Vec<Event<volume::Volume>>,
}

fn view(volume: Volume) -> volume::Answer {
    volume::Answer::Seen(volume::View {
        status: volume.status,
        size: volume.size,
        name: volume.name,
        notes: volume.metadata,
    })
}

/// `None` where the answer does not say whether anything was done.
fn refusal(error: &Error) -> Option<volume::Answer> {
    match error.kind {
        ErrorKind::BadRequest => Some(volume::Answer::NotNow),
        ErrorKind::Conflict => Some(volume::Answer::Differs),
        ErrorKind::NotFound => Some(volume::Answer::NotThere),
        ErrorKind::Unavailable { .. } => None,
        _ => panic!("{error}"),
    }
}

impl VolumeClient {
    async fn work(mut self) -> Vec<Event<volume::Volume>> {
        for _ in 0..CALLS {
            if let Some(call) = self.draw() {
                self.make(call).await;
            }
        }
        self.noted
    }

    fn draw(&mut self) -> Option<volume::Call> {
        use volume::Call;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let word = self.rng.random_range(0..3).to_string();
        let attachment = {
            let attachments = self.attachments.lock().unwrap();
            let count = attachments.len();
            (count > 0).then(|| attachments[self.rng.random_range(0..count)].0)
        };
        Some(match self.rng.random_range(0..40) {
            0..9 => Call::Show,
            9..12 => Call::Rename(word),
            12..15 => Call::Note("a".to_owned(), word),
            15..18 => {
                let with = self.rng.random_range(0..3).to_string();
                Call::Replace {
                    expected: [("a".to_owned(), word)].into(),
                    with: [("a".to_owned(), with)].into(),
                }
            }
            18..20 => Call::Reserve,
            20..24 => Call::Unreserve,
            24..27 => Call::Reset(VolumeStatus::Available),
            27 => Call::Reset(VolumeStatus::Error),
            28..31 => Call::Extend(number, self.rng.random_range(2..8)),
            31..34 => Call::Attach(number),
            34..36 => Call::Complete(attachment?),
            36..39 => Call::Detach(attachment?),
            // Rarely: there is little to be asked afterwards.
            _ if self.rng.random_bool(0.3) => Call::Delete(number),
            _ => Call::Show,
        })
    }

    async fn make(&mut self, call: volume::Call) {
        let begun = self.clock.now();
        let answer = self.ask(&call).await;
        let answered = self.clock.now();
        if let volume::Call::Extend(number, _) | volume::Call::Delete(number) = call {
            self.noted.push(Event {
                client: self.number,
                begun,
                call: volume::Call::Ended(number),
                answer: None,
            });
        }
        self.noted.push(Event {
            client: self.number,
            begun,
            call,
            answer: answer.map(|answer| (answered, answer)),
        });
    }

    async fn ask(&self, call: &volume::Call) -> Option<volume::Answer> {
        use volume::{Answer, Call};
        let volume_id = self.id.to_string();
        let change = |change| {
            let volume_id = volume_id.clone();
            async {
                self.caller
                    .call(ChangeVolume { volume_id, change })
                    .await
                    .map(view)
            }
        };
        let metadata = |change, expected| {
            let volume_id = volume_id.clone();
            async {
                let request = UpdateVolumeMetadata {
                    volume_id,
                    change,
                    expected,
                };
                self.caller.call(request).await.map(Answer::Noted)
            }
        };
        let answer = match call {
            Call::Show => Ok(self.caller.show(self.id).await.map_or(Answer::NotThere, view)),
            Call::Rename(name) => {
                let request = UpdateVolume {
                    volume_id,
                    name: Some(Some(name.clone())),
                    ..UpdateVolume::default()
                };
                self.caller.call(request).await.map(view)
            }
            Call::Note(key, value) => {
                metadata(MetadataChange::Merge([(key.clone(), value.clone())].into()), None).await
            }
            Call::Replace { expected, with } => {
                metadata(MetadataChange::Replace(with.clone()), Some(expected.clone())).await
            }
            Call::Reserve => change(VolumeChange::Reserve).await,
            Call::Unreserve => change(VolumeChange::Unreserve).await,
            Call::Reset(status) => {
                change(VolumeChange::ResetStatus {
                    status: Some(*status),
                    attach_status: None,
                    migration_status: None,
                })
                .await
            }
            Call::Extend(_, new_size) => {
                let request = ExtendVolume {
                    volume_id,
                    new_size: *new_size,
                    attached_too: false,
                };
                self.caller.call(request).await.map(|()| Answer::Done)
            }
            Call::Delete(_) => {
                let request = DeleteVolume {
                    volume_id,
                    cascade: false,
                    force: false,
                };
                self.caller.call(request).await.map(|()| Answer::Done)
            }
            Call::Attach(number) => {
                let request = CreateAttachment {
                    volume_id,
                    instance_uuid: None,
                    connector: None,
                    mode: None,
                };
                self.caller.call(request).await.map(|made| {
                    self.attachments.lock().unwrap().push((*number, made.id));
                    Answer::Done
                })
            }
            Call::Complete(number) => {
                let attachment_id = self.attachment(*number);
                let request = CompleteAttachment { attachment_id };
                self.caller.call(request).await.map(|()| Answer::Done)
            }
            Call::Detach(number) => {
                let attachment_id = self.attachment(*number);
                let request = DeleteAttachment { attachment_id };
                self.caller.call(request).await.map(|_| Answer::Done)
            }
            Call::Ended(_) => panic!("nobody asks for that"),
        };
        answer.map_or_else(|error| refusal(&error), Some)
    }

    fn attachment(&self, number: usize) -> String {
        let attachments = self.attachments.lock().unwrap();
        let found = attachments.iter().find(|(known, _)| *known == number);
        found.unwrap().1.to_string()
    }
}

#[actix::test]
async fn concurrent_changes_of_one_volume_look_as_if_they_came_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path()).await;
    for seed in seeds(60) {
        let caller = world.caller(&format!("p{seed}"));
        let id = caller.volume(1).await;
        let (clock, attachments, next) = <(Arc<Clock>, Arc<Mutex<Vec<_>>>, Arc<AtomicUsize>)>::default();
        let asking = caller.clone();
        let history = clients(CLIENTS, move |number| {
            VolumeClient {
                caller: asking.clone(),
                clock: Arc::clone(&clock),
                number,
                id,
                rng: StdRng::seed_from_u64(seed << 8 | number as u64),
                attachments: Arc::clone(&attachments),
                next: Arc::clone(&next),
                noted: Vec::new(),
            }
            .work()
        })
        .await;
        if let Some(complaint) = complaint(&volume::Volume::available(1), &history) {
            panic!("seed {seed}: {complaint}");
        }
    }
    world.caller("p").until_quiet().await;
    assert_eq!(verify(&world.catalog).await.unwrap(), []);
    world.stop();
}

/// One of many who use up one quota.
struct QuotaClient {
    caller: Caller,
    clock: Arc<Clock>,
    number: usize,
    rng: StdRng,
    next: Arc<AtomicUsize>,
    noted: Vec<Event<quota::Quota>>,
    /// By the call that made it, and how large it is.
    mine: Vec<(usize, VolumeId, u32)>,
}

impl QuotaClient {
    async fn work(mut self) -> Vec<Event<quota::Quota>> {
        for _ in 0..CALLS {
            match self.rng.random_range(0..10) {
                0..6 => self.create().await,
                6..8 if !self.mine.is_empty() => self.extend().await,
                _ if !self.mine.is_empty() => self.delete().await,
                _ => self.create().await,
            }
        }
        self.noted
    }

    /// Notes a call that is answered, or refused for the quota.
    async fn make<T>(
        &mut self,
        call: quota::Call,
        asked: impl Future<Output = Result<T, Error>>,
    ) -> Option<T> {
        let begun = self.clock.now();
        let (made, answer) = match asked.await {
            Ok(made) => (Some(made), quota::Answer::Done),
            Err(error) if error.kind == ErrorKind::OverQuota => (None, quota::Answer::OverQuota),
            Err(error) => panic!("{call:?}: {error}"),
        };
        self.noted.push(Event {
            client: self.number,
            begun,
            call,
            answer: Some((self.clock.now(), answer)),
        });
        made
    }

    async fn create(&mut self) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let size = self.rng.random_range(1..4);
        let caller = self.caller.clone();
        let asked = caller.call(Caller::create(size));
        if let Some(volume) = self.make(quota::Call::Create(number, size), asked).await {
            caller
                .until(volume.id, |volume| {
                    volume.is_some_and(|volume| volume.status == VolumeStatus::Available)
                })
                .await;
            self.mine.push((number, volume.id, size));
        }
    }

    async fn extend(&mut self) {
        let index = self.rng.random_range(0..self.mine.len());
        let (number, id, size) = self.mine[index];
        let new_size = size + self.rng.random_range(1..3);
        let call = quota::Call::Extend {
            volume: number,
            from: size,
            to: new_size,
        };
        let request = ExtendVolume {
            volume_id: id.to_string(),
            new_size,
            attached_too: false,
        };
        let caller = self.caller.clone();
        if self.make(call, caller.call(request)).await.is_some() {
            caller
                .until(id, |volume| volume.is_some_and(|volume| volume.size == new_size))
                .await;
            self.mine[index].2 = new_size;
        }
    }

    async fn delete(&mut self) {
        let index = self.rng.random_range(0..self.mine.len());
        let (number, id, _) = self.mine.swap_remove(index);
        let request = DeleteVolume {
            volume_id: id.to_string(),
            cascade: false,
            force: false,
        };
        let caller = self.caller.clone();
        let begun = self.clock.now();
        self.make(quota::Call::Delete(number), caller.call(request)).await;
        let unanswered = |call| Event {
            client: self.number,
            begun,
            call,
            answer: None,
        };
        let ended = unanswered(quota::Call::Ended(number));
        self.noted.push(ended);
        caller.until(id, |volume| volume.is_none()).await;
        let begun = self.clock.now();
        self.noted.push(Event {
            client: self.number,
            begun,
            call: quota::Call::Miss(number),
            answer: Some((self.clock.now(), quota::Answer::Done)),
        });
    }
}

#[actix::test]
async fn a_quota_lets_in_who_fits_and_nobody_else_however_many_come_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path()).await;
    for seed in seeds(25) {
        let project = format!("p{seed}");
        let start = quota::Quota {
            volumes: 4,
            gigabytes: 8,
            used: Default::default(),
        };
        let limits = [
            (Resource::volumes(), start.volumes as i64),
            (Resource::gigabytes(), i64::from(start.gigabytes)),
        ];
        let mut changes = world.catalog.change();
        changes.put_project_limits(&ProjectId::from(project.as_str()), &limits.into());
        changes.commit().await.unwrap();
        let caller = world.caller(&project);
        let (clock, next) = <(Arc<Clock>, Arc<AtomicUsize>)>::default();
        let asking = caller.clone();
        let history = clients(CLIENTS, move |number| {
            QuotaClient {
                caller: asking.clone(),
                clock: Arc::clone(&clock),
                number,
                rng: StdRng::seed_from_u64(seed << 8 | number as u64),
                next: Arc::clone(&next),
                noted: Vec::new(),
                mine: Vec::new(),
            }
            .work()
        })
        .await;
        if let Some(complaint) = complaint(&start, &history) {
            panic!("seed {seed}: {complaint}");
        }
    }
    world.caller("p").until_quiet().await;
    assert_eq!(verify(&world.catalog).await.unwrap(), []);
    world.stop();
}
