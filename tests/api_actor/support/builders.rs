//! Options, contexts, requests and outcomes as most tests need them.

use std::time::Duration;

use pumice::actors::api::Options;
use pumice::messages::api::{Failure, FailureKind, Outcome};
use pumice::model::{Connector, Context, PoolName, ProjectId, UserId, VolumeId};
use pumice::verbs::snapshot::CreateSnapshot;
use pumice::verbs::volume::CreateVolume;

pub fn quick() -> Options {
    Options {
        retry_initial: Duration::from_millis(10),
        retry_max: Duration::from_millis(50),
        patience: Duration::from_millis(50),
        scheduling_grace: Duration::from_millis(10),
        wait_limit: Duration::from_secs(5),
        call_timeout: Duration::from_secs(5),
        ..Options::default()
    }
}

pub fn pool(text: &str) -> PoolName {
    text.parse().unwrap()
}

pub fn project() -> ProjectId {
    ProjectId::from("p1")
}

pub fn member() -> Context {
    Context {
        request_id: "req-1".to_owned(),
        global_request_id: None,
        user_id: UserId::from("u1"),
        project_id: project(),
        roles: vec!["member".to_owned()],
        is_admin: false,
        traceparent: None,
        sender: None,
    }
}

/// Of the same project, and may only look.
pub fn reader() -> Context {
    Context {
        roles: vec!["reader".to_owned()],
        ..member()
    }
}

pub fn stranger() -> Context {
    Context {
        project_id: ProjectId::from("p2"),
        ..member()
    }
}

pub fn admin() -> Context {
    Context {
        is_admin: true,
        ..member()
    }
}

pub fn create(size: u32) -> CreateVolume {
    CreateVolume {
        size: Some(size),
        ..CreateVolume::default()
    }
}

pub fn keep(volume: VolumeId) -> CreateSnapshot {
    CreateSnapshot {
        volume_id: volume.to_string(),
        in_use_too: true,
        ..CreateSnapshot::default()
    }
}

pub fn connector(host: &str) -> Connector {
    let text = serde_json::json!({"host": host, "initiator": format!("iqn.{host}")});
    Connector::from_json(text.as_object().unwrap())
}

pub fn failed(kind: FailureKind) -> Outcome {
    Outcome::Failed(Failure {
        kind,
        client: "It broke.".to_owned(),
        operator: "it broke".to_owned(),
    })
}
