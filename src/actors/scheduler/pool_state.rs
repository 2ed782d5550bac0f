//! One pool: its last report, less the reservations since.

use super::capacity::{Figures, virtual_free};
use super::over_subscription::over_subscription_ratio;
use crate::model::PoolName;
use crate::model::capability::{Capabilities, capabilities};
use crate::model::service::{BackendStats, Capacity, PoolStats};

/// A pool, as seen by the scheduler. What each decision reads of all of ten thousand pools is apart from the rest, so that it fits into a processor's
/// cache.
#[derive(Clone, Debug)]
pub struct PoolState {
    rest: Box<Rest>,
    /// [`virtual_free`] for thin volumes and for thick ones; NaN if it is unknown.
    rooms: [f64; 2],
    allocated: f64,
    taken: u64,
    has_sound_capacity: bool,
}

/// What few decisions read.
#[derive(Clone, Debug)]
struct Rest {
    name: PoolName,
    zone: String,
    stats: PoolStats,
    ratio: f64,
    capabilities: Capabilities,
}

impl PoolState {
    /// A pool of a backend's report.
    pub(super) fn new(backend: &BackendStats, stats: &PoolStats) -> Self {
        let ratio = over_subscription_ratio(stats);
        let mut state = Self {
            rooms: [f64::NAN; 2],
            allocated: 0.0,
            taken: 0,
            has_sound_capacity: matches!(stats.total_capacity_gb, Capacity::Gib(total) if total > 0.0)
                && (!stats.thin_provisioning_support || ratio >= 1.0),
            rest: Box::new(Rest {
                name: backend.backend.pool(&stats.pool_name),
                zone: backend.availability_zone.clone(),
                capabilities: capabilities(backend, stats),
                ratio,
                stats: stats.clone(),
            }),
        };
        state.set_taken(0);
        state
    }

    /// The GiB that can still be allocated for a thick volume or a thin one ([`virtual_free`]).
    pub fn room(&self, thick: bool) -> Option<f64> {
        Some(self.rooms[usize::from(thick)]).filter(|room| !room.is_nan())
    }

    /// Whether it has a size, and an over-subscription ratio of at least 1 if it creates thin volumes. So it is with all pools but those of a faulty
    /// or an unusual report.
    pub fn has_sound_capacity(&self) -> bool {
        self.has_sound_capacity
    }

    /// Its name.
    pub fn name(&self) -> &PoolName {
        &self.rest.name
    }

    /// Its availability zone.
    pub fn zone(&self) -> &str {
        &self.rest.zone
    }

    /// Its capabilities.
    pub fn capabilities(&self) -> &Capabilities {
        &self.rest.capabilities
    }

    /// Its size.
    pub fn total(&self) -> Capacity {
        self.rest.stats.total_capacity_gb
    }

    /// Its free space, less the reservations since its report.
    pub fn free(&self) -> Capacity {
        match self.rest.stats.free_capacity_gb {
            Capacity::Gib(free) => Capacity::Gib(free - self.taken_gib()),
            unknown => unknown,
        }
    }

    /// GiB provisioned on it, with the reservations since its report.
    pub fn provisioned(&self) -> f64 {
        self.rest.stats.provisioned_capacity_gb + self.taken_gib()
    }

    /// GiB of managed volumes on it, with the reservations since its report.
    pub fn allocated(&self) -> f64 {
        self.allocated
    }

    /// The percentage that is kept free.
    pub fn reserved_percentage(&self) -> u8 {
        self.rest.stats.reserved_percentage
    }

    /// Its over-subscription ratio, for thin volumes only.
    pub fn ratio(&self) -> f64 {
        self.rest.ratio
    }

    /// Whether it creates thin volumes.
    pub fn is_thin(&self) -> bool {
        self.rest.stats.thin_provisioning_support
    }

    /// Whether attached volumes can be extended on it.
    pub fn has_online_extend(&self) -> bool {
        self.rest.stats.online_extend_support
    }

    /// Sets the sum of the reservations since its report.
    pub(super) fn set_taken(&mut self, gib: u64) {
        self.taken = gib;
        self.allocated = self.rest.stats.allocated_capacity_gb + self.taken_gib();
        let figures = Figures {
            total: self.total(),
            free: self.free(),
            provisioned: self.provisioned(),
            reserved_percentage: self.reserved_percentage(),
            is_thin: self.is_thin(),
            ratio: self.ratio(),
        };
        self.rooms = [false, true].map(|thick| virtual_free(&figures, thick).unwrap_or(f64::NAN));
    }

    /// Reserves so many GiB.
    pub(super) fn take(&mut self, gib: u32) {
        self.set_taken(self.taken + u64::from(gib));
    }

    /// Releases so many GiB.
    pub(super) fn give_back(&mut self, gib: u32) {
        self.set_taken(self.taken.saturating_sub(u64::from(gib)));
    }

    /// Its report, less the reservations since.
    pub(super) fn adjusted(&self) -> PoolStats {
        PoolStats {
            free_capacity_gb: self.free(),
            provisioned_capacity_gb: self.provisioned(),
            allocated_capacity_gb: self.allocated(),
            ..self.rest.stats.clone()
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 GiB")]
    fn taken_gib(&self) -> f64 {
        self.taken as f64
    }
}
