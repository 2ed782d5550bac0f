//! A backend's reports: every `report_interval` a heartbeat, with the statistics of its pools.
//!
//! Reports are not delayed by slow work: the pools are examined concurrently, and until that has ended, or if it takes too long,
//! the last statistics are sent again with their old time. So a slow backend is not considered dead.
//!
//! The pools are not examined for each report: with many volumes that is expensive for LVM, and locks the volume group. They are
//! examined every `backend_stats_polling_interval`, and earlier if something has changed that the schedulers cannot know: a
//! volume was deleted, a snapshot created, something failed (cinder: `volume/manager.py`, `_report_driver_status`).
//!
//! The schedulers drop a reservation once its operation has ended and newer statistics are reported. Operations that ended
//! during an examination may not be included: the pools are examined again for the next report.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::Instant;

use super::VolumeManager;
use crate::backend::workers::Maintenance;
use crate::backend::{BackendState, Readiness};
use crate::drivers::DriverError;
use crate::messages::api::Progress;
use crate::messages::registry::{Heartbeat, RegistryTopic};
use crate::messages::scheduler::{SchedulerTopic, UpdateServiceCapabilities};
use crate::model::service::BackendStats;
use crate::model::{Context, PoolStats, Timestamp};
use crate::transport::{PeerChange, PeerEvent};

/// How often it is checked whether a report is due.
const TICK: Duration = Duration::from_millis(500);

/// The time limit of an examination of the pools.
const STATS_LIMIT: Duration = Duration::from_secs(30);

/// How old the statistics may become while examinations take too long, before the backend is considered down.
const STALE: Duration = Duration::from_secs(300);

/// The reason while a backend is neither up nor known to be broken.
const STARTING: &str = "the backend is starting";

/// The last statistics and reports, and their times.
#[derive(Default)]
pub(super) struct Reports {
    seen: Option<SeenPools>,
    /// Why the last examination failed.
    failed: Option<String>,
    /// When the last examination began: no report may be older than the one before it.
    began: Option<Timestamp>,
    reported: Option<Instant>,
    was_up: bool,
    /// Since when the driver is neither ready nor known to be broken.
    unready: Option<Instant>,
    /// The allocation counter when the last examination began; `None` once it was compared.
    allocations_before: Option<u64>,
}

/// The pools' statistics at some time.
#[derive(Clone)]
pub(super) struct SeenPools {
    pools: Vec<PoolStats>,
    at: Timestamp,
    since: Instant,
}

/// The reported state of a backend.
enum BackendStatus {
    /// It works, and has these pools.
    Up(SeenPools),
    /// It does not work, for this reason.
    Down(String),
    /// It has not been up yet since this process started, and may be soon. This is reported to the registry only: a create that
    /// waits in a scheduler for an unknown backend would stop waiting for one that is known to be down.
    Starting,
}

/// The result of an examination of the pools; `Err(None)` if the manager is stopping.
pub(super) type Looked = Result<SeenPools, Option<DriverError>>;

/// Reports until the actor ends.
pub(super) async fn keep_reporting(manager: &VolumeManager, context: &Context) {
    let state = &manager.state;
    let mut readiness = state.readiness.subscribe();
    {
        // So that the first report is not `Starting`.
        let known = readiness.wait_for(|now| *now != Readiness::Starting);
        let _ = tokio::time::timeout(state.options.report_interval, known).await;
    }
    let mut reports = Reports::default();
    let mut look: Option<Pin<Box<dyn Future<Output = Looked> + '_>>> = None;
    let mut ticks = tokio::time::interval(TICK.min(state.options.report_interval));
    let mut peers = manager.router.watch_peers();
    loop {
        let looked = async {
            match &mut look {
                Some(look) => look.await,
                None => std::future::pending().await,
            }
        };
        let mut is_wanted = false;
        tokio::select! {
            biased;
            looked = looked => {
                look = None;
                reports.looked(state, looked);
                reports.send(manager, context).await;
            }
            // Never fails: the sender is in the state.
            _ = readiness.changed() => {
                let is_up = *readiness.borrow_and_update() == Readiness::Up;
                if is_up {
                    is_wanted = true;
                } else {
                    reports.send_if_down(manager, context).await;
                }
            }
            // A control node that was restarted knows no pools until they are reported to it.
            () = peer_connected(&mut peers) => is_wanted = true,
            _ = ticks.tick() => {}
        }
        if look.is_none() {
            reports.compare_allocations(state);
        }
        let is_due = reports.is_due(state.options.report_interval);
        if look.is_none()
            && *readiness.borrow() == Readiness::Up
            && (is_wanted || is_due && reports.must_look(state))
        {
            look = Some(Box::pin(reports.begin_look(state)));
        } else if is_due || is_wanted {
            reports.send(manager, context).await;
        }
    }
}

/// Waits until a peer connects. Missed events count as one: a peer may have connected.
pub(super) async fn peer_connected(peers: &mut broadcast::Receiver<PeerEvent>) {
    loop {
        match peers.recv().await {
            Ok(event) if matches!(event.change, PeerChange::Up | PeerChange::Announced) => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

impl Reports {
    /// Requests another examination if something was allocated during the last one, which may not include it.
    pub(super) fn compare_allocations(&mut self, state: &BackendState) {
        let before = self.allocations_before.take();
        if before.is_some_and(|before| before != state.allocations()) {
            state.request_stats_refresh();
        }
    }

    fn is_due(&self, report_interval: Duration) -> bool {
        self.reported
            .is_none_or(|reported| reported.elapsed() >= report_interval)
    }

    /// Whether the next report needs an examination of the pools.
    fn must_look(&self, state: &BackendState) -> bool {
        let is_wanted = state.take_stats_refresh_request();
        let is_old = |seen: &SeenPools| seen.since.elapsed() >= state.options.stats_polling_interval;
        is_wanted || !self.was_up || self.failed.is_some() || self.seen.as_ref().is_none_or(is_old)
    }

    /// Examines the pools.
    pub(super) fn begin_look<'a>(
        &mut self,
        state: &'a BackendState,
    ) -> impl Future<Output = Looked> + use<'a> {
        // Changes from here on may or may not be included.
        let at = state.report_time(Timestamp::now());
        self.began = Some(at);
        self.allocations_before = Some(state.allocations());
        let looking = state.drive(Maintenance::Stats, STATS_LIMIT, |driver, work| driver.stats(work));
        async move {
            let pools = looking.await?;
            let since = Instant::now();
            Ok(SeenPools { pools, at, since })
        }
    }

    /// Records the result of an examination.
    pub(super) fn looked(&mut self, state: &BackendState, looked: Looked) {
        let is_fresh = |seen: &SeenPools| seen.since.elapsed() < STALE;
        match looked {
            Ok(seen) => {
                self.seen = Some(seen);
                self.failed = None;
            }
            Err(Some(DriverError::TimedOut)) if self.seen.as_ref().is_some_and(is_fresh) => {
                tracing::warn!(backend = %state.backend, "the pools were not examined in time; the last stats are reported again");
            }
            Err(Some(error)) => {
                tracing::error!(backend = %state.backend, %error, "no stats: the backend is considered down");
                self.seen = None;
                self.failed = Some(error.to_string());
            }
            Err(None) => {}
        }
    }

    /// The current status; `None` if it is not known yet.
    fn present(&mut self, state: &BackendState) -> Option<BackendStatus> {
        if let Some(reason) = state.workers.hung() {
            return Some(BackendStatus::Down(reason));
        }
        let readiness = state.readiness.borrow().clone();
        match (readiness, &self.failed, &self.seen) {
            (Readiness::Down(reason), _, _) => {
                self.unready = None;
                Some(BackendStatus::Down(reason))
            }
            (Readiness::Up, Some(reason), _) => Some(BackendStatus::Down(reason.clone())),
            (Readiness::Up, None, Some(seen)) => {
                self.unready = None;
                Some(BackendStatus::Up(seen.clone()))
            }
            (Readiness::Up | Readiness::Starting, _, seen) => {
                let since = *self.unready.get_or_insert_with(Instant::now);
                if since.elapsed() < state.options.report_interval {
                    // A driver that was replaced will be ready again soon.
                    seen.clone().map(BackendStatus::Up)
                } else if seen.is_none() {
                    Some(BackendStatus::Starting)
                } else {
                    Some(BackendStatus::Down(STARTING.to_owned()))
                }
            }
        }
    }

    /// Reports the current status.
    pub(super) async fn send(&mut self, manager: &VolumeManager, context: &Context) {
        let Some(status) = self.present(&manager.state) else {
            return;
        };
        self.reported = Some(Instant::now());
        self.was_up = matches!(status, BackendStatus::Up(_));
        let sent = send(manager, context, status, self.began);
        // Limited, so that a node that does not accept it does not delay the next report.
        let sent = tokio::time::timeout(manager.state.options.report_interval, sent).await;
        if sent.is_err() {
            tracing::warn!(backend = %manager.state.backend, "a report was not accepted by every node in time");
        }
    }

    /// Reports that the backend does not work, if it does not.
    async fn send_if_down(&mut self, manager: &VolumeManager, context: &Context) {
        let is_down = matches!(*manager.state.readiness.borrow(), Readiness::Down(_));
        if is_down {
            self.send(manager, context).await;
        }
    }
}

/// Reports the progress of data transfers. A lost report does not matter: another follows, or the transfer has ended.
pub(super) async fn report_progress(manager: &VolumeManager, context: &Context) {
    for (command, done, total) in manager.state.workers.progress() {
        let progress = Progress { command, done, total };
        manager.api.fanout(context, progress).await;
    }
}

/// Sends the statistics to every scheduler, and a heartbeat to every registry. A backend that is down is reported with the start
/// time of the last examination, so that its result is newer.
async fn send(manager: &VolumeManager, context: &Context, status: BackendStatus, began: Option<Timestamp>) {
    let state = &manager.state;
    let is_starting = matches!(status, BackendStatus::Starting);
    let (pools, timestamp, reason) = match status {
        BackendStatus::Up(seen) => (seen.pools, seen.at, None),
        BackendStatus::Starting => (Vec::new(), Timestamp::now(), Some(STARTING.to_owned())),
        BackendStatus::Down(reason) => (Vec::new(), began.unwrap_or_else(Timestamp::now), Some(reason)),
    };
    let info = state.driver.get().info();
    let differs = state.difference().map(|difference| {
        [
            ("orphans".to_owned(), difference.orphans.len().to_string()),
            ("missing".to_owned(), difference.missing.len().to_string()),
        ]
    });
    let pools = {
        let inventory = state.inventory();
        pools
            .into_iter()
            .map(|mut pool| {
                pool.extra.extend(differs.clone().into_iter().flatten());
                pool.allocated_capacity_gb = inventory.allocated(&pool.pool_name);
                pool.reserved_percentage = state.options.reserved_percentage;
                pool.max_over_subscription_ratio = state.options.max_over_subscription_ratio;
                pool
            })
            .collect()
    };
    let target = state.target.as_ref();
    let stats = BackendStats {
        backend: state.backend.clone(),
        volume_backend_name: state.options.volume_backend_name.clone(),
        vendor_name: info.vendor_name,
        driver_version: info.driver_version,
        storage_protocol: target
            .map_or("file", |target| target.storage_protocol())
            .to_owned(),
        availability_zone: state.options.availability_zone.clone(),
        up: reason.is_none(),
        reason: reason.clone(),
        pools,
        timestamp,
    };
    let heartbeat = Heartbeat {
        binary: "cinder-volume".to_owned(),
        host: state.backend.to_string(),
        availability_zone: state.options.availability_zone.clone(),
        backend_up: Some(reason.is_none()),
    };
    let schedulers = manager.router.any::<SchedulerTopic>();
    let registries = manager.router.any::<RegistryTopic>();
    if is_starting {
        registries.fanout(context, heartbeat).await;
        return;
    }
    let (heard, _) = futures_util::future::join(
        schedulers.fanout(context, UpdateServiceCapabilities { stats }),
        registries.fanout(context, heartbeat),
    )
    .await;
    if heard == 0 {
        tracing::debug!(backend = %state.backend, "no scheduler accepted the stats");
    }
}
