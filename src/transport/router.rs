//! The router: local endpoints, and peers with what they serve.
//!
//! Reads (each send) take a shared lock for one look-up; writes (an actor registers) are rare. Local actors are
//! preferred: with one control node, no message is sent over the network without need.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::RwLock;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handshake::Introduction;
use super::header::{Announcement, Destination, Incarnation, Refusal, Refuse, TopicVersions};
use super::join::JoinedPeer;
use super::listener::ListenerHandle;
use super::log_limit::LogLimit;
use super::options::TransportOptions;
use super::peer::{Candidate, Peer};
use super::peers::{Link, PeerEvent, PeerReport, Peers};
use super::stats::{ActorReport, State};
use super::undelivered::{RecentUndelivered, Undelivered};
use super::{Address, Endpoint, Handle, listener};
use crate::messages::Topic;

mod peer_checks;
mod sending;

/// The node's table of endpoints and peers. Cheap to clone; clones share the table.
#[derive(Clone)]
pub struct Router {
    inner: Arc<Inner>,
}

struct Inner {
    introduction: Introduction,
    begun: Instant,
    endpoints: RwLock<BTreeMap<String, Vec<Endpoint>>>,
    /// Counts changes of `endpoints`, for announcements.
    served: watch::Sender<u64>,
    peers: Peers,
    undelivered: Arc<RecentUndelivered>,
    forbidden: LogLimit,
    /// Distributes messages without a server over a topic's actors.
    turn: AtomicUsize,
    leaving: CancellationToken,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router")
            .field("introduction", &self.inner.introduction)
            .finish_non_exhaustive()
    }
}

/// How long peers may take to read the goodbye.
const GOODBYE_GRACE: Duration = Duration::from_secs(1);

impl Router {
    /// A router for a node with this name, without endpoints or peers, whose starts are not counted.
    pub fn new(node: &str) -> Self {
        Self::with_boot(node, 0)
    }

    /// A router for a node with this name that was started so many times (counted on disk), by which peers order its
    /// incarnations. All with this name have the same data folder.
    pub fn with_boot(node: &str, boot: u64) -> Self {
        Self::of_folder(node, boot, 0)
    }

    /// A router for a node with this name that was started so many times with the data folder of this number: one that is connected with
    /// another folder is another node of the same name.
    pub fn of_folder(node: &str, boot: u64, folder: u64) -> Self {
        let introduction = Introduction {
            node: node.to_owned(),
            incarnation: Incarnation::new(boot, folder),
        };
        Self {
            inner: Arc::new(Inner {
                introduction,
                begun: Instant::now(),
                endpoints: RwLock::default(),
                served: watch::Sender::new(0),
                peers: Peers::default(),
                undelivered: Arc::default(),
                forbidden: LogLimit::default(),
                turn: AtomicUsize::new(0),
                leaving: CancellationToken::new(),
            }),
        }
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.inner.introduction.node
    }

    /// The incarnation of the node.
    pub fn incarnation(&self) -> Incarnation {
        self.inner.introduction.incarnation
    }

    /// A handle to any actor of the topic.
    pub fn any<T: Topic>(&self) -> Handle<T> {
        Handle::new(self.clone(), None)
    }

    /// A handle to one actor of the topic.
    pub fn server<T: Topic>(&self, server: &str) -> Handle<T> {
        Handle::new(self.clone(), Some(server.to_owned()))
    }

    /// Makes a local actor reachable, for this node and all peers. It replaces one with the same address.
    pub fn register(&self, endpoint: Endpoint) {
        endpoint.remember_undelivered_in(&self.inner.undelivered);
        let mut endpoints = self.inner.endpoints.write();
        let of_topic = endpoints.entry(endpoint.address().topic.clone()).or_default();
        of_topic.retain(|other| other.address() != endpoint.address());
        of_topic.push(endpoint);
        self.inner.served.send_modify(|version| *version += 1);
    }

    /// Accepts connections of other nodes at that address, on the calling thread's runtime.
    ///
    /// # Errors
    /// The socket's, and `InvalidInput` for an address that others than this machine could reach.
    pub async fn listen(&self, addr: SocketAddr, options: TransportOptions) -> io::Result<ListenerHandle> {
        listener::listen(self, addr, options).await
    }

    /// Maintains a connection to `host:port`, on the calling thread's runtime.
    pub fn join(&self, address: impl Into<String>, options: TransportOptions) -> JoinedPeer {
        super::join::join(self, address.into(), options)
    }

    /// Receives events when peers connect, disconnect, and announce other endpoints. A receiver that lags more
    /// than 256 events behind misses some: then [`Router::peers`] has the current state.
    pub fn watch_peers(&self) -> broadcast::Receiver<PeerEvent> {
        self.inner.peers.watch()
    }

    /// An event [`PeerChange::Up`](super::PeerChange::Up) for each peer that is connected now.
    pub fn connected_peers(&self) -> Vec<PeerEvent> {
        self.inner.peers.connected()
    }

    /// The same for one peer. Events of one peer may come in another order than they happened; this is its present state.
    pub fn connected_peer(&self, node: &str) -> Option<PeerEvent> {
        self.inner.peers.connected_one(node)
    }

    /// Whether a message to this address can be sent at present.
    pub fn reaches(&self, to: &Address) -> bool {
        self.local(&to.topic, to.server.as_deref()).is_some() || self.inner.peers.is_served(to)
    }

    /// The versions that this node speaks, by topic.
    pub fn topics(&self) -> Vec<TopicVersions> {
        self.announcement().1.topics
    }

    /// All peers, and all addresses that are being dialed.
    pub fn peers(&self) -> Vec<PeerReport> {
        self.inner.peers.reports()
    }

    /// All local actors, sorted by address.
    pub fn actors(&self) -> Vec<ActorReport> {
        let mut reports: Vec<_> = self
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.report(self.node()))
            .collect();
        reports.sort_by(|a, b| a.address.cmp(&b.address));
        reports
    }

    /// The last messages that were not handled, the oldest first.
    pub fn undelivered(&self) -> Vec<Undelivered> {
        self.inner.undelivered.lines()
    }

    /// Whether no local actor has failed permanently.
    pub fn healthy(&self) -> bool {
        self.endpoints()
            .iter()
            .all(|endpoint| endpoint.state() != State::Failed)
    }

    /// Refuses messages from other nodes, waits at most `within` until the local actors have handled what they have,
    /// ends them and sends a goodbye to the peers. True if no message was lost.
    pub async fn shutdown(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        self.inner.leaving.cancel();
        let endpoints = self.endpoints();
        // First with open handlers, because a message in work may need another actor.
        let drained = join_all(endpoints.iter().map(|endpoint| endpoint.drained(until))).await;
        let ended = join_all(
            endpoints
                .iter()
                .map(|endpoint| endpoint.shutdown(until.saturating_duration_since(Instant::now()))),
        )
        .await;
        self.say_goodbye().await;
        drained.into_iter().chain(ended).all(|well| well)
    }

    async fn say_goodbye(&self) {
        let peers = self.inner.peers.all();
        let closed = join_all(peers.iter().map(|peer| async {
            // The actors have ended, so each answer is ready, if only `Lost`; it is sent before the goodbye.
            peer.all_answered().await;
            peer.say_goodbye("the node is shutting down");
            peer.closing.cancelled().await;
        }));
        if tokio::time::timeout(GOODBYE_GRACE, closed).await.is_err() {
            for peer in &peers {
                peer.close("it did not read the goodbye in time");
            }
        }
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let endpoints = self.inner.endpoints.read();
        endpoints.values().flatten().cloned().collect()
    }

    /// The local actor for a message to this topic and server.
    fn local(&self, topic: &str, server: Option<&str>) -> Option<Endpoint> {
        let endpoints = self.inner.endpoints.read();
        let of_topic = endpoints.get(topic)?;
        if server.is_some() {
            let is_it = |endpoint: &&Endpoint| endpoint.address().server.as_deref() == server;
            return of_topic.iter().find(is_it).cloned();
        }
        let mut open = of_topic.iter().filter(|endpoint| endpoint.is_open());
        let (first, others) = (open.next()?, open.clone().count());
        let turn = match others {
            0 => return Some(first.clone()),
            _ => self.inner.turn.fetch_add(1, Ordering::Relaxed) % (others + 1),
        };
        std::iter::once(first).chain(open).nth(turn).cloned()
    }
}

/// Functions for connections.
impl Router {
    pub(super) fn introduction(&self) -> &Introduction {
        &self.inner.introduction
    }

    /// Cancelled when the node begins to shut down.
    pub(super) fn leaving(&self) -> &CancellationToken {
        &self.inner.leaving
    }

    /// A clock for round trips: microseconds since this router was made, at least 1.
    pub(super) fn uptime_micros(&self) -> u64 {
        u64::try_from(self.inner.begun.elapsed().as_micros())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    /// The local actor for a peer's message; `None` while the node shuts down.
    pub(super) fn open_endpoint(&self, to: Destination<'_>) -> Option<Endpoint> {
        if self.inner.leaving.is_cancelled() {
            None
        } else {
            self.local(to.topic, to.server)
        }
    }

    /// What this node serves, and the version of that list.
    pub(super) fn announcement(&self) -> (u64, Announcement) {
        let endpoints = self.inner.endpoints.read();
        let version = *self.inner.served.borrow();
        let open = || endpoints.values().flatten().filter(|endpoint| endpoint.is_open());
        let mut addresses: Vec<_> = open().map(|endpoint| endpoint.address().clone()).collect();
        addresses.sort();
        let topics: BTreeMap<_, _> = open()
            .map(|endpoint| (endpoint.address().topic.clone(), endpoint.versions()))
            .collect();
        let topics = topics
            .into_iter()
            .map(|(topic, (min, max))| TopicVersions { topic, min, max })
            .collect();
        (
            version,
            Announcement {
                endpoints: addresses,
                topics,
            },
        )
    }

    pub(super) fn served(&self) -> watch::Receiver<u64> {
        self.inner.served.subscribe()
    }

    pub(super) fn peer(&self, node: &str) -> Option<Arc<Peer>> {
        self.inner.peers.get(node)
    }

    pub(super) fn add_link(&self, link: &Arc<Link>) {
        self.inner.peers.add_link(link);
    }

    /// Adds a new connection, or refuses it with a reason.
    pub(super) fn admit(&self, candidate: Candidate, options: &TransportOptions) -> Result<Admitted, Refuse> {
        if self.inner.leaving.is_cancelled() {
            return Err(Refuse::new(Refusal::Leaving, "this node is shutting down"));
        }
        self.check_local(&candidate.announcement, options)?;
        let number = self.inner.peers.next_number();
        let rights = self.inner.peers.rights(&candidate, options);
        let peer = Peer::new(number, candidate, rights, options.clone());
        self.inner.peers.admit(self.node(), &peer)?;
        tracing::info!(peer = peer.them.node, remote = peer.remote, incarnation = %peer.them.incarnation,
            "connected to another node");
        Ok(Admitted {
            router: self.clone(),
            peer,
        })
    }
}

/// A connection in the table. It is removed from the table when this is dropped.
pub(super) struct Admitted {
    router: Router,
    pub(super) peer: Arc<Peer>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.peer.close("the connection was given up before it began");
        self.router.inner.peers.retire(&self.peer);
        tracing::info!(
            peer = self.peer.them.node,
            remote = self.peer.remote,
            reason = self.peer.reason(),
            "no longer connected to another node"
        );
    }
}
