//! What a volume node may say, with a certificate and without: its own, and nothing else.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use pumice::messages::api::{
    ApiTopic, BackendStarted, CancelOperation, ListBackendVolumes, ListManageableVolumes,
};
use pumice::messages::registry::{Heartbeat, RegistryTopic, SetServiceDisabled};
use pumice::messages::volume::{ListExisting, VolumeTopic};
use pumice::model::{Context, Error, ErrorKind, Existing, NodeRole, OperationId, Timestamp};
use pumice::transport::{Actor, CallError, EndpointBuilder, Router, Serve};

use crate::cluster::*;
use crate::transport_support::net::{connected, is_connected};
use crate::transport_support::until;

const LONG: Duration = Duration::from_secs(10);

/// Calls and casts of a volume node for its own backend, for another's, and those that are for control nodes.
async fn says_its_own_and_nothing_else(router: &Router, seen: &Seen, log: &Log) {
    let context = Context::internal("made up");
    let (api, registry) = (router.any::<ApiTopic>(), router.any::<RegistryTopic>());
    let list = |backend: &str| ListBackendVolumes {
        backend: backend.parse().unwrap(),
        after: None,
        limit: 1,
    };
    let started = |backend: &str| BackendStarted {
        backend: backend.parse().unwrap(),
        at: Timestamp(0),
    };
    let heartbeat = |host: &str| Heartbeat {
        binary: "cinder-volume".to_owned(),
        host: host.to_owned(),
        availability_zone: "nova".to_owned(),
        backend_up: None,
    };
    assert_eq!(api.call(&context, list("vol@file"), LONG).await, Ok(Vec::new()));
    api.cast(&context, started("vol@file")).await.unwrap();
    assert_eq!(registry.fanout(&context, heartbeat("vol@file")).await, 1);
    until("all are handled", || seen.count() == 3).await;
    for (message, context) in seen.contexts.borrow().iter() {
        assert!(!context.is_admin && context.roles.is_empty(), "{message}");
        assert_eq!(context.user_id.as_str(), "vol/volume");
    }

    let forbidden = |result: Result<(), CallError>| match result {
        Err(CallError::Refused(error)) => assert_eq!(error.kind, ErrorKind::Forbidden, "{error:?}"),
        other => panic!("{other:?}"),
    };
    forbidden(api.call(&context, list("other@file"), LONG).await.map(|_| ()));
    forbidden(api.cast(&context, started("other@file")).await);
    forbidden(registry.cast(&context, heartbeat("other@file")).await);
    let host = "vol@file".to_owned();
    forbidden(
        api.call(&context, ListManageableVolumes { host: host.clone() }, LONG)
            .await
            .map(|_| ()),
    );
    let operation = OperationId::new();
    forbidden(api.call(&context, CancelOperation { operation }, LONG).await);
    let disable = SetServiceDisabled {
        binary: String::new(),
        host,
        disabled: true,
        reason: None,
    };
    forbidden(registry.call(&context, disable, LONG).await.map(|_| ()));
    assert_eq!(seen.count(), 3, "nothing else has reached an actor");
    for line in [
        "list_backend_volumes to api for other@file, which is not one of the node's own.",
        "backend_started to api for other@file",
        "heartbeat to registry for other@file",
        "list_manageable_volumes to api is for control nodes only.",
        "cancel_operation to api is for control nodes only.",
        "set_service_disabled to registry is for control nodes only.",
    ] {
        assert!(
            log.has(&["it may not send", "peer=\"vol/volume\"", line]),
            "{line} in\n{}",
            log.text()
        );
    }
}

#[actix_rt::test]
async fn a_volume_node_says_its_own_and_nothing_else() {
    let log = Log::default();
    let _guard = log.begin();
    let cluster = Cluster::new();
    let listener = cluster.right(&control());
    let seen = serve_control(&listener.router);
    let address = listener.listen().await.local_addr();
    let dialer = cluster.right(&volume("vol/volume", &["vol@file"]));
    dialer.join(address);
    connected(&dialer.router, "ctl/control").await;
    says_its_own_and_nothing_else(&dialer.router, &seen, &log).await;
}

#[actix_rt::test]
async fn a_node_without_a_certificate_is_a_volume_node_of_its_host_to_whom_it_dials() {
    let log = Log::default();
    let _guard = log.begin();
    let listener = Router::new("ctl/control");
    let seen = serve_control(&listener);
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let address = listener.listen(anywhere, options()).await.unwrap().local_addr();
    let dialer = Router::new("vol/volume");
    dialer.join(address.to_string(), options());
    connected(&dialer, "ctl/control").await;
    says_its_own_and_nothing_else(&dialer, &seen, &log).await;
}

/// A manager that says whose it is.
struct Manager(&'static str);

impl Actor for Manager {
    type Topic = VolumeTopic;
}

impl Serve<ListExisting> for Manager {
    async fn serve(self: Rc<Self>, context: Context, _: ListExisting) -> Result<Vec<Existing>, Error> {
        assert!(context.is_admin, "a control node's context is believed");
        Err(Error::not_found(self.0))
    }
}

fn serve_backend(router: &Router, backend: &str, answer: &'static str) {
    let endpoint = EndpointBuilder::new(Some(backend.to_owned()), 64, move || Rc::new(Manager(answer)));
    router.register(endpoint.serves::<ListExisting>().start());
}

async fn answer_of(router: &Router, backend: &str) -> String {
    let question = ListExisting {
        after: None,
        limit: 1,
    };
    let answered = router
        .server::<VolumeTopic>(backend)
        .call(&Context::internal("a"), question, LONG)
        .await;
    match answered {
        Err(CallError::Refused(error)) => error.client,
        other => format!("{other:?}"),
    }
}

#[actix_rt::test]
async fn a_node_hears_no_commands_for_backends_that_are_not_its_own() {
    let log = Log::default();
    let _guard = log.begin();
    let cluster = Cluster::new();
    let listener = cluster.right(&control());
    let address = listener.listen().await.local_addr();
    let dialer = cluster.right(&volume("vol/volume", &["vol@file"]));
    serve_backend(&dialer.router, "vol@file", "the owner");
    dialer.join(address);
    connected(&listener.router, "vol/volume").await;
    let thief = cluster.right(&volume("thief/volume", &["thief@file"]));
    serve_backend(&thief.router, "vol@file", "the thief");
    thief.join(address);
    let line = "volume@vol@file is announced, which the node may not serve";
    until("it is refused", || {
        log.has(&["no connection to the other node", line])
            && log.has(&["a connection from another node failed", line])
    })
    .await;
    assert!(!is_connected(&listener.router, "thief/volume"));

    // What is announced later is refused, too.
    let late = cluster.right(&volume("late/volume", &["late@file"]));
    late.join(address);
    connected(&listener.router, "late/volume").await;
    serve_backend(&late.router, "vol@file", "the late thief");
    until("it is disconnected, and logs why", || {
        log.has(&["no longer connected", "the peer said goodbye", line])
    })
    .await;
    for _ in 0..6 {
        assert_eq!(answer_of(&listener.router, "vol@file").await, "the owner");
    }
}

#[actix_rt::test]
async fn a_backend_is_served_by_one_node_at_a_time() {
    let log = Log::default();
    let _guard = log.begin();
    // Two certificates for one backend: an operator's mistake, or the spare node of a storage.
    let cluster = Cluster::new();
    let mut both = identity("ctl", NodeRole::Volume, &["ctl@file"]);
    both.roles.insert(NodeRole::Control);
    let listener = cluster.right(&both);
    serve_backend(&listener.router, "ctl@file", "the control node itself");
    let address = listener.listen().await.local_addr();
    let [first, second] =
        ["one/volume", "two/volume"].map(|name| cluster.right(&volume(name, &["vol@file", "ctl@file"])));
    serve_backend(&first.router, "vol@file", "the first");
    serve_backend(&second.router, "vol@file", "the second");
    first.join(address);
    connected(&listener.router, "one/volume").await;
    second.join(address);
    let line = "volume@vol@file is announced, which node 'one/volume' serves already";
    until("it is refused", || {
        log.has(&["no connection to the other node", line])
    })
    .await;
    assert_eq!(answer_of(&listener.router, "vol@file").await, "the first");
    first.router.shutdown(Duration::ZERO).await;
    connected(&listener.router, "two/volume").await;
    assert_eq!(answer_of(&listener.router, "vol@file").await, "the second");

    serve_backend(&second.router, "ctl@file", "the second");
    let line = "volume@ctl@file is announced, which this node serves itself";
    until("it is disconnected", || log.has(&["the peer said goodbye", line])).await;
}
