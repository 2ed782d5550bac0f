//! What a manager tells of itself: every `report_interval` that it is alive, and with it what its pools have.
//!
//! The pools are not looked at for each report: with many volumes that is no small thing to ask of LVM, and it locks the group
//! meanwhile. They are looked at every `backend_stats_polling_interval`, and before that where the schedulers cannot know by
//! themselves what has changed: a volume went, a snapshot came, something failed (cinder: `volume/manager.py`,
//! `_report_driver_status`). Until then the last report is told again, under its old time.
//!
//! The schedulers forget what they promised once it has ended and a newer look is told. What ended while the pools were looked
//! at may not be in what was seen: the next report looks again.

use std::time::Duration;

use tokio::time::Instant;

use super::VolumeManager;
use super::worker::Claim;
use crate::messages::api::Progress;
use crate::messages::registry::{Heartbeat, RegistryTopic};
use crate::messages::scheduler::{SchedulerTopic, UpdateServiceCapabilities};
use crate::model::service::BackendStats;
use crate::model::{Context, PoolStats, Timestamp};

/// How long gathering stats may take before the backend counts as down.
const STATS_LIMIT: Duration = Duration::from_secs(30);

/// What was told last, and when.
#[derive(Default)]
pub(super) struct Reports {
    seen: Option<Seen>,
    told: Option<Instant>,
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
pub(super) enum Told {
    /// What its pools had then.
    Up(Seen),
    /// Why it does not work.
    Down(String),
}

impl Reports {
    /// Tells what is due.
    pub(super) async fn tell_if_due(&mut self, manager: &VolumeManager, context: &Context) {
        let parts = &manager.parts;
        if self
            .made_before
            .take()
            .is_some_and(|before| before != parts.made())
        {
            parts.want_look();
        }
        let options = &parts.options;
        let is_due = |since: Instant, every: Duration| since.elapsed() >= every;
        if self
            .told
            .is_some_and(|told| !is_due(told, options.report_interval))
        {
            return;
        }
        let is_wanted = parts.take_wanted_look();
        match &self.seen {
            Some(seen) if !is_wanted && !is_due(seen.since, options.stats_polling_interval) => {
                let told = Told::Up(seen.clone());
                tell(manager, context, told).await;
                self.told = Some(Instant::now());
            }
            _ => self.look_and_tell(manager, context).await,
        }
    }

    /// Looks at the pools and tells what they have.
    pub(super) async fn look_and_tell(&mut self, manager: &VolumeManager, context: &Context) {
        // What happens from here on may be in what is seen, or not.
        let at = Timestamp::now();
        self.made_before = Some(manager.parts.made());
        let looked = manager
            .parts
            .drive(Claim::housekeeping(), STATS_LIMIT, |driver, work| {
                driver.stats(work)
            })
            .await;
        self.seen = None;
        match looked {
            Ok(pools) => {
                let since = Instant::now();
                let seen = Seen { pools, at, since };
                self.seen = Some(seen.clone());
                tell(manager, context, Told::Up(seen)).await;
            }
            Err(Some(error)) => {
                tracing::error!(backend = %manager.parts.backend, %error, "no stats: the backend counts as down");
                tell(manager, context, Told::Down(error.to_string())).await;
            }
            Err(None) => {}
        }
        self.told = Some(Instant::now());
    }
}

/// Tells how far the work is that moves data. What is lost on the way is told again, or has ended.
pub(super) async fn tell_progress(manager: &VolumeManager, context: &Context) {
    for (command, done, total) in manager.parts.workers.progress() {
        let progress = Progress { command, done, total };
        manager.api.fanout(context, progress).await;
    }
}

/// Tells every scheduler, and the registry that the service is alive.
pub(super) async fn tell(manager: &VolumeManager, context: &Context, told: Told) {
    let parts = &manager.parts;
    let (pools, timestamp, reason) = match told {
        Told::Up(seen) => (seen.pools, seen.at, None),
        Told::Down(reason) => (Vec::new(), Timestamp::now(), Some(reason)),
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
    if schedulers
        .fanout(context, UpdateServiceCapabilities { stats })
        .await
        == 0
    {
        tracing::debug!(backend = %parts.backend, "no scheduler heard the stats");
    }
    manager
        .router
        .any::<RegistryTopic>()
        .fanout(context, heartbeat)
        .await;
}
