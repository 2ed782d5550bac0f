//! The Scheduler's state and options, kept outside of the actor so that they survive a panic and can be read without
//! a message.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::Instant;

use super::filters::{Ask, UnknownName};
use super::pick::{Chain, pick};
use super::pools::{Look, Pools, Reservation};
use super::weighers::Multipliers;
use crate::actors::registry::Liveness;
use crate::control::decisions::{Decision, Decisions};
use crate::messages::scheduler::{Among, PlaceVolume, PoolView, RequestSpec, ValidateExtend};
use crate::model::service::BackendStats;
use crate::model::{BackendName, PoolName};
use crate::store::catalog::Catalog;
use crate::transport::Router;

/// The options of the scheduler (`[scheduler]`).
#[derive(Clone, Debug)]
pub struct Options {
    /// Filters, in order.
    pub filters: Vec<String>,
    /// Weighers.
    pub weighers: Vec<String>,
    /// The multiplier of each weigher.
    pub multipliers: Multipliers,
    /// How long after the start a request without a suitable pool waits for backends that have not reported yet
    /// (cinder: `scheduler_driver_init_wait_time`).
    pub init_wait: Duration,
    /// How long after the very first report such a request waits for unknown backends.
    pub settle: Duration,
    /// How long a request waits for an unreachable host, if no other is suitable.
    pub unreachable_patience: Duration,
    /// How long an unreachable host is excluded, unless it reports.
    pub leave_out_for: Duration,
    /// The most waiting requests; further ones are dropped, and sent again.
    pub waiting_bound: usize,
    /// The number of volumes whose last decision is kept.
    pub kept_decisions: usize,
    /// The bound of the mailbox.
    pub mailbox_bound: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            filters: ["AvailabilityZoneFilter", "CapacityFilter", "CapabilitiesFilter"]
                .map(str::to_owned)
                .into(),
            weighers: vec!["CapacityWeigher".to_owned()],
            multipliers: Multipliers::default(),
            init_wait: Duration::from_secs(60),
            settle: Duration::from_secs(2),
            unreachable_patience: Duration::from_secs(60),
            leave_out_for: Duration::from_secs(5),
            waiting_bound: 10_000,
            kept_decisions: 1000,
            mailbox_bound: 1024,
        }
    }
}

/// See the module.
pub struct SchedulerState {
    pub(super) catalog: Catalog,
    pub(super) router: Router,
    pub(super) options: Options,
    liveness: Arc<Liveness>,
    chain: Chain,
    pools: Mutex<Pools>,
    decisions: Arc<Decisions>,
    started_at: Instant,
    /// Whether the reservations of open operations were read from the catalog.
    pub(super) restored: AtomicBool,
    /// When the first report was received.
    first_report: Mutex<Option<Instant>>,
    /// Changes with every report.
    pub(super) reports: watch::Sender<u64>,
}

/// Which backends may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Those whose nodes are connected.
    Connected,
    /// Also those that may be back soon: the volume is there already.
    Any,
}

/// No pool is suitable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoPool {
    /// The reason, for the operator.
    pub why: String,
}

impl SchedulerState {
    /// A state without pools.
    ///
    /// # Errors
    /// [`UnknownName`] if the options name an unknown filter or weigher.
    pub fn new(
        catalog: Catalog,
        router: Router,
        liveness: Arc<Liveness>,
        options: Options,
    ) -> Result<Arc<Self>, UnknownName> {
        Ok(Arc::new(Self {
            chain: Chain::new(&options.filters, &options.weighers, options.multipliers)?,
            decisions: Arc::new(Decisions::new(options.kept_decisions)),
            pools: Mutex::default(),
            started_at: Instant::now(),
            restored: AtomicBool::new(false),
            first_report: Mutex::default(),
            reports: watch::Sender::new(0),
            catalog,
            router,
            liveness,
            options,
        }))
    }

    /// The last decision for each volume, with its reasons.
    pub fn decisions(&self) -> &Arc<Decisions> {
        &self.decisions
    }

    /// The current state of every known pool.
    pub fn pool_views(&self) -> Vec<PoolView> {
        let excluded = self.liveness.excluded(false);
        self.pools().views(&Look {
            standing: &|backend| excluded.get(backend).cloned(),
            ..Look::at(Instant::now(), self.liveness.down_time())
        })
    }

    pub(super) fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// Held for one decision or one report, never across an await.
    pub(super) fn pools(&self) -> MutexGuard<'_, Pools> {
        self.pools.lock()
    }

    /// Chooses a pool for a reservation and reserves its capacity at once. The previous capacity of the reservation is
    /// released first.
    pub(super) fn choose(
        &self,
        reservation: Reservation,
        request: &RequestSpec,
        excluded: &BTreeMap<PoolName, String>,
    ) -> Result<PoolName, NoPool> {
        let ask = Ask {
            excluded,
            ..Ask::of(request)
        };
        self.decide(reservation, &ask, Reach::Connected, &Among::All)
    }

    /// Chooses a pool for an existing volume. On a preferred pool it already has its capacity.
    pub(super) fn place(&self, reservation: Reservation, message: &PlaceVolume) -> Result<PoolName, NoPool> {
        if let Some(preferred) = &message.prefer {
            let as_it_is = RequestSpec {
                size: 0,
                ..message.request.clone()
            };
            let among = Among::Pool(preferred.clone());
            let stays = self.decide(reservation, &Ask::of(&as_it_is), Reach::Any, &among);
            if stays.is_ok() || message.among == among {
                return stays;
            }
        }
        let ask = Ask::of(&message.request);
        self.decide(reservation, &ask, Reach::Connected, &message.among)
    }

    /// Reserves the growth of a volume on its pool, if that is suitable.
    pub(super) fn grow(
        &self,
        reservation: Reservation,
        message: &ValidateExtend,
    ) -> Result<PoolName, NoPool> {
        let mut ask = Ask::of(&message.request);
        ask.class.online_extend = message.attached;
        let among = Among::Pool(message.pool.clone());
        self.decide(reservation, &ask, Reach::Any, &among)
    }

    fn decide(
        &self,
        reservation: Reservation,
        ask: &Ask<'_>,
        reach: Reach,
        among: &Among,
    ) -> Result<PoolName, NoPool> {
        let now = Instant::now();
        let excluded = self.liveness.excluded(reach == Reach::Connected);
        let mut pools = self.pools();
        pools.give_back(&reservation);
        let look = Look {
            standing: &|backend| excluded.get(backend).cloned(),
            among,
            ..Look::at(now, self.liveness.down_time())
        };
        let candidates = pools.candidates(&look, &ask.class, self.chain.filters());
        let decision = pick(ask, &candidates, &self.chain);
        if let Some(chosen) = &decision.chosen {
            pools.take(reservation, chosen, ask.request.size, now);
        }
        drop(pools);
        self.remember(decision)
    }

    fn remember(&self, decision: Decision) -> Result<PoolName, NoPool> {
        let (volume, size, counts) = (decision.volume_id, decision.size, decision.counts());
        let result = match decision.chosen.clone() {
            Some(chosen) => {
                tracing::info!(%volume, size, pool = %chosen, filters = counts, "pool chosen");
                Ok(chosen)
            }
            None => {
                let why = decision.why_none();
                tracing::info!(%volume, size, why, "no pool is suitable");
                Err(NoPool { why })
            }
        };
        self.decisions.keep(Arc::new(decision));
        result
    }

    /// Whether a report is a repetition of the known one.
    pub(super) fn hear_again(&self, stats: &BackendStats) -> bool {
        let again = self.pools().hear_again(stats, Instant::now());
        if again {
            self.reports.send_modify(|count| *count = count.wrapping_add(1));
        }
        again
    }

    /// Stores a report. `false` if it is older than the known one.
    pub(super) fn accept(&self, stats: BackendStats, settled: &[Reservation]) -> bool {
        let now = Instant::now();
        let accepted = self
            .pools()
            .accept(stats, now, self.liveness.down_time(), settled);
        self.first_report.lock().get_or_insert(now);
        self.reports.send_modify(|count| *count = count.wrapping_add(1));
        accepted
    }

    /// Whether a request without a suitable pool may still find one: expected backends have not reported yet, or one is
    /// unreachable at present. `since` is when the request began to wait.
    pub(super) fn may_wait(&self, since: Instant) -> bool {
        let now = Instant::now();
        let options = &self.options;
        if now.duration_since(self.started_at) < options.init_wait && self.is_incomplete(now) {
            return true;
        }
        let patience = options.unreachable_patience;
        now.duration_since(since) < patience
            && (self.pools().leaves_any_out(now) || self.liveness.any_may_be_back(patience, now))
    }

    /// Whether backends that have not reported yet are likely to do so.
    fn is_incomplete(&self, now: Instant) -> bool {
        let first = *self.first_report.lock();
        if first.is_none_or(|first| now.duration_since(first) < self.options.settle)
            || !self.liveness.is_loaded()
        {
            return true;
        }
        let expected: Vec<BackendName> = self.liveness.expected_backends();
        let pools = self.pools();
        expected.iter().any(|backend| !pools.knows(backend))
    }
}
