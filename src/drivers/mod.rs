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
    pub fn and_on(&self, ownership: &Ownership) -> Self {
        let mut work = self.clone();
        work.owned.push(ownership.clone());
        work
    }

    /// Work on the same storage with a new time limit, which is not cancelled with this: for cleaning up after a
    /// failure.
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
    pub fn progress(&self) -> (u64, u64) {
        let total = self.progress.total.load(Ordering::Relaxed);
        (self.progress.done.load(Ordering::Relaxed).min(total), total)
    }

    /// Whether it was cancelled.
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
#[cfg_attr(test, derive(strum::IntoStaticStr))]
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
    /// Not enough space.
    pub fn no_space(operator: impl Into<String>) -> Self {
        Self::NoSpace {
            operator: operator.into(),
        }
    }

    /// Something that it needs does not exist.
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

    /// The request is impossible here.
    pub fn refused(client: impl Into<String>) -> Self {
        Self::Refused {
            client: client.into(),
        }
    }

    /// Something that it needs from elsewhere is temporarily unreachable.
    pub fn unavailable(client: impl Into<String>, operator: impl Into<String>) -> Self {
        Self::Unavailable {
            client: client.into(),
            operator: operator.into(),
        }
    }

    /// Another failure, with a generic text for the owner.
    pub fn backend_failed(operator: impl Into<String>) -> Self {
        Self::failed("The storage backend failed.", operator)
    }

    /// The storage is temporarily unavailable.
    pub fn backend_unavailable(operator: impl Into<String>) -> Self {
        Self::failed("The storage backend is not available.", operator)
    }

    /// Exporting is temporarily impossible.
    pub fn target_unavailable(operator: impl Into<String>) -> Self {
        Self::failed("The storage target service is not available.", operator)
    }

    /// The volume is not exported.
    pub fn not_exported(operator: impl Into<String>) -> Self {
        Self::failed("The volume is not exported.", operator)
    }

    /// Another failure.
    pub fn failed(client: impl Into<String>, operator: impl Into<String>) -> Self {
        Self::Failed {
            client: client.into(),
            operator: operator.into(),
        }
    }
}

/// The result of a driver's verb.
pub type DriverResult<T> = Result<T, DriverError>;

/// Constant information about a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverInfo {
    /// The vendor, as Cinder shows it.
    pub vendor_name: String,
    /// The driver's version.
    pub driver_version: String,
}

/// The result of creating a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeUpdate {
    /// The driver's id for it.
    pub provider_id: Option<String>,
}

/// The result of adopting a volume or snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Managed {
    /// Its size in GiB, rounded up.
    pub size: u32,
    /// The driver's id for it.
    pub provider_id: Option<String>,
}

impl Managed {
    /// Storage of so many GiB.
    pub fn of_size(size: u32) -> Self {
        Self {
            size,
            provider_id: None,
        }
    }
}

/// A storage backend. Each verb blocks, checks its [`Work`], and is idempotent.
pub trait VolumeDriver: Send + Sync {
    /// Information about the driver.
    fn info(&self) -> DriverInfo {
        DriverInfo {
            vendor_name: "Open Source".to_owned(),
            driver_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Prepares the backend and checks its prerequisites. Called at start, and again with backoff after a failure.
    fn setup(&self, work: &Work) -> DriverResult<()>;

    /// Creates an empty volume of `volume.size` GiB. Succeeds if it exists with that size.
    fn create_volume(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<VolumeUpdate>;

    /// Creates a volume with a snapshot's content.
    fn create_volume_from_snapshot(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        snapshot: SnapshotId,
    ) -> DriverResult<VolumeUpdate>;

    /// Creates a volume with another volume's content.
    fn create_cloned_volume(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        source: VolumeId,
    ) -> DriverResult<VolumeUpdate>;

    /// Deletes a volume, including incomplete parts. Succeeds if it does not exist.
    fn delete_volume(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()>;

    /// Deletes the storage with this name: of `volume`, or of a snapshot in the place of `volume`.
    fn delete_storage(&self, work: &Work, volume: &VolumeSpec, name: StorageName) -> DriverResult<()> {
        match name {
            StorageName::Volume(_) => self.delete_volume(work, volume),
            StorageName::Snapshot(id) => self.delete_snapshot(work, volume, id),
        }
    }

    /// Extends it to `new_size` GiB. Succeeds if it has that size already.
    fn extend_volume(&self, work: &Work, volume: &VolumeSpec, new_size: u32) -> DriverResult<()>;

    /// Creates a snapshot.
    fn create_snapshot(&self, work: &Work, volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()>;

    /// Deletes a snapshot. Succeeds if it does not exist.
    fn delete_snapshot(&self, work: &Work, volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()>;

    /// Reverts the volume's content to that of the snapshot, which is kept. A volume that was extended since gets the
    /// snapshot's size again (cinder: `volume/manager.py`, `revert_to_snapshot`). Only detached volumes are reverted.
    fn revert_to_snapshot(&self, work: &Work, volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()>;

    /// Changes its type in place; `volume` has the extra specs of the new type. `false` if that is impossible: then
    /// nothing has changed. By default all types have the same storage.
    fn retype_volume(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<bool> {
        let _ = volume;
        work.check()?;
        Ok(true)
    }

    /// Adopts existing storage as this volume, by renaming it to the volume's name. If that name exists and the old one
    /// does not, it was adopted before.
    fn manage_volume(&self, work: &Work, volume: &VolumeSpec, reference: &Reference)
    -> DriverResult<Managed>;

    /// Adopts existing storage as a snapshot of this volume.
    fn manage_snapshot(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        snapshot: SnapshotId,
        reference: &Reference,
    ) -> DriverResult<Managed>;

    /// Makes its backing store accessible by [`VolumeDriver::backing_store`]'s path. Called before each export.
    fn activate(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()> {
        let _ = volume;
        work.check()
    }

    /// Opens a volume's content, for a copy between backends. The volume is not attached meanwhile.
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

    /// Whether copies, deletes and reverts move data. Such verbs are long: they leave worker permits to short ones, and
    /// have the time limit of their command.
    fn moves_data(&self) -> bool;

    /// The current state of its pools. The manager sets `allocated_capacity_gb`.
    fn stats(&self, work: &Work) -> DriverResult<Vec<PoolStats>>;

    /// Everything in the place of its volumes, managed or not, sorted by name, in one report.
    fn list_existing(&self, work: &Work) -> DriverResult<Vec<Existing>>;

    /// Whether its storage survives a restart of this process. Only false for test drivers.
    fn remembers(&self) -> bool {
        true
    }

    /// The file or device that a target exports; `None` if there is nothing to export.
    fn backing_store(&self, volume: &VolumeSpec) -> Option<PathBuf>;
}

const GIB: u64 = 1 << 30;

fn bytes_of(gib: u32) -> u64 {
    u64::from(gib) * GIB
}

/// Bytes as GiB, as in statistics.
#[expect(
    clippy::cast_precision_loss,
    reason = "a number of bytes that matters has far less than 52 bits of MiB"
)]
fn gib_number(bytes: u64) -> f64 {
    const MIB: u64 = 1 << 20;
    (bytes / MIB) as f64 / 1024.0
}
