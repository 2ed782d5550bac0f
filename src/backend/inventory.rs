//! What is known of a backend without asking the storage: its volumes with their sizes, which are exported to which initiators,
//! and which were deleted. Loaded at start from the catalog (by message), and kept up to date by each command.
//!
//! A volume's export is read and changed here by workers that hold the volume's lock, together with the export itself: else an
//! export that is just being restored could be removed, or the other way round.

use std::collections::{BTreeMap, VecDeque};

use uuid::Uuid;

use crate::messages::api::BackendVolume;
use crate::model::{AttachMode, Connector, OperationId, VolumeId, VolumeSpec};

/// How many deletes are remembered. Each is needed only for as long as a command that was sent before it can still arrive.
const TOMBSTONES: usize = 4096;

/// An export that must be restored when the target daemon was restarted.
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
    /// Its access.
    pub mode: AttachMode,
    /// The only operation that connected it; `None` if several did, or an earlier process.
    by: Option<OperationId>,
}

/// What a failed or reverted connection has created and no other connection uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// The initiator has the volume by another operation as well.
    Nothing,
    /// The initiator; others have the volume.
    Connector,
    /// The whole export.
    Export,
}

/// How a delete ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tombstone {
    /// It is done, or in progress.
    Deleted,
    Failed,
}

/// See the module.
#[derive(Debug, Default)]
pub struct BackendInventory {
    sizes: BTreeMap<VolumeId, (String, u32)>,
    expected: usize,
    exports: BTreeMap<VolumeId, Exported>,
    /// Volumes and snapshots whose delete was begun here.
    tombstones: BTreeMap<Uuid, Tombstone>,
    /// The same in the order of their deletes, to drop the oldest.
    deletes: VecDeque<Uuid>,
}

impl BackendInventory {
    /// Inserts a volume with its pool and size, or replaces them.
    pub fn insert(&mut self, id: VolumeId, pool: &str, size: u32) {
        self.sizes.insert(id, (pool.to_owned(), size));
    }

    /// Removes a volume, and its export.
    pub fn remove(&mut self, id: VolumeId) {
        self.sizes.remove(&id);
        self.exports.remove(&id);
    }

    /// Remembers that the volume or snapshot is being deleted, or is deleted: a create that was sent before the delete and
    /// arrives after it must not bring it back. No times are compared for that: an id is generated once, so each create that
    /// arrives after a delete was sent before it.
    pub fn insert_tombstone(&mut self, id: Uuid) {
        if self.tombstones.insert(id, Tombstone::Deleted).is_none() {
            self.deletes.push_back(id);
            if self.deletes.len() > TOMBSTONES
                && let Some(oldest) = self.deletes.pop_front()
            {
                self.tombstones.remove(&oldest);
            }
        }
    }

    /// The delete failed: what still exists may be connected again.
    pub fn delete_failed(&mut self, id: Uuid) {
        if let Some(tombstone) = self.tombstones.get_mut(&id) {
            *tombstone = Tombstone::Failed;
        }
    }

    /// Whether a delete of it was begun: then it must not be created any more.
    pub fn has_tombstone(&self, id: Uuid) -> bool {
        self.tombstones.contains_key(&id)
    }

    /// Whether it is deleted, or being deleted: then it must not be exported any more.
    pub fn is_deleted(&self, id: Uuid) -> bool {
        self.tombstones.get(&id) == Some(&Tombstone::Deleted)
    }

    /// How many volumes must be on the storage, by the catalog at start: those being created or deleted need not be there.
    pub fn expected(&self) -> usize {
        self.expected
    }

    /// Sum of the sizes on a pool, in GiB (`allocated_capacity_gb`).
    pub fn allocated(&self, pool: &str) -> f64 {
        self.sizes
            .values()
            .filter(|(on, _)| on == pool)
            .map(|(_, size)| f64::from(*size))
            .sum()
    }

    /// Records that this operation connected an initiator.
    pub fn connected(&mut self, volume: VolumeSpec, connector: Connector, mode: AttachMode, by: OperationId) {
        let exported = self.exports.entry(volume.id).or_insert_with(|| Exported {
            volume: volume.clone(),
            connections: Vec::new(),
        });
        exported.volume = volume;
        let mut known = exported.connections.iter_mut();
        match known.find(|known| known.connector == connector) {
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

    /// What this operation's connection has created and no other connection uses. The caller must be a worker that holds the
    /// volume's lock until it has acted on it.
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

    /// Records that an initiator (`None`: every one) is disconnected.
    pub fn disconnected(&mut self, id: VolumeId, connector: Option<&Connector>, export_removed: bool) {
        if export_removed {
            self.exports.remove(&id);
        } else if let Some(exported) = self.exports.get_mut(&id) {
            let stays = |gone: &Connector, known: &Connector| gone != known && !gone.is_same_initiator(known);
            let connections = &mut exported.connections;
            connections.retain(|known| connector.is_some_and(|gone| stays(gone, &known.connector)));
        }
    }

    /// The volumes that must be exported.
    pub fn exports(&self) -> Vec<VolumeId> {
        self.exports.keys().copied().collect()
    }

    /// The export that this volume must have.
    pub fn exported(&self, id: VolumeId) -> Option<Exported> {
        self.exports.get(&id).cloned()
    }

    /// Whether the volume is exported.
    pub fn is_exported(&self, id: VolumeId) -> bool {
        self.exports.contains_key(&id)
    }

    /// Whether that initiator has it.
    #[cfg(test)]
    pub(crate) fn is_connected(&self, id: VolumeId, connector: &Connector) -> bool {
        let connections = self.exports.get(&id).map(|exported| &exported.connections);
        connections.is_some_and(|known| known.iter().any(|known| known.connector == *connector))
    }

    /// Removes everything that was loaded; the tombstones are kept.
    pub fn clear(&mut self) {
        self.sizes.clear();
        self.exports.clear();
        self.expected = 0;
    }

    /// Inserts a page of what the catalog says this backend has.
    pub fn load(&mut self, page: &[BackendVolume]) {
        for known in page {
            self.insert(known.volume.id, &known.volume.pool.pool, known.volume.size);
            self.expected += usize::from(known.status.claims_storage());
            let connection = |connector: &Connector| {
                let (connector, mode) = connector.take_mode();
                Connection {
                    connector,
                    mode: mode.unwrap_or(AttachMode::Rw),
                    by: None,
                }
            };
            if !known.connectors.is_empty() {
                let exported = Exported {
                    volume: known.volume.clone(),
                    connections: known.connectors.iter().map(connection).collect(),
                };
                self.exports.insert(known.volume.id, exported);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BackendInventory, TOMBSTONES};
    use crate::model::{OperationId, VolumeId};

    #[test]
    fn what_was_deleted_is_not_made_again_and_may_be_connected_only_if_that_failed() {
        let volume = VolumeId::new().0;
        let mut inventory = BackendInventory::default();
        assert!(!inventory.has_tombstone(volume) && !inventory.is_deleted(volume));
        inventory.insert_tombstone(volume);
        assert!(inventory.has_tombstone(volume) && inventory.is_deleted(volume));
        inventory.delete_failed(volume);
        assert!(inventory.has_tombstone(volume) && !inventory.is_deleted(volume));
        inventory.insert_tombstone(volume);
        assert!(inventory.is_deleted(volume), "it was tried again");
        for _ in 0..2 * TOMBSTONES {
            inventory.insert_tombstone(VolumeId::new().0);
        }
        assert!(inventory.tombstones.len() <= TOMBSTONES && !inventory.has_tombstone(volume));
    }

    #[test]
    fn the_leftover_of_a_failed_connection_is_what_no_other_connection_uses() {
        use super::Leftover;
        use crate::drivers::testing::{connector, volume};
        use crate::model::AttachMode;
        let (volume, first, second) = (volume(1), OperationId::new(), OperationId::new());
        let (one, other) = (connector("iqn.x:1"), connector("iqn.x:2"));
        let mut inventory = BackendInventory::default();
        assert_eq!(inventory.leftover(volume.id, &one, first), Leftover::Export);
        inventory.connected(volume.clone(), one.clone(), AttachMode::Rw, first);
        assert_eq!(inventory.leftover(volume.id, &one, first), Leftover::Export);
        assert_eq!(inventory.leftover(volume.id, &one, second), Leftover::Nothing);
        assert_eq!(inventory.leftover(volume.id, &other, second), Leftover::Connector);
        inventory.connected(volume.clone(), other.clone(), AttachMode::Rw, second);
        assert_eq!(inventory.leftover(volume.id, &one, first), Leftover::Connector);
        // A second connection of the same initiator: neither disconnects the other.
        inventory.connected(volume.clone(), one.clone(), AttachMode::Rw, second);
        for operation in [first, second] {
            assert_eq!(inventory.leftover(volume.id, &one, operation), Leftover::Nothing);
        }
        inventory.disconnected(volume.id, Some(&one), false);
        assert_eq!(inventory.leftover(volume.id, &other, second), Leftover::Export);
    }

    #[test]
    fn what_is_allocated_is_the_sum_of_what_was_inserted() {
        let mut inventory = BackendInventory::default();
        let (one, two) = (VolumeId::new(), VolumeId::new());
        inventory.insert(one, "p", 3);
        inventory.insert(two, "p", 4);
        inventory.insert(two, "p", 5);
        inventory.insert(VolumeId::new(), "q", 100);
        assert!((inventory.allocated("p") - 8.0).abs() < f64::EPSILON);
        inventory.remove(one);
        assert!((inventory.allocated("p") - 5.0).abs() < f64::EPSILON);
    }
}
