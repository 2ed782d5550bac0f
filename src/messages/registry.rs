//! To the **Registry** actor: the liveness of services, and their enabling and disabling by operators.

use serde::{Deserialize, Serialize};

use super::{call, cast, topic};
use crate::model::{Service, Timestamp};

topic!(
    /// The Registry actor.
    RegistryTopic = "registry", versions 1..=2
);

/// A service is alive. Sent every `report_interval`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// `cinder-volume`, `cinder-scheduler`.
    pub binary: String,
    /// `host` or `host@backend`.
    pub host: String,
    /// Its zone.
    pub availability_zone: String,
    /// Whether its driver works (shown as `backend_state`); `None` where there is none.
    pub backend_up: Option<bool>,
}
cast!(Heartbeat => RegistryTopic, "heartbeat", since 1);

/// Lists all services, with the time of their last heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListServices {}

/// A service, and whether it is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its record.
    pub service: Service,
    /// The time of its last heartbeat; `None` if there was none since this process started.
    pub heard_at: Option<Timestamp>,
    /// Whether that is recent enough (`service_down_time`).
    pub up: bool,
    /// Whether its driver works.
    pub backend_up: Option<bool>,
}
call!(ListServices => RegistryTopic, "list_services", since 1, reply Vec<ServiceView>);

/// Disable or enable a service for scheduling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetServiceDisabled {
    /// `cinder-volume`, …; empty matches any, since the host may be sufficient.
    pub binary: String,
    /// `host` or `host@backend`.
    pub host: String,
    /// Whether it is disabled.
    pub disabled: bool,
    /// The reason.
    pub reason: Option<String>,
}
call!(SetServiceDisabled => RegistryTopic, "set_service_disabled", since 1, reply Service);

/// Freeze or thaw a backend: no new volume is placed on a frozen one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetServiceFrozen {
    /// `host@backend`, or a `host` with one backend.
    pub host: String,
    /// Whether it is frozen.
    pub frozen: bool,
}
call!(SetServiceFrozen => RegistryTopic, "set_service_frozen", since 2, reply ());
