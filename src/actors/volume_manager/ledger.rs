//! What a manager knows of its backend without asking the storage: which volumes it has, what they are worth, which are
//! exported and to whom. Filled at start from the catalog (by message), kept up by each command.

use std::collections::HashMap;

use crate::messages::api::BackendVolume;
use crate::model::{Connector, VolumeId, VolumeSpec};

/// An export that must be restored when the target daemon was started anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The volume, with its `provider_auth`.
    pub volume: VolumeSpec,
    /// The initiators that have it.
    pub connectors: Vec<Connector>,
}

/// The book of one backend.
#[derive(Debug, Default)]
pub struct Ledger {
    sizes: HashMap<VolumeId, (String, u32)>,
    exports: HashMap<VolumeId, Exported>,
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
    pub fn connected(&mut self, volume: VolumeSpec, connector: Connector) {
        let exported = self.exports.entry(volume.id).or_insert_with(|| Exported {
            volume: volume.clone(),
            connectors: Vec::new(),
        });
        exported.volume = volume;
        if !exported.connectors.contains(&connector) {
            exported.connectors.push(connector);
        }
    }

    /// Notes that an initiator (`None`: every one) has it no longer.
    pub fn disconnected(&mut self, id: VolumeId, connector: Option<&Connector>, export_removed: bool) {
        if export_removed {
            self.exports.remove(&id);
        } else if let Some(exported) = self.exports.get_mut(&id) {
            exported
                .connectors
                .retain(|known| connector.is_some_and(|gone| gone != known));
        }
    }

    /// All that must be exported.
    #[must_use]
    pub fn exports(&self) -> Vec<Exported> {
        self.exports.values().cloned().collect()
    }

    /// Whether the volume is exported.
    #[must_use]
    pub fn is_exported(&self, id: VolumeId) -> bool {
        self.exports.contains_key(&id)
    }

    /// Takes a page of what the catalog says this backend has.
    pub fn learn(&mut self, page: &[BackendVolume]) {
        for known in page {
            self.enter(known.volume.id, &known.volume.pool.pool, known.volume.size);
            if !known.connectors.is_empty() {
                self.exports.insert(
                    known.volume.id,
                    Exported {
                        volume: known.volume.clone(),
                        connectors: known.connectors.clone(),
                    },
                );
            }
        }
    }
}
