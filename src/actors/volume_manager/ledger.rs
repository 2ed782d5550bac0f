//! What a manager knows of its backend without asking the storage: which volumes it has, what they are worth, which are
//! exported and to whom. Filled at start from the catalog (by message), kept up by each command.
//!
//! What it says of a volume's export is read and changed by verbs that are alone on that volume, together with the export
//! itself: else one that is just being restored could be taken away, or the other way round.

use std::collections::{BTreeMap, HashMap, VecDeque};

use uuid::Uuid;

use crate::messages::api::BackendVolume;
use crate::model::{AttachMode, Connector, OperationId, VolumeId, VolumeSpec};

/// How many deletes are remembered. They need to be only for as long as a command can be on its way.
const TOMBSTONES: usize = 4096;

/// An export that must be restored when the target daemon was started anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The volume, with its `provider_auth`.
    pub volume: VolumeSpec,
    /// The initiators that have it.
    pub connections: Vec<Connection>,
}

/// An initiator that has a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The initiator.
    pub connector: Connector,
    /// How it was let in.
    pub mode: AttachMode,
    /// The only operation that connected it; `None` if several did, or an earlier process.
    by: Option<OperationId>,
}

/// What a connection that failed, or is reverted, has made and nobody else uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// The initiator has the volume by another operation as well.
    Nothing,
    /// The initiator; others have the volume.
    Connector,
    /// The whole export.
    Export,
}

/// What came of a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deleted {
    /// It is done, or in work.
    Yes,
    Failed,
}

/// The book of one backend.
#[derive(Debug, Default)]
pub struct Ledger {
    sizes: HashMap<VolumeId, (String, u32)>,
    expected: usize,
    exports: BTreeMap<VolumeId, Exported>,
    /// Volumes and snapshots whose delete was begun here, and what has come of it.
    tombstones: HashMap<Uuid, Deleted>,
    /// In the order of their deletes, for forgetting the oldest.
    deletes: VecDeque<Uuid>,
}

impl Ledger {
    /// Enters a volume (again) with its pool and size.
    pub fn enter(&mut self, id: VolumeId, pool: &str, size: u32) {
        self.sizes.insert(id, (pool.to_owned(), size));
    }

    /// Strikes a volume out, and its export.
    pub fn strike(&mut self, id: VolumeId) {
        self.sizes.remove(&id);
        self.exports.remove(&id);
    }

    /// Remembers that the volume or snapshot is being deleted, or is deleted: a command that was sent before that and arrives
    /// after it must not bring it back. Nothing is compared for that, no time least of all: an id is made once, so each create
    /// that arrives behind a delete was sent before it.
    pub fn tombstone(&mut self, id: Uuid) {
        if self.tombstones.insert(id, Deleted::Yes).is_none() {
            self.deletes.push_back(id);
            if self.deletes.len() > TOMBSTONES
                && let Some(oldest) = self.deletes.pop_front()
            {
                self.tombstones.remove(&oldest);
            }
        }
    }

    /// The delete came to nothing: what is still there may be connected again.
    pub fn delete_failed(&mut self, id: Uuid) {
        if let Some(deleted) = self.tombstones.get_mut(&id) {
            *deleted = Deleted::Failed;
        }
    }

    /// Whether a delete of it was begun: then it is not to be made any more.
    #[must_use]
    pub fn has_tombstone(&self, id: Uuid) -> bool {
        self.tombstones.contains_key(&id)
    }

    /// Whether it is deleted, or about to be: then it is not to be exported any more.
    #[must_use]
    pub fn is_deleted(&self, id: Uuid) -> bool {
        self.tombstones.get(&id) == Some(&Deleted::Yes)
    }

    /// How many volumes must be on its storage, by the catalog at start: those being made or deleted need not be there.
    #[must_use]
    pub fn expected(&self) -> usize {
        self.expected
    }

    /// Sum of the sizes on a pool, in GiB (`allocated_capacity_gb`).
    #[must_use]
    pub fn allocated(&self, pool: &str) -> f64 {
        self.sizes
            .values()
            .filter(|(on, _)| on == pool)
            .map(|(_, size)| f64::from(*size))
            .sum()
    }

    /// Notes that an initiator has the volume, by this operation.
    pub fn connected(&mut self, volume: VolumeSpec, connector: Connector, mode: AttachMode, by: OperationId) {
        let exported = self.exports.entry(volume.id).or_insert_with(|| Exported {
            volume: volume.clone(),
            connections: Vec::new(),
        });
        exported.volume = volume;
        match exported
            .connections
            .iter_mut()
            .find(|known| known.connector == connector)
        {
            Some(known) => {
                known.mode = mode;
                known.by = known.by.filter(|first| *first == by);
            }
            None => exported.connections.push(Connection {
                connector,
                mode,
                by: Some(by),
            }),
        }
    }

    /// What this operation's connection has made that nobody else uses. To be asked, and acted on, by a verb that is alone on
    /// the volume.
    #[must_use]
    pub fn leftover(&self, id: VolumeId, connector: &Connector, by: OperationId) -> Leftover {
        let others = self
            .exports
            .get(&id)
            .into_iter()
            .flat_map(|exported| &exported.connections)
            .filter(|known| known.connector != *connector || known.by != Some(by));
        let mut leftover = Leftover::Export;
        for other in others {
            if other.connector == *connector || other.connector.is_same_initiator(connector) {
                return Leftover::Nothing;
            }
            leftover = Leftover::Connector;
        }
        leftover
    }

    /// Notes that an initiator (`None`: every one) has it no longer.
    pub fn disconnected(&mut self, id: VolumeId, connector: Option<&Connector>, export_removed: bool) {
        if export_removed {
            self.exports.remove(&id);
        } else if let Some(exported) = self.exports.get_mut(&id) {
            exported.connections.retain(|known| {
                connector
                    .is_some_and(|gone| *gone != known.connector && !gone.is_same_initiator(&known.connector))
            });
        }
    }

    /// What must be exported.
    #[must_use]
    pub fn exports(&self) -> Vec<VolumeId> {
        self.exports.keys().copied().collect()
    }

    /// What must be exported of this volume.
    #[must_use]
    pub fn exported(&self, id: VolumeId) -> Option<Exported> {
        self.exports.get(&id).cloned()
    }

    /// Whether the volume is exported.
    #[must_use]
    pub fn is_exported(&self, id: VolumeId) -> bool {
        self.exports.contains_key(&id)
    }

    /// Whether that initiator has it.
    #[cfg(test)]
    pub(super) fn is_connected(&self, id: VolumeId, connector: &Connector) -> bool {
        let connections = self.exports.get(&id).map(|exported| &exported.connections);
        connections.is_some_and(|known| known.iter().any(|known| known.connector == *connector))
    }

    /// Forgets what was learned before; what was deleted is remembered.
    pub fn forget(&mut self) {
        self.sizes.clear();
        self.exports.clear();
        self.expected = 0;
    }

    /// Takes a page of what the catalog says this backend has.
    pub fn learn(&mut self, page: &[BackendVolume]) {
        for known in page {
            self.enter(known.volume.id, &known.volume.pool.pool, known.volume.size);
            self.expected += usize::from(known.status.claims_storage());
            if !known.connectors.is_empty() {
                self.exports.insert(
                    known.volume.id,
                    Exported {
                        volume: known.volume.clone(),
                        connections: known
                            .connectors
                            .iter()
                            .map(|connector| {
                                let (connector, mode) = connector.take_mode();
                                Connection {
                                    connector,
                                    mode: mode.unwrap_or(AttachMode::Rw),
                                    by: None,
                                }
                            })
                            .collect(),
                    },
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{Ledger, TOMBSTONES};
    use crate::model::{OperationId, VolumeId};

    #[test]
    fn what_was_deleted_is_not_made_again_and_may_be_connected_only_if_that_failed() {
        let volume = Uuid::new_v4();
        let mut ledger = Ledger::default();
        assert!(!ledger.has_tombstone(volume) && !ledger.is_deleted(volume));
        ledger.tombstone(volume);
        assert!(ledger.has_tombstone(volume) && ledger.is_deleted(volume));
        ledger.delete_failed(volume);
        assert!(ledger.has_tombstone(volume) && !ledger.is_deleted(volume));
        ledger.tombstone(volume);
        assert!(ledger.is_deleted(volume), "it was tried again");
        for _ in 0..2 * TOMBSTONES {
            ledger.tombstone(Uuid::new_v4());
        }
        assert!(ledger.tombstones.len() <= TOMBSTONES && !ledger.has_tombstone(volume));
    }

    #[test]
    fn what_a_failed_connection_leaves_is_what_nobody_else_has() {
        use super::Leftover;
        use crate::drivers::testing::{connector, volume};
        use crate::model::AttachMode;
        let (volume, first, second) = (volume(1), OperationId::new(), OperationId::new());
        let (one, other) = (connector("iqn.x:1"), connector("iqn.x:2"));
        let mut ledger = Ledger::default();
        assert_eq!(ledger.leftover(volume.id, &one, first), Leftover::Export);
        ledger.connected(volume.clone(), one.clone(), AttachMode::Rw, first);
        assert_eq!(ledger.leftover(volume.id, &one, first), Leftover::Export);
        assert_eq!(ledger.leftover(volume.id, &one, second), Leftover::Nothing);
        assert_eq!(ledger.leftover(volume.id, &other, second), Leftover::Connector);
        ledger.connected(volume.clone(), other.clone(), AttachMode::Rw, second);
        assert_eq!(ledger.leftover(volume.id, &one, first), Leftover::Connector);
        // The same initiator once more: neither of the two takes it from the other.
        ledger.connected(volume.clone(), one.clone(), AttachMode::Rw, second);
        for operation in [first, second] {
            assert_eq!(ledger.leftover(volume.id, &one, operation), Leftover::Nothing);
        }
        ledger.disconnected(volume.id, Some(&one), false);
        assert_eq!(ledger.leftover(volume.id, &other, second), Leftover::Export);
    }

    #[test]
    fn what_is_allocated_is_the_sum_of_what_was_entered() {
        let mut ledger = Ledger::default();
        let (one, two) = (VolumeId::new(), VolumeId::new());
        ledger.enter(one, "p", 3);
        ledger.enter(two, "p", 4);
        ledger.enter(two, "p", 5);
        ledger.enter(VolumeId::new(), "q", 100);
        assert!((ledger.allocated("p") - 8.0).abs() < f64::EPSILON);
        ledger.strike(one);
        assert!((ledger.allocated("p") - 5.0).abs() < f64::EPSILON);
    }
}
