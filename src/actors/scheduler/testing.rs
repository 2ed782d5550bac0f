//! Pools and requests for the tests of this module.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::filters::Ask;
use super::pool_state::PoolState;
use super::pools::Pools;
use crate::messages::scheduler::RequestSpec;
use crate::model::service::{BackendStats, Capacity, OverSubscription, PoolStats};
use crate::model::{BackendName, Timestamp, VolumeId};

/// An empty thin pool of 100 GiB.
pub(crate) fn pool(name: &str) -> PoolStats {
    PoolStats {
        pool_name: name.into(),
        total_capacity_gb: Capacity::Gib(100.0),
        free_capacity_gb: Capacity::Gib(100.0),
        allocated_capacity_gb: 0.0,
        provisioned_capacity_gb: 0.0,
        reserved_percentage: 0,
        max_over_subscription_ratio: OverSubscription::Ratio(20.0),
        thin_provisioning_support: true,
        thick_provisioning_support: false,
        multiattach: true,
        online_extend_support: true,
        total_volumes: 0,
        extra: BTreeMap::new(),
    }
}

/// A backend that works.
pub(crate) fn backend(host: &str, name: &str, pools: &[&str]) -> BackendStats {
    BackendStats {
        backend: BackendName::new(host, name),
        volume_backend_name: name.into(),
        vendor_name: "Open Source".into(),
        driver_version: "1.0".into(),
        storage_protocol: "iSCSI".into(),
        availability_zone: "nova".into(),
        up: true,
        reason: None,
        pools: pools.iter().map(|name| pool(name)).collect(),
        timestamp: Timestamp::now(),
    }
}

/// The scheduler's state of a reported pool.
pub(crate) fn state(stats: PoolStats) -> PoolState {
    let (mut pools, now) = (Pools::default(), Instant::now());
    let mut backend = backend("h", "lvm", &[]);
    backend.pools.push(stats);
    pools.accept(backend, now, Duration::from_secs(60), &[]);
    let candidates = pools.candidates(now, Duration::from_secs(60), &|_| None);
    candidates[0].pool.clone()
}

/// A request for so many GiB, anywhere.
pub(crate) fn request(size: u32) -> RequestSpec {
    RequestSpec {
        volume_id: VolumeId::new(),
        size,
        availability_zone: None,
        extra_specs: BTreeMap::new(),
        resource_backend: None,
        hints: None,
        tried: Vec::new(),
    }
}

/// Whether this pool passes a filter.
pub(crate) fn passes(
    filter: fn(&PoolState, &Ask<'_>) -> Result<(), String>,
    pool: &PoolState,
    request: &RequestSpec,
) -> bool {
    filter(pool, &Ask::of(request)).is_ok()
}
