//! The state of a backend that the steps of all commands share. It outlives the VolumeManager actor: one that was restarted after
//! a panic finds the running work and the inventory of the one before.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::answered::AnsweredCommands;
use super::copy_sources::CopySources;
use super::driver_slot::{DriverFactory, DriverSlot, Generation};
use super::failure::driver_error;
use super::inventory::BackendInventory;
use super::lease::ControlLease;
use super::workers::{LockSet, Maintenance, WorkError, Workers};
use crate::drivers::ownership::Ownership;
use crate::drivers::targets::{TargetDriver, retry_across_daemon_restart};
use crate::drivers::{DriverError, DriverResult, VolumeDriver, Work};
use crate::messages::api::StorageDifference;
use crate::model::spec::VolumeSource;
use crate::model::{BackendName, ProjectId, Timestamp, VolumeId, VolumeSpec};

/// How a backend is managed.
#[derive(Clone, Debug)]
pub struct Options {
    /// `volume_backend_name`, which volume types select backends by.
    pub volume_backend_name: String,
    /// Its availability zone.
    pub availability_zone: String,
    /// How many driver verbs may run at once.
    pub max_workers: usize,
    /// How long one driver verb may take at most.
    pub command_timeout: Duration,
    /// How often a report is sent.
    pub report_interval: Duration,
    /// How often the pools are examined, unless it is requested earlier.
    pub stats_polling_interval: Duration,
    /// The first and the longest pause before a failed setup is retried.
    pub retry: (Duration, Duration),
    /// The most volumes or names per message of a backend's list.
    pub page_size: u32,
    /// Whether volumes and snapshots on the storage without a record are deleted at start.
    pub delete_orphans: bool,
    /// Whether a storage that has none of the backend's volumes is rejected as the wrong one.
    pub expect_storage: bool,
    /// The percentage of each pool that is kept free.
    pub reserved_percentage: u8,
    /// The largest over-subscription ratio of thin pools.
    pub max_over_subscription_ratio: crate::model::service::OverSubscription,
    /// How long a copy waits for its source backend if that does not answer.
    pub copy_source_patience: Duration,
    /// How often a copy makes durable what it has written.
    pub copy_sync_interval: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            volume_backend_name: "file".to_owned(),
            availability_zone: "nova".to_owned(),
            max_workers: 4,
            command_timeout: Duration::from_secs(600),
            report_interval: Duration::from_secs(10),
            stats_polling_interval: Duration::from_secs(60),
            retry: (Duration::from_secs(1), Duration::from_secs(30)),
            page_size: 200,
            delete_orphans: false,
            expect_storage: true,
            reserved_percentage: 0,
            max_over_subscription_ratio: crate::model::service::OverSubscription::Ratio(20.0),
            copy_source_patience: Duration::from_secs(60),
            copy_sync_interval: Duration::from_secs(5),
        }
    }
}

/// Whether the present driver is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet known: this process has just started, or the driver was replaced.
    Starting,
    /// It is ready.
    Up,
    /// It is not ready, for this reason.
    Down(String),
}

/// See the module.
pub struct BackendState {
    /// `host@backend`.
    pub backend: BackendName,
    /// How it is managed.
    pub options: Options,
    /// Its worker threads.
    pub workers: Arc<Workers>,
    /// Its driver.
    pub driver: DriverSlot,
    /// How its volumes are exported, if they can be.
    pub target: Option<Arc<dyn TargetDriver>>,
    /// Whether commands may be begun.
    pub lease: ControlLease,
    /// Whether the driver is ready. Changes to `Starting` whenever the driver is replaced.
    pub readiness: tokio::sync::watch::Sender<Readiness>,
    /// Held while the driver is set up.
    setting_up: tokio::sync::Mutex<()>,
    /// Whether the inventory was loaded and the storage compared. Done once per process: the results survive the actor and the
    /// driver, and commands have changed them since.
    is_loaded: AtomicBool,
    /// Whether exports that an earlier process left without a record were removed. Done once per process.
    are_stray_exports_removed: AtomicBool,
    /// How the storage differed from the catalog when this process started; `None` until it was compared.
    difference: Mutex<Option<StorageDifference>>,
    stats_refresh_requested: AtomicBool,
    allocations: AtomicU64,
    /// The time of the last report, in microseconds.
    reported_at: AtomicI64,
    inventory: Mutex<BackendInventory>,
    answered: Mutex<AnsweredCommands>,
    copy_sources: Mutex<CopySources>,
    /// Bounds the reads for other backends that wait for the storage, or are in progress.
    pub(crate) reads: tokio::sync::Semaphore,
}

/// The most concurrent reads for other backends. A read beyond that is refused, and retried.
const MOST_READS: usize = 32;

impl BackendState {
    /// The state of a backend that is not started yet.
    pub fn new(
        backend: BackendName,
        driver: DriverFactory,
        target: Option<Arc<dyn TargetDriver>>,
        options: Options,
    ) -> Arc<Self> {
        Self::with_ownership(backend, driver, target, options, Ownership::default())
    }

    /// The same for a storage that only one process may use: the driver's setup takes the ownership.
    pub fn with_ownership(
        backend: BackendName,
        driver: DriverFactory,
        target: Option<Arc<dyn TargetDriver>>,
        options: Options,
        ownership: Ownership,
    ) -> Arc<Self> {
        Arc::new(Self {
            workers: Workers::with_ownership(options.max_workers, ownership),
            driver: DriverSlot::new(driver),
            lease: ControlLease::default(),
            readiness: tokio::sync::watch::Sender::new(Readiness::Starting),
            setting_up: tokio::sync::Mutex::default(),
            is_loaded: AtomicBool::new(false),
            are_stray_exports_removed: AtomicBool::new(false),
            difference: Mutex::default(),
            stats_refresh_requested: AtomicBool::new(false),
            allocations: AtomicU64::new(0),
            reported_at: AtomicI64::new(i64::MIN),
            inventory: Mutex::default(),
            answered: Mutex::default(),
            copy_sources: Mutex::default(),
            reads: tokio::sync::Semaphore::new(MOST_READS),
            backend,
            options,
            target,
        })
    }

    /// Locks the inventory. Must not be held across an await or a driver verb.
    pub fn inventory(&self) -> MutexGuard<'_, BackendInventory> {
        self.inventory.lock()
    }

    /// How the storage differed from the catalog when this process started; `None` until it was compared.
    pub fn difference(&self) -> Option<StorageDifference> {
        self.difference.lock().clone()
    }

    pub(crate) fn set_difference(&self, difference: StorageDifference) {
        *self.difference.lock() = Some(difference);
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    /// Allows commands to run whenever the driver is ready.
    pub(crate) fn set_loaded(&self) {
        self.is_loaded.store(true, Ordering::Release);
    }

    pub(crate) fn are_stray_exports_removed(&self) -> bool {
        self.are_stray_exports_removed.load(Ordering::Acquire)
    }

    pub(crate) fn set_stray_exports_removed(&self) {
        self.are_stray_exports_removed.store(true, Ordering::Release);
    }

    /// The time for a report. It is later than that of the previous report, because schedulers drop a report that is older than
    /// the last one, and the clock may have been set back.
    pub(crate) fn report_time(&self, now: Timestamp) -> Timestamp {
        let later = |last: i64| now.0.max(last.saturating_add(1));
        // Cannot fail: the closure always returns a value.
        let last = self
            .reported_at
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(later(last)));
        Timestamp(later(last.unwrap_or(i64::MIN)))
    }

    /// Requests an examination of the pools before the next report.
    pub(crate) fn request_stats_refresh(&self) {
        self.stats_refresh_requested.store(true, Ordering::Release);
    }

    /// Whether an examination was requested since the last call.
    pub(crate) fn take_stats_refresh_request(&self) -> bool {
        self.stats_refresh_requested.swap(false, Ordering::AcqRel)
    }

    /// Counts a volume that was created or extended.
    pub(crate) fn count_allocation(&self) {
        self.allocations.fetch_add(1, Ordering::AcqRel);
    }

    /// How many were counted.
    pub(crate) fn allocations(&self) -> u64 {
        self.allocations.load(Ordering::Acquire)
    }

    /// Locks the answered commands. Must not be held across an await.
    pub fn answered(&self) -> MutexGuard<'_, AnsweredCommands> {
        self.answered.lock()
    }

    /// Locks the volumes that other backends may read. Must not be held across an await.
    pub fn copy_sources(&self) -> MutexGuard<'_, CopySources> {
        self.copy_sources.lock()
    }

    /// Runs a driver verb in a worker that holds these locks. A verb that moves data may take the whole limit, any other no longer
    /// than `command_timeout`.
    ///
    /// A driver that panics is replaced, and the verb runs once more: each checks what exists before it acts, so the second run
    /// finds what the first has done, and completes it.
    ///
    /// # Errors
    /// The driver's; `None` if the manager is stopping.
    pub async fn drive<T: Send + 'static>(
        &self,
        locks: impl Into<LockSet>,
        limit: Duration,
        verb: impl Fn(&dyn VolumeDriver, &Work) -> DriverResult<T> + Clone + Send + 'static,
    ) -> Result<T, Option<DriverError>> {
        let locks = locks.into();
        let begun = Instant::now();
        let limit = if locks.moves_data() {
            limit
        } else {
            limit.min(self.options.command_timeout)
        };
        match self.drive_once(locks.clone(), limit, verb.clone()).await {
            Err(WorkError::Panicked(_)) => {
                let left = limit.saturating_sub(begun.elapsed());
                self.drive_once(locks, left, verb).await
            }
            answer => answer,
        }
        .map_err(driver_error)
    }

    async fn drive_once<T: Send + 'static>(
        &self,
        locks: LockSet,
        limit: Duration,
        verb: impl Fn(&dyn VolumeDriver, &Work) -> DriverResult<T> + Send + 'static,
    ) -> Result<T, WorkError> {
        let begun = Instant::now();
        if !self.driver.present().is_set_up() {
            match tokio::time::timeout(limit, self.set_up(limit)).await {
                Ok(ready) => ready?,
                Err(_) => return Err(DriverError::TimedOut.into()),
            }
        }
        let generation = self.driver.present();
        let driver = generation.driver();
        let left = limit.saturating_sub(begun.elapsed());
        let as_owner = move |work: &Work| {
            work.check_owner()?;
            let answer = verb(driver.as_ref(), work);
            // A result from a time when another process may have owned the storage is not reported.
            work.check_owner()?;
            answer
        };
        let answer = self.workers.run(locks, left, as_owner).await;
        self.replace_if_panicked(&generation, &answer);
        answer
    }

    /// Sets the present driver up, unless that is done.
    ///
    /// # Errors
    /// Those of the setup.
    pub(crate) async fn set_up(&self, limit: Duration) -> Result<(), WorkError> {
        let _guard = self.setting_up.lock().await;
        let generation = self.driver.present();
        if generation.is_set_up() {
            return Ok(());
        }
        let driver = generation.driver();
        let setting_up = move |work: &Work| driver.setup(work);
        let ready = self
            .workers
            .run(Maintenance::SetUpDriver, limit, setting_up)
            .await;
        self.replace_if_panicked(&generation, &ready);
        if ready.is_ok() {
            generation.set_up();
            if self.is_loaded() {
                let _ = self.readiness.send_replace(Readiness::Up);
            }
        }
        ready
    }

    fn replace_if_panicked<T>(&self, generation: &Generation, answer: &Result<T, WorkError>) {
        if let Err(WorkError::Panicked(text)) = answer {
            tracing::error!(backend = %self.backend, panic = %text, "the driver panicked and is replaced");
            if self.driver.replace(generation) {
                let _ = self.readiness.send_replace(Readiness::Starting);
            }
        }
    }

    /// The spec of a volume that has no record: enough for a driver to delete it.
    pub(crate) fn spec_without_record(&self, id: VolumeId) -> VolumeSpec {
        VolumeSpec {
            id,
            project_id: ProjectId::from(""),
            size: 0,
            pool: self.backend.pool(""),
            multiattach: false,
            readonly: false,
            encrypted: false,
            extra_specs: BTreeMap::new(),
            source: VolumeSource::Raw,
            provider_location: None,
            provider_auth: None,
        }
    }

    /// Removes a volume's export from the target and from the inventory. For a worker that holds the volume's lock.
    ///
    /// # Errors
    /// The target's; the inventory is not changed then.
    pub fn remove_export(
        &self,
        target: &dyn TargetDriver,
        work: &Work,
        volume: &VolumeSpec,
    ) -> DriverResult<()> {
        retry_across_daemon_restart(target, work, || target.remove_export(work, volume))?;
        self.inventory().disconnected(volume.id, None, true);
        Ok(())
    }

    /// The target, and the backing store to export of this volume.
    ///
    /// # Errors
    /// `Failed` if the backend has no target, with a text for the volume's owner.
    pub fn export_target(&self, volume: &VolumeSpec) -> DriverResult<(Arc<dyn TargetDriver>, PathBuf)> {
        let (Some(target), Some(path)) = (&self.target, self.driver.get().backing_store(volume)) else {
            return Err(DriverError::failed(
                "The backend of this volume cannot export volumes.",
                format!("backend {} has no target helper", self.backend),
            ));
        };
        Ok((Arc::clone(target), path))
    }
}
