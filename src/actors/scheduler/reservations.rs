//! The capacity that was promised and is not known to be in any report yet, by what it is for and by backend: each report asks for those of
//! its backend, of thousands.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::model::{BackendName, OperationId, PoolName, VolumeId};

/// What capacity is reserved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reservation {
    /// A volume that this operation creates.
    Create(OperationId),
    /// The extension of a volume.
    Extend(VolumeId),
}

/// What is reserved.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    /// Where.
    pub(super) pool: PoolName,
    /// How much.
    pub(super) gib: u32,
    /// Since when.
    pub(super) at: Instant,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Reservations {
    all: BTreeMap<Reservation, Taken>,
    by_backend: BTreeMap<BackendName, BTreeSet<Reservation>>,
}

impl Reservations {
    pub(super) fn has(&self, reservation: &Reservation) -> bool {
        self.all.contains_key(reservation)
    }

    /// Those on the pools of a backend.
    pub(super) fn on(&self, backend: &BackendName) -> impl Iterator<Item = (Reservation, &Taken)> {
        let on = self.by_backend.get(backend).into_iter().flatten();
        on.filter_map(|reservation| Some((*reservation, self.all.get(reservation)?)))
    }

    /// Inserts one, in the place of what the same reservation held.
    pub(super) fn insert(&mut self, reservation: Reservation, taken: Taken) {
        self.remove(&reservation);
        let on = self.by_backend.entry(taken.pool.backend.clone());
        on.or_default().insert(reservation);
        self.all.insert(reservation, taken);
    }

    pub(super) fn remove(&mut self, reservation: &Reservation) -> Option<Taken> {
        let taken = self.all.remove(reservation)?;
        if let Some(on) = self.by_backend.get_mut(&taken.pool.backend) {
            on.remove(reservation);
            if on.is_empty() {
                self.by_backend.remove(&taken.pool.backend);
            }
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::{Reservation, Reservations, Taken};
    use crate::model::{BackendName, OperationId};

    #[test]
    fn a_reservation_is_on_one_backend_and_leaves_nothing_behind() {
        let mut reservations = Reservations::default();
        let (one, other) = (BackendName::new("a", "x"), BackendName::new("b", "x"));
        let reservation = Reservation::Create(OperationId::new());
        for backend in [&one, &other] {
            let taken = Taken {
                pool: backend.pool("p"),
                gib: 1,
                at: Instant::now(),
            };
            reservations.insert(reservation, taken);
        }
        assert_eq!(reservations.on(&one).count(), 0);
        assert_eq!(reservations.on(&other).count(), 1);
        assert!(reservations.remove(&reservation).is_some());
        assert!(reservations.remove(&reservation).is_none() && !reservations.has(&reservation));
        assert!(reservations.by_backend.is_empty());
    }
}
