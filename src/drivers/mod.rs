//! Access to storage: volume drivers, target helpers, and the only place that runs external programs.
//!
//! Drivers do not depend on actors. Their verbs **block**: they run in worker threads of the VolumeManager, which gives
//! each a [`Work`] with its time limit and cancellation. Every verb checks the state before it acts, so that repeating
//! it, also after a kill at any point, ends in the same state.

pub mod command;
pub mod copy;
pub mod fake;
mod faults;
pub mod file;
pub mod lvm;
pub mod open_volume;
pub mod ownership;
pub mod targets;
#[cfg(test)]
pub(crate) mod testing;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use self::copy::block_file::BlockFile;
use self::copy::throttle::Throttle;
pub use self::open_volume::{Access, OpenVolume};
use self::ownership::Ownership;
use crate::model::service::PoolStats;
use crate::model::{Existing, Reference, SnapshotId, StorageName, VolumeId, VolumeSpec};

/// A worker's limits and progress: every loop and every wait in a driver checks it. Clones share it.
#[derive(Clone, Debug)]
pub struct Work {
    deadline: Instant,
    cancelled: Arc<AtomicBool>,
    progress: Arc<Progress>,
    /// The storage that this process must own.
    owned: Vec<Ownership>,
}

/// Completed and total bytes. Both zero without progress.
#[derive(Debug, Default)]
struct Progress {
    done: AtomicU64,
    total: AtomicU64,
}

impl Work {
    /// Work with this time limit.
    #[must_use]
    pub fn within(limit: Duration) -> Self {
        /// A year is practically unlimited, and no clock overflows.
        const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        Self {
            deadline: Instant::now() + limit.min(LONGEST),
            cancelled: Arc::default(),
            progress: Arc::default(),
            owned: Vec::new(),
        }
    }

    /// Adds a storage that this process must own.
    #[must_use]
    pub fn on(mut self, ownership: &Ownership) -> Self {
        self.owned = vec![ownership.clone()];
        self
    }

    /// The same work, with another storage that this process must own.
    #[must_use]
    pub fn and_on(&self, ownership: &Ownership) -> Self {
        let mut work = self.clone();
        work.owned.push(ownership.clone());
        work
    }

    /// Work on the same storage with a new time limit, which is not cancelled with this: for cleaning up after a
    /// failure.
    #[must_use]
    pub fn renewed(&self, limit: Duration) -> Self {
        Self {
            owned: self.owned.clone(),
            ..Self::within(limit)
        }
    }

    /// Takes the ownership of the storage, if needed. A setup calls it once the storage is found to exist, before it
    /// changes anything.
    ///
    /// # Errors
    /// If another process owns it, or did not release it.
    pub fn take_ownership(&self) -> DriverResult<()> {
        let taken = self.owned.iter().try_for_each(Ownership::take);
        taken.map_err(|error| DriverError::backend_unavailable(error.to_string()))
    }

    /// Checks that this process still owns the storage. Called before every change.
    ///
    /// # Errors
    /// [`DriverError::Superseded`] if another process owns it; [`DriverError::Failed`] if that is unknown at present.
    pub fn check_owner(&self) -> DriverResult<()> {
        self.owned.iter().try_for_each(Ownership::check)
    }

    /// Time left; zero after the deadline.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Cancels the work: commands are ended, loops end at their next check.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Reports the progress of long work in bytes.
    pub fn progressed(&self, done: u64, total: u64) {
        self.progress.total.store(total, Ordering::Relaxed);
        self.progress.done.store(done, Ordering::Relaxed);
    }

    /// The progress: completed and total bytes; both 0 for work that is not counted in bytes.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        let total = self.progress.total.load(Ordering::Relaxed);
        (self.progress.done.load(Ordering::Relaxed).min(total), total)
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// `Err` after the deadline or a cancellation.
    pub fn check(&self) -> Result<(), DriverError> {
        if self.is_cancelled() {
            return Err(DriverError::Cancelled);
        }
        if self.remaining().is_zero() {
            return Err(DriverError::TimedOut);
        }
        Ok(())
    }
}

/// The failure of a driver's verb. `client` texts are for volume owners: without paths, addresses and secrets.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// There is not enough space.
    #[error("no space: {operator}")]
    NoSpace {
        /// For the log.
        operator: String,
    },
    /// Something that it needs does not exist (a source volume, a folder, a program).
    #[error("not found: {operator}")]
    NotFound {
        /// For the volume's owner.
        client: String,
        /// For the log.
        operator: String,
    },
    /// It is in use.
    #[error("busy: {operator}")]
    Busy {
        /// For the log.
        operator: String,
    },
    /// The request is impossible here (shrinking, a connector without initiator).
    #[error("refused: {client}")]
    Refused {
        /// For the volume's owner.
        client: String,
    },
    /// Something that it needs from elsewhere is temporarily unreachable.
    #[error("unavailable: {operator}")]
    Unavailable {
        /// For the volume's owner.
        client: String,
        /// For the log.
        operator: String,
    },
    /// It exceeded its time limit.
    #[error("timed out")]
    TimedOut,
    /// It was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// Another process owns the storage by now: this one changes nothing any more, and does not report the outcome of
    /// the verb.
    #[error("superseded: {operator}")]
    Superseded {
        /// For the log.
        operator: String,
    },
    /// Anything else: a failed command, an I/O error.
    #[error("{operator}")]
    Failed {
        /// For the volume's owner.
        client: String,
        /// For the log.
        operator: String,
    },
}

impl DriverError {
    /// There is no room.
    pub fn no_space(operator: impl Into<String>) -> Self {
        Self::NoSpace {
            operator: operator.into(),
        }
    }

    /// What it needs is not there.
    pub fn not_found(client: impl Into<String>, operator: impl Into<String>) -> Self {
        Self::NotFound {
            client: client.into(),
            operator: operator.into(),
        }
    }

    /// It is in use.
    pub fn busy(operator: impl Into<String>) -> Self {
        Self::Busy {
            operator: operator.into(),
        }
    }

    /// The request can never be done here.
    pub fn refused(client: impl Into<String>) -> Self {
        Self::Refused {
            client: client.into(),
        }
    }

    /// What it needs from elsewhere cannot be reached at present.
    pub fn unavailable(client: impl Into<String>, operator: impl Into<String>) -> Self {
        Self::Unavailable {
            client: client.into(),
            operator: operator.into(),
        }
    }

    /// Something else, for which there is one text.
    pub fn backend_failed(operator: impl Into<String>) -> Self {
        Self::failed("The storage backend failed.", operator)
    }

    /// The storage is not to be used at present.
    pub fn backend_unavailable(operator: impl Into<String>) -> Self {
        Self::failed("The storage backend is not available.", operator)
    }

    /// Nothing can be exported at present.
    pub fn target_unavailable(operator: impl Into<String>) -> Self {
        Self::failed("The storage target service is not available.", operator)
    }

    /// There is no export of the volume to be connected to.
    pub fn not_exported(operator: impl Into<String>) -> Self {
        Self::failed("The volume is not exported.", operator)
    }

    /// Anything else.
    pub fn failed(client: impl Into<String>, operator: impl Into<String>) -> Self {
        Self::Failed {
            client: client.into(),
            operator: operator.into(),
        }
    }
}

/// Shorthand for what drivers answer.
pub type DriverResult<T> = Result<T, DriverError>;

/// What a driver tells of itself, once for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverInfo {
    /// The vendor, as Cinder shows it.
    pub vendor_name: String,
    /// The driver's version.
    pub driver_version: String,
}

/// What a driver may tell of a volume it made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeUpdate {
    /// The driver's own id for it.
    pub provider_id: Option<String>,
}

/// What a driver tells of something that it adopted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managed {
    /// Its size in GiB, rounded up.
    pub size: u32,
    /// The driver's own id for it.
    pub provider_id: Option<String>,
}

/// A storage backend. Each verb blocks, looks at its [`Work`], and may be called twice.
pub trait VolumeDriver: Send + Sync {
    /// What it is.
    fn info(&self) -> DriverInfo;

    /// Makes ready: checks that what it needs is there. Called at start, and again with backoff after a failure.
    fn setup(&self, work: &Work) -> DriverResult<()>;

    /// Makes an empty volume of `volume.size` GiB. One of ours that exists with that size is a success.
    fn create_volume(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<VolumeUpdate>;

    /// Makes a volume with a snapshot's content.
    fn create_volume_from_snapshot(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        snapshot: SnapshotId,
    ) -> DriverResult<VolumeUpdate>;

    /// Makes a volume with another volume's content.
    fn create_cloned_volume(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        source: VolumeId,
    ) -> DriverResult<VolumeUpdate>;

    /// Takes it away, with whatever a half-made one left. What is not there counts as done.
    fn delete_volume(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()>;

    /// Takes away the storage of this name: of `volume`, or of a snapshot that lies where `volume` lies.
    fn delete_storage(&self, work: &Work, volume: &VolumeSpec, name: StorageName) -> DriverResult<()> {
        match name {
            StorageName::Volume(_) => self.delete_volume(work, volume),
            StorageName::Snapshot(id) => self.delete_snapshot(work, volume, id),
        }
    }

    /// Grows it to `new_size` GiB. One that has that size already is a success.
    fn extend_volume(&self, work: &Work, volume: &VolumeSpec, new_size: u32) -> DriverResult<()>;

    /// Takes a snapshot.
    fn create_snapshot(&self, work: &Work, volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()>;

    /// Takes a snapshot away. What is not there counts as done.
    fn delete_snapshot(&self, work: &Work, volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()>;

    /// Makes the volume's content that of the snapshot again, which stays. A volume that was grown since has the snapshot's
    /// size again (cinder: `volume/manager.py`, `revert_to_snapshot`). Only volumes that nobody has attached are reverted.
    fn revert_to_snapshot(&self, work: &Work, volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()>;

    /// Makes it one of another type, whose extra specs `volume` has, where it is. `false` if it cannot be one here: then nothing has
    /// changed. What this driver makes is the same whatever its type says.
    fn retype_volume(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<bool> {
        let _ = volume;
        work.check()?;
        Ok(true)
    }

    /// Takes something that exists for this volume: it has the volume's name afterwards. One that has it already, and whose
    /// old name is gone, was taken before.
    fn manage_volume(&self, work: &Work, volume: &VolumeSpec, reference: &Reference)
    -> DriverResult<Managed>;

    /// Takes something that exists for a snapshot of this volume.
    fn manage_snapshot(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        snapshot: SnapshotId,
        reference: &Reference,
    ) -> DriverResult<Managed>;

    /// Makes its backing store reachable by [`VolumeDriver::backing_store`]'s path. Called before each export.
    fn activate(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()> {
        let _ = volume;
        work.check()
    }

    /// Opens a volume's content, for a copy between backends. Nobody has the volume attached meanwhile.
    fn open_volume(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        access: Access,
    ) -> DriverResult<Box<dyn OpenVolume>> {
        self.activate(work, volume)?;
        let path = self.backing_store(volume).ok_or_else(|| {
            DriverError::refused("The storage backend cannot copy volumes to or from other backends.")
        })?;
        let opened = BlockFile::open(&path, access, &Throttle::new(0), false)?;
        Ok(Box::new(opened))
    }

    /// Whether it makes a copy, takes a volume or a snapshot away or goes back by moving data. Such verbs are long: they leave room
    /// for short ones, and may take as long as their command says.
    fn moves_data(&self) -> bool;

    /// Its pools, as they are now. `allocated_capacity_gb` is left to the manager.
    fn stats(&self, work: &Work) -> DriverResult<Vec<PoolStats>>;

    /// Everything that lies where its volumes lie, ours or not, sorted by name. One report for all of it.
    fn list_existing(&self, work: &Work) -> DriverResult<Vec<Existing>>;

    /// Whether what it made is there after a restart of this process. Only a driver for tests says no.
    fn remembers(&self) -> bool {
        true
    }

    /// The file or device that a target exports; `None` where the driver has nothing to export.
    fn backing_store(&self, volume: &VolumeSpec) -> Option<PathBuf>;
}

/// Bytes as GiB, the way stats tell them.
#[expect(
    clippy::cast_precision_loss,
    reason = "a number of bytes that matters has far less than 52 bits of MiB"
)]
fn gib_number(bytes: u64) -> f64 {
    const MIB: u64 = 1 << 20;
    (bytes / MIB) as f64 / 1024.0
}
