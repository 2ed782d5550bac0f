//! Follows the connections to other nodes, and notes in [`Liveness`] whose services can be reached.
//!
//! A node is connected, or it said goodbye, or its connection was lost. Each event is compared with the present state of the transport:
//! events of one node may come in another order than they happened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::liveness::{Key, Liveness, SCHEDULER_BINARY, VOLUME_BINARY, key};
use crate::messages::Topic;
use crate::messages::scheduler::SchedulerTopic;
use crate::messages::volume::VolumeTopic;
use crate::model::node_identity::host_of;
use crate::transport::{PeerChange, PeerEvent, Router};

/// Follows the peers of a node, as long as it is awaited.
pub(super) async fn follow(router: Router, liveness: Arc<Liveness>) {
    let mut events = router.watch_peers();
    let mut followed = Followed::new(router, liveness);
    followed.read_all();
    loop {
        match events.recv().await {
            Ok(event) => followed.note(&event),
            Err(RecvError::Lagged(_)) => followed.read_all(),
            Err(RecvError::Closed) => return,
        }
    }
}

struct Followed {
    router: Router,
    liveness: Arc<Liveness>,
    /// The services of each connected node.
    nodes: BTreeMap<String, BTreeSet<Key>>,
}

impl Followed {
    fn new(router: Router, liveness: Arc<Liveness>) -> Self {
        Self {
            router,
            liveness,
            nodes: BTreeMap::new(),
        }
    }

    /// Reads the state of all peers, after events were missed.
    fn read_all(&mut self) {
        let connected = self.router.connected_peers();
        let names: BTreeSet<&str> = connected.iter().map(|event| event.node.as_str()).collect();
        let gone = self.nodes.keys().filter(|node| !names.contains(node.as_str()));
        for node in gone.cloned().collect::<Vec<_>>() {
            self.has_left(&node, BTreeSet::new(), false);
        }
        for event in &connected {
            self.is_connected(event);
        }
    }

    fn note(&mut self, event: &PeerEvent) {
        if let Some(present) = self.router.connected_peer(&event.node) {
            self.is_connected(&present);
        } else if let PeerChange::Down { said_goodbye, .. } = event.change {
            self.has_left(&event.node, services(event), said_goodbye);
        }
    }

    fn is_connected(&mut self, event: &PeerEvent) {
        let services = services(event);
        self.liveness.connected(services.iter().cloned());
        let before = self.nodes.insert(event.node.clone(), services);
        let now = self.nodes.get(&event.node);
        let is_gone = |key: &Key| now.is_none_or(|now| !now.contains(key));
        let gone = before.into_iter().flatten().filter(is_gone);
        self.liveness.left(gone, false, Instant::now());
    }

    fn has_left(&mut self, node: &str, services: BTreeSet<Key>, said_goodbye: bool) {
        let mut all = self.nodes.remove(node).unwrap_or_default();
        all.extend(services);
        self.liveness.left(all, said_goodbye, Instant::now());
    }
}

/// The services of a node, by the actors that it has.
fn services(event: &PeerEvent) -> BTreeSet<Key> {
    let service = |at: &crate::transport::Address| match &at.server {
        Some(server) if at.topic == VolumeTopic::NAME => Some(key(VOLUME_BINARY, server)),
        None if at.topic == SchedulerTopic::NAME => Some(key(SCHEDULER_BINARY, host_of(&event.node))),
        _ => None,
    };
    event.endpoints.iter().filter_map(service).collect()
}
