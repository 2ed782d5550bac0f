//! To the **Registry** actor: the liveness of services, and their enabling and disabling by operators.

use serde::{Deserialize, Serialize};

use super::{call, cast, topic};
use crate::model::{Service, ServiceId, Timestamp};

topic!(
    /// The Registry actor.
    RegistryTopic = "registry", versions 1..=3
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

/// Whether a service is alive. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ServiceState {
    /// Its node is connected, and it has reported in time.
    Up,
    /// Its node said that it leaves.
    Stopped,
    /// Its node is not connected and has not said that it leaves; it may be alive.
    Suspect,
    /// It was silent for the down time, or has not reported since this registry's start.
    Down,
}

impl ServiceState {
    /// What Cinder calls `up`: a suspect service is not down before its time.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Up | Self::Suspect)
    }
}

/// A service, and its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its record.
    pub service: Service,
    /// The time of its last heartbeat; `None` if there was none since the start of the registry.
    pub heard_at: Option<Timestamp>,
    /// Its state.
    pub state: ServiceState,
    /// Whether its driver works.
    pub backend_up: Option<bool>,
}

/// Lists all services with their states, as far as any control node knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListServiceStates {}
call!(ListServiceStates => RegistryTopic, "list_service_states", since 3, reply Vec<ServiceStatus>);

/// Asks the registry of another control node what it has heard of services that are not up here: their nodes may be connected to that
/// one only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetHeardServices {
    /// The services.
    pub services: Vec<ServiceId>,
}

/// What a registry has heard of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardService {
    /// The service.
    pub id: ServiceId,
    /// The time of its last heartbeat.
    pub heard_at: Option<Timestamp>,
    /// Its state.
    pub state: ServiceState,
    /// Whether its driver works.
    pub backend_up: Option<bool>,
}
call!(GetHeardServices => RegistryTopic, "get_heard_services", since 3, reply Vec<HeardService>);

/// Services were changed in the catalog: read them again. Sent to the registries of other control nodes, which read them periodically
/// anyway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadServices {}
cast!(ReadServices => RegistryTopic, "read_services", since 3);

/// Removes the services of a host that is gone (cinder-manage: `service remove`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveHost {
    /// A `host`, all of whose services are removed, or the `host@backend` of one.
    pub host: String,
}
call!(RemoveHost => RegistryTopic, "remove_host", since 3, reply Vec<Service>);

/// Asks a control node about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeControlNode {}
call!(DescribeControlNode => RegistryTopic, "describe_control_node", since 3, reply ControlNodeReport);

/// A control node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlNodeReport {
    /// Its name.
    pub node: String,
    /// Its incarnation, `boot-random`.
    pub incarnation: String,
    /// The version of its program.
    pub version: String,
    /// Where it listens for other nodes, if it does.
    pub address: Option<String>,
    /// The last revision of the store that it shows; `None` if the store is its own.
    pub view: Option<u64>,
    /// The versions that it speaks, by topic.
    pub speaks: Vec<SpokenTopic>,
    /// The lowest that it and its peers have in common, by topic.
    pub common: Vec<SpokenTopic>,
}

/// The versions of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpokenTopic {
    /// The topic.
    pub topic: String,
    /// The oldest.
    pub min: u16,
    /// The newest.
    pub max: u16,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{message, reply};

    fn service() -> Service {
        Service {
            id: "01890a5d-ac96-774b-bcce-b302099a8057"
                .parse::<ServiceId>()
                .unwrap(),
            binary: "cinder-volume".to_owned(),
            host: "h@lvm".to_owned(),
            availability_zone: "nova".to_owned(),
            disabled: true,
            disabled_reason: Some("new disks".to_owned()),
            frozen: false,
            created_at: Timestamp(1_700_000_000_000_000),
            updated_at: None,
        }
    }

    #[test]
    fn messages_have_the_bytes_they_had() {
        message(&[("only", ListServiceStates {})]);
        let id = service().id;
        message(&[("one", GetHeardServices { services: vec![id] })]);
        let heard = HeardService {
            id,
            heard_at: Some(Timestamp(1_700_000_000_000_001)),
            state: ServiceState::Up,
            backend_up: Some(false),
        };
        reply("registry.get_heard_services", &[("one", vec![heard])]);
        let status = |state| ServiceStatus {
            service: service(),
            heard_at: Some(Timestamp(1_700_000_000_000_001)),
            state,
            backend_up: Some(true),
        };
        let states = [
            ServiceState::Up,
            ServiceState::Stopped,
            ServiceState::Suspect,
            ServiceState::Down,
        ];
        reply(
            "registry.list_service_states",
            &[("states", states.map(status).to_vec())],
        );
        message(&[("only", ReadServices {})]);
        message(&[("host", RemoveHost { host: "h".to_owned() })]);
        reply("registry.remove_host", &[("one", vec![service()])]);
        message(&[("only", DescribeControlNode {})]);
        let topic = || SpokenTopic {
            topic: "api".to_owned(),
            min: 1,
            max: 8,
        };
        let report = ControlNodeReport {
            node: "c1/control".to_owned(),
            incarnation: "3-0123456789abcdef".to_owned(),
            version: "0.1.0".to_owned(),
            address: Some("192.0.2.1:7776".to_owned()),
            view: Some(9),
            speaks: vec![topic()],
            common: vec![topic()],
        };
        reply("registry.describe_control_node", &[("full", report)]);
    }
}
