//! Workers: where driver verbs block, so that the manager's mailbox never does.
//!
//! A verb runs in a thread of its own, with a time limit, at most `max_workers` at once, and alone on what it claims. Claims
//! and the worker's place are held by the *thread*: a verb that hangs beyond its limit is cancelled, then abandoned, but
//! nothing else touches its volume until it really ends. So there are never more threads than places, and one for each chore of
//! the manager itself; a backend of which all places hang takes no more commands until one of them ends. All of this outlives the actor that asked, so that a manager that was
//! built anew cannot run into the work of the one before.
//!
//! Verbs that move data may take hours. They never take the last place, so that short ones always find one. They belong to a
//! command, which may be cancelled: then they end as soon as they look, or do not begin.
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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::drivers::ownership::Ownership;
use crate::drivers::{DriverError, DriverResult, Work};
use crate::messages::volume::CommandId;
use crate::model::spec::VolumeSource;
use crate::model::{SnapshotId, VolumeId};

mod thread;

use self::thread::in_thread;

/// How long a cancelled verb gets to come back before its thread is abandoned.
const GRACE: Duration = Duration::from_secs(5);

/// What a verb can be alone on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Thing {
    /// A volume as its users see it: whether it is there, and exported.
    Volume(Uuid),
    /// What is in a volume or a snapshot. Others may be attached to it meanwhile.
    Content(Uuid),
    /// A chore.
    Chore(Chore),
}

/// What a manager does for itself. One of each kind runs at a time, beside the verbs of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chore {
    /// Making the driver ready.
    SetUpDriver,
    /// Making the target ready.
    SetUpTarget,
    /// Looking at the pools.
    Stats,
    /// Listing what is on the storage.
    ListExisting,
    /// Listing what is exported.
    ListExports,
}

/// What a verb needs before it may begin.
#[derive(Clone, Debug, Default)]
pub struct Claim {
    things: Vec<Thing>,
    moves_data: bool,
    command: Option<CommandId>,
}

impl Claim {
    /// No place: a chore, which hung verbs must not keep from running.
    #[must_use]
    pub fn housekeeping(chore: Chore) -> Self {
        Self::default().with(Thing::Chore(chore))
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
        self.command = self.command.or(other.command);
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

    /// Ends when this command is cancelled, and counts as its progress.
    #[must_use]
    pub fn of_command(mut self, command: CommandId) -> Self {
        self.command = Some(command);
        self
    }

    /// Whether it was said to.
    #[must_use]
    pub fn moves_data(&self) -> bool {
        self.moves_data
    }

    /// Whether it takes a place: chores do not.
    fn takes_place(&self) -> bool {
        self.things.iter().any(|thing| !matches!(thing, Thing::Chore(_)))
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

/// A verb in its thread.
struct Running {
    command: Option<CommandId>,
    work: Work,
    takes_place: bool,
    /// Since when nobody waits for it any more.
    abandoned: Option<Instant>,
}

/// The threads of one backend.
pub struct Workers {
    places: Arc<Semaphore>,
    /// One fewer than there are places, but at least one.
    movers: Arc<Semaphore>,
    things: Mutex<HashMap<Thing, Weak<tokio::sync::Mutex<()>>>>,
    at_most: usize,
    ownership: Ownership,
    running: Mutex<HashMap<u64, Running>>,
    obeyed: Mutex<HashMap<CommandId, CancellationToken>>,
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
    /// The manager is shutting down, or another process owns the storage by now: nothing is known of the outcome, and the operation stays parked in the journal.
    Stopping,
}

impl From<DriverError> for WorkError {
    fn from(error: DriverError) -> Self {
        Self::Driver(error)
    }
}

impl Workers {
    /// Room for so many verbs at once, on a storage that needs no owner.
    #[must_use]
    pub fn new(max_workers: usize) -> Arc<Self> {
        Self::owning(max_workers, Ownership::default())
    }

    /// Room for so many verbs at once, as long as this process owns the storage.
    #[must_use]
    pub fn owning(max_workers: usize, ownership: Ownership) -> Arc<Self> {
        Arc::new(Self {
            places: Arc::new(Semaphore::new(max_workers.max(1))),
            movers: Arc::new(Semaphore::new(max_workers.saturating_sub(1).max(1))),
            things: Mutex::default(),
            at_most: max_workers.max(1),
            ownership,
            running: Mutex::default(),
            obeyed: Mutex::default(),
            next: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        })
    }

    /// Runs `verb` in a worker, for at most `limit`, once it has what it claims and one of the places (waiting counts).
    ///
    /// # Errors
    /// What the verb answers; `TimedOut` when the limit passes first, or its thread could not be stopped; `Cancelled` when its
    /// command was.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        claim: Claim,
        limit: Duration,
        verb: impl FnOnce(&Work) -> DriverResult<T> + Send + 'static,
    ) -> Result<T, WorkError> {
        let work = Work::within(limit).on(&self.ownership);
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
            if claim.takes_place() {
                places.push(self.places.clone().acquire_owned().await);
            }
            (locks, places)
        };
        let cancelled = self.token_of(claim.command);
        let place = tokio::select! {
            biased;
            () = cancelled.cancelled() => return Err(DriverError::Cancelled.into()),
            place = tokio::time::timeout(limit, ready) => place.map_err(|_| DriverError::TimedOut)?,
        };
        if self.stopping.load(Ordering::Acquire) {
            return Err(WorkError::Stopping);
        }
        let running = Running {
            command: claim.command,
            work: work.clone(),
            takes_place: claim.takes_place(),
            abandoned: None,
        };
        self.lock_running().insert(id, running);
        let this = Arc::clone(self);
        let span = tracing::Span::current();
        let theirs = work.clone();
        let mut thread = in_thread(move || {
            let answer = span.in_scope(|| std::panic::catch_unwind(AssertUnwindSafe(|| verb(&theirs))));
            let ended = this.lock_running().remove(&id);
            drop(place);
            if let Some(since) = ended.and_then(|ended| ended.abandoned) {
                tracing::warn!(after = ?since.elapsed(), "a driver verb that hung has ended");
            }
            answer
        });
        let ended = tokio::select! {
            joined = &mut thread => Some(joined),
            () = tokio::time::sleep(work.remaining()) => None,
            () = cancelled.cancelled() => None,
        };
        let answer = match ended {
            Some(joined) => joined,
            None => {
                work.cancel();
                match tokio::time::timeout(GRACE, &mut thread).await {
                    Ok(joined) => joined,
                    Err(_) => {
                        self.abandoned.fetch_add(1, Ordering::Relaxed);
                        if let Some(running) = self.lock_running().get_mut(&id) {
                            running.abandoned = Some(Instant::now());
                        }
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
            Ok(Ok(Err(DriverError::Superseded { operator }))) => {
                self.ownership.lose(&operator);
                self.stop();
                Err(WorkError::Stopping)
            }
            Ok(Ok(Err(_))) if self.stopping.load(Ordering::Acquire) => Err(WorkError::Stopping),
            // It was told to end because its time was up; say so.
            Ok(Ok(Err(DriverError::Cancelled))) if !cancelled.is_cancelled() => {
                Err(DriverError::TimedOut.into())
            }
            Ok(Ok(Err(error))) => Err(error.into()),
            Ok(Err(panic)) => Err(WorkError::Panicked(panic_text(panic.as_ref()))),
            Err(thread) => {
                // It has not begun, or ended without a word.
                self.lock_running().remove(&id);
                Err(WorkError::Driver(DriverError::Failed {
                    client: "The storage backend failed.".to_owned(),
                    operator: thread,
                }))
            }
        }
    }

    /// Says that a command is obeyed from now on, until the reply is dropped: so long it can be cancelled.
    pub fn obeying(self: &Arc<Self>, command: CommandId) -> Obeying {
        self.lock_obeyed().insert(command, CancellationToken::new());
        Obeying {
            workers: Arc::clone(self),
            command,
        }
    }

    /// Ends a command's long verbs, those that run and those to come. False if it is not being obeyed.
    pub fn cancel(&self, command: CommandId) -> bool {
        let token = self.lock_obeyed().get(&command).cloned();
        if let Some(token) = &token {
            token.cancel();
        }
        token.is_some()
    }

    /// How far the commands are whose verbs count what they do: bytes done, and in all.
    #[must_use]
    pub fn progress(&self) -> Vec<(CommandId, u64, u64)> {
        self.lock_running()
            .values()
            .filter_map(|running| {
                let (done, total) = running.work.progress();
                running
                    .command
                    .filter(|_| total > 0)
                    .map(|command| (command, done, total))
            })
            .collect()
    }

    /// Cancels everything that runs and lets nothing more begin. Operations stay parked in the journal.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        for running in self.lock_running().values() {
            running.work.cancel();
        }
    }

    /// Whether [`Workers::stop`] was called.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Whether an outcome may be reported. Nothing is once another process owns the storage: that one reports. While the
    /// storage cannot be seen (its disk is not mounted), nobody knows what became of a success, so only failures are.
    pub(super) async fn may_report(&self, is_failure: bool) -> bool {
        if self.is_stopping() {
            return false;
        }
        if self.ownership.is_free() {
            return true;
        }
        let ownership = self.ownership.clone();
        match in_thread(move || ownership.check()).await {
            Ok(Ok(())) => true,
            Ok(Err(DriverError::Superseded { .. })) | Err(_) => false,
            Ok(Err(_)) => is_failure,
        }
    }

    /// Ends when another process was found to own the storage, with the reason.
    pub async fn superseded(&self) -> String {
        self.ownership.lost().await
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

    /// Why no more verbs are begun: every place is taken by one that hangs. `None` as soon as one of them has ended.
    #[must_use]
    pub fn hung(&self) -> Option<String> {
        let running = self.lock_running();
        let hung: Vec<Instant> = running
            .values()
            .filter(|running| running.takes_place)
            .filter_map(|running| running.abandoned)
            .collect();
        let oldest = hung.iter().min().filter(|_| hung.len() >= self.at_most)?;
        Some(format!(
            "the storage does not answer: {} of {} driver verbs hang beyond their limit, the oldest for {} s",
            hung.len(),
            self.at_most,
            oldest.elapsed().as_secs()
        ))
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

    /// The token that tells of the command's end; one that never does where there is none.
    fn token_of(&self, command: Option<CommandId>) -> CancellationToken {
        command
            .and_then(|command| self.lock_obeyed().get(&command).cloned())
            .unwrap_or_default()
    }

    fn lock_obeyed(&self) -> MutexGuard<'_, HashMap<CommandId, CancellationToken>> {
        self.obeyed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_running(&self) -> MutexGuard<'_, HashMap<u64, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A command being obeyed: see [`Workers::obeying`].
pub struct Obeying {
    workers: Arc<Workers>,
    command: CommandId,
}

impl Drop for Obeying {
    fn drop(&mut self) {
        self.workers.lock_obeyed().remove(&self.command);
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
mod tests;
