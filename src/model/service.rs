//! Services and the pools they report.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BackendName, ServiceId, Timestamp};

/// What an operator said of a service, and when it was last heard of. The heartbeat itself is kept in memory by the
/// registry; this record holds what must outlive a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its id (`service_uuid` of the volumes it has).
    pub id: ServiceId,
    /// `cinder-volume`, `cinder-scheduler`: the names clients know.
    pub binary: String,
    /// `host` or `host@backend`.
    pub host: String,
    /// Its availability zone.
    pub availability_zone: String,
    /// Whether an operator took it out of scheduling.
    pub disabled: bool,
    /// Why.
    pub disabled_reason: Option<String>,
    /// Whether it is frozen (replication).
    pub frozen: bool,
    /// When the row was made.
    pub created_at: Timestamp,
    /// When the row last changed.
    pub updated_at: Option<Timestamp>,
}

/// A number of GiB that a driver may not know.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Capacity {
    /// So many GiB.
    Gib(f64),
    /// Without end.
    Infinite,
    /// Not known.
    Unknown,
}

/// The over-subscription ratio of a thin pool.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum OverSubscription {
    /// So many times the capacity.
    Ratio(f64),
    /// Worked out from what is provisioned and used (`auto`).
    Auto,
}

/// A pool as its VolumeManager reports it (cinder: pool stats; `cinder/scheduler.md`, "Pool stats fields").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolStats {
    /// The pool's name.
    pub pool_name: String,
    /// Size.
    pub total_capacity_gb: Capacity,
    /// Free space.
    pub free_capacity_gb: Capacity,
    /// Sum of the sizes of our volumes on it, in GiB; kept by the manager.
    pub allocated_capacity_gb: f64,
    /// Sum of the virtual sizes of all that is on it, in GiB.
    pub provisioned_capacity_gb: f64,
    /// Per cent that is kept free.
    pub reserved_percentage: u8,
    /// How far a thin pool may be over-subscribed.
    pub max_over_subscription_ratio: OverSubscription,
    /// Whether it makes thin volumes.
    pub thin_provisioning_support: bool,
    /// Whether it makes thick volumes.
    pub thick_provisioning_support: bool,
    /// Whether its volumes may have several attachments.
    pub multiattach: bool,
    /// Whether an attached volume can grow.
    pub online_extend_support: bool,
    /// Number of volumes on it.
    pub total_volumes: u64,
    /// Whatever else the driver or the configuration says: `location_info`, extra capabilities.
    pub extra: BTreeMap<String, String>,
}

/// A backend as its VolumeManager reports it, every report interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendStats {
    /// `host@backend`.
    pub backend: BackendName,
    /// The name that types are steered by.
    pub volume_backend_name: String,
    /// The vendor.
    pub vendor_name: String,
    /// The driver's version.
    pub driver_version: String,
    /// `iSCSI`, `NVMe-oF`, …
    pub storage_protocol: String,
    /// Its availability zone.
    pub availability_zone: String,
    /// Whether the driver works; if not, `reason` says why.
    pub up: bool,
    /// Why it is down.
    pub reason: Option<String>,
    /// Its pools.
    pub pools: Vec<PoolStats>,
    /// When these facts were gathered; an older report than the known one is dropped.
    pub timestamp: Timestamp,
}
