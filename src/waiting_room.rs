//! Bounds the concurrent handshakes of a listener; a new one is always accepted, and those who can authenticate are not kept out
//! by those who cannot.
//!
//! When there are too many, one of them is ended to make room. It is of the address that has the most of them; of that address, one
//! that has sent nothing before one that has, and of these the oldest. A handshake whose peer has authenticated is ended only if
//! all others have, too. So connections that never finish displace each other: those of one address cannot displace the first
//! of another, and those that send nothing cannot displace a peer, which sends at once and completes within milliseconds.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// How far a handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Nothing has come.
    Silent,
    /// It has introduced itself; anyone can.
    Introduced,
    /// Its certificate is valid.
    Authenticated,
}

/// The handshakes of one listener.
#[derive(Clone, Debug)]
pub(crate) struct WaitingRoom {
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
    address: IpAddr,
    cut: CancellationToken,
    stage: Stage,
}

/// One handshake; dropped when it is complete.
#[derive(Debug)]
pub(crate) struct Place {
    room: WaitingRoom,
    number: u64,
    /// Cancelled when another handshake needs the place.
    pub(crate) cut: CancellationToken,
}

impl Inside {
    /// The handshake that makes room.
    fn leaves(&self) -> Option<u64> {
        let is_known = |guest: &Guest| guest.stage == Stage::Authenticated;
        let all_known = self.handshakes.values().all(is_known);
        let may_leave = || {
            let guests = self.handshakes.iter();
            guests.filter(move |(_, guest)| all_known || !is_known(guest))
        };
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (_, guest) in may_leave() {
            *counts.entry(guest.address).or_default() += 1;
        }
        let most = counts.values().copied().max()?;
        may_leave()
            .filter(|(_, guest)| counts.get(&guest.address) == Some(&most))
            .min_by_key(|(number, guest)| (guest.stage, **number))
            .map(|(number, _)| *number)
    }
}

impl WaitingRoom {
    /// Allows so many at once, at least one.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            inside: Arc::default(),
        }
    }

    /// Adds a handshake with this address; if there is no room, ends another one.
    pub(crate) fn enter(&self, address: IpAddr) -> Place {
        let mut inside = self.inside.lock();
        if inside.handshakes.len() >= self.most {
            let leaves = inside.leaves();
            if let Some(guest) = leaves.and_then(|number| inside.handshakes.remove(&number)) {
                guest.cut.cancel();
            }
        }
        let number = inside.next;
        inside.next += 1;
        let cut = CancellationToken::new();
        let guest = Guest {
            address: network_of(address),
            cut: cut.clone(),
            stage: Stage::Silent,
        };
        inside.handshakes.insert(number, guest);
        Place {
            room: self.clone(),
            number,
            cut,
        }
    }
}

/// What counts as one address: a host has a whole /64 of IPv6.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(of) => match of.to_ipv4_mapped() {
            Some(mapped) => IpAddr::V4(mapped),
            None => IpAddr::V6(Ipv6Addr::from_bits(of.to_bits() & !u128::from(u64::MAX))),
        },
    }
}

impl Place {
    /// The handshake has come so far.
    pub(crate) fn reached(&self, stage: Stage) {
        if let Some(guest) = self.room.inside.lock().handshakes.get_mut(&self.number) {
            guest.stage = guest.stage.max(stage);
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

    fn at(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn cut(places: &[Place]) -> Vec<bool> {
        places.iter().map(|place| place.cut.is_cancelled()).collect()
    }

    #[test]
    fn connections_that_send_nothing_displace_each_other() {
        let room = WaitingRoom::new(3);
        let peer = room.enter(at(1));
        peer.reached(Stage::Introduced);
        let silent: Vec<Place> = (0..100).map(|_| room.enter(at(1))).collect();
        assert!(!peer.cut.is_cancelled());
        let left: Vec<usize> = (0..100).filter(|n| !silent[*n].cut.is_cancelled()).collect();
        assert_eq!(left, [98, 99], "the latest are kept");
        drop(silent);
        drop(peer);
        assert!(room.inside.lock().handshakes.is_empty());
    }

    #[test]
    fn one_address_does_not_displace_another() {
        let room = WaitingRoom::new(4);
        let peer = room.enter(at(1));
        let flood: Vec<Place> = (0..100)
            .map(|_| {
                let place = room.enter(at(2));
                place.reached(Stage::Introduced);
                place
            })
            .collect();
        assert!(!peer.cut.is_cancelled(), "it has sent nothing yet");
        assert_eq!(flood.iter().filter(|place| !place.cut.is_cancelled()).count(), 3);
        let late = room.enter(at(3));
        assert!(!late.cut.is_cancelled() && !peer.cut.is_cancelled());
    }

    #[test]
    fn an_authenticated_handshake_is_not_displaced_by_others() {
        let room = WaitingRoom::new(3);
        let known: Vec<Place> = (0..2)
            .map(|_| {
                let place = room.enter(at(1));
                place.reached(Stage::Authenticated);
                place
            })
            .collect();
        let strangers: Vec<Place> = (0..3).map(|n| room.enter(at(n + 2))).collect();
        assert_eq!(cut(&known), [false, false]);
        assert_eq!(cut(&strangers), [true, true, false]);
        strangers[2].reached(Stage::Authenticated);
        let _next = room.enter(at(9));
        assert_eq!(
            cut(&known),
            [true, false],
            "all are known: the oldest of the address with most"
        );
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let [one, same, other] =
            ["2001:db8::1", "2001:db8::2:3", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        assert_eq!(network_of(one), network_of(same));
        assert_ne!(network_of(one), network_of(other));
        assert_eq!(network_of("::ffff:192.0.2.1".parse().unwrap()), at(1));
    }
}
