//! To the **Scheduler** actor: find a pool, and know the pools.

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
    /// GiB that must be free: the size, or the growth.
    pub size: u32,
    /// The zone asked for; `None` means any.
    pub availability_zone: Option<String>,
    /// Extra specs of the type.
    pub extra_specs: BTreeMap<String, String>,
    /// Only this pool's backend will do (clone, snapshot's volume).
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
    /// Takes the pool off a spec, whatever it says there.
    #[must_use]
    pub fn new(spec: VolumeSpec) -> Self {
        Self(spec)
    }

    /// The spec, placed.
    #[must_use]
    pub fn on(mut self, pool: PoolName) -> VolumeSpec {
        self.0.pool = pool;
        self.0
    }
}

/// Find a pool for a volume that exists, and take its room. The outcome comes to the Api actor as a report:
/// [`Outcome::Placed`](super::api::Outcome::Placed), or the failure that there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceVolume {
    /// Whose stage this is.
    pub command: CommandId,
    /// What a pool must satisfy.
    pub request: RequestSpec,
    /// The pool to be chosen if it passes: the volume is there, so it needs no more room.
    pub prefer: Option<PoolName>,
    /// The pools that count.
    pub among: Among,
}
cast!(PlaceVolume => SchedulerTopic, "place_volume", since 2);

/// Which pools count.
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
    /// The backend that they are all on, if it is one.
    #[must_use]
    pub fn backend(&self) -> Option<&BackendName> {
        match self {
            Self::All => None,
            Self::Backend(backend) => Some(backend),
            Self::Pool(pool) => Some(&pool.backend),
        }
    }

    /// Whether the pool is one of them.
    #[must_use]
    pub fn has(&self, pool: &PoolName) -> bool {
        match self {
            Self::All => true,
            Self::Backend(backend) => pool.backend == *backend,
            Self::Pool(one) => pool == one,
        }
    }
}

/// Whether the volume's present pool has room for its growth, taken from it at once if so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidateExtend {
    /// Where it is.
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
    /// What it reports.
    pub stats: BackendStats,
}
cast!(UpdateServiceCapabilities => SchedulerTopic, "update_service_capabilities", since 1);

/// The pools as the scheduler sees them now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetPools {}

/// One pool in the scheduler's view.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolView {
    /// Its name.
    pub name: PoolName,
    /// Whether it may be chosen: alive, enabled, not frozen.
    pub usable: bool,
    /// Its backend's last report.
    pub backend: BackendStats,
    /// Which of the backend's pools it is.
    pub index: u32,
}
call!(GetPools => SchedulerTopic, "get_pools", since 1, reply Vec<PoolView>);
