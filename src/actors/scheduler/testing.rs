//! Pools and requests for the tests of this module.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::filters::{self, Ask, Why};
use super::pick::Candidates;
use super::pool_state::PoolState;
use super::pools::{Look, Pools};
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
    let request = request(0);
    candidates(&mut pools, &request)[0].pools[0].clone()
}

/// The candidates for a request, none of whose filters reads only reports.
pub(crate) fn candidates<'a>(pools: &'a mut Pools, request: &RequestSpec) -> Vec<Candidates<'a>> {
    let look = Look::at(Instant::now(), Duration::from_secs(60));
    pools.candidates(&look, &Ask::of(request).class, &[])
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
pub(crate) fn passes(filter: &str, pool: &PoolState, request: &RequestSpec) -> bool {
    let filter = filters::chain(&[filter]).unwrap()[0];
    filter.passes(pool, &Ask::of(request), &mut Why::unasked())
}
