//! To the **Scheduler** actor: placement, and the state of pools.

use serde::{Deserialize, Serialize};

use super::{call, cast, topic};
use crate::messages::volume::CommandId;
use crate::model::service::BackendStats;
use crate::model::{BackendName, PoolName, VolumeId, VolumeSpec};
use std::collections::BTreeMap;

topic!(
    /// The Scheduler actor.
    SchedulerTopic = "scheduler", versions 1..=2
);

/// What a pool must satisfy (cinder: `request_spec` and `filter_properties`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestSpec {
    /// The volume to place.
    pub volume_id: VolumeId,
    /// The required GiB: the size, or the growth.
    pub size: u32,
    /// The requested zone; `None` for any.
    pub availability_zone: Option<String>,
    /// Extra specs of the type.
    pub extra_specs: BTreeMap<String, String>,
    /// The required backend (of a clone's source, or a snapshot's volume).
    pub resource_backend: Option<PoolName>,
    /// Scheduler hints, as JSON text.
    pub hints: Option<String>,
    /// Pools that failed in earlier attempts.
    pub tried: Vec<PoolName>,
}

/// A [`VolumeSpec`] that has no pool yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnplacedVolume(VolumeSpec);

impl UnplacedVolume {
    /// Removes the pool from a spec.
    pub fn new(spec: VolumeSpec) -> Self {
        Self(spec)
    }

    /// The spec on this pool.
    pub fn on(mut self, pool: PoolName) -> VolumeSpec {
        self.0.pool = pool;
        self.0
    }
}

/// Find a pool for an existing volume, and reserve its capacity. The outcome is reported to the Api actor:
/// [`Outcome::Placed`](super::api::Outcome::Placed), or a failure if there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceVolume {
    /// The command of this stage.
    pub command: CommandId,
    /// What a pool must satisfy.
    pub request: RequestSpec,
    /// The pool to choose if it is suitable: the volume is on it, so it needs no more capacity.
    pub prefer: Option<PoolName>,
    /// The candidate pools.
    pub among: Among,
}
cast!(PlaceVolume => SchedulerTopic, "place_volume", since 2);

/// The candidate pools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Among {
    /// All.
    All,
    /// Those of this backend.
    Backend(BackendName),
    /// This one.
    Pool(PoolName),
}

impl Among {
    /// The backend of the pools, if it is a single one.
    pub fn backend(&self) -> Option<&BackendName> {
        match self {
            Self::All => None,
            Self::Backend(backend) => Some(backend),
            Self::Pool(pool) => Some(&pool.backend),
        }
    }

    /// Whether the pool is one of them.
    pub fn has(&self, pool: &PoolName) -> bool {
        match self {
            Self::All => true,
            Self::Backend(backend) => pool.backend == *backend,
            Self::Pool(one) => pool == one,
        }
    }
}

/// Checks whether the volume's pool has capacity for its growth, and reserves it at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidateExtend {
    /// The pool of the volume.
    pub pool: PoolName,
    /// What the pool must satisfy; `size` is the growth.
    pub request: RequestSpec,
    /// Whether it is attached (the pool must then support `online_extend`).
    pub attached: bool,
}
call!(ValidateExtend => SchedulerTopic, "validate_extend", since 1, reply ());

/// A backend's report of itself. Sent to every scheduler, each report interval and after each change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateServiceCapabilities {
    /// The statistics.
    pub stats: BackendStats,
}
cast!(UpdateServiceCapabilities => SchedulerTopic, "update_service_capabilities", since 1);

/// The scheduler's current view of the pools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetPools {}

/// The scheduler's view of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolView {
    /// Its name.
    pub name: PoolName,
    /// Whether it may be chosen: alive, enabled, not frozen.
    pub usable: bool,
    /// Its backend's last report.
    pub backend: BackendStats,
    /// Its index in the backend's pools.
    pub index: u32,
}
call!(GetPools => SchedulerTopic, "get_pools", since 1, reply Vec<PoolView>);
