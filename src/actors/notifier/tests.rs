//! The publisher with scripted sinks, and the webhook with a real server.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use async_trait::async_trait;
use lapin::uri::AMQPScheme;
use parking_lot::Mutex;
use serde_json::Value;
use uuid::Uuid;

use super::publisher::Publisher;
use super::webhook::{WebhookSink, signature};
use super::*;
use crate::actors::registry::control_nodes::{ControlNodeOptions, join, leave};
use crate::model::NodeIncarnation;
use crate::model::volume::Secret;
use crate::model::{Notification, NotificationCaller};
use crate::store::Store;
use crate::store::memory::MemoryStore;

/// What a scripted sink says to one notification.
type Say = Result<(), SinkError>;

/// A sink that answers as a test says: for each notification in turn, else by success.
#[derive(Clone, Default)]
struct Scripted {
    says: Rc<RefCell<VecDeque<Say>>>,
    /// The notifications that it was asked to publish, and those that it accepted.
    asked: Rc<RefCell<Vec<String>>>,
    accepted: Rc<RefCell<Vec<String>>>,
}

#[async_trait(?Send)]
impl Sink for Scripted {
    fn width(&self) -> usize {
        4
    }

    async fn publish(&self, notification: &Notification) -> Result<(), SinkError> {
        self.asked.borrow_mut().push(notification.event_type.clone());
        tokio::task::yield_now().await;
        let say = self.says.borrow_mut().pop_front().unwrap_or(Ok(()));
        if say.is_ok() {
            self.accepted.borrow_mut().push(notification.event_type.clone());
        }
        say
    }
}

fn down() -> Say {
    Err(SinkError::Unavailable("down".to_owned()))
}

/// With short pauses.
fn options() -> PublisherOptions {
    PublisherOptions {
        pauses: (Duration::from_millis(2), Duration::from_millis(20)),
        ..PublisherOptions::default()
    }
}

/// A notification about a resource.
pub(super) fn notification(resource: u128, event_type: &str) -> Notification {
    let caller = NotificationCaller {
        request_id: "req".to_owned(),
        global_request_id: None,
        user_id: "u".into(),
        project_id: "p".into(),
        roles: Vec::new(),
        is_admin: false,
    };
    let (resource, payload) = (Uuid::from_u128(resource), "{}".to_owned());
    Notification::new(event_type, "volume.h".to_owned(), resource, &caller, payload)
}

struct World {
    catalog: Catalog,
    store: Arc<dyn Store>,
}

impl World {
    async fn new() -> Self {
        Self::on(Arc::new(MemoryStore::default())).await
    }

    async fn on(store: Arc<dyn Store>) -> Self {
        let catalog = Catalog::open(Arc::clone(&store)).await.unwrap();
        let catalog = catalog.with_outbox("h", &["sink"]).await.unwrap();
        Self { catalog, store }
    }

    fn queue(&self) -> Arc<SinkQueue> {
        Arc::clone(&self.catalog.outbox().unwrap().queues()[0])
    }

    /// Commits a notification for each of these resources, in this order.
    async fn notify(&self, events: &[(u128, &str)]) {
        for (resource, event_type) in events {
            let mut changes = self.catalog.change();
            changes.notify(notification(*resource, event_type));
            changes.commit().await.unwrap();
        }
    }

    fn publisher(&self, sink: impl Sink + 'static, options: PublisherOptions) -> Publisher {
        let claim = TaskClaim::new(self.catalog.clone(), ControlNodes::alone(), "sink");
        Publisher::new(self.catalog.clone(), self.queue(), Box::new(sink), claim, options)
    }

    /// Runs a publisher until nothing waits.
    async fn publish_all(&self, sink: impl Sink + 'static, options: PublisherOptions) {
        let running = self.publisher(sink, options).run();
        let empty = async {
            while self.queue().pending() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = running => {}
            () = empty => {}
            () = tokio::time::sleep(Duration::from_secs(60)) => panic!("{} still wait", self.queue().pending()),
        }
    }
}

#[actix::test]
async fn what_a_sink_does_not_accept_is_published_again_in_order() {
    let world = World::new().await;
    world
        .notify(&[(1, "1a"), (2, "2a"), (1, "1b"), (2, "2b"), (1, "1c")])
        .await;
    let sink = Scripted::default();
    // 1a and 2a are asked for first: the first fails, and what follows it waits for it.
    sink.says
        .borrow_mut()
        .extend([down(), Ok(()), down(), down(), down(), Ok(())]);
    world.publish_all(sink.clone(), options()).await;
    let accepted = sink.accepted.borrow();
    for resource in ["1", "2"] {
        let of: Vec<&String> = accepted
            .iter()
            .filter(|event| event.starts_with(resource))
            .collect();
        let mut sorted = of.clone();
        sorted.sort();
        assert_eq!(of, sorted, "{accepted:?}");
    }
    assert_eq!((accepted.len(), sink.asked.borrow().len()), (5, 9));
    let queue = world.queue();
    assert_eq!(
        (queue.published(), queue.dropped(), queue.failure()),
        (5, 0, None)
    );
}

#[actix::test]
async fn what_was_published_before_a_crash_and_not_deleted_is_published_again_with_the_same_id() {
    let world = World::new().await;
    world.notify(&[(1, "1a")]).await;
    let queue = world.queue();
    let before = world
        .catalog
        .pending_notifications(&queue, None, 9)
        .await
        .unwrap();
    // The next process, on the same store.
    let next = World::on(Arc::clone(&world.store)).await;
    let after = next
        .catalog
        .pending_notifications(&next.queue(), None, 9)
        .await
        .unwrap();
    let id = |rows: &[crate::store::catalog::Pending]| rows[0].notification.as_ref().unwrap().message_id;
    assert_eq!(id(&before), id(&after));
    let sink = Scripted::default();
    next.publish_all(sink.clone(), options()).await;
    assert_eq!(*sink.accepted.borrow(), ["1a"]);
}

#[actix::test]
async fn a_sink_that_is_down_keeps_the_newest_notifications_within_the_bound() {
    let world = World::new().await;
    let sink = Scripted::default();
    sink.says.borrow_mut().extend(std::iter::repeat_n(down(), 10_000));
    let bounded = PublisherOptions {
        max_pending: 200,
        ..options()
    };
    let running = tokio::task::spawn_local(world.publisher(sink.clone(), bounded).run());
    for number in 0..450_u128 {
        world.notify(&[(number, &format!("{number:03}"))]).await;
    }
    while world.queue().pending() > 200 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(world.queue().dropped(), 250);
    assert_eq!(world.queue().failure().as_deref(), Some("down"));
    running.abort();
    sink.says.borrow_mut().clear();
    sink.accepted.borrow_mut().clear();
    world.publish_all(sink.clone(), bounded).await;
    // The oldest may have been on their way when the bound was exceeded; the newest are there in any case.
    let mut accepted = sink.accepted.borrow().clone();
    accepted.sort();
    let newest: Vec<String> = (350..450).map(|number| format!("{number:03}")).collect();
    assert_eq!(accepted.len(), 200);
    assert_eq!(accepted[100..], newest);
}

#[actix::test]
async fn what_a_sink_refuses_again_and_again_is_dropped_and_the_rest_is_published() {
    let world = World::new().await;
    world.notify(&[(1, "1a"), (1, "1b")]).await;
    let sink = Scripted::default();
    let refused = || Err(SinkError::Refused("no".to_owned()));
    sink.says.borrow_mut().extend([refused(), refused(), refused()]);
    let bounded = PublisherOptions {
        refusals: 3,
        ..options()
    };
    world.publish_all(sink.clone(), bounded).await;
    assert_eq!(*sink.accepted.borrow(), ["1b"]);
    assert_eq!(*sink.asked.borrow(), ["1a", "1a", "1a", "1b"]);
    assert_eq!((world.queue().published(), world.queue().dropped()), (1, 1));
}

/// A web server that answers with these statuses in turn, then with 204; status 0 is no answer within the time limit.
struct Receiver {
    statuses: Mutex<VecDeque<u16>>,
    bodies: Mutex<Vec<(u16, Value, String)>>,
}

async fn receive(state: web::Data<Receiver>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let status = state.statuses.lock().pop_front().unwrap_or(204);
    let header = request.headers().get("X-Pumice-Signature");
    let is_signed = header.is_some_and(|found| found == signature(&Secret::new("key"), &body).as_str());
    assert!(is_signed, "each request is signed");
    let message: Value = serde_json::from_slice(&body).unwrap();
    let event_type = message["event_type"].as_str().unwrap().to_owned();
    state.bodies.lock().push((status, message, event_type));
    if status == 0 {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    HttpResponse::build(actix_web::http::StatusCode::from_u16(status.max(200)).unwrap()).finish()
}

#[actix::test]
async fn a_webhook_that_is_slow_or_fails_gets_each_notification_in_order() {
    let receiver = web::Data::new(Receiver {
        statuses: Mutex::new(VecDeque::from([500, 0, 429, 204, 503, 404, 404])),
        bodies: Mutex::default(),
    });
    let state = receiver.clone();
    let server = HttpServer::new(move || {
        let route = web::post().to(receive);
        App::new().app_data(state.clone()).default_service(route)
    });
    let server = server.workers(1).bind("127.0.0.1:0").unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    let serving = tokio::task::spawn_local(server);
    let world = World::new().await;
    let events = ["1a", "1b", "1c", "1d"];
    world.notify(&events.map(|event| (1, event))).await;
    let sink = WebhookSink::new(WebhookOptions {
        url: Secret::new(format!("http://{address}/events")),
        secret: Some(Secret::new("key")),
        timeout: Duration::from_millis(300),
        tls: None,
    });
    let bounded = PublisherOptions {
        refusals: 2,
        ..options()
    };
    world.publish_all(sink, bounded).await;
    let bodies = std::mem::take(&mut *receiver.bodies.lock());
    let asked: Vec<(u16, &str)> = bodies
        .iter()
        .map(|(status, _, event)| (*status, event.as_str()))
        .collect();
    // 1a: three failures, then accepted; 1b: one failure, then refused twice and dropped.
    let expected = [
        (500, "1a"),
        (0, "1a"),
        (429, "1a"),
        (204, "1a"),
        (503, "1b"),
        (404, "1b"),
        (404, "1b"),
        (204, "1c"),
        (204, "1d"),
    ];
    assert_eq!(asked, expected);
    let message = &bodies[0].1;
    assert_eq!(message["message_id"], bodies[1].1["message_id"]);
    for key in [
        "publisher_id",
        "priority",
        "payload",
        "timestamp",
        "_context_request_id",
    ] {
        assert!(message.get(key).is_some(), "{key}");
    }
    handle.stop(false).await;
    serving.abort();
}

#[test]
fn the_envelope_is_that_of_oslo_messaging() {
    let caller = NotificationCaller {
        request_id: "req-1".to_owned(),
        global_request_id: None,
        user_id: "u".into(),
        project_id: "p".into(),
        roles: vec!["member".to_owned()],
        is_admin: false,
    };
    let payload = r#"{"volume_id": "v"}"#.to_owned();
    let notification = Notification {
        timestamp: crate::model::Timestamp(1_795_331_554_123_456),
        ..Notification::new(
            "volume.create.end",
            "volume.h@b#p".to_owned(),
            Uuid::nil(),
            &caller,
            payload,
        )
    };
    let envelope: Value = serde_json::from_str(&message::envelope(&notification)).unwrap();
    assert_eq!(envelope["oslo.version"], "2.0");
    let inner: Value = serde_json::from_str(envelope["oslo.message"].as_str().unwrap()).unwrap();
    assert_eq!(inner["timestamp"], "2026-11-22 07:12:34.123456");
    assert_eq!(inner["payload"]["volume_id"], "v");
    assert_eq!(
        (&inner["priority"], &inner["_context_user_id"]),
        (&"INFO".into(), &"u".into())
    );
    assert_eq!(inner["_unique_id"].as_str().unwrap().len(), 32);
}

#[test]
fn urls_of_brokers_are_those_of_oslo_messaging() {
    let hosts = amqp::hosts("rabbit://u:p@one:5672,u:p@two:5673/vhost");
    let hosts: Vec<&str> = hosts.iter().map(Secret::reveal).collect();
    assert_eq!(
        hosts,
        ["rabbit://u:p@one:5672/vhost", "rabbit://u:p@two:5673/vhost"]
    );
    let uri = amqp::parse_url("rabbit://u:p@one:5673/").unwrap();
    assert_eq!(
        (
            uri.authority.host.as_str(),
            uri.authority.port,
            uri.vhost.as_str()
        ),
        ("one", 5673, "/")
    );
    assert_eq!(amqp::parse_url("amqp://one/volumes").unwrap().vhost, "volumes");
    let encrypted = amqp::parse_url("amqps://one").unwrap();
    assert_eq!(
        (encrypted.scheme, encrypted.authority.port),
        (AMQPScheme::AMQPS, 5671)
    );
    for bad in ["one:5672", "amqps://", "http://one", "amqp://"] {
        let why = amqp::parse_url(bad).unwrap_err();
        assert!(!why.contains("one"), "{why}");
    }
}

/// A control node on a store, with its publisher.
struct Node {
    world: World,
    nodes: ControlNodes,
    sink: Scripted,
}

impl Node {
    async fn join(store: &Arc<dyn Store>, name: &str) -> Self {
        let run = NodeIncarnation {
            node: name.to_owned(),
            boot: 1,
            random: 1,
        };
        let catalog = Catalog::open(Arc::clone(store)).await.unwrap();
        let (catalog, nodes) = join(&catalog, &run, 1, ControlNodeOptions::default())
            .await
            .unwrap();
        let catalog = catalog.with_outbox(name, &["sink"]).await.unwrap();
        let store = Arc::clone(store);
        Self {
            world: World { catalog, store },
            nodes,
            sink: Scripted::default(),
        }
    }

    fn publish(&self) -> tokio::task::JoinHandle<()> {
        let claim = TaskClaim::new(
            self.world.catalog.clone(),
            self.nodes.clone(),
            ClusterTask::publishing("sink"),
        );
        let sink = Box::new(self.sink.clone());
        let publisher = Publisher::new(
            self.world.catalog.clone(),
            self.world.queue(),
            sink,
            claim,
            options(),
        );
        tokio::task::spawn_local(publisher.run())
    }

    fn asked(&self) -> Vec<String> {
        self.sink.asked.borrow().clone()
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

#[actix::test]
async fn one_node_publishes_for_all_and_another_goes_on_when_it_ends() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (a, b) = (Node::join(&store, "a").await, Node::join(&store, "b").await);
    let of_a = a.publish();
    a.world.notify(&[(1, "1a")]).await;
    until("the first", || a.asked() == ["1a"]).await;
    let _of_b = b.publish();
    // Of both nodes, by the one that publishes.
    b.world.notify(&[(1, "1b")]).await;
    a.world.notify(&[(1, "1c")]).await;
    until("those of both", || a.asked() == ["1a", "1b", "1c"]).await;
    // It fails from now on, and then ends: what it has not published, the other does.
    a.sink
        .says
        .borrow_mut()
        .extend(std::iter::repeat_with(down).take(10_000));
    b.world.notify(&[(1, "1d"), (1, "1e")]).await;
    until("a failure", || a.asked().len() > 3).await;
    assert_eq!(b.asked(), [""; 0]);
    leave(&a.world.catalog, &a.nodes).await.unwrap();
    b.nodes.note_change();
    until("the other to go on", || b.asked() == ["1d", "1e"]).await;
    // The former one may delete nothing, whatever it publishes.
    let rows = a
        .world
        .catalog
        .pending_notifications(&a.world.queue(), None, 9)
        .await
        .unwrap();
    assert!(rows.is_empty());
    a.sink.says.borrow_mut().clear();
    b.world.notify(&[(1, "1f")]).await;
    until("the last", || b.asked() == ["1d", "1e", "1f"]).await;
    of_a.abort();
}
