//! What every verb of a manager works with. It outlives the actor: a manager that was built anew after a panic finds the
//! work of the one before, and its book, where they were.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::answers::Answers;
use super::failure::settled;
use super::ledger::Ledger;
use super::slot::{DriverFactory, DriverSlot, Generation};
use super::worker::{Chore, Claim, WorkError, Workers};
use crate::drivers::ownership::Ownership;
use crate::drivers::target::{TargetDriver, outliving};
use crate::drivers::{DriverError, DriverResult, VolumeDriver, Work};
use crate::messages::api::StorageDifference;
use crate::model::spec::VolumeSource;
use crate::model::{BackendName, ProjectId, Timestamp, VolumeId, VolumeSpec};

/// How a manager behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// `volume_backend_name`, by which types are steered here.
    pub volume_backend_name: String,
    /// The zone it is in.
    pub availability_zone: String,
    /// How many driver verbs may run at once.
    pub max_workers: usize,
    /// How long one driver verb may take at most.
    pub command_timeout: Duration,
    /// How often a report is sent.
    pub report_interval: Duration,
    /// How often the storage is looked at for it, unless there is a reason to.
    pub stats_polling_interval: Duration,
    /// How long to wait before a driver that would not start is tried again: the first time, and at most.
    pub retry: (Duration, Duration),
    /// How many volumes or names a message has at most where all that a backend has is gone through.
    pub page_size: u32,
    /// Whether what is on the storage without a record is deleted at start.
    pub delete_orphans: bool,
    /// Whether a storage without any of the backend's volumes counts as the wrong one.
    pub expect_storage: bool,
    /// Per cent of each pool that is kept free.
    pub reserved_percentage: u8,
    /// How far thin pools may be over-subscribed.
    pub max_over_subscription_ratio: crate::model::service::OverSubscription,
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
        }
    }
}

/// Whether the present driver is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet known: this process has just started, or the driver was made anew.
    Starting,
    /// It is.
    Up,
    /// It is not, for this reason.
    Down(String),
}

/// See the module.
pub struct Parts {
    /// `host@backend`.
    pub backend: BackendName,
    /// How it behaves.
    pub options: Options,
    /// Its threads.
    pub workers: Arc<Workers>,
    /// Its driver.
    pub driver: DriverSlot,
    /// How its volumes are exported, if they can be.
    pub target: Option<Arc<dyn TargetDriver>>,
    /// Whether the driver is ready. Changes to `Starting` whenever it is made anew.
    pub readiness: tokio::sync::watch::Sender<Readiness>,
    /// One at a time makes the driver ready.
    setting_up: tokio::sync::Mutex<()>,
    /// Whether the ledger was filled and the storage compared, once in the life of this process: both outlive the actor and the
    /// driver, and commands have been obeyed since.
    is_learned: AtomicBool,
    /// Whether exports of an earlier process that nobody has were taken away, once in the life of this process.
    are_strays_gone: AtomicBool,
    /// How the storage differed from the catalog when this process started; `None` until it was compared.
    difference: Mutex<Option<StorageDifference>>,
    look_is_wanted: AtomicBool,
    made: AtomicU64,
    /// The time of the last report, in microseconds.
    reported_at: AtomicI64,
    ledger: Mutex<Ledger>,
    answers: Mutex<Answers>,
}

impl Parts {
    /// Puts a backend together; nothing is started.
    #[must_use]
    pub fn new(
        backend: BackendName,
        driver: DriverFactory,
        target: Option<Arc<dyn TargetDriver>>,
        options: Options,
    ) -> Arc<Self> {
        Self::owning(backend, driver, target, options, Ownership::default())
    }

    /// The same on a storage that must be this process's own: its driver's setup makes it so.
    #[must_use]
    pub fn owning(
        backend: BackendName,
        driver: DriverFactory,
        target: Option<Arc<dyn TargetDriver>>,
        options: Options,
        ownership: Ownership,
    ) -> Arc<Self> {
        Arc::new(Self {
            workers: Workers::owning(options.max_workers, ownership),
            driver: DriverSlot::new(driver),
            readiness: tokio::sync::watch::Sender::new(Readiness::Starting),
            setting_up: tokio::sync::Mutex::default(),
            is_learned: AtomicBool::new(false),
            are_strays_gone: AtomicBool::new(false),
            difference: Mutex::default(),
            look_is_wanted: AtomicBool::new(false),
            made: AtomicU64::new(0),
            reported_at: AtomicI64::new(i64::MIN),
            ledger: Mutex::default(),
            answers: Mutex::default(),
            backend,
            options,
            target,
        })
    }

    /// The book. Hold it shortly, and never across an await.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the storage differed from the catalog when this process started; `None` until it was compared.
    #[must_use]
    pub fn difference(&self) -> Option<StorageDifference> {
        self.difference
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_difference(&self, difference: StorageDifference) {
        *self.difference.lock().unwrap_or_else(PoisonError::into_inner) = Some(difference);
    }

    pub(super) fn is_learned(&self) -> bool {
        self.is_learned.load(Ordering::Acquire)
    }

    /// From now on commands may be obeyed whenever the driver is ready.
    pub(super) fn set_learned(&self) {
        self.is_learned.store(true, Ordering::Release);
    }

    pub(super) fn are_strays_gone(&self) -> bool {
        self.are_strays_gone.load(Ordering::Acquire)
    }

    pub(super) fn set_strays_gone(&self) {
        self.are_strays_gone.store(true, Ordering::Release);
    }

    /// The time for a report: later than that of the one before, or schedulers would take it for an older one after the clock was
    /// set back.
    pub(super) fn report_time(&self, now: Timestamp) -> Timestamp {
        let later = |last: i64| now.0.max(last.saturating_add(1));
        // It cannot fail: something is always put there.
        let last = self
            .reported_at
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(later(last)));
        Timestamp(later(last.unwrap_or(i64::MIN)))
    }

    /// The next report is to tell of the storage as it is now.
    pub(super) fn want_look(&self) {
        self.look_is_wanted.store(true, Ordering::Release);
    }

    /// Whether that was said since this was asked last.
    pub(super) fn take_wanted_look(&self) -> bool {
        self.look_is_wanted.swap(false, Ordering::AcqRel)
    }

    /// A volume was made or has grown.
    pub(super) fn has_made(&self) {
        self.made.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that was said.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Acquire)
    }

    /// The answers given. Hold it shortly, and never across an await.
    pub fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a driver verb in a worker, alone on what it claims. What moves data may take as long as its command says, anything
    /// else no longer than `command_timeout`.
    ///
    /// A driver that panics is built anew, and its verb runs once more: each looks at what exists before it acts, so what the
    /// first run did is found, and what it left half done is finished.
    ///
    /// # Errors
    /// The driver's answer; `None` if the manager is stopping.
    pub async fn drive<T: Send + 'static>(
        &self,
        claim: impl Into<Claim>,
        limit: Duration,
        verb: impl Fn(&dyn VolumeDriver, &Work) -> DriverResult<T> + Clone + Send + 'static,
    ) -> Result<T, Option<DriverError>> {
        let claim = claim.into();
        let begun = Instant::now();
        let limit = if claim.moves_data() {
            limit
        } else {
            limit.min(self.options.command_timeout)
        };
        match self.drive_once(claim.clone(), limit, verb.clone()).await {
            Err(WorkError::Panicked(_)) => {
                let left = limit.saturating_sub(begun.elapsed());
                self.drive_once(claim, left, verb).await
            }
            answer => answer,
        }
        .map_err(settled)
    }

    async fn drive_once<T: Send + 'static>(
        &self,
        claim: Claim,
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
        let answer = self
            .workers
            .run(claim, left, move |work| {
                work.check_owner()?;
                let answer = verb(driver.as_ref(), work);
                // What was seen or done while another may have owned it is not to be told.
                work.check_owner()?;
                answer
            })
            .await;
        self.replace_if_panicked(&generation, &answer);
        answer
    }

    /// Makes the present driver ready, unless it is.
    ///
    /// # Errors
    /// Those of its setup.
    pub(super) async fn set_up(&self, limit: Duration) -> Result<(), WorkError> {
        let _alone = self.setting_up.lock().await;
        let generation = self.driver.present();
        if generation.is_set_up() {
            return Ok(());
        }
        let driver = generation.driver();
        let ready = self
            .workers
            .run(Claim::housekeeping(Chore::SetUpDriver), limit, move |work| {
                driver.setup(work)
            })
            .await;
        self.replace_if_panicked(&generation, &ready);
        if ready.is_ok() {
            generation.set_up();
            if self.is_learned() {
                let _ = self.readiness.send_replace(Readiness::Up);
            }
        }
        ready
    }

    fn replace_if_panicked<T>(&self, generation: &Generation, answer: &Result<T, WorkError>) {
        if let Err(WorkError::Panicked(text)) = answer {
            tracing::error!(backend = %self.backend, panic = %text, "the driver panicked and is built anew");
            if self.driver.replace(generation) {
                let _ = self.readiness.send_replace(Readiness::Starting);
            }
        }
    }

    /// What drivers are told of a volume that nobody has a record of: enough to take it away.
    pub(super) fn nameless(&self, id: VolumeId) -> VolumeSpec {
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

    /// Takes a volume's export away and out of the book. For a worker that is alone on the volume.
    ///
    /// # Errors
    /// The target's; the book stays as it is.
    pub fn remove_export(
        &self,
        target: &dyn TargetDriver,
        work: &Work,
        volume: &VolumeSpec,
    ) -> DriverResult<()> {
        outliving(target, work, || target.remove_export(work, volume))?;
        self.ledger().disconnected(volume.id, None, true);
        Ok(())
    }

    /// The target and the volume's backing store, or why there is neither.
    ///
    /// # Errors
    /// `Failed` in words for the volume's owner.
    pub fn export_parts(&self, volume: &VolumeSpec) -> DriverResult<(Arc<dyn TargetDriver>, PathBuf)> {
        let (Some(target), Some(path)) = (&self.target, self.driver.get().backing_store(volume)) else {
            return Err(DriverError::Failed {
                client: "The backend of this volume cannot export volumes.".to_owned(),
                operator: format!("backend {} has no target helper", self.backend),
            });
        };
        Ok((Arc::clone(target), path))
    }
}
