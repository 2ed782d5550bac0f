//! The test handle of a fake backend: scripted faults, and direct access to its storage.

use super::{Content, Disk, FakeDriver, Fault, Verb};
use crate::drivers::DriverError;
use crate::model::{SnapshotId, VolumeId};

impl FakeDriver {
    /// Sets the fault of the next call of `verb` without one.
    pub fn script(&self, verb: Verb, fault: Fault) {
        self.faults.push(verb, fault);
    }

    /// The next `times` calls of `verb` fail with this.
    pub fn fail_next(&self, verb: Verb, times: usize, error: fn() -> DriverError) {
        for _ in 0..times {
            self.faults.push(verb, Fault::Fails(error));
        }
    }

    /// Removes all scripted faults.
    pub fn heal(&self) {
        self.faults.clear();
    }

    /// How often `verb` was called.
    pub fn calls(&self, verb: Verb) -> usize {
        self.faults.calls(verb)
    }

    /// Whether the volume exists.
    pub fn exists(&self, id: VolumeId) -> bool {
        self.storage().volumes.contains_key(&id)
    }

    /// The volume's size in GiB, if it exists.
    pub fn size(&self, id: VolumeId) -> Option<u32> {
        self.storage().volumes.get(&id).map(|disk| disk.gib)
    }

    /// The existing volumes.
    pub fn volumes(&self) -> Vec<VolumeId> {
        self.storage().volumes.keys().copied().collect()
    }

    /// The existing snapshots.
    pub fn snapshots(&self) -> Vec<SnapshotId> {
        self.storage().snapshots.keys().copied().collect()
    }

    /// Adds an unmanaged disk of so many GiB.
    pub fn put_unmanaged(&self, name: &str, size: u32) {
        let content = Content::default();
        self.storage()
            .unmanaged
            .insert(name.to_owned(), Disk { gib: size, content });
    }

    /// Deletes a volume without the service, as an operator might.
    pub fn lose(&self, id: VolumeId) {
        self.storage().volumes.remove(&id);
    }

    /// Writes into a volume, as a client that has it attached would. Does nothing if it does not exist.
    pub fn write_volume(&self, id: VolumeId, offset: u64, bytes: &[u8]) {
        if let Ok(disk) = self.storage().volume(id) {
            let _ = disk.content.write(offset, bytes);
        }
    }

    /// Reads from a volume; empty if it does not exist.
    pub fn read_volume(&self, id: VolumeId, offset: u64, length: usize) -> Vec<u8> {
        let mut storage = self.storage();
        storage
            .volume(id)
            .map_or_else(|_| Vec::new(), |disk| disk.content.read(offset, length))
    }

    /// The content of a volume, for comparisons; `None` if it does not exist.
    pub fn content(&self, id: VolumeId) -> Option<Content> {
        self.storage().volumes.get(&id).map(|disk| disk.content.clone())
    }

    /// The content of a snapshot; `None` if it does not exist.
    pub fn snapshot_content(&self, id: SnapshotId) -> Option<Content> {
        let storage = self.storage();
        storage.snapshots.get(&id).map(|(_, disk)| disk.content.clone())
    }
}
