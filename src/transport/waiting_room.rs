//! Bounds the concurrent handshakes of a listener; a new one is always accepted.
//!
//! When there are too many, one of them is ended to make room: the oldest of those that have not introduced themselves, else the
//! oldest of all. A peer introduces itself with its first packet and completes within milliseconds, so connections that send
//! nothing displace each other, not peers.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// The handshakes of one listener.
#[derive(Clone, Debug)]
pub(super) struct WaitingRoom {
    most: usize,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    next: u64,
    /// In order of arrival.
    handshakes: BTreeMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    cut: CancellationToken,
    is_introduced: bool,
}

/// One handshake; dropped when it is complete.
#[derive(Debug)]
pub(super) struct Place {
    room: WaitingRoom,
    number: u64,
    /// Cancelled when another handshake needs the place.
    pub(super) cut: CancellationToken,
}

impl WaitingRoom {
    /// Allows so many at once, at least one.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            inside: Arc::default(),
        }
    }

    /// Adds a handshake; if there is no room, ends another one.
    pub(super) fn enter(&self) -> Place {
        let mut inside = self.inside.lock();
        if inside.handshakes.len() >= self.most {
            let first_silent = inside.handshakes.iter().find(|(_, guest)| !guest.is_introduced);
            let leaves = first_silent
                .or_else(|| inside.handshakes.first_key_value())
                .map(|(number, _)| *number);
            if let Some(guest) = leaves.and_then(|number| inside.handshakes.remove(&number)) {
                guest.cut.cancel();
            }
        }
        let number = inside.next;
        inside.next += 1;
        let cut = CancellationToken::new();
        let guest = Guest {
            cut: cut.clone(),
            is_introduced: false,
        };
        inside.handshakes.insert(number, guest);
        Place {
            room: self.clone(),
            number,
            cut,
        }
    }
}

impl Place {
    /// The peer has introduced itself, without a proof yet.
    pub(super) fn introduced(&self) {
        if let Some(guest) = self.room.inside.lock().handshakes.get_mut(&self.number) {
            guest.is_introduced = true;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.inside.lock().handshakes.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_send_nothing_displace_each_other() {
        let room = WaitingRoom::new(3);
        let peer = room.enter();
        peer.introduced();
        let silent: Vec<Place> = (0..100).map(|_| room.enter()).collect();
        assert!(!peer.cut.is_cancelled());
        let left: Vec<usize> = (0..100).filter(|n| !silent[*n].cut.is_cancelled()).collect();
        assert_eq!(left, [98, 99], "the latest are kept");
        drop(silent);
        drop(peer);
        assert!(room.inside.lock().handshakes.is_empty());
    }

    #[test]
    fn of_the_introduced_handshakes_the_oldest_makes_room() {
        let room = WaitingRoom::new(2);
        let handshakes: Vec<Place> = (0..3)
            .map(|_| {
                let guest = room.enter();
                guest.introduced();
                guest
            })
            .collect();
        let cut: Vec<bool> = handshakes.iter().map(|guest| guest.cut.is_cancelled()).collect();
        assert_eq!(cut, [true, false, false]);
    }
}
