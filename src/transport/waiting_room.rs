//! Handshakes that are under way at a listener: so many at once, and whoever is new comes in.
//!
//! When there are too many, one of them is cut to make room: of those that have not introduced themselves the one that came first,
//! else the one that came first at all. A peer introduces itself with its first packet and is through within milliseconds, so
//! strangers who connect and say nothing take room from each other, not from it.

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
    /// In the order in which they came.
    guests: BTreeMap<u64, Guest>,
}

#[derive(Debug)]
struct Guest {
    cut: CancellationToken,
    is_introduced: bool,
}

/// One handshake; dropped when it is over.
#[derive(Debug)]
pub(super) struct Place {
    room: WaitingRoom,
    number: u64,
    /// Cancelled when somebody else needs the room.
    pub(super) cut: CancellationToken,
}

impl WaitingRoom {
    /// For so many at once, at least one.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            inside: Arc::default(),
        }
    }

    /// Lets one in, and if there is no room, another one out.
    pub(super) fn enter(&self) -> Place {
        let mut inside = self.inside.lock();
        if inside.guests.len() >= self.most {
            let first_silent = inside.guests.iter().find(|(_, guest)| !guest.is_introduced);
            let leaves = first_silent
                .or_else(|| inside.guests.first_key_value())
                .map(|(number, _)| *number);
            if let Some(guest) = leaves.and_then(|number| inside.guests.remove(&number)) {
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
        inside.guests.insert(number, guest);
        Place {
            room: self.clone(),
            number,
            cut,
        }
    }
}

impl Place {
    /// It said who it is; whether that is true is not known yet.
    pub(super) fn introduced(&self) {
        if let Some(guest) = self.room.inside.lock().guests.get_mut(&self.number) {
            guest.is_introduced = true;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.inside.lock().guests.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_who_say_nothing_make_room_for_each_other() {
        let room = WaitingRoom::new(3);
        let peer = room.enter();
        peer.introduced();
        let silent: Vec<Place> = (0..100).map(|_| room.enter()).collect();
        assert!(!peer.cut.is_cancelled());
        let left: Vec<usize> = (0..100).filter(|n| !silent[*n].cut.is_cancelled()).collect();
        assert_eq!(left, [98, 99], "the latest are in");
        drop(silent);
        drop(peer);
        assert!(room.inside.lock().guests.is_empty());
    }

    #[test]
    fn of_those_who_introduced_themselves_the_first_makes_room() {
        let room = WaitingRoom::new(2);
        let guests: Vec<Place> = (0..3)
            .map(|_| {
                let guest = room.enter();
                guest.introduced();
                guest
            })
            .collect();
        let cut: Vec<bool> = guests.iter().map(|guest| guest.cut.is_cancelled()).collect();
        assert_eq!(cut, [true, false, false]);
    }
}
