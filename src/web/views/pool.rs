//! Pools as the scheduler sees them (cinder: `api/views/scheduler_stats.py`; `cinder/scheduler.md`, "Pool stats fields").

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{Shown, time};
use crate::messages::scheduler::PoolView;
use crate::model::service::Capacity;
use crate::web::views::shape::{self, Shape, field};

/// The pools; what a pool is capable of depends on its driver.
pub const POOLS: Shape = Shape::Object(&[field(
    "pools",
    Shape::List(&Shape::Object(&[
        field("name", Shape::Text),
        field("capabilities", shape::OBJECT).optional(),
    ])),
)]);

/// A pool: its name, and its capabilities if requested.
#[derive(Clone, Copy)]
pub struct Pool<'a> {
    /// The pool.
    pub pool: &'a PoolView,
    /// Whether capabilities are shown.
    pub detail: bool,
}

impl Serialize for Pool<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &Shown(&self.pool.name))?;
        if self.detail {
            map.serialize_entry("capabilities", &Capabilities(self.pool))?;
        }
        map.end()
    }
}

struct Capabilities<'a>(&'a PoolView);

/// A capacity: a number, or the text that the driver reports.
struct Gib(Capacity);

impl Serialize for Gib {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Capacity::Gib(gib) => serializer.serialize_f64(gib),
            Capacity::Infinite => serializer.serialize_str("infinite"),
            Capacity::Unknown => serializer.serialize_str("unknown"),
        }
    }
}

impl Serialize for Capabilities<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let backend = &self.0.backend;
        let pool = usize::try_from(self.0.index)
            .ok()
            .and_then(|index| backend.pools.get(index));
        let mut map = serializer.serialize_map(None)?;
        if let Some(pool) = pool {
            map.serialize_entry("pool_name", &pool.pool_name)?;
            map.serialize_entry("total_capacity_gb", &Gib(pool.total_capacity_gb))?;
            map.serialize_entry("free_capacity_gb", &Gib(pool.free_capacity_gb))?;
            map.serialize_entry("allocated_capacity_gb", &pool.allocated_capacity_gb)?;
            map.serialize_entry("provisioned_capacity_gb", &pool.provisioned_capacity_gb)?;
            map.serialize_entry("thin_provisioning_support", &pool.thin_provisioning_support)?;
            map.serialize_entry("thick_provisioning_support", &pool.thick_provisioning_support)?;
            // Text, as in Cinder: it may be `auto`.
            map.serialize_entry(
                "max_over_subscription_ratio",
                &pool.max_over_subscription_ratio.to_string(),
            )?;
            map.serialize_entry("reserved_percentage", &pool.reserved_percentage)?;
            map.serialize_entry("multiattach", &pool.multiattach)?;
            map.serialize_entry("online_extend_support", &pool.online_extend_support)?;
            map.serialize_entry("total_volumes", &pool.total_volumes)?;
        }
        map.serialize_entry("storage_protocol", &backend.storage_protocol)?;
        map.serialize_entry("backend_state", if backend.up { "up" } else { "down" })?;
        map.serialize_entry("volume_backend_name", &backend.volume_backend_name)?;
        map.serialize_entry("vendor_name", &backend.vendor_name)?;
        map.serialize_entry("driver_version", &backend.driver_version)?;
        map.serialize_entry("timestamp", &time(backend.timestamp))?;
        for (key, value) in pool.into_iter().flat_map(|pool| &pool.extra) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}
