//! The outbox on the memory store.

use std::sync::Arc;

use super::*;
use crate::model::control_node::ControlNodeAbilities;
use crate::model::{NodeIncarnation, NotificationCaller, Volume};
use crate::store::Store;
use crate::store::catalog::samples::volume;
use crate::store::memory::MemoryStore;

fn notification(volume: &Volume, event_type: &str) -> Notification {
    let caller = NotificationCaller {
        request_id: "req".to_owned(),
        global_request_id: None,
        user_id: "u".into(),
        project_id: "p".into(),
        roles: Vec::new(),
        is_admin: false,
    };
    Notification::new(
        event_type,
        "volume.h".to_owned(),
        volume.id.0,
        &caller,
        "{}".to_owned(),
    )
}

async fn open(store: &Arc<dyn Store>, sinks: &[&str]) -> Catalog {
    let catalog = Catalog::open(Arc::clone(store)).await.unwrap();
    catalog.with_outbox("h", sinks).await.unwrap()
}

async fn events(catalog: &Catalog, sink: &str) -> Vec<String> {
    let queues = catalog.outbox().unwrap().queues();
    let queue = queues.iter().find(|queue| queue.sink() == sink).unwrap();
    let rows = catalog.pending_notifications(queue, None, 1000).await.unwrap();
    assert_eq!(rows.len(), queue.pending(), "what waits is counted");
    rows.into_iter()
        .map(|row| row.notification.unwrap().event_type)
        .collect()
}

async fn insert_with(catalog: &Catalog, volume: &Volume, event_types: &[&str]) {
    let mut changes = catalog.change();
    changes.insert(volume);
    for event_type in event_types {
        changes.notify(notification(volume, event_type));
    }
    changes.commit().await.unwrap();
}

#[actix::test]
async fn notifications_are_committed_with_their_change_and_outlive_a_restart() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let catalog = open(&store, &["a", "b"]).await;
    let one = volume("p", "one", 1);
    insert_with(&catalog, &one, &["1", "2"]).await;
    // Refused: the volume exists already. Nothing is notified.
    let mut changes = catalog.change();
    changes.insert(&one).notify(notification(&one, "never"));
    changes.commit().await.unwrap_err();
    let catalog = open(&store, &["a", "b"]).await;
    insert_with(&catalog, &volume("p", "two", 1), &["3"]).await;
    for sink in ["a", "b"] {
        assert_eq!(events(&catalog, sink).await, ["1", "2", "3"]);
    }
}

#[actix::test]
async fn what_one_sink_has_accepted_still_waits_for_the_other() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let catalog = open(&store, &["a", "b"]).await;
    insert_with(&catalog, &volume("p", "one", 1), &["1", "2", "3"]).await;
    let queue = Arc::clone(&catalog.outbox().unwrap().queues()[0]);
    let rows = catalog.pending_notifications(&queue, None, 2).await.unwrap();
    let positions: Vec<Position> = rows.iter().map(|row| row.position).collect();
    catalog
        .delete_notifications(&queue, &positions, None)
        .await
        .unwrap();
    assert_eq!(events(&catalog, "a").await, ["3"]);
    assert_eq!(events(&catalog, "b").await, ["1", "2", "3"]);
    // A sink that is removed from the configuration leaves nothing behind, and a new one begins with nothing.
    let catalog = open(&store, &["b", "c"]).await;
    assert_eq!(events(&catalog, "b").await, ["1", "2", "3"]);
    assert_eq!(events(&catalog, "c").await, [""; 0]);
    let catalog = open(&store, &[]).await;
    assert!(catalog.outbox().is_none());
    let rows = catalog
        .range(key(keys::NOTIFICATION).prefix(), None, false, 9)
        .await
        .unwrap();
    assert!(rows.is_empty());
}

#[actix::test]
async fn without_a_sink_a_commit_has_the_same_rows_as_before() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let catalog = open(&store, &[]).await;
    insert_with(&catalog, &volume("p", "one", 1), &["1"]).await;
    let rows = catalog
        .range(key(keys::NOTIFICATION).prefix(), None, false, 9)
        .await
        .unwrap();
    assert!(rows.is_empty());
}

#[actix::test]
async fn a_notification_that_does_not_fit_is_left_out_and_the_change_is_committed() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let catalog = open(&store, &["a"]).await;
    let one = volume("p", "one", 1);
    let mut changes = catalog.change();
    changes.insert(&one);
    let large = Notification {
        payload: "x".repeat(crate::store::MAX_VALUE),
        ..notification(&one, "too large")
    };
    let filler = Notification {
        payload: "x".repeat(crate::store::MAX_VALUE - 1024),
        ..notification(&one, "filler")
    };
    changes.notify(large);
    for _ in 0..MAX_COMMIT / crate::store::MAX_VALUE + 2 {
        changes.notify(filler.clone());
    }
    changes.commit().await.unwrap();
    assert!(catalog.volume(one.id).await.unwrap().is_some());
    let fits = events(&catalog, "a").await;
    assert!(!fits.is_empty() && fits.iter().all(|event_type| event_type == "filler"));
    assert!(catalog.outbox().unwrap().queues()[0].dropped() > 1);
}

#[actix::test]
async fn a_row_that_cannot_be_read_does_not_hold_up_the_queue() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let catalog = open(&store, &["a"]).await;
    let mut changes = catalog.change();
    changes.put_row(row_key("a", Position::renumbered(0)), b"damaged".to_vec());
    changes.commit().await.unwrap();
    let catalog = open(&store, &["a"]).await;
    insert_with(&catalog, &volume("p", "one", 1), &["1"]).await;
    let queue = &catalog.outbox().unwrap().queues()[0];
    let rows = catalog.pending_notifications(queue, None, 9).await.unwrap();
    assert!(rows[0].notification.is_none() && rows[1].notification.is_some());
}

/// Two nodes on one store, each with an outbox of its own.
async fn two_nodes(store: &Arc<dyn Store>) -> [Catalog; 2] {
    [open(store, &["a"]).await, open(store, &["a"]).await]
}

#[actix::test]
async fn the_events_of_a_resource_are_in_the_order_of_its_changes_whichever_nodes_made_them() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let nodes = two_nodes(&store).await;
    let one = volume("p", "one", 1);
    insert_with(&nodes[0], &one, &["00"]).await;
    // One of them has drawn many more numbers than the other.
    for other in 0..20 {
        insert_with(&nodes[0], &volume("p", &format!("other {other}"), 1), &["other"]).await;
    }
    let mut expected = vec!["00".to_owned()];
    for (number, node) in [1, 1, 0, 1, 0, 0, 1, 1, 0].into_iter().enumerate() {
        let event = format!("{:02}", number + 1);
        let was = nodes[node].volume(one.id).await.unwrap().unwrap();
        let mut changes = nodes[node].change();
        changes.update(&was, &was.record.clone());
        changes.notify(notification(&one, &event));
        changes.commit().await.unwrap();
        expected.push(event);
    }
    let queue = &nodes[1].outbox().unwrap().queues()[0];
    let rows = nodes[1].pending_notifications(queue, None, 1000).await.unwrap();
    let of_one = rows.into_iter().filter_map(|row| row.notification);
    let of_one = of_one.filter(|notification| notification.resource == one.id.0);
    assert_eq!(
        of_one
            .map(|notification| notification.event_type)
            .collect::<Vec<_>>(),
        expected
    );
}

#[actix::test]
async fn notifications_of_an_earlier_version_or_of_a_store_with_other_revisions_are_first() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let catalog = open(&store, &["a"]).await;
    let one = volume("p", "one", 1);
    let put = async |row: Key, event: String| {
        let mut changes = catalog.change();
        changes.put_row(row, encode(&notification(&one, &event)).unwrap());
        changes.commit().await.unwrap();
    };
    // What an earlier version wrote, and what was restored from a store that had many more revisions.
    let former = |number: u64| {
        key(keys::NOTIFICATION)
            .text("a")
            .bytes(&number.to_be_bytes())
            .end()
    };
    for number in 0..9 {
        put(former(1_000_000 + number), format!("1{number}")).await;
    }
    for number in 0..9 {
        let position = Position {
            revision: 2_000_000 + number,
            run: 7,
            number: 3,
        };
        put(row_key("a", position), format!("2{number}")).await;
    }
    let catalog = open(&store, &["a"]).await;
    insert_with(&catalog, &one, &["30"]).await;
    let found = events(&catalog, "a").await;
    let mut sorted = found.clone();
    sorted.sort();
    assert_eq!((found.len(), &found), (19, &sorted));
    // Once more: nothing has to be moved.
    let before = catalog.store.shown_revision();
    assert_eq!(events(&open(&store, &["a"]).await, "a").await, found);
    assert_eq!(catalog.store.shown_revision(), before);
}

#[actix::test]
async fn the_notifications_of_a_sink_that_another_node_has_are_kept() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let catalog = open(&store, &["a", "b"]).await;
    insert_with(&catalog, &volume("p", "one", 1), &["1"]).await;
    let mut changes = catalog.change();
    let incarnation = NodeIncarnation {
        node: "other".to_owned(),
        boot: 1,
        random: 1,
    };
    changes.say_abilities(&ControlNodeAbilities {
        incarnation,
        reads: Default::default(),
        sinks: vec!["b".to_owned()],
    });
    changes.commit().await.unwrap();
    open(&store, &[]).await;
    let catalog = open(&store, &["a", "b"]).await;
    assert_eq!(events(&catalog, "b").await, ["1"]);
    assert!(events(&catalog, "a").await.is_empty(), "no node has this one");
}
