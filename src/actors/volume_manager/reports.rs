//! What a manager tells of itself: every `report_interval` that it is alive, and with it what its pools have.
//!
//! Nothing that takes time comes between two reports: the pools are looked at beside them, and until that is done, or when it
//! takes too long, the last report is told again under its old time. Slow is not dead.
//!
//! The pools are not looked at for each report: with many volumes that is no small thing to ask of LVM, and it locks the group
//! meanwhile. They are looked at every `backend_stats_polling_interval`, and before that where the schedulers cannot know by
//! themselves what has changed: a volume went, a snapshot came, something failed (cinder: `volume/manager.py`,
//! `_report_driver_status`).
//!
//! The schedulers forget what they promised once it has ended and a newer look is told. What ended while the pools were looked
//! at may not be in what was seen: the next report looks again.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::Instant;

use super::VolumeManager;
use super::parts::{Parts, Readiness};
use super::worker::{Chore, Claim};
use crate::drivers::DriverError;
use crate::messages::api::Progress;
use crate::messages::registry::{Heartbeat, RegistryTopic};
use crate::messages::scheduler::{SchedulerTopic, UpdateServiceCapabilities};
use crate::model::service::BackendStats;
use crate::model::{Context, PoolStats, Timestamp};
use crate::transport::{PeerChange, PeerEvent};

/// How often it is looked whether a report is due.
const TICK: Duration = Duration::from_millis(500);

/// How long a look at the pools may take.
const STATS_LIMIT: Duration = Duration::from_secs(30);

/// How old what was seen may become while looks take too long, before the backend counts as down.
const STALE: Duration = Duration::from_secs(300);

/// What was seen and told last, and when.
#[derive(Default)]
pub(super) struct Reports {
    seen: Option<Seen>,
    /// Why the last look failed.
    failed: Option<String>,
    /// When the last look began: no report may be older than the one before it.
    began: Option<Timestamp>,
    told: Option<Instant>,
    was_up: bool,
    /// Since when the driver is neither ready nor known to be broken.
    unready: Option<Instant>,
    /// How much had been made when the last look began, so long as schedulers may still be hearing of it.
    made_before: Option<u64>,
}

/// What the pools had.
#[derive(Clone)]
pub(super) struct Seen {
    pools: Vec<PoolStats>,
    at: Timestamp,
    since: Instant,
}

/// What is told of a backend.
enum Told {
    /// What its pools had then.
    Up(Seen),
    /// Why it does not work.
    Down(String),
    /// It was never up in this life, and may be any moment. The registry hears of it; schedulers do not, for what waits for a
    /// backend that they know nothing of would wait no longer.
    Starting,
}

/// How a look at the pools ended; `None` if the manager is stopping.
pub(super) type Looked = Result<Seen, Option<DriverError>>;

/// Tells, for as long as the actor lives.
pub(super) async fn keep_telling(manager: &VolumeManager, context: &Context) {
    let parts = &manager.parts;
    let mut readiness = parts.readiness.subscribe();
    {
        // So that the first word is not that it is just starting.
        let known = readiness.wait_for(|now| *now != Readiness::Starting);
        let _ = tokio::time::timeout(parts.options.report_interval, known).await;
    }
    let mut reports = Reports::default();
    let mut look: Option<Pin<Box<dyn Future<Output = Looked> + '_>>> = None;
    let mut ticks = tokio::time::interval(TICK.min(parts.options.report_interval));
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
                reports.looked(parts, looked);
                reports.tell(manager, context).await;
            }
            // The sender is in the parts, so that this never fails.
            _ = readiness.changed() => {
                let is_up = *readiness.borrow_and_update() == Readiness::Up;
                if is_up {
                    is_wanted = true;
                } else {
                    reports.tell_at_once(manager, context).await;
                }
            }
            // A control node that was started anew knows no pools until somebody tells it.
            () = connected(&mut peers) => is_wanted = true,
            _ = ticks.tick() => {}
        }
        if look.is_none() {
            reports.notice_what_was_made(parts);
        }
        let is_due = reports.is_due(parts.options.report_interval);
        if look.is_none()
            && *readiness.borrow() == Readiness::Up
            && (is_wanted || is_due && reports.must_look(parts))
        {
            look = Some(Box::pin(reports.begin_look(parts)));
        } else if is_due || is_wanted {
            reports.tell(manager, context).await;
        }
    }
}

/// Ends when a peer has connected. Events that were missed count: one of them may have been that.
pub(super) async fn connected(peers: &mut broadcast::Receiver<PeerEvent>) {
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
    /// What ended while the pools were looked at may not be in what was seen.
    pub(super) fn notice_what_was_made(&mut self, parts: &Parts) {
        let before = self.made_before.take();
        if before.is_some_and(|before| before != parts.made()) {
            parts.want_look();
        }
    }

    fn is_due(&self, report_interval: Duration) -> bool {
        self.told.is_none_or(|told| told.elapsed() >= report_interval)
    }

    /// Whether the next report needs a look at the pools.
    fn must_look(&self, parts: &Parts) -> bool {
        let is_wanted = parts.take_wanted_look();
        let is_old = |seen: &Seen| seen.since.elapsed() >= parts.options.stats_polling_interval;
        is_wanted || !self.was_up || self.failed.is_some() || self.seen.as_ref().is_none_or(is_old)
    }

    /// Looks at the pools, beside everything else.
    pub(super) fn begin_look<'a>(&mut self, parts: &'a Parts) -> impl Future<Output = Looked> + use<'a> {
        // What happens from here on may be in what is seen, or not.
        let at = parts.report_time(Timestamp::now());
        self.began = Some(at);
        self.made_before = Some(parts.made());
        let looking = parts.drive(Claim::housekeeping(Chore::Stats), STATS_LIMIT, |driver, work| {
            driver.stats(work)
        });
        async move {
            let pools = looking.await?;
            let since = Instant::now();
            Ok(Seen { pools, at, since })
        }
    }

    /// Notes how a look ended.
    pub(super) fn looked(&mut self, parts: &Parts, looked: Looked) {
        match looked {
            Ok(seen) => {
                self.seen = Some(seen);
                self.failed = None;
            }
            Err(Some(DriverError::TimedOut))
                if self
                    .seen
                    .as_ref()
                    .is_some_and(|seen| seen.since.elapsed() < STALE) =>
            {
                tracing::warn!(backend = %parts.backend, "the pools were not looked at in time; the last stats are told again");
            }
            Err(Some(error)) => {
                tracing::error!(backend = %parts.backend, %error, "no stats: the backend counts as down");
                self.seen = None;
                self.failed = Some(error.to_string());
            }
            Err(None) => {}
        }
    }

    /// What is to be told now; `None` if it is not known yet.
    fn present(&mut self, parts: &Parts) -> Option<Told> {
        if let Some(reason) = parts.workers.hung() {
            return Some(Told::Down(reason));
        }
        let readiness = parts.readiness.borrow().clone();
        match (readiness, &self.failed, &self.seen) {
            (Readiness::Down(reason), _, _) => {
                self.unready = None;
                Some(Told::Down(reason))
            }
            (Readiness::Up, Some(reason), _) => Some(Told::Down(reason.clone())),
            (Readiness::Up, None, Some(seen)) => {
                self.unready = None;
                Some(Told::Up(seen.clone()))
            }
            (Readiness::Up | Readiness::Starting, _, seen) => {
                let since = *self.unready.get_or_insert_with(Instant::now);
                if since.elapsed() < parts.options.report_interval {
                    // A driver that was made anew is ready again in a moment.
                    seen.clone().map(Told::Up)
                } else if seen.is_none() {
                    Some(Told::Starting)
                } else {
                    Some(Told::Down("the backend is starting".to_owned()))
                }
            }
        }
    }

    /// Tells what is known.
    pub(super) async fn tell(&mut self, manager: &VolumeManager, context: &Context) {
        let Some(told) = self.present(&manager.parts) else {
            return;
        };
        self.told = Some(Instant::now());
        self.was_up = matches!(told, Told::Up(_));
        let told = tell(manager, context, told, self.began);
        // A node that does not take it in holds up nobody.
        if tokio::time::timeout(manager.parts.options.report_interval, told)
            .await
            .is_err()
        {
            tracing::warn!(backend = %manager.parts.backend, "a report was not taken in by everybody in time");
        }
    }

    /// Tells that the backend does not work, if it does not.
    async fn tell_at_once(&mut self, manager: &VolumeManager, context: &Context) {
        let is_down = matches!(*manager.parts.readiness.borrow(), Readiness::Down(_));
        if is_down {
            self.tell(manager, context).await;
        }
    }
}

/// Tells how far the work is that moves data. What is lost on the way is told again, or has ended.
pub(super) async fn tell_progress(manager: &VolumeManager, context: &Context) {
    for (command, done, total) in manager.parts.workers.progress() {
        let progress = Progress { command, done, total };
        manager.api.fanout(context, progress).await;
    }
}

/// Tells every scheduler, and the registry that the service is alive. That it is down has the time of the last look: what that
/// sees is news all the same.
async fn tell(manager: &VolumeManager, context: &Context, told: Told, began: Option<Timestamp>) {
    let parts = &manager.parts;
    let is_starting = matches!(told, Told::Starting);
    let (pools, timestamp, reason) = match told {
        Told::Up(seen) => (seen.pools, seen.at, None),
        Told::Starting => (
            Vec::new(),
            Timestamp::now(),
            Some("the backend is starting".to_owned()),
        ),
        Told::Down(reason) => (Vec::new(), began.unwrap_or_else(Timestamp::now), Some(reason)),
    };
    let info = parts.driver.get().info();
    let differs = parts.difference().map(|difference| {
        [
            ("orphans".to_owned(), difference.orphans.len().to_string()),
            ("missing".to_owned(), difference.missing.len().to_string()),
        ]
    });
    let pools = {
        let ledger = parts.ledger();
        pools
            .into_iter()
            .map(|mut pool| {
                pool.extra.extend(differs.clone().into_iter().flatten());
                pool
            })
            .map(|pool| PoolStats {
                allocated_capacity_gb: ledger.allocated(&pool.pool_name),
                reserved_percentage: parts.options.reserved_percentage,
                max_over_subscription_ratio: parts.options.max_over_subscription_ratio,
                ..pool
            })
            .collect()
    };
    let stats = BackendStats {
        backend: parts.backend.clone(),
        volume_backend_name: parts.options.volume_backend_name.clone(),
        vendor_name: info.vendor_name,
        driver_version: info.driver_version,
        storage_protocol: parts
            .target
            .as_ref()
            .map_or("file", |target| target.storage_protocol())
            .to_owned(),
        availability_zone: parts.options.availability_zone.clone(),
        up: reason.is_none(),
        reason: reason.clone(),
        pools,
        timestamp,
    };
    let heartbeat = Heartbeat {
        binary: "cinder-volume".to_owned(),
        host: parts.backend.to_string(),
        availability_zone: parts.options.availability_zone.clone(),
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
        tracing::debug!(backend = %parts.backend, "no scheduler heard the stats");
    }
}
