//! The table of peers: one connection per node, and events when they connect and disconnect.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Address;
use super::admission::{self, AdmissionDecision, DialedBy};
use super::header::{Announcement, Identity, Incarnation, Refusal, Refuse, TopicVersions};
use super::options::TransportOptions;
use super::peer::{Candidate, Peer};
use super::peer_table::PeerTable;
use super::rights::Rights;
use crate::messages::senders;
use crate::model::Timestamp;

/// An event of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerEvent {
    /// The node.
    pub node: String,
    /// Its incarnation, `boot-random`.
    pub incarnation: String,
    /// The change.
    pub change: PeerChange,
    /// What it serves after the change, or served before it disconnected.
    pub endpoints: Vec<Address>,
}

/// The change of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerChange {
    /// It is connected; if it was before, that incarnation or connection has ended and calls on it are lost.
    Up,
    /// It serves other endpoints than before.
    Announced,
    /// It is disconnected.
    Down {
        /// The reason.
        reason: String,
        /// Whether it said that it leaves; else it may be alive.
        said_goodbye: bool,
    },
}

/// A peer, for inspection.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeerReport {
    /// The node; `None` for an address that has not answered yet.
    pub node: Option<String>,
    /// `connected`, or `connecting`.
    pub state: &'static str,
    /// The remote address of the connection, or the address that is dialed.
    pub remote: String,
    /// Its incarnation.
    pub incarnation: Option<String>,
    /// The side that dialed.
    pub dialed_by: DialedBy,
    /// Since when it is connected, or is being dialed.
    pub since: Timestamp,
    /// What it serves.
    pub endpoints: Vec<String>,
    /// The versions of its topics.
    pub topics: Vec<TopicVersions>,
    /// Messages sent to it without an answer yet.
    pub waiting: usize,
    /// Messages that wait to be written.
    pub outbound_messages: usize,
    /// Bytes that wait to be written.
    pub outbound_bytes: usize,
    /// Frames received.
    pub frames_in: u64,
    /// Frames sent.
    pub frames_out: u64,
    /// Bytes received, without prefixes.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Round trip of the last ping, in seconds; `None` before the first.
    pub rtt_seconds: Option<f64>,
    /// Seconds since the last frame from it.
    pub silent_seconds: Option<f64>,
    /// Attempts to connect since it was last connected.
    pub attempts: u64,
    /// Why the last attempt or the last connection ended.
    pub last_error: Option<String>,
}

/// An address to which a connection is maintained.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) address: String,
    pub(super) leave: CancellationToken,
    pub(super) state: Mutex<LinkState>,
}

#[derive(Debug)]
pub(super) struct LinkState {
    /// The node that was last found there.
    pub(super) node: Option<String>,
    pub(super) attempts: u64,
    pub(super) since: Timestamp,
    pub(super) last_error: Option<String>,
}

pub(super) struct Peers {
    table: RwLock<PeerTable>,
    links: Mutex<Vec<Weak<Link>>>,
    events: broadcast::Sender<PeerEvent>,
    /// The nodes that were found at addresses of the configuration, and their incarnations.
    found: Mutex<BTreeMap<String, Incarnation>>,
    next: AtomicU64,
    turn: AtomicUsize,
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            table: RwLock::default(),
            links: Mutex::default(),
            found: Mutex::default(),
            events: broadcast::channel(256).0,
            next: AtomicU64::new(1),
            turn: AtomicUsize::new(0),
        }
    }
}

impl Peers {
    pub(super) fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn watch(&self) -> broadcast::Receiver<PeerEvent> {
        self.events.subscribe()
    }

    pub(super) fn tell(&self, peer: &Peer, change: PeerChange) {
        // There may be no subscribers.
        let _ = self.events.send(event(peer, change));
    }

    /// An event `Up` for this peer, if it is connected.
    pub(super) fn connected_one(&self, node: &str) -> Option<PeerEvent> {
        let table = self.table.read();
        table.get(node).map(|peer| event(peer, PeerChange::Up))
    }

    /// An event `Up` for each peer that is connected.
    pub(super) fn connected(&self) -> Vec<PeerEvent> {
        let table = self.table.read();
        table.all().map(|peer| event(peer, PeerChange::Up)).collect()
    }

    /// Adds a new connection, or refuses it with a reason. A connection that it replaces is closed.
    pub(super) fn admit(&self, us: &str, peer: &Arc<Peer>) -> Result<(), Refuse> {
        let Identity {
            node, incarnation, ..
        } = &peer.them;
        let mut table = self.table.write();
        check_announcement(&table, peer, &peer.announced())?;
        let present = table.get(node);
        if present.is_none() && table.len() >= peer.options.max_peers {
            return Err(Refuse::new(
                Refusal::Full,
                "this node has as many peers as it may",
            ));
        }
        let lives = present.map(|present| (present.them.incarnation, present.dialed_by));
        match admission::admit(us, node, lives, (*incarnation, peer.dialed_by)) {
            AdmissionDecision::Refuse(reason) => {
                return Err(Refuse::new(reason, refusal_text(reason, present)));
            }
            AdmissionDecision::Take | AdmissionDecision::Replace => {}
        }
        let before = table.insert(peer);
        drop(table);
        if let Some(before) = before {
            before.close("it was replaced by another connection to the node");
        }
        self.tell(peer, PeerChange::Up);
        Ok(())
    }

    /// Records what a peer serves now, unless it may not.
    pub(super) fn announce(&self, peer: &Peer, announcement: Announcement) -> Result<(), Refuse> {
        // The lock is held while it is checked and recorded: of two peers that announce one address at once, one is refused.
        let mut table = self.table.write();
        check_announcement(&table, peer, &announcement)?;
        table.announce(peer, announcement);
        drop(table);
        self.tell(peer, PeerChange::Announced);
        Ok(())
    }

    /// A node was found at an address of the configuration, and has proven the secret if there is one.
    pub(super) fn found(&self, them: &Identity) {
        self.found.lock().insert(them.node.clone(), them.incarnation);
        let present = self.get(&them.node);
        if let Some(peer) = present.filter(|peer| peer.them.incarnation == them.incarnation)
            && peer.certificate.is_none()
        {
            peer.set_rights(Rights::Control);
        }
    }

    /// The rights of a node that dials, or is dialed.
    pub(super) fn rights(&self, candidate: &Candidate, options: &TransportOptions) -> Rights {
        if options.trusts_every_peer {
            return Rights::Control;
        }
        if let Some(certificate) = &candidate.certificate {
            return Rights::Certified(certificate.identity.clone());
        }
        let them = &candidate.them;
        let is_found = || self.found.lock().get(&them.node) == Some(&them.incarnation);
        match candidate.dialed_by {
            DialedBy::Us => Rights::Control,
            DialedBy::Them if is_found() => Rights::Control,
            DialedBy::Them => Rights::of_volume_node(&them.node),
        }
    }

    /// Removes a connection that has ended.
    pub(super) fn retire(&self, peer: &Peer) {
        let mut table = self.table.write();
        // If another connection replaced it, the node is not down.
        if table
            .get(&peer.them.node)
            .is_some_and(|present| present.number == peer.number)
        {
            table.remove(&peer.them.node);
            drop(table);
            let reason = peer.reason();
            let said_goodbye = peer.said_goodbye();
            self.tell(peer, PeerChange::Down { reason, said_goodbye });
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Peer>> {
        self.table.read().all().cloned().collect()
    }

    pub(super) fn get(&self, node: &str) -> Option<Arc<Peer>> {
        self.table.read().get(node).cloned()
    }

    /// A peer that serves this address and supports messages of that version; if there is none, one that only serves
    /// it. Several are used in turn.
    pub(super) fn serving(&self, to: &Address, since: u16) -> Option<Arc<Peer>> {
        let table = self.table.read();
        let serving = table.serving(to);
        if let [one] = serving {
            return Some(Arc::clone(one));
        }
        // In order of their names, as the table is.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let understands = |peer: &&Arc<Peer>| peer.understands(&to.topic, since);
        let able = serving.iter().filter(understands).count();
        match turn.checked_rem(able) {
            Some(turn) => serving.iter().filter(understands).nth(turn),
            None => serving.get(turn.checked_rem(serving.len())?),
        }
        .map(Arc::clone)
    }

    /// Whether any peer serves this address.
    pub(super) fn is_served(&self, to: &Address) -> bool {
        !self.table.read().serving(to).is_empty()
    }

    pub(super) fn add_link(&self, link: &Arc<Link>) {
        let mut links = self.links.lock();
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(link));
    }

    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        self.links.lock().iter().filter_map(Weak::upgrade).collect()
    }

    pub(super) fn reports(&self) -> Vec<PeerReport> {
        let links = self.links();
        let mut reports: Vec<_> = self.all().iter().map(|peer| connected(peer, &links)).collect();
        for link in links {
            let state = link.state.lock();
            let found = state.node.as_deref().is_some_and(|node| self.get(node).is_some());
            if !found && !link.leave.is_cancelled() {
                reports.push(sought(&link.address, &state));
            }
        }
        reports.sort_by(|a, b| (&a.node, &a.remote).cmp(&(&b.node, &b.remote)));
        reports
    }
}

fn event(peer: &Peer, change: PeerChange) -> PeerEvent {
    PeerEvent {
        node: peer.them.node.clone(),
        incarnation: peer.them.incarnation.to_string(),
        change,
        endpoints: peer.announced().endpoints.clone(),
    }
}

/// The text for the logs of both nodes.
fn refusal_text(reason: Refusal, present: Option<&Arc<Peer>>) -> String {
    match (reason, present) {
        (Refusal::SameName, Some(present)) => format!(
            "another node named '{}' is connected from {} (incarnation {}) and has another data folder: give one of them another \
             node.host; if that one is gone, this one is accepted as soon as its silence is noticed",
            present.them.node, present.remote, present.them.incarnation
        ),
        _ => "an earlier connection to this node is kept".to_owned(),
    }
}

/// Refuses what a peer may not serve, and a backend that another peer serves.
fn check_announcement(table: &PeerTable, peer: &Peer, announcement: &Announcement) -> Result<(), Refuse> {
    if peer.options.trusts_every_peer {
        return Ok(());
    }
    let refuse = |text| Err(Refuse::new(Refusal::NotItsOwn, text));
    if let Some(address) = peer.rights().exceeds(announcement) {
        return refuse(format!("{address} is announced, which the node may not serve"));
    }
    let is_once =
        |address: &&Address| address.server.is_some() && senders::is_of_volume_nodes(&address.topic);
    for address in announcement.endpoints.iter().filter(is_once) {
        let mut others = table.serving(address).iter();
        if let Some(other) = others.find(|other| other.them.node != peer.them.node) {
            let node = &other.them.node;
            return refuse(format!(
                "{address} is announced, which node '{node}' serves already"
            ));
        }
    }
    Ok(())
}

fn connected(peer: &Peer, links: &[Arc<Link>]) -> PeerReport {
    let announced = peer.announced();
    let (outbound_messages, outbound_bytes) = peer.outbound.waiting();
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let seconds = |micros| std::time::Duration::from_micros(micros).as_secs_f64();
    let heard = *peer.heard.lock();
    let last_error = links.iter().find_map(|link| {
        let state = link.state.lock();
        (state.node.as_ref() == Some(&peer.them.node))
            .then(|| state.last_error.clone())
            .flatten()
    });
    PeerReport {
        node: Some(peer.them.node.clone()),
        state: "connected",
        remote: peer.remote.clone(),
        incarnation: Some(peer.them.incarnation.to_string()),
        dialed_by: peer.dialed_by,
        since: peer.since,
        endpoints: announced.endpoints.iter().map(ToString::to_string).collect(),
        topics: announced.topics.clone(),
        waiting: peer.waiting(),
        outbound_messages,
        outbound_bytes,
        frames_in: read(&peer.traffic.frames_in),
        frames_out: read(&peer.traffic.frames_out),
        bytes_in: read(&peer.traffic.bytes_in),
        bytes_out: read(&peer.traffic.bytes_out),
        rtt_seconds: Some(read(&peer.traffic.rtt_micros))
            .filter(|rtt| *rtt > 0)
            .map(seconds),
        silent_seconds: Some(Instant::now().saturating_duration_since(heard).as_secs_f64()),
        attempts: 0,
        last_error,
    }
}

fn sought(address: &str, state: &LinkState) -> PeerReport {
    PeerReport {
        node: state.node.clone(),
        state: "connecting",
        remote: address.to_owned(),
        incarnation: None,
        dialed_by: DialedBy::Us,
        since: state.since,
        endpoints: Vec::new(),
        topics: Vec::new(),
        waiting: 0,
        outbound_messages: 0,
        outbound_bytes: 0,
        frames_in: 0,
        frames_out: 0,
        bytes_in: 0,
        bytes_out: 0,
        rtt_seconds: None,
        silent_seconds: None,
        attempts: state.attempts,
        last_error: state.last_error.clone(),
    }
}
