//! One pool: its last report, less the reservations since.

use std::sync::Arc;

use super::capacity::virtual_free;
use super::over_subscription::over_subscription_ratio;
use crate::model::PoolName;
use crate::model::capability::{Capabilities, capabilities};
use crate::model::service::{BackendStats, Capacity, PoolStats};

/// A pool, as seen by the scheduler.
#[derive(Clone, Debug)]
pub struct PoolState {
    name: PoolName,
    zone: Arc<str>,
    stats: PoolStats,
    capabilities: Capabilities,
    ratio: f64,
    taken: u64,
    /// [`virtual_free`] for thin volumes and for thick ones: asked for by each decision, and changed by few.
    rooms: [Option<f64>; 2],
}

impl PoolState {
    /// A pool of a backend's report. All pools of the backend share its zone.
    pub(super) fn new(backend: &BackendStats, zone: Arc<str>, stats: &PoolStats) -> Self {
        let mut state = Self {
            name: backend.backend.pool(&stats.pool_name),
            zone,
            capabilities: capabilities(backend, stats),
            ratio: over_subscription_ratio(stats),
            taken: 0,
            rooms: [None; 2],
            stats: stats.clone(),
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
        &self.name
    }

    /// Its availability zone.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// Its capabilities.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Its size.
    pub fn total(&self) -> Capacity {
        self.stats.total_capacity_gb
    }

    /// Its free space, less the reservations since its report.
    pub fn free(&self) -> Capacity {
        match self.stats.free_capacity_gb {
            Capacity::Gib(free) => Capacity::Gib(free - self.taken_gib()),
            unknown => unknown,
        }
    }

    /// GiB provisioned on it, with the reservations since its report.
    pub fn provisioned(&self) -> f64 {
        self.stats.provisioned_capacity_gb + self.taken_gib()
    }

    /// GiB of managed volumes on it, with the reservations since its report.
    pub fn allocated(&self) -> f64 {
        self.stats.allocated_capacity_gb + self.taken_gib()
    }

    /// The percentage that is kept free.
    pub fn reserved_percentage(&self) -> u8 {
        self.stats.reserved_percentage
    }

    /// Its over-subscription ratio, for thin volumes only.
    pub fn ratio(&self) -> f64 {
        self.ratio
    }

    /// Whether it creates thin volumes.
    pub fn is_thin(&self) -> bool {
        self.stats.thin_provisioning_support
    }

    /// Whether attached volumes can be extended on it.
    pub fn has_online_extend(&self) -> bool {
        self.stats.online_extend_support
    }

    /// Sets the sum of the reservations since its report.
    pub(super) fn set_taken(&mut self, gib: u64) {
        self.taken = gib;
        self.rooms = [false, true].map(|thick| virtual_free(self, thick));
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
            ..self.stats.clone()
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 GiB")]
    fn taken_gib(&self) -> f64 {
        self.taken as f64
    }
}
