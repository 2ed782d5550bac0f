//! One pool: its last report, less the reservations since.

use std::sync::Arc;

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
    zone: Arc<str>,
    total: Capacity,
    /// As reported, like what follows.
    free: Capacity,
    provisioned: f64,
    allocated: f64,
    ratio: f64,
    reserved_percentage: u8,
    is_thin: bool,
    taken: u64,
    /// [`virtual_free`] for thin volumes and for thick ones: asked for by each decision, and changed by few.
    rooms: [Option<f64>; 2],
}

/// What few decisions read.
#[derive(Clone, Debug)]
struct Rest {
    name: PoolName,
    stats: PoolStats,
    capabilities: Capabilities,
}

impl PoolState {
    /// A pool of a backend's report. All pools of the backend share its zone.
    pub(super) fn new(backend: &BackendStats, zone: Arc<str>, stats: &PoolStats) -> Self {
        let mut state = Self {
            zone,
            total: stats.total_capacity_gb,
            free: stats.free_capacity_gb,
            provisioned: stats.provisioned_capacity_gb,
            allocated: stats.allocated_capacity_gb,
            ratio: over_subscription_ratio(stats),
            reserved_percentage: stats.reserved_percentage,
            is_thin: stats.thin_provisioning_support,
            taken: 0,
            rooms: [None; 2],
            rest: Box::new(Rest {
                name: backend.backend.pool(&stats.pool_name),
                capabilities: capabilities(backend, stats),
                stats: stats.clone(),
            }),
        };
        state.set_taken(0);
        state
    }

    /// The GiB that can still be allocated for a thick volume or a thin one ([`virtual_free`]).
    pub fn room(&self, thick: bool) -> Option<f64> {
        self.rooms[usize::from(thick)]
    }

    /// Its name.
    pub fn name(&self) -> &PoolName {
        &self.rest.name
    }

    /// Its availability zone.
    pub fn zone(&self) -> &Arc<str> {
        &self.zone
    }

    /// Its capabilities.
    pub fn capabilities(&self) -> &Capabilities {
        &self.rest.capabilities
    }

    /// Its size.
    pub fn total(&self) -> Capacity {
        self.total
    }

    /// Its free space, less the reservations since its report.
    pub fn free(&self) -> Capacity {
        match self.free {
            Capacity::Gib(free) => Capacity::Gib(free - self.taken_gib()),
            unknown => unknown,
        }
    }

    /// GiB provisioned on it, with the reservations since its report.
    pub fn provisioned(&self) -> f64 {
        self.provisioned + self.taken_gib()
    }

    /// GiB of managed volumes on it, with the reservations since its report.
    pub fn allocated(&self) -> f64 {
        self.allocated + self.taken_gib()
    }

    /// The percentage that is kept free.
    pub fn reserved_percentage(&self) -> u8 {
        self.reserved_percentage
    }

    /// Its over-subscription ratio, for thin volumes only.
    pub fn ratio(&self) -> f64 {
        self.ratio
    }

    /// Whether it creates thin volumes.
    pub fn is_thin(&self) -> bool {
        self.is_thin
    }

    /// Whether attached volumes can be extended on it.
    pub fn has_online_extend(&self) -> bool {
        self.rest.stats.online_extend_support
    }

    /// Sets the sum of the reservations since its report.
    pub(super) fn set_taken(&mut self, gib: u64) {
        self.taken = gib;
        let figures = Figures {
            total: self.total(),
            free: self.free(),
            provisioned: self.provisioned(),
            reserved_percentage: self.reserved_percentage,
            is_thin: self.is_thin,
            ratio: self.ratio,
        };
        self.rooms = [false, true].map(|thick| virtual_free(&figures, thick));
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
