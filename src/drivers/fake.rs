//! A driver that keeps volumes in memory: for tests of flows, and for load tests that do not measure storage.
//!
//! It refuses what a real backend would refuse (no space, a missing source, shrinking), so that flows get the same
//! errors. The handle is cheap to clone; clones share the storage. Volumes have a content, which snapshots, clones and
//! reverts preserve; initially it is zeros, and uses no memory.

mod content;
mod handle;
mod open;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::content::Content;
use parking_lot::{Mutex, MutexGuard};

use self::open::OpenFake;
pub use super::faults::Fault;
use super::faults::Faults;
use super::{
    Access, DriverError, DriverResult, GIB, Managed, OpenVolume, VolumeDriver, VolumeUpdate, Work, bytes_of,
    gib_number,
};
use crate::model::service::{Capacity, OverSubscription};
use crate::model::{Existing, PoolStats, Reference, SnapshotId, StorageName, VolumeId, VolumeSpec};

/// Options of a fake backend.
#[derive(Clone, Debug)]
pub struct FakeOptions {
    /// Its pool.
    pub pool_name: String,
    /// How many pools it reports, `NAME`, `NAME-2` and so on. They share one storage and its capacity.
    pub pools: usize,
    /// Its capacity in GiB; `None` for unlimited.
    pub capacity_gib: Option<u64>,
    /// How long each verb takes.
    pub latency: Duration,
    /// Whether its volumes have a device that a target can export.
    pub exportable: bool,
    /// Whether it claims that its storage survives a restart of the process.
    pub remembers: bool,
    /// Whether a new volume reads as zeros; else its first megabyte has former data.
    pub reads_zeros_when_new: bool,
}

impl Default for FakeOptions {
    fn default() -> Self {
        Self {
            pool_name: "fake".to_owned(),
            pools: 1,
            capacity_gib: None,
            latency: Duration::ZERO,
            exportable: true,
            remembers: true,
            reads_zeros_when_new: true,
        }
    }
}

/// The verbs, for scripts and counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the driver's verbs")]
pub enum Verb {
    Setup,
    CreateVolume,
    CreateVolumeFromSnapshot,
    CreateClonedVolume,
    DeleteVolume,
    ExtendVolume,
    CreateSnapshot,
    DeleteSnapshot,
    RevertToSnapshot,
    ManageVolume,
    ManageSnapshot,
    Stats,
    ListExisting,
    OpenVolume,
    Read,
    Write,
    Sync,
}

/// A volume, a snapshot, or an unmanaged disk.
#[derive(Clone, Default)]
struct Disk {
    gib: u32,
    content: Content,
}

#[derive(Default)]
struct Storage {
    volumes: BTreeMap<VolumeId, Disk>,
    snapshots: BTreeMap<SnapshotId, (VolumeId, Disk)>,
    /// Unmanaged disks, by name.
    unmanaged: BTreeMap<String, Disk>,
}

impl Storage {
    /// Takes the disk of a reference, unmanaged or formerly managed.
    fn take(&mut self, reference: &Reference) -> Option<Disk> {
        let name = reference.source_name()?;
        match StorageName::parse(&name) {
            Some(StorageName::Volume(id)) => self.volumes.remove(&id),
            Some(StorageName::Snapshot(id)) => self.snapshots.remove(&id).map(|(_, disk)| disk),
            None => self.unmanaged.remove(&name),
        }
    }

    fn used_gib(&self) -> u64 {
        let volumes = self.volumes.values();
        let snapshots = self.snapshots.values().map(|(_, disk)| disk);
        volumes.chain(snapshots).map(|disk| u64::from(disk.gib)).sum()
    }

    fn volume(&mut self, id: VolumeId) -> DriverResult<&mut Disk> {
        self.volumes.get_mut(&id).ok_or_else(|| missing("volume"))
    }

    fn snapshot(&self, id: SnapshotId) -> DriverResult<Disk> {
        let (_, disk) = self.snapshots.get(&id).ok_or_else(|| missing("snapshot"))?;
        Ok(disk.clone())
    }

    /// The disk to adopt: that of the reference, or one that was adopted before.
    fn adopted(&mut self, before: Option<Disk>, reference: &Reference) -> DriverResult<Disk> {
        match (before, self.take(reference)) {
            (Some(disk), None) | (None, Some(disk)) => Ok(disk),
            _ => Err(DriverError::refused(
                "The reference names nothing on the storage backend.",
            )),
        }
    }
}

/// A handle of a fake backend.
#[derive(Clone)]
pub struct FakeDriver {
    options: Arc<FakeOptions>,
    storage: Arc<Mutex<Storage>>,
    faults: Arc<Faults<Verb>>,
}

impl Default for FakeDriver {
    fn default() -> Self {
        Self::new(FakeOptions::default())
    }
}

impl FakeDriver {
    /// An empty backend.
    pub fn new(options: FakeOptions) -> Self {
        Self {
            faults: Arc::new(Faults::new(options.latency)),
            options: Arc::new(options),
            storage: Arc::default(),
        }
    }

    fn storage(&self) -> MutexGuard<'_, Storage> {
        self.storage.lock()
    }

    fn room_for(&self, storage: &Storage, gib: u32) -> DriverResult<()> {
        match self.options.capacity_gib {
            Some(capacity) if storage.used_gib() + u64::from(gib) > capacity => {
                Err(DriverError::no_space(format!(
                    "{gib} GiB do not fit, {} of {capacity} are used",
                    storage.used_gib()
                )))
            }
            _ => Ok(()),
        }
    }

    fn put(
        &self,
        storage: &mut Storage,
        volume: &VolumeSpec,
        content: Content,
    ) -> DriverResult<VolumeUpdate> {
        match storage.volumes.get(&volume.id) {
            Some(disk) if disk.gib == volume.size => {}
            Some(disk) => {
                return Err(DriverError::backend_failed(format!(
                    "{} is there with {} GiB",
                    volume.storage_name(),
                    disk.gib
                )));
            }
            None => {
                self.room_for(storage, volume.size)?;
                let gib = volume.size;
                storage.volumes.insert(volume.id, Disk { gib, content });
            }
        }
        Ok(VolumeUpdate::default())
    }
}

fn missing(what: &str) -> DriverError {
    DriverError::not_found(
        format!("The {what} is not on the storage backend."),
        format!("no such {what}"),
    )
}

/// Former data on the storage of a backend that does not zero it.
fn left_by_another() -> Content {
    let mut content = Content::default();
    let _ = content.write(0, &[0xaa; 1 << 20]);
    content
}

fn fits(volume: &VolumeSpec, source_gib: u32) -> DriverResult<()> {
    if volume.size < source_gib {
        return Err(DriverError::refused("The volume is smaller than its source."));
    }
    Ok(())
}

impl VolumeDriver for FakeDriver {
    fn setup(&self, work: &Work) -> DriverResult<()> {
        self.faults.run(Verb::Setup, work, || Ok(()))
    }

    fn create_volume(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<VolumeUpdate> {
        self.faults.run(Verb::CreateVolume, work, || {
            let content = if self.options.reads_zeros_when_new {
                Content::default()
            } else {
                left_by_another()
            };
            self.put(&mut self.storage(), volume, content)
        })
    }

    fn create_volume_from_snapshot(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        snapshot: SnapshotId,
    ) -> DriverResult<VolumeUpdate> {
        self.faults.run(Verb::CreateVolumeFromSnapshot, work, || {
            let mut storage = self.storage();
            let source = storage.snapshot(snapshot)?;
            fits(volume, source.gib)?;
            self.put(&mut storage, volume, source.content)
        })
    }

    fn create_cloned_volume(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        source: VolumeId,
    ) -> DriverResult<VolumeUpdate> {
        self.faults.run(Verb::CreateClonedVolume, work, || {
            let mut storage = self.storage();
            let source = storage.volumes.get(&source).cloned();
            let source = source.ok_or_else(|| missing("source volume"))?;
            fits(volume, source.gib)?;
            self.put(&mut storage, volume, source.content)
        })
    }

    fn delete_volume(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()> {
        self.faults.run(Verb::DeleteVolume, work, || {
            self.storage().volumes.remove(&volume.id);
            Ok(())
        })
    }

    fn extend_volume(&self, work: &Work, volume: &VolumeSpec, new_size: u32) -> DriverResult<()> {
        self.faults.run(Verb::ExtendVolume, work, || {
            let mut storage = self.storage();
            let size = storage.volume(volume.id)?.gib;
            if new_size < size {
                return Err(DriverError::refused("A volume cannot be shrunk."));
            }
            self.room_for(&storage, new_size - size)?;
            storage.volume(volume.id)?.gib = new_size;
            Ok(())
        })
    }

    fn create_snapshot(&self, work: &Work, volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()> {
        self.faults.run(Verb::CreateSnapshot, work, || {
            let mut storage = self.storage();
            let disk = storage.volume(volume.id)?.clone();
            if !storage.snapshots.contains_key(&snapshot) {
                self.room_for(&storage, disk.gib)?;
                storage.snapshots.insert(snapshot, (volume.id, disk));
            }
            Ok(())
        })
    }

    fn delete_snapshot(&self, work: &Work, _volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()> {
        self.faults.run(Verb::DeleteSnapshot, work, || {
            self.storage().snapshots.remove(&snapshot);
            Ok(())
        })
    }

    fn stats(&self, work: &Work) -> DriverResult<Vec<PoolStats>> {
        self.faults.run(Verb::Stats, work, || {
            let storage = self.storage();
            let used = storage.used_gib();
            let (total, free) = match self.options.capacity_gib {
                Some(capacity) => (
                    Capacity::Gib(gib_number(capacity * GIB)),
                    Capacity::Gib(gib_number(capacity.saturating_sub(used) * GIB)),
                ),
                None => (Capacity::Infinite, Capacity::Infinite),
            };
            let name = &self.options.pool_name;
            let pool = |number: usize| PoolStats {
                pool_name: match number {
                    1 => name.clone(),
                    further => format!("{name}-{further}"),
                },
                total_capacity_gb: total,
                free_capacity_gb: free,
                allocated_capacity_gb: 0.0,
                provisioned_capacity_gb: gib_number(used * GIB),
                reserved_percentage: 0,
                max_over_subscription_ratio: OverSubscription::Ratio(1.0),
                thin_provisioning_support: false,
                thick_provisioning_support: true,
                multiattach: true,
                online_extend_support: true,
                total_volumes: u64::try_from(storage.volumes.len() + storage.snapshots.len())
                    .unwrap_or(u64::MAX),
                extra: BTreeMap::new(),
            };
            Ok((1..=self.options.pools).map(pool).collect())
        })
    }

    fn revert_to_snapshot(&self, work: &Work, volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()> {
        self.faults.run(Verb::RevertToSnapshot, work, || {
            let mut storage = self.storage();
            let disk = storage.snapshot(snapshot)?;
            *storage.volume(volume.id)? = disk;
            Ok(())
        })
    }

    fn manage_volume(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        reference: &Reference,
    ) -> DriverResult<Managed> {
        self.faults.run(Verb::ManageVolume, work, || {
            let mut storage = self.storage();
            let known = storage.volumes.get(&volume.id).cloned();
            let disk = storage.adopted(known, reference)?;
            let size = disk.gib;
            storage.volumes.insert(volume.id, disk);
            Ok(Managed::of_size(size))
        })
    }

    fn manage_snapshot(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        snapshot: SnapshotId,
        reference: &Reference,
    ) -> DriverResult<Managed> {
        self.faults.run(Verb::ManageSnapshot, work, || {
            let mut storage = self.storage();
            let known = storage.snapshots.get(&snapshot).map(|(_, disk)| disk.clone());
            let disk = storage.adopted(known, reference)?;
            let size = disk.gib;
            storage.snapshots.insert(snapshot, (volume.id, disk));
            Ok(Managed::of_size(size))
        })
    }

    fn open_volume(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        _access: Access,
    ) -> DriverResult<Box<dyn OpenVolume>> {
        self.faults.run(Verb::OpenVolume, work, || {
            let gib = self.storage().volume(volume.id)?.gib;
            Ok(Box::new(OpenFake {
                driver: self.clone(),
                id: volume.id,
                length: bytes_of(gib),
            }) as Box<dyn OpenVolume>)
        })
    }

    fn moves_data(&self) -> bool {
        false
    }

    fn list_existing(&self, work: &Work) -> DriverResult<Vec<Existing>> {
        self.faults.run(Verb::ListExisting, work, || {
            let storage = self.storage();
            let existing = |name: String, disk: &Disk, origin| Existing {
                name,
                bytes: bytes_of(disk.gib),
                in_use: false,
                origin,
            };
            let name = |id: &VolumeId| StorageName::Volume(*id).to_string();
            let mut all: Vec<Existing> = storage
                .volumes
                .iter()
                .map(|(id, disk)| existing(name(id), disk, None))
                .collect();
            all.extend(storage.snapshots.iter().map(|(id, (volume, disk))| {
                existing(StorageName::Snapshot(*id).to_string(), disk, Some(name(volume)))
            }));
            let unmanaged = storage.unmanaged.iter();
            all.extend(unmanaged.map(|(name, disk)| existing(name.clone(), disk, None)));
            all.sort_by(|one, other| one.name.cmp(&other.name));
            Ok(all)
        })
    }

    fn remembers(&self) -> bool {
        self.options.remembers
    }

    fn backing_store(&self, volume: &VolumeSpec) -> Option<PathBuf> {
        self.options
            .exportable
            .then(|| PathBuf::from("/fake").join(volume.storage_name()))
    }
}
