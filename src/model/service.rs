//! Services and the pools they report.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{BackendName, ServiceId, Timestamp};

/// A service, with its state that operators set. Heartbeats are kept in memory by the registry; this record has
/// what must survive a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its id (`service_uuid` of its volumes).
    pub id: ServiceId,
    /// `cinder-volume`, `cinder-scheduler`: the names for clients.
    pub binary: String,
    /// `host` or `host@backend`.
    pub host: String,
    /// Its availability zone.
    pub availability_zone: String,
    /// Whether an operator disabled it for scheduling.
    pub disabled: bool,
    /// The reason.
    pub disabled_reason: Option<String>,
    /// Whether it is frozen (replication).
    pub frozen: bool,
    /// When the record was created.
    pub created_at: Timestamp,
    /// When the record last changed.
    pub updated_at: Option<Timestamp>,
}

/// A number of GiB that a driver may not know.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Capacity {
    /// So many GiB.
    Gib(f64),
    /// Infinite.
    Infinite,
    /// Unknown.
    Unknown,
}

/// The over-subscription ratio of a thin pool.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum OverSubscription {
    /// So many times the capacity.
    Ratio(f64),
    /// Computed from the provisioned and used space (`auto`).
    Auto,
}

impl FromStr for OverSubscription {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            _ if text == "auto" => Ok(Self::Auto),
            Ok(ratio) if ratio.is_finite() && ratio >= 1.0 => Ok(Self::Ratio(ratio)),
            _ => Err(format!("'{text}' is no ratio")),
        }
    }
}

impl fmt::Display for OverSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio(ratio) => write!(f, "{ratio:?}"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

/// A pool, as reported by its VolumeManager (cinder: pool stats; `cinder/scheduler.md`, "Pool stats fields").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolStats {
    /// The pool's name.
    pub pool_name: String,
    /// The size.
    pub total_capacity_gb: Capacity,
    /// The free space.
    pub free_capacity_gb: Capacity,
    /// The sum of the sizes of the managed volumes on it, in GiB; computed by the manager.
    pub allocated_capacity_gb: f64,
    /// The sum of the virtual sizes of everything on it, in GiB.
    pub provisioned_capacity_gb: f64,
    /// The percentage that is kept free.
    pub reserved_percentage: u8,
    /// The largest over-subscription ratio of a thin pool.
    pub max_over_subscription_ratio: OverSubscription,
    /// Whether it supports thin volumes.
    pub thin_provisioning_support: bool,
    /// Whether it supports thick volumes.
    pub thick_provisioning_support: bool,
    /// Whether its volumes may have several attachments.
    pub multiattach: bool,
    /// Whether attached volumes can be extended.
    pub online_extend_support: bool,
    /// Number of volumes on it.
    pub total_volumes: u64,
    /// Further data of the driver or the configuration: `location_info`, extra capabilities.
    pub extra: BTreeMap<String, String>,
}

/// A backend, as reported by its VolumeManager every report interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendStats {
    /// `host@backend`.
    pub backend: BackendName,
    /// The name by which types select backends.
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
    /// When this was determined; an older report than the known one is dropped.
    pub timestamp: Timestamp,
}
