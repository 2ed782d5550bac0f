//! What a manager knows of its backend without asking the storage: which volumes it has, what they are worth, which are
//! exported and to whom. Filled at start from the catalog (by message), kept up by each command.
//!
//! What it says of a volume's export is read and changed by verbs that are alone on that volume, together with the export
//! itself: else one that is just being restored could be taken away, or the other way round.

use std::collections::{BTreeMap, HashMap, VecDeque};

use uuid::Uuid;

use crate::messages::api::BackendVolume;
use crate::model::{AttachMode, Connector, OperationId, VolumeId, VolumeSpec};

/// How many deleted volumes are remembered. They need to be only for as long as a command can be on its way.
const BURIED: usize = 4096;

/// An export that must be restored when the target daemon was started anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The volume, with its `provider_auth`.
    pub volume: VolumeSpec,
    /// The initiators that have it.
    pub connectors: Vec<(Connector, AttachMode)>,
}

/// The book of one backend.
#[derive(Debug, Default)]
pub struct Ledger {
    sizes: HashMap<VolumeId, (String, u32)>,
    expected: usize,
    exports: BTreeMap<VolumeId, Exported>,
    /// Volumes and snapshots.
    buried: HashMap<Uuid, OperationId>,
    burials: VecDeque<Uuid>,
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

    /// Remembers that this operation deletes the volume or snapshot: a create that was sent before it and arrives after it must
    /// not bring it back.
    pub fn bury(&mut self, id: Uuid, by: OperationId) {
        if self.buried.insert(id, by).is_none() {
            self.burials.push_back(id);
            if self.burials.len() > BURIED
                && let Some(oldest) = self.burials.pop_front()
            {
                self.buried.remove(&oldest);
            }
        }
    }

    /// Whether a later operation has deleted it. Operations' ids sort by their beginning.
    #[must_use]
    pub fn is_buried(&self, id: Uuid, before: OperationId) -> bool {
        self.buried.get(&id).is_some_and(|by| *by > before)
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

    /// Notes that an initiator has the volume.
    pub fn connected(&mut self, volume: VolumeSpec, connector: Connector, mode: AttachMode) {
        let exported = self.exports.entry(volume.id).or_insert_with(|| Exported {
            volume: volume.clone(),
            connectors: Vec::new(),
        });
        exported.volume = volume;
        exported.connectors.retain(|(known, _)| *known != connector);
        exported.connectors.push((connector, mode));
    }

    /// Notes that an initiator (`None`: every one) has it no longer.
    pub fn disconnected(&mut self, id: VolumeId, connector: Option<&Connector>, export_removed: bool) {
        if export_removed {
            self.exports.remove(&id);
        } else if let Some(exported) = self.exports.get_mut(&id) {
            exported
                .connectors
                .retain(|(known, _)| connector.is_some_and(|gone| gone != known));
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
    #[must_use]
    pub fn is_connected(&self, id: VolumeId, connector: &Connector) -> bool {
        let exported = self.exports.get(&id);
        exported.is_some_and(|exported| exported.connectors.iter().any(|(known, _)| known == connector))
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
                        connectors: known
                            .connectors
                            .iter()
                            .map(|connector| {
                                let (connector, mode) = connector.take_mode();
                                (connector, mode.unwrap_or(AttachMode::Rw))
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

    use super::{BURIED, Ledger};
    use crate::model::{OperationId, VolumeId};

    #[test]
    fn a_create_from_before_the_delete_does_not_bring_a_volume_back() {
        let (volume, create) = (Uuid::new_v4(), OperationId::new());
        let delete = OperationId::new();
        let mut ledger = Ledger::default();
        assert!(!ledger.is_buried(volume, create));
        ledger.bury(volume, delete);
        assert!(ledger.is_buried(volume, create));
        assert!(!ledger.is_buried(volume, OperationId::new()));
        for _ in 0..2 * BURIED {
            ledger.bury(Uuid::new_v4(), delete);
        }
        assert!(ledger.buried.len() <= BURIED);
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
