//! Workers: where driver verbs block, so that the manager's mailbox never does.
//!
//! A verb runs in a thread of its own, with a time limit, at most `max_workers` at once, and alone on what it claims. Claims
//! and the worker's place are held by the *thread*: a verb that hangs beyond its limit is cancelled, then abandoned, but
//! nothing else touches its volume until it really ends. All of this outlives the actor that asked, so that a manager that was
//! built anew cannot run into the work of the one before.
//!
//! Verbs that move data may take hours. They never take the last place, so that short ones always find one.
//!
//! | verb | alone on |
//! |---|---|
//! | create | the volume |
//! | create from a volume or a snapshot | the volume, and the content of its source |
//! | attach, detach | the volume |
//! | extend, delete, revert | the volume, its content (and that of the snapshot) |
//! | snapshots | their content, and when they are made that of their volume |

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, Semaphore};
use uuid::Uuid;

use crate::drivers::{DriverError, DriverResult, Work};
use crate::model::spec::VolumeSource;
use crate::model::{SnapshotId, VolumeId};

/// How long a cancelled verb gets to come back before its thread is abandoned.
const GRACE: Duration = Duration::from_secs(5);

/// What a verb can be alone on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Thing {
    /// A volume as its users see it: whether it is there, and exported.
    Volume(Uuid),
    /// What is in a volume or a snapshot. Others may be attached to it meanwhile.
    Content(Uuid),
}

/// What a verb needs before it may begin.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    things: Vec<Thing>,
    moves_data: bool,
}

impl Claim {
    /// Nothing, not even a place: housekeeping (setup, stats), which hung verbs must not keep from running.
    #[must_use]
    pub fn housekeeping() -> Self {
        Self::default()
    }

    /// A volume.
    #[must_use]
    pub fn on(volume: VolumeId) -> Self {
        Self::default().with(Thing::Volume(volume.0))
    }

    /// The content of a volume.
    #[must_use]
    pub fn on_content_of(volume: VolumeId) -> Self {
        Self::default().with(Thing::Content(volume.0))
    }

    /// A snapshot.
    #[must_use]
    pub fn on_snapshot(snapshot: SnapshotId) -> Self {
        Self::default().with(Thing::Content(snapshot.0))
    }

    /// And all of another claim.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.things.extend(other.things);
        self.things.sort_unstable();
        self.things.dedup();
        self.moves_data |= other.moves_data;
        self
    }

    /// And what a new volume's content comes from.
    #[must_use]
    pub fn and_source(self, source: &VolumeSource) -> Self {
        match source.id() {
            Some(id) => self.with(Thing::Content(id)),
            None => self,
        }
    }

    /// Whether it may take very long.
    #[must_use]
    pub fn moving_data(mut self, moves_data: bool) -> Self {
        self.moves_data = moves_data;
        self
    }

    /// Whether it was said to.
    #[must_use]
    pub fn moves_data(&self) -> bool {
        self.moves_data
    }

    fn with(mut self, thing: Thing) -> Self {
        self.things.push(thing);
        self.things.sort_unstable();
        self
    }
}

impl From<VolumeId> for Claim {
    fn from(volume: VolumeId) -> Self {
        Self::on(volume)
    }
}

/// The threads of one backend.
pub struct Workers {
    places: Arc<Semaphore>,
    /// One fewer than there are places, but at least one.
    movers: Arc<Semaphore>,
    things: Mutex<HashMap<Thing, Weak<tokio::sync::Mutex<()>>>>,
    running: Mutex<HashMap<u64, Work>>,
    next: AtomicU64,
    abandoned: AtomicU64,
    stopping: AtomicBool,
}

/// A verb's panic, apart from its other failures: the driver that panicked is to be built anew.
#[derive(Debug)]
pub enum WorkError {
    /// What the driver answered.
    Driver(DriverError),
    /// It panicked, with these words.
    Panicked(String),
    /// The manager is shutting down: nothing is known of the outcome, and the operation stays parked in the journal.
    Stopping,
}

impl From<DriverError> for WorkError {
    fn from(error: DriverError) -> Self {
        Self::Driver(error)
    }
}

impl Workers {
    /// Room for so many verbs at once.
    #[must_use]
    pub fn new(max_workers: usize) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(max_workers.max(1))),
            movers: Arc::new(Semaphore::new(max_workers.saturating_sub(1).max(1))),
            things: Mutex::default(),
            running: Mutex::default(),
            next: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        })
    }

    /// Runs `verb` in a worker, for at most `limit`, once it has what it claims and one of the places (waiting counts).
    ///
    /// # Errors
    /// What the verb answers; `TimedOut` when the limit passes first, whether or not the thread could be stopped.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        claim: Claim,
        limit: Duration,
        verb: impl FnOnce(&Work) -> DriverResult<T> + Send + 'static,
    ) -> Result<T, WorkError> {
        let work = Work::within(limit);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let ready = async {
            let mut locks: Vec<OwnedMutexGuard<()>> = Vec::with_capacity(claim.things.len());
            // In order, so that two verbs never wait for each other.
            for thing in &claim.things {
                locks.push(self.lock_of(*thing).lock_owned().await);
            }
            let mut places = Vec::new();
            if claim.moves_data {
                places.push(self.movers.clone().acquire_owned().await);
            }
            if !locks.is_empty() {
                places.push(self.places.clone().acquire_owned().await);
            }
            (locks, places)
        };
        let place = tokio::time::timeout(limit, ready)
            .await
            .map_err(|_| DriverError::TimedOut)?;
        if self.stopping.load(Ordering::Acquire) {
            return Err(WorkError::Stopping);
        }
        self.lock_running().insert(id, work.clone());
        let this = Arc::clone(self);
        let span = tracing::Span::current();
        let theirs = work.clone();
        let mut thread = tokio::task::spawn_blocking(move || {
            let answer = span.in_scope(|| std::panic::catch_unwind(AssertUnwindSafe(|| verb(&theirs))));
            this.lock_running().remove(&id);
            drop(place);
            answer
        });
        let answer = match tokio::time::timeout(work.remaining(), &mut thread).await {
            Ok(joined) => joined,
            Err(_) => {
                work.cancel();
                match tokio::time::timeout(GRACE, &mut thread).await {
                    Ok(joined) => joined,
                    Err(_) => {
                        self.abandoned.fetch_add(1, Ordering::Relaxed);
                        tracing::error!(
                            ?claim,
                            "a driver verb hangs beyond its limit; its thread is abandoned"
                        );
                        return Err(DriverError::TimedOut.into());
                    }
                }
            }
        };
        match answer {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(_))) if self.stopping.load(Ordering::Acquire) => Err(WorkError::Stopping),
            // It was cancelled because its time was up; say so.
            Ok(Ok(Err(DriverError::Cancelled))) => Err(DriverError::TimedOut.into()),
            Ok(Ok(Err(error))) => Err(error.into()),
            Ok(Err(panic)) => Err(WorkError::Panicked(panic_text(panic.as_ref()))),
            Err(join) => Err(WorkError::Panicked(join.to_string())),
        }
    }

    /// Cancels everything that runs and lets nothing more begin. Operations stay parked in the journal.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        for work in self.lock_running().values() {
            work.cancel();
        }
    }

    /// Whether [`Workers::stop`] was called.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// How many verbs run now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.lock_running().len()
    }

    /// How many threads were given up since the start.
    #[must_use]
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Ordering::Relaxed)
    }

    fn lock_of(&self, thing: Thing) -> Arc<tokio::sync::Mutex<()>> {
        let mut things = self.things.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = things.get(&thing).and_then(Weak::upgrade) {
            return lock;
        }
        if things.len() > 256 {
            things.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        things.insert(thing, Arc::downgrade(&lock));
        lock
    }

    fn lock_running(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Work>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a text".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::{Claim, WorkError, Workers};
    use crate::drivers::{DriverError, Work};
    use crate::model::spec::VolumeSource;
    use crate::model::{SnapshotId, VolumeId};

    const LONG: Duration = Duration::from_secs(30);

    /// Blocks until cancelled, as a driver that looks at its limits does.
    fn until_cancelled(work: &Work) -> Result<(), DriverError> {
        loop {
            work.check()?;
            std::thread::yield_now();
        }
    }

    #[actix::test]
    async fn a_verb_that_hangs_is_cancelled_at_its_limit() {
        let workers = Workers::new(1);
        let answer = workers
            .run(Claim::housekeeping(), Duration::from_millis(50), until_cancelled)
            .await;
        assert!(
            matches!(answer, Err(WorkError::Driver(DriverError::TimedOut))),
            "{answer:?}"
        );
        // Its place is free again.
        assert!(
            workers
                .run(Claim::housekeeping(), LONG, |_| Ok(7))
                .await
                .is_ok_and(|seven| seven == 7)
        );
    }

    #[actix::test]
    async fn no_more_than_the_bound_run_at_once_and_one_per_volume() {
        let workers = Workers::new(2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let volume = VolumeId::new();
        let on_volume = Arc::new(AtomicUsize::new(0));
        let mut runs = Vec::new();
        for index in 0..12 {
            let (now, most, on_volume) = (now.clone(), most.clone(), on_volume.clone());
            let target = (index % 2 == 0).then_some(volume);
            runs.push(
                workers.run(target.unwrap_or_else(VolumeId::new).into(), LONG, move |_| {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    if target.is_some() {
                        assert_eq!(
                            on_volume.fetch_add(1, Ordering::SeqCst),
                            0,
                            "two verbs on one volume"
                        );
                    }
                    std::thread::yield_now();
                    if target.is_some() {
                        on_volume.fetch_sub(1, Ordering::SeqCst);
                    }
                    now.fetch_sub(1, Ordering::SeqCst);
                    Ok(())
                }),
            );
        }
        for answer in futures_util::future::join_all(runs).await {
            answer.unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= 2);
    }

    #[actix::test]
    async fn copies_that_take_for_ever_leave_room_for_short_verbs() {
        let workers = Workers::new(2);
        let source = VolumeId::new();
        let from = VolumeSource::Volume { id: source, size: 1 };
        let copy = || Claim::on(VolumeId::new()).moving_data(true);
        let first = workers.run(copy().and_source(&from), LONG, until_cancelled);
        let second = workers.run(copy(), LONG, until_cancelled);
        let short = async {
            while workers.running() == 0 {
                tokio::task::yield_now().await;
            }
            // The source can be attached while it is copied, and other volumes made.
            for volume in [source, VolumeId::new()] {
                workers.run(volume.into(), LONG, |_| Ok(())).await.unwrap();
            }
            assert_eq!(workers.running(), 1, "the second copy waits");
            workers.stop();
        };
        let ended = futures_util::future::join3(first, second, short).await;
        assert!(matches!(
            ended,
            (Err(WorkError::Stopping), Err(WorkError::Stopping), ())
        ));
    }

    #[actix::test]
    async fn a_source_stays_as_it_is_while_it_is_copied() {
        let workers = Workers::new(4);
        let (source, snapshot) = (VolumeId::new(), SnapshotId::new());
        let from = VolumeSource::Snapshot {
            id: snapshot,
            volume_id: source,
            size: 1,
        };
        let copying = Arc::new(AtomicUsize::new(0));
        let theirs = copying.clone();
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let copy = workers.run(Claim::on(VolumeId::new()).and_source(&from), LONG, move |_| {
            theirs.store(1, Ordering::SeqCst);
            gone.recv().unwrap();
            theirs.store(2, Ordering::SeqCst);
            Ok(())
        });
        let others = async {
            while copying.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            let seen = copying.clone();
            let delete = workers.run(Claim::on_snapshot(snapshot), LONG, move |_| {
                Ok(seen.load(Ordering::SeqCst))
            });
            let extend = async {
                let claim = Claim::on(source).and(Claim::on_content_of(source));
                workers.run(claim, LONG, |_| Ok(())).await.unwrap();
                go.send(()).unwrap();
            };
            futures_util::future::join(delete, extend).await.0.unwrap()
        };
        let (copied, copies_before_delete) = futures_util::future::join(copy, others).await;
        copied.unwrap();
        assert_eq!(copies_before_delete, 2);
    }

    #[actix::test]
    async fn a_panicking_verb_is_told_apart() {
        let workers = Workers::new(1);
        let answer = workers
            .run(Claim::housekeeping(), LONG, |_| -> Result<(), DriverError> {
                panic!("ouch")
            })
            .await;
        assert!(matches!(answer, Err(WorkError::Panicked(text)) if text == "ouch"));
        assert_eq!(workers.running(), 0);
    }

    #[actix::test]
    async fn stopping_parks_what_runs() {
        let workers = Workers::new(1);
        let run = workers.run(Claim::housekeeping(), LONG, until_cancelled);
        let stop = async {
            while workers.running() == 0 {
                tokio::task::yield_now().await;
            }
            workers.stop();
        };
        let (answer, ()) = futures_util::future::join(run, stop).await;
        assert!(matches!(answer, Err(WorkError::Stopping)), "{answer:?}");
    }
}
