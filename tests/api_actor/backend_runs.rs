//! Once a run of a volume node has the list of what it serves, no report of an earlier run changes anything, whichever control node gets it.

use std::time::Duration;

use pumice::actors::api::endpoint;
use pumice::control::Control;
use pumice::messages::api::{ApiTopic, ListBackendVolumesPage, Outcome};
use pumice::model::{BackendName, ConnectionInfo, ErrorKind};
use pumice::transport::{CallError, Handle, Router};
use pumice::verbs::attachment::CreateAttachment;
use pumice::verbs::volume::InitializeConnectionCommand;
use uuid::Uuid;

use crate::support::{Reaction, World, connector, member, quick, send_report};
use crate::transport_support::net::{connected, listen, quick as transport};

fn backend() -> BackendName {
    "h1@fake".parse().unwrap()
}

fn connected_by(run: &str) -> Outcome {
    let data = serde_json::json!({"run": run});
    Outcome::Connected {
        connection_info: ConnectionInfo::new("iscsi", data.as_object().unwrap().clone()),
        provider_location: "127.0.0.1:3260,1 iqn 1".to_owned(),
        provider_auth: None,
    }
}

/// The run of the node that was started so many times, connected with one control node.
async fn run(boot: u64, control: &Router) -> Router {
    let run = Router::of_folder("h1", boot, 7 << 32);
    run.join(listen(control, transport()).await.to_string(), transport());
    connected(&run, control.node()).await;
    run
}

async fn list(run: &Router) -> Result<(), CallError> {
    let question = ListBackendVolumesPage {
        backend: backend(),
        after: None,
        limit: 10,
    };
    let api: Handle<ApiTopic> = run.any();
    let answer = api.call(&member(), question, Duration::from_secs(10)).await;
    answer.map(drop)
}

#[actix::test]
async fn a_report_of_an_earlier_run_changes_nothing_after_the_list_of_a_later_one() {
    let world = World::with(quick()).await;
    let elsewhere = Router::new("elsewhere");
    let control = Control {
        router: elsewhere.clone(),
        ..world.control()
    };
    elsewhere.register(endpoint(control).start());
    let volume = world.volume(1).await;
    world.always("initialize_connection", Reaction::Lose);
    let attaching = {
        let api = world.api.clone();
        let attach = CreateAttachment {
            volume_id: volume.id.to_string(),
            instance_uuid: Some(Uuid::new_v4()),
            connector: Some(connector("a")),
            mode: None,
        };
        actix::spawn(async move { api.call(&member(), attach, Duration::from_secs(20)).await })
    };
    let command = world
        .wait("the command", async || {
            let commands = world.received::<InitializeConnectionCommand>();
            commands.first().map(|found| found.command)
        })
        .await;

    let first = run(1, &elsewhere).await;
    list(&first).await.unwrap();
    let second = run(2, &world.router).await;
    list(&second).await.unwrap();
    // The first run has exported the volume, and the second does not know.
    send_report(&first, &member(), command, Some(backend()), connected_by("first")).await;
    match list(&first).await {
        Err(CallError::Refused(error)) => assert_eq!(error.kind, ErrorKind::Conflict),
        other => panic!("{other:?}"),
    }
    send_report(
        &second,
        &member(),
        command,
        Some(backend()),
        connected_by("second"),
    )
    .await;
    let attachment = attaching.await.unwrap().unwrap();
    let info = attachment.connection_info.unwrap();
    assert_eq!(info.data()["run"], "second");
    world.until_quiet().await;
}
