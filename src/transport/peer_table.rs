//! The connected peers by name, and by what they serve: a message to one of a thousand nodes is not sought among all of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Address;
use super::header::Announcement;
use super::peer::Peer;

/// See the module.
#[derive(Default)]
pub(super) struct PeerTable {
    by_name: BTreeMap<String, Arc<Peer>>,
    /// The peers that serve an address, in order of their names; for an address without a server, any actor of the topic.
    serving: HashMap<Address, Vec<Arc<Peer>>>,
}

impl PeerTable {
    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn get(&self, node: &str) -> Option<&Arc<Peer>> {
        self.by_name.get(node)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.by_name.values()
    }

    /// Those that serve this address, in order of their names.
    pub(super) fn serving(&self, to: &Address) -> &[Arc<Peer>] {
        self.serving.get(to).map_or(&[], Vec::as_slice)
    }

    /// Adds a peer; returns the one with its name that was there.
    pub(super) fn insert(&mut self, peer: &Arc<Peer>) -> Option<Arc<Peer>> {
        let before = self.remove(&peer.them.node);
        self.by_name.insert(peer.them.node.clone(), Arc::clone(peer));
        self.add(peer, &peer.announced());
        before
    }

    /// Removes the peer of that name.
    pub(super) fn remove(&mut self, node: &str) -> Option<Arc<Peer>> {
        let peer = self.by_name.remove(node)?;
        self.take_out(&peer);
        Some(peer)
    }

    /// A peer serves something else now. Nothing happens if it is not in the table.
    pub(super) fn announce(&mut self, peer: &Peer, announcement: Announcement) {
        let present = self
            .by_name
            .get(&peer.them.node)
            .filter(|present| present.number == peer.number)
            .cloned();
        match present {
            Some(present) => {
                self.take_out(&present);
                self.add(&present, &announcement);
                present.announce(announcement);
            }
            None => peer.announce(announcement),
        }
    }

    fn add(&mut self, peer: &Arc<Peer>, announcement: &Announcement) {
        for address in addresses(announcement) {
            let serving = self.serving.entry(address).or_default();
            let found = serving.binary_search_by(|other| other.them.node.cmp(&peer.them.node));
            if let Err(at) = found {
                serving.insert(at, Arc::clone(peer));
            }
        }
    }

    fn take_out(&mut self, peer: &Peer) {
        for address in addresses(&peer.announced()) {
            if let Some(serving) = self.serving.get_mut(&address) {
                serving.retain(|other| other.number != peer.number);
                if serving.is_empty() {
                    self.serving.remove(&address);
                }
            }
        }
    }
}

/// What can be sent to it by.
fn addresses(announcement: &Announcement) -> impl Iterator<Item = Address> {
    announcement
        .endpoints
        .iter()
        .flat_map(|own| [Address::any(own.topic.clone()), own.clone()])
}
