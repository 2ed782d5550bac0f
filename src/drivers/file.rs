//! Volumes as sparse files in a folder: storage for one machine, with nothing to install (similar to cinder:
//! `volume/drivers/remotefs.py`; names are those of its LVM driver).
//!
//! `volume-<id>` is a volume, `_snapshot-<id>` a snapshot, each an independent file of mode 0600. Files are created
//! atomically: as `.new-<name>`, then synced and renamed. Leftovers of a killed run with such a name are removed by the
//! next setup, create or delete.
//!
//! Copies share blocks if the file system supports it (XFS, btrfs), else they are sparse. Copies of a volume in use are
//! consistent only in the first case, which is why the API requires `force`.

mod copy;
mod folder;
mod known;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

pub use self::folder::Identity;
use self::folder::{Folder, Name, io_error};
use self::known::Known;
use super::copy::block_file::BlockFile;
use super::copy::throttle::Throttle;
use super::{
    Access, DriverError, DriverResult, Managed, OpenVolume, VolumeDriver, VolumeUpdate, Work, bytes_of,
    gib_number,
};
use crate::model::manageable::gib_of;
use crate::model::service::{Capacity, OverSubscription};
use crate::model::{Existing, PoolStats, Reference, SnapshotId, VolumeId, VolumeSpec};

/// Options of a file backend.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// The folder. It is created, with mode 0700, by the first setup of a process and never later: if it disappears, a
    /// disk was unmounted.
    pub path: PathBuf,
    /// Its one pool; the backend's name, as in Cinder.
    pub pool_name: String,
    /// The percentage that is kept free.
    pub reserved_percentage: u8,
    /// Its largest over-subscription ratio.
    pub max_over_subscription_ratio: OverSubscription,
    /// The limit of bytes per second for its copies together; 0 is no limit.
    pub copy_bps_limit: u64,
    /// Further data that its pool reports.
    pub extra: BTreeMap<String, String>,
    /// The identity of the folder at that path. Clones share it, so a driver that is rebuilt after a panic knows it.
    pub identity: Identity,
}

impl FileOptions {
    /// Cinder's defaults for a pool with that name in that folder.
    pub fn new(path: impl Into<PathBuf>, pool_name: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            pool_name: pool_name.into(),
            reserved_percentage: 0,
            max_over_subscription_ratio: OverSubscription::Ratio(20.0),
            copy_bps_limit: 0,
            extra: BTreeMap::new(),
            identity: Identity::default(),
        }
    }
}

/// The driver. See the module.
pub struct FileDriver {
    options: FileOptions,
    folder: Folder,
    known: Known,
    throttle: Throttle,
}

impl FileDriver {
    /// A new driver. It does not access the storage.
    pub fn new(options: FileOptions) -> Self {
        Self {
            folder: Folder::new(options.path.clone(), options.identity.clone()),
            known: Known::default(),
            throttle: Throttle::new(options.copy_bps_limit),
            options,
        }
    }

    /// Checks the work, and that the folder is there.
    fn begin(&self, work: &Work) -> DriverResult<()> {
        work.check()?;
        self.folder.check()
    }

    fn open(&self, name: Name) -> DriverResult<File> {
        let path = self.folder.path_of(name);
        File::open(&path).map_err(|error| io_error("open", &path, &error))
    }

    /// Creates the file `name` of so many bytes, with content by `fill`, unless it exists.
    fn make(
        &self,
        work: &Work,
        name: Name,
        bytes: u64,
        fill: impl FnOnce(&File) -> DriverResult<()>,
    ) -> DriverResult<()> {
        self.begin(work)?;
        match self.folder.size(name)? {
            Some(found) if found == bytes => {
                self.known.put(name, bytes);
                return Ok(());
            }
            Some(found) => {
                return Err(DriverError::failed(
                    "The storage backend has another volume of that name.",
                    format!("{name} exists with {found} bytes where {bytes} were requested"),
                ));
            }
            None => {}
        }
        let draft = self.folder.draft(work, name)?;
        fill(draft.file())?;
        draft.grow(bytes)?;
        work.check()?;
        draft.publish()?;
        self.known.put(name, bytes);
        Ok(())
    }

    /// Creates `name` with the content of `source`, with `bytes` or the size of the source.
    fn copy(&self, work: &Work, source: Name, name: Name, bytes: Option<u64>) -> DriverResult<()> {
        self.begin(work)?;
        let held = self.folder.size(source)?.ok_or_else(|| missing(source))?;
        let bytes = bytes.unwrap_or(held);
        if bytes < held {
            return Err(DriverError::refused("The volume is smaller than its source."));
        }
        self.make(work, name, bytes, |to| {
            copy::copy(work, &self.throttle, &self.open(source)?, to, held)
        })
    }

    fn remove(&self, work: &Work, name: Name) -> DriverResult<()> {
        self.begin(work)?;
        self.folder.remove(work, name)?;
        self.known.remove(name);
        Ok(())
    }

    fn adopt(&self, work: &Work, reference: &Reference, name: Name) -> DriverResult<Managed> {
        self.begin(work)?;
        let source = reference.source_name().unwrap_or_default();
        let bytes = self.folder.adopt(work, &source, name)?;
        if let Some(was) = Name::parse(&source).filter(|was| *was != name) {
            self.known.remove(was);
        }
        self.known.put(name, bytes);
        Ok(Managed::of_size(gib_of(bytes)))
    }

    fn scan(&self, work: &Work) -> DriverResult<Vec<(Name, u64)>> {
        self.known.replace(|| {
            self.folder.check()?;
            self.folder.list(work)
        })
    }
}

fn missing(name: Name) -> DriverError {
    DriverError::not_found(
        format!("The {} is not on the storage backend.", name.kind()),
        format!("no file {name}"),
    )
}

impl VolumeDriver for FileDriver {
    fn setup(&self, work: &Work) -> DriverResult<()> {
        work.check()?;
        let is_first = self.folder.make()?;
        work.take_ownership()?;
        if is_first {
            self.folder.remove_drafts(work)?;
        }
        self.scan(work)?;
        Ok(())
    }

    fn create_volume(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<VolumeUpdate> {
        self.make(work, Name::Volume(volume.id), bytes_of(volume.size), |_| Ok(()))?;
        Ok(VolumeUpdate::default())
    }

    fn create_volume_from_snapshot(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        snapshot: SnapshotId,
    ) -> DriverResult<VolumeUpdate> {
        let (from, to) = (Name::Snapshot(snapshot), Name::Volume(volume.id));
        self.copy(work, from, to, Some(bytes_of(volume.size)))?;
        Ok(VolumeUpdate::default())
    }

    fn create_cloned_volume(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        source: VolumeId,
    ) -> DriverResult<VolumeUpdate> {
        let (from, to) = (Name::Volume(source), Name::Volume(volume.id));
        self.copy(work, from, to, Some(bytes_of(volume.size)))?;
        Ok(VolumeUpdate::default())
    }

    fn delete_volume(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()> {
        self.remove(work, Name::Volume(volume.id))
    }

    fn extend_volume(&self, work: &Work, volume: &VolumeSpec, new_size: u32) -> DriverResult<()> {
        self.begin(work)?;
        let (name, bytes) = (Name::Volume(volume.id), bytes_of(new_size));
        let held = self.folder.size(name)?.ok_or_else(|| missing(name))?;
        if held > bytes {
            return Err(DriverError::refused("A volume cannot be shrunk."));
        }
        if held < bytes {
            self.folder.extend(work, name, bytes)?;
        }
        self.known.put(name, bytes);
        Ok(())
    }

    fn create_snapshot(&self, work: &Work, volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()> {
        let name = Name::Snapshot(snapshot);
        self.begin(work)?;
        // An existing one is complete, even if its volume's size has changed since.
        if self.folder.size(name)?.is_some() {
            return Ok(());
        }
        self.copy(work, Name::Volume(volume.id), name, None)
    }

    fn delete_snapshot(&self, work: &Work, _volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()> {
        self.remove(work, Name::Snapshot(snapshot))
    }

    fn stats(&self, work: &Work) -> DriverResult<Vec<PoolStats>> {
        self.begin(work)?;
        let (total, free) = self.folder.space()?;
        let (count, provisioned) = match self.known.totals() {
            Some(totals) => totals,
            None => {
                let all = self.scan(work)?;
                (all.len(), all.iter().map(|(_, bytes)| bytes).sum())
            }
        };
        Ok(vec![PoolStats {
            pool_name: self.options.pool_name.clone(),
            total_capacity_gb: Capacity::Gib(gib_number(total)),
            free_capacity_gb: Capacity::Gib(gib_number(free)),
            allocated_capacity_gb: 0.0,
            provisioned_capacity_gb: gib_number(provisioned),
            reserved_percentage: self.options.reserved_percentage,
            max_over_subscription_ratio: self.options.max_over_subscription_ratio,
            thin_provisioning_support: true,
            thick_provisioning_support: false,
            multiattach: true,
            online_extend_support: true,
            total_volumes: u64::try_from(count).unwrap_or(u64::MAX),
            extra: self.options.extra.clone(),
        }])
    }

    fn revert_to_snapshot(&self, work: &Work, volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()> {
        let (source, name) = (Name::Snapshot(snapshot), Name::Volume(volume.id));
        self.begin(work)?;
        let bytes = self.folder.size(source)?.ok_or_else(|| missing(source))?;
        self.folder.size(name)?.ok_or_else(|| missing(name))?;
        let draft = self.folder.draft(work, name)?;
        copy::copy(work, &self.throttle, &self.open(source)?, draft.file(), bytes)?;
        draft.grow(bytes)?;
        work.check()?;
        draft.publish_over()?;
        self.known.put(name, bytes);
        Ok(())
    }

    fn manage_volume(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        reference: &Reference,
    ) -> DriverResult<Managed> {
        self.adopt(work, reference, Name::Volume(volume.id))
    }

    fn manage_snapshot(
        &self,
        work: &Work,
        _volume: &VolumeSpec,
        snapshot: SnapshotId,
        reference: &Reference,
    ) -> DriverResult<Managed> {
        self.adopt(work, reference, Name::Snapshot(snapshot))
    }

    fn open_volume(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        access: Access,
    ) -> DriverResult<Box<dyn OpenVolume>> {
        let name = Name::Volume(volume.id);
        self.begin(work)?;
        self.folder.size(name)?.ok_or_else(|| missing(name))?;
        let opened = BlockFile::open(&self.folder.path_of(name), access, &self.throttle, true)?;
        Ok(Box::new(opened))
    }

    fn moves_data(&self) -> bool {
        true
    }

    fn list_existing(&self, work: &Work) -> DriverResult<Vec<Existing>> {
        self.begin(work)?;
        self.folder.list_existing(work)
    }

    fn backing_store(&self, volume: &VolumeSpec) -> Option<PathBuf> {
        let path = self.folder.path_of(Name::Volume(volume.id));
        Some(std::path::absolute(&path).unwrap_or(path))
    }
}

#[cfg(test)]
mod tests;
