//! Volumes as logical volumes of a volume group: thick, or thin in the pool `<vg>-pool` (cinder: `volume/drivers/lvm.py`,
//! `brick/local_dev/lvm.py`; names are Cinder's, so a group of Cinder's is recognised).
//!
//! **Every verb checks the state before it acts, and may be killed at any point.** Each LVM command changes the group's
//! metadata atomically; a verb with several commands leaves states that the next check recognises:
//!
//! | verb | checks | commands | if killed after a command |
//! |---|---|---|---|
//! | create | nothing, unless the name is taken | `lvcreate` | it exists: the size is compared, and it is activated |
//! | create from a thin snapshot, clone a thin volume | source, volume | `lvcreate -s`; `lvextend` if it must be larger | a volume that is too small: it is extended |
//! | create from a thick snapshot | source, volume | `lvcreate` with the tag `pumice.copying`; copy; the tag is removed | one with the tag is incomplete: the copy begins again |
//! | clone a thick volume | the same, and `clone-snap-<id>` | snapshot of the source; as above; the snapshot is removed | the snapshot is used again if it is one (a killed `lvcreate` leaves an ordinary volume: removed); beside a complete volume it is removed |
//! | extend | volume, its snapshots | `lvextend`; thick with snapshots: `lvchange -an` before, `-ay` after | an inactive volume: activated |
//! | create snapshot | thin: nothing at first | `lvcreate -s` | it exists; one of a thick volume without an origin is incomplete: removed |
//! | delete | volume, its snapshots, leftovers of its verbs | wipe (thick); `lvremove` | wiped again, removed |
//! | delete snapshot | snapshot | thick: split from its origin (`lvconvert --splitsnapshot`), wipe; `lvremove` | an ordinary volume of its name: wiped again, removed |
//! | revert, thin | volume, snapshot, `revert-new-`, `revert-old-` | snapshot of the snapshot as *new*; volume → *old*; *new* → volume; *old* removed | *new* beside the volume: removed, restarted. *old* and *new* without the volume: *new* takes its name. *old* beside the volume: removed |
//! | revert, thick | volume, its snapshots | differences are copied back; if the volume was extended, the excess is wiped and the volume is shrunk: `lvchange -an`, snapshots tagged `pumice.split…` and split (`lvconvert --splitsnapshot`), `lvreduce`, joined again (`lvconvert -s -Zn`), `lvchange -ay` | copied back again: fewer differences. Snapshots with the tag: the shrink is finished, they are joined |
//! | manage | both names | `lvrename`; activation | the new name exists, the old one does not |
//!
//! An interrupted revert is finished by the next verb on the volume, including the `activate` of an export; a volume
//! that a killed command left suspended is resumed. The snapshot of a revert is never written and never removed: only
//! differences from it are copied back, so it needs no further space for changes, and cannot run full.
//!
//! **Volumes in use are not changed, and a refused verb has no effect.** Delete and revert first check for an open
//! device and for dependent snapshots, which `lvremove -f` would remove, too. A verb that does something before LVM
//! could refuse the rest (copy, wipe, deactivate) first checks whether LVM would: a group with a missing disk, one
//! without space, conflicting snapshots.
//!
//! **Space that is returned to the group is wiped** (all of this is in `remove.rs`), and thin pools zero blocks that
//! they allocate, so a new volume never reads data of another one. Space that was in the group before, or is returned
//! by other programs, is not wiped: a thick volume may read that. Its first sectors are wiped by `lvcreate`; if that is
//! killed in between they are not, which cannot be detected later.

pub mod checkup;
mod command_queue;
mod commands;
mod create;
mod error_kind;
mod look;
mod manage;
mod names;
mod options;
mod remove;
mod report;
mod resize;
mod revert;
mod shrink;
mod stats;
mod watch;

use std::path::{Path, PathBuf};

pub use crate::model::lvm::{LvmType, VolumeClear};
pub use options::LvmOptions;
use parking_lot::Mutex;

use self::commands::Lvm;
use self::error_kind::{ErrorKind, classify};
use self::report::Kind;
use self::watch::Watch;
use super::copy::Target;
use super::copy::block_file::BlockFile;
use super::copy::process::Copier;
use super::{
    Access, DriverError, DriverResult, Managed, OpenVolume, VolumeDriver, VolumeUpdate, Work, bytes_of,
};
use crate::model::service::PoolStats;
use crate::model::{Existing, Reference, SnapshotId, VolumeId, VolumeSpec};

/// Whether the device exists, and is not suspended, read from the kernel without LVM (`/sys/block/dm-N/dm/suspended`).
fn answers(device: &Path) -> bool {
    let Ok(node) = std::fs::canonicalize(device) else {
        return false;
    };
    let Some(name) = node.file_name() else {
        return false;
    };
    std::fs::read_to_string(Path::new("/sys/block").join(name).join("dm/suspended"))
        .is_ok_and(|suspended| suspended.trim() == "0")
}

/// The kind of new volumes of this backend, once decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Thick,
    Thin,
}

/// The driver. See the module.
pub struct LvmDriver {
    options: LvmOptions,
    lvm: Lvm,
    copier: Copier,
    mode: Mutex<Option<Mode>>,
    watch: Mutex<Watch>,
}

impl LvmDriver {
    /// A new driver. It does not access the storage.
    pub fn new(options: LvmOptions) -> Self {
        Self {
            lvm: Lvm::new(&options),
            copier: Copier::new(options.copy.clone()),
            mode: Mutex::new(match options.lvm_type {
                LvmType::Auto => None,
                LvmType::Thick => Some(Mode::Thick),
                LvmType::Thin => Some(Mode::Thin),
            }),
            watch: Mutex::default(),
            options,
        }
    }

    /// Copies the volume's data into a new file; holes are preserved.
    ///
    /// # Errors
    /// As the copy; or if the volume does not exist.
    pub fn copy_volume_to_file(&self, work: &Work, volume: &VolumeSpec, file: &Path) -> DriverResult<()> {
        let name = names::volume(volume.id);
        let lv = self.volume_awake(work, volume)?;
        self.copier
            .copy(work, &self.lvm.device(&name), file, lv.bytes, Target::Zeros)
    }

    /// Copies a file into the volume, from its beginning. The volume's data there is overwritten, the rest is kept.
    ///
    /// # Errors
    /// As the copy; or if the volume does not exist, or is smaller than the file.
    pub fn copy_file_to_volume(&self, work: &Work, file: &Path, volume: &VolumeSpec) -> DriverResult<()> {
        let name = names::volume(volume.id);
        let lv = self.volume_awake(work, volume)?;
        // A thin one takes no space for zeros in unallocated blocks.
        let target = if lv.kind == Kind::Thin {
            Target::Alike
        } else {
            Target::Anything
        };
        let length = std::fs::metadata(file)
            .map_err(|error| failed(format!("cannot look at {}: {error}", file.display())))?
            .len();
        if length > lv.bytes {
            return Err(DriverError::refused("The data is larger than the volume."));
        }
        self.copier
            .copy(work, file, &self.lvm.device(&name), length, target)
    }

    /// Renames a volume: after a migration its copy replaces the original. Idempotent.
    ///
    /// # Errors
    /// If neither exists, or both do.
    pub fn rename_volume(&self, work: &Work, from: VolumeId, to: VolumeId) -> DriverResult<()> {
        let (from, to) = (names::volume(from), names::volume(to));
        let report = self.lvm.look(work, &[&from, &to])?;
        match (report.find(&from), report.find(&to)) {
            (Some(_), None) => Ok(self.lvm.rename(work, &from, &to)?),
            (None, Some(_)) => Ok(()),
            (None, None) => Err(missing("volume", &from)),
            (Some(_), Some(_)) => Err(failed(format!("both {from} and {to} exist"))),
        }
    }
}

/// Runs a verb, and once more if LVM reported that the work of a command was already done: then LVM crashed after its
/// work, and was retried. The second run checks the state again.
fn retry_after_recheck<T>(verb: impl Fn() -> DriverResult<T>) -> DriverResult<T> {
    match verb() {
        Err(DriverError::Failed { operator, .. } | DriverError::NotFound { operator, .. })
            if matches!(classify(&operator), ErrorKind::Exists | ErrorKind::NoVolume) =>
        {
            tracing::info!(operator, "looking again");
            verb()
        }
        other => other,
    }
}

fn missing(kind: &str, name: &str) -> DriverError {
    DriverError::not_found(
        format!("The {kind} is not on the storage backend."),
        format!("no logical volume {name}"),
    )
}

fn failed(operator: String) -> DriverError {
    DriverError::backend_failed(operator)
}

impl VolumeDriver for LvmDriver {
    fn setup(&self, work: &Work) -> DriverResult<()> {
        work.check()?;
        work.take_ownership()?;
        self.make_ready(work)
    }

    fn create_volume(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<VolumeUpdate> {
        work.check()?;
        self.create_empty(work, volume)?;
        Ok(VolumeUpdate::default())
    }

    fn create_volume_from_snapshot(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        snapshot: SnapshotId,
    ) -> DriverResult<VolumeUpdate> {
        work.check()?;
        retry_after_recheck(|| self.create_from_snapshot(work, volume, snapshot))?;
        Ok(VolumeUpdate::default())
    }

    fn create_cloned_volume(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        source: VolumeId,
    ) -> DriverResult<VolumeUpdate> {
        work.check()?;
        retry_after_recheck(|| self.clone_volume(work, volume, source))?;
        Ok(VolumeUpdate::default())
    }

    fn delete_volume(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()> {
        work.check()?;
        self.remove_volume(work, volume.id)
    }

    fn extend_volume(&self, work: &Work, volume: &VolumeSpec, new_size: u32) -> DriverResult<()> {
        work.check()?;
        self.extend(work, volume, bytes_of(new_size))
    }

    fn create_snapshot(&self, work: &Work, volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()> {
        work.check()?;
        retry_after_recheck(|| self.take_snapshot(work, volume, snapshot))
    }

    fn delete_snapshot(&self, work: &Work, _volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()> {
        work.check()?;
        self.remove_snapshot(work, snapshot)
    }

    fn revert_to_snapshot(&self, work: &Work, volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()> {
        work.check()?;
        retry_after_recheck(|| self.revert(work, volume, snapshot))
    }

    fn manage_volume(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        reference: &Reference,
    ) -> DriverResult<Managed> {
        work.check()?;
        self.adopt_volume(work, volume, reference)
    }

    fn manage_snapshot(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        snapshot: SnapshotId,
        reference: &Reference,
    ) -> DriverResult<Managed> {
        work.check()?;
        self.adopt_snapshot(work, volume, snapshot, reference)
    }

    fn activate(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()> {
        work.check()?;
        // An existing device that is not suspended is the complete volume: a revert that was killed between its two
        // renames leaves no device with that name, and other leftovers are not read. So an attach needs no report of
        // the group.
        if answers(&self.lvm.device(&names::volume(volume.id))) {
            return Ok(());
        }
        self.volume_awake(work, volume).map(|_| ())
    }

    fn open_volume(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        access: Access,
    ) -> DriverResult<Box<dyn OpenVolume>> {
        let reads_zeros = match access {
            Access::Read => {
                self.activate(work, volume)?;
                false
            }
            // If the pool does not zero its blocks, unwritten parts of a block have data of its former owner.
            Access::Write => self.volume_awake(work, volume)?.kind == Kind::Thin && self.blocks_are_zeroed(),
        };
        let device = self.lvm.device(&names::volume(volume.id));
        let opened = BlockFile::open(&device, access, self.copier.throttle(), reads_zeros)?;
        Ok(Box::new(opened))
    }

    fn moves_data(&self) -> bool {
        let mode = *self.mode.lock();
        mode != Some(Mode::Thin)
    }

    fn stats(&self, work: &Work) -> DriverResult<Vec<PoolStats>> {
        work.check()?;
        self.pool_stats(work).map(|pool| vec![pool])
    }

    fn list_existing(&self, work: &Work) -> DriverResult<Vec<Existing>> {
        work.check()?;
        self.list(work)
    }

    fn backing_store(&self, volume: &VolumeSpec) -> Option<PathBuf> {
        Some(self.lvm.device(&names::volume(volume.id)))
    }
}
