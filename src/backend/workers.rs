//! Workers: the threads in which driver verbs block, so that the VolumeManager's mailbox never does.
//!
//! A verb runs in a thread of its own, with a time limit, at most `max_workers` at once, holding its [`LockSet`]. The *thread* holds
//! the locks and the worker permit: a verb that hangs beyond its limit is cancelled, then abandoned, but nothing else touches its
//! volume until it really ends. So there are never more threads than permits, and one for each kind of [`Maintenance`]; a backend
//! whose permits are all held by hanging verbs runs no more commands until one of them ends. All of this outlives the actor, so that
//! one that was restarted cannot interfere with the work of the one before.
//!
//! Verbs that move data may take hours. They never take the last permit, so that short ones always find one. They belong to a
//! command, which may be cancelled: then they end as soon as they check for it, or do not begin.
//!
//! | verb | locks |
//! |---|---|
//! | create | the volume |
//! | create from a volume or a snapshot | the volume, and the content of its source |
//! | attach, detach | the volume |
//! | extend, delete, revert | the volume, its content (and that of the snapshot) |
//! | writing a copy from another backend | the volume, its content; for some megabytes at a time |
//! | reading for a copy on another backend | the content; for one piece at a time |
//! | snapshots | their content; creating one, also that of the volume |

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::drivers::ownership::Ownership;
use crate::drivers::{DriverError, DriverResult, Work};
use crate::messages::volume::CommandId;
use crate::model::spec::VolumeSource;
use crate::model::{SnapshotId, VolumeId};
use crate::panic_text::panic_text;

mod thread;

use self::thread::run_in_thread;

/// How long a cancelled verb gets to end before its thread is abandoned.
const GRACE: Duration = Duration::from_secs(5);

/// What a verb can lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum LockKey {
    /// A volume as its users see it: whether it exists, and is exported.
    Volume(Uuid),
    /// The content of a volume or a snapshot. Initiators may use the volume meanwhile.
    Content(Uuid),
    /// A kind of maintenance.
    Maintenance(Maintenance),
}

/// What a backend does without a command. One of each kind runs at a time, beside the verbs of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Maintenance {
    /// Setting the driver up.
    SetUpDriver,
    /// Setting the target up.
    SetUpTarget,
    /// Reading the pools' statistics.
    Stats,
    /// Listing what is on the storage.
    ListExisting,
    /// Listing what is exported.
    ListExports,
}

/// The locks that a verb's worker holds, and what kind of work it is.
#[derive(Clone, Debug, Default)]
pub struct LockSet {
    keys: Vec<LockKey>,
    moves_data: bool,
    command: Option<CommandId>,
}

impl LockSet {
    /// A volume.
    pub fn volume(volume: VolumeId) -> Self {
        Self::default().with(LockKey::Volume(volume.0))
    }

    /// The content of a volume.
    pub fn content_of(volume: VolumeId) -> Self {
        Self::default().with(LockKey::Content(volume.0))
    }

    /// A snapshot.
    pub fn snapshot(snapshot: SnapshotId) -> Self {
        Self::default().with(LockKey::Content(snapshot.0))
    }

    /// And those of another set.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.keys.extend(other.keys);
        self.keys.sort_unstable();
        self.keys.dedup();
        self.moves_data |= other.moves_data;
        self.command = self.command.or(other.command);
        self
    }

    /// And what a new volume's content comes from.
    #[must_use]
    pub fn and_source(self, source: &VolumeSource) -> Self {
        match source.id() {
            Some(id) => self.with(LockKey::Content(id)),
            None => self,
        }
    }

    /// Whether the verb may take very long.
    #[must_use]
    pub fn moving_data(mut self, moves_data: bool) -> Self {
        self.moves_data = moves_data;
        self
    }

    /// The verb ends when this command is cancelled, and its progress is the command's.
    #[must_use]
    pub fn of_command(mut self, command: CommandId) -> Self {
        self.command = Some(command);
        self
    }

    /// Whether the verb may take very long.
    pub fn moves_data(&self) -> bool {
        self.moves_data
    }

    fn needs_permit(&self) -> bool {
        let is_maintenance = |key: &LockKey| matches!(key, LockKey::Maintenance(_));
        !self.keys.iter().all(is_maintenance)
    }

    fn with(mut self, key: LockKey) -> Self {
        self.keys.push(key);
        self.keys.sort_unstable();
        self
    }
}

impl From<VolumeId> for LockSet {
    fn from(volume: VolumeId) -> Self {
        Self::volume(volume)
    }
}

/// Needs no worker permit, so that hanging verbs do not keep maintenance from running.
impl From<Maintenance> for LockSet {
    fn from(kind: Maintenance) -> Self {
        Self::default().with(LockKey::Maintenance(kind))
    }
}

/// A verb in its thread.
struct RunningVerb {
    command: Option<CommandId>,
    work: Work,
    has_permit: bool,
    /// Since when its caller no longer waits for it.
    abandoned: Option<Instant>,
}

/// The threads of one backend.
pub struct Workers {
    permits: Arc<Semaphore>,
    /// One fewer than `max_workers`, but at least one: verbs that move data need one of these as well.
    data_permits: Arc<Semaphore>,
    locks: Mutex<HashMap<LockKey, Weak<tokio::sync::Mutex<()>>>>,
    max_workers: usize,
    ownership: Ownership,
    verbs: Mutex<BTreeMap<u64, RunningVerb>>,
    commands: Mutex<HashMap<CommandId, CancellationToken>>,
    next_verb: AtomicU64,
    abandoned: AtomicU64,
    stopping: CancellationToken,
}

/// How a verb failed. A panic is distinguished, because the driver that panicked must be replaced.
#[derive(Debug)]
pub enum WorkError {
    /// The driver's error.
    Driver(DriverError),
    /// It panicked, with this text.
    Panicked(String),
    /// The manager is stopping, or another process owns the storage by now: the outcome is unknown, and the operation stays in the
    /// journal.
    Stopping,
}

impl From<DriverError> for WorkError {
    fn from(error: DriverError) -> Self {
        Self::Driver(error)
    }
}

impl Workers {
    /// At most so many verbs at once, on a storage that needs no owner.
    pub fn new(max_workers: usize) -> Arc<Self> {
        Self::with_ownership(max_workers, Ownership::default())
    }

    /// At most so many verbs at once, as long as this process owns the storage.
    pub fn with_ownership(max_workers: usize, ownership: Ownership) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(max_workers.max(1))),
            data_permits: Arc::new(Semaphore::new(max_workers.saturating_sub(1).max(1))),
            locks: Mutex::default(),
            max_workers: max_workers.max(1),
            ownership,
            verbs: Mutex::default(),
            commands: Mutex::default(),
            next_verb: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            stopping: CancellationToken::new(),
        })
    }

    /// Runs `verb` in a worker, for at most `limit`, once it holds the locks and a permit. The time that it waits for them counts.
    ///
    /// # Errors
    /// The verb's; `TimedOut` if the limit passes first, or the thread could not be stopped; `Cancelled` if the command was.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        locks: impl Into<LockSet>,
        limit: Duration,
        verb: impl FnOnce(&Work) -> DriverResult<T> + Send + 'static,
    ) -> Result<T, WorkError> {
        let locks = locks.into();
        let work = Work::within(limit).on(&self.ownership);
        let id = self.next_verb.fetch_add(1, Ordering::Relaxed);
        let acquire = async {
            let mut guards: Vec<OwnedMutexGuard<()>> = Vec::with_capacity(locks.keys.len());
            // In order, so that two verbs never wait for each other.
            for key in &locks.keys {
                guards.push(self.lock_of(*key).lock_owned().await);
            }
            let mut permits = Vec::new();
            if locks.moves_data {
                permits.push(self.data_permits.clone().acquire_owned().await);
            }
            if locks.needs_permit() {
                permits.push(self.permits.clone().acquire_owned().await);
            }
            (guards, permits)
        };
        let cancelled = self.token_of(locks.command);
        let held = tokio::select! {
            biased;
            () = cancelled.cancelled() => return Err(DriverError::Cancelled.into()),
            held = tokio::time::timeout(limit, acquire) => held.map_err(|_| DriverError::TimedOut)?,
        };
        if self.stopping.is_cancelled() {
            return Err(WorkError::Stopping);
        }
        let running = RunningVerb {
            command: locks.command,
            work: work.clone(),
            has_permit: locks.needs_permit(),
            abandoned: None,
        };
        self.verbs().insert(id, running);
        let this = Arc::clone(self);
        let span = tracing::Span::current();
        let work_in_thread = work.clone();
        let mut thread = run_in_thread(move || {
            let answer =
                span.in_scope(|| std::panic::catch_unwind(AssertUnwindSafe(|| verb(&work_in_thread))));
            let ended = this.verbs().remove(&id);
            drop(held);
            if let Some(since) = ended.and_then(|ended| ended.abandoned) {
                tracing::warn!(after = ?since.elapsed(), "a driver verb that hung has ended");
            }
            answer
        });
        let ended = tokio::select! {
            biased;
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
                        if let Some(running) = self.verbs().get_mut(&id) {
                            running.abandoned = Some(Instant::now());
                        }
                        tracing::error!(
                            ?locks,
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
            Ok(Ok(Err(_))) if self.stopping.is_cancelled() => Err(WorkError::Stopping),
            // It was cancelled because its time limit passed.
            Ok(Ok(Err(DriverError::Cancelled))) if !cancelled.is_cancelled() => {
                Err(DriverError::TimedOut.into())
            }
            Ok(Ok(Err(error))) => Err(error.into()),
            Ok(Err(panic)) => Err(WorkError::Panicked(panic_text(panic.as_ref()).to_owned())),
            Err(thread) => {
                // The thread did not start, or ended without an answer.
                self.verbs().remove(&id);
                Err(WorkError::Driver(DriverError::backend_failed(thread)))
            }
        }
    }

    /// Begins a command, which can be cancelled until the guard is dropped. A command of an earlier attempt of its operation is
    /// cancelled: its outcome is obsolete, and it may hold the locks that this one needs.
    pub fn begin_command(self: &Arc<Self>, command: CommandId) -> RunningCommand {
        let mut commands = self.commands();
        commands.retain(|other, token| {
            if other.operation == command.operation && other.attempt < command.attempt {
                token.cancel();
            }
            true
        });
        commands.insert(command, CancellationToken::new());
        drop(commands);
        RunningCommand {
            workers: Arc::clone(self),
            command,
        }
    }

    /// Cancels a command's long verbs, running and future ones. False if the command is not running.
    pub fn cancel(&self, command: CommandId) -> bool {
        let token = self.commands().get(&command).cloned();
        if let Some(token) = &token {
            token.cancel();
        }
        token.is_some()
    }

    /// Returns when the command is cancelled, or the manager is stopping: for waits of a command outside its verbs.
    pub async fn interrupted(&self, command: CommandId) -> WorkError {
        let cancelled = self.token_of(Some(command));
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => WorkError::Stopping,
            () = cancelled.cancelled() => DriverError::Cancelled.into(),
        }
    }

    /// The progress of the commands whose verbs count it: bytes done, and in all.
    pub fn progress(&self) -> Vec<(CommandId, u64, u64)> {
        let progress = |running: &RunningVerb| {
            let (done, total) = running.work.progress();
            (total > 0).then_some((running.command?, done, total))
        };
        self.verbs().values().filter_map(progress).collect()
    }

    /// Cancels all running verbs, and prevents new ones. The operations stay in the journal.
    pub fn stop(&self) {
        self.stopping.cancel();
        for running in self.verbs().values() {
            running.work.cancel();
        }
    }

    /// Whether [`Workers::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Whether an outcome may be reported. Once another process owns the storage, it may not: that process reports. While the
    /// storage is not accessible (its disk is not mounted), only a failure may be: whether a success is durable is unknown.
    pub(crate) async fn may_report(&self, is_failure: bool) -> bool {
        if self.is_stopping() {
            return false;
        }
        if self.ownership.is_free() {
            return true;
        }
        let ownership = self.ownership.clone();
        match run_in_thread(move || ownership.check()).await {
            Ok(Ok(())) => true,
            Ok(Err(DriverError::Superseded { .. })) | Err(_) => false,
            Ok(Err(_)) => is_failure,
        }
    }

    /// Waits until another process is found to own the storage, and returns the reason.
    pub async fn superseded(&self) -> String {
        self.ownership.lost().await
    }

    /// How many verbs run now.
    pub fn running(&self) -> usize {
        self.verbs().len()
    }

    /// How many threads were abandoned since the start.
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Ordering::Relaxed)
    }

    /// Why no more verbs can begin: every permit is held by a hanging verb. `None` as soon as one of them has ended.
    pub fn hung(&self) -> Option<String> {
        let running = self.verbs();
        let with_permit = running.values().filter(|running| running.has_permit);
        let hung: Vec<Instant> = with_permit.filter_map(|running| running.abandoned).collect();
        let oldest = hung.iter().min().filter(|_| hung.len() >= self.max_workers)?;
        Some(format!(
            "the storage does not answer: {} of {} driver verbs hang beyond their limit, the oldest for {} s",
            hung.len(),
            self.max_workers,
            oldest.elapsed().as_secs()
        ))
    }

    fn lock_of(&self, key: LockKey) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock();
        if let Some(lock) = locks.get(&key).and_then(Weak::upgrade) {
            return lock;
        }
        if locks.len() > 256 {
            locks.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        locks.insert(key, Arc::downgrade(&lock));
        lock
    }

    /// The token by which the command is cancelled; without a command, one that never is.
    fn token_of(&self, command: Option<CommandId>) -> CancellationToken {
        command
            .and_then(|command| self.commands().get(&command).cloned())
            .unwrap_or_default()
    }

    fn commands(&self) -> MutexGuard<'_, HashMap<CommandId, CancellationToken>> {
        self.commands.lock()
    }

    fn verbs(&self) -> MutexGuard<'_, BTreeMap<u64, RunningVerb>> {
        self.verbs.lock()
    }
}

/// A command that can be cancelled: see [`Workers::begin_command`].
pub struct RunningCommand {
    workers: Arc<Workers>,
    command: CommandId,
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        self.workers.commands().remove(&self.command);
    }
}

#[cfg(test)]
mod tests;
