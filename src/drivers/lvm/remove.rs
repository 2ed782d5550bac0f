//! Removes volumes and snapshots: first the checks, then the data, then the volume.
//!
//! **Extents are wiped before they are returned to the group** (`volume_clear`): deleted volumes, incomplete copies,
//! snapshots, including those that a clone is copied from, and the excess of a revert. A thick snapshot contains
//! overwritten data of its origin, so it is wiped, too (cinder: `LVMVolumeDriver._clear_volume`, Launchpad 1191812): it
//! is split from its origin first. Cinder overwrites the snapshot's `-cow` device below the active snapshot; data that
//! its origin overwrites meanwhile may be stored after the wipe.
//!
//! Blocks of a thin pool are not wiped: the pool zeroes them when it allocates them (`look.rs` ensures that).

use std::ops::Range;

use super::error_kind::{ErrorKind, Failure};
use super::report::{Kind, Lv};
use super::{LvmDriver, VolumeClear, failed, names};
use crate::drivers::{DriverError, DriverResult, Work};
use crate::model::{SnapshotId, VolumeId};

impl LvmDriver {
    pub(super) fn remove_volume(&self, work: &Work, id: VolumeId) -> DriverResult<()> {
        let name = names::volume(id);
        let passing = names::clone_snapshot(id);
        let (new, old) = (names::revert_new(id), names::revert_old(id));
        let all = [passing.as_str(), &new, &old, &name];
        let mut report = self.lvm.look(work, &all)?;
        for lv in all.iter().filter_map(|name| report.find(name)) {
            report.may_remove(lv)?;
        }
        // Split snapshots still count as snapshots.
        if self.finish_shrink(work, &report, &name)? {
            report = self.lvm.look(work, &all)?;
        }
        let report = self.unless_open(work, report, &all)?;
        for lv in all.iter().filter_map(|name| report.find(name)) {
            let cows: Vec<&str> = report.cows_of(&lv.name).map(|cow| cow.name.as_str()).collect();
            if !cows.is_empty() {
                return Err(DriverError::busy(format!(
                    "{} has the snapshots {}",
                    lv.name,
                    cows.join(", ")
                )));
            }
        }
        // The volume last, so that the owner of the rest exists as long as the rest.
        for lv in all.iter().filter_map(|name| report.find(name)) {
            self.discard(work, lv)?;
        }
        Ok(())
    }

    pub(super) fn remove_snapshot(&self, work: &Work, id: SnapshotId) -> DriverResult<()> {
        let name = names::snapshot(id);
        let report = self.lvm.look(work, &[&name])?;
        let report = self.unless_open(work, report, &[&name])?;
        let Some(lv) = report.find(&name) else {
            return Ok(());
        };
        report.may_remove(lv)?;
        if report.cows_of(&name).next().is_some() {
            return Err(DriverError::busy(format!("{} has snapshots itself", lv.name)));
        }
        self.discard(work, lv)
    }

    /// Wipes and removes it. The caller has checked that it may be removed.
    pub(super) fn discard(&self, work: &Work, lv: &Lv) -> DriverResult<()> {
        match lv.kind {
            Kind::Thick => self.wipe(work, lv, 0..lv.room)?,
            Kind::Cow if self.options.volume_clear != VolumeClear::None => {
                if let Some(room) = self.take_off(work, &lv.name)? {
                    self.wipe(work, &room, 0..room.room)?;
                }
            }
            _ => {}
        }
        gone(self.lvm.remove(work, &lv.name))
    }

    /// Splits a thick snapshot from its origin permanently: its data is a volume now. `None` if it does not exist.
    fn take_off(&self, work: &Work, name: &str) -> DriverResult<Option<Lv>> {
        // A failed command may have done its work.
        let split = self.lvm.split(work, name);
        work.check()?;
        let report = self.lvm.look(work, &[name])?;
        match (report.find(name), split) {
            (None, _) => Ok(None),
            (Some(lv), _) if lv.kind == Kind::Thick => Ok(Some(lv.clone())),
            (Some(_), Err(failure)) => Err(failure.into()),
            (Some(lv), Ok(())) => Err(failed(format!(
                "it was split from its origin, but is still a snapshot: {lv:?}"
            ))),
        }
    }

    /// Overwrites a part of a thick volume with zeros, as configured by `volume_clear`.
    pub(super) fn wipe(&self, work: &Work, lv: &Lv, part: Range<u64>) -> DriverResult<()> {
        if self.options.volume_clear == VolumeClear::None {
            return Ok(());
        }
        self.awake(work, lv)?;
        let part = match self.options.volume_clear_size {
            0 => part,
            mib => part.start..part.end.min(part.start + (u64::from(mib) << 20)),
        };
        let ionice = Some(self.options.volume_clear_ionice.as_str()).filter(|options| !options.is_empty());
        self.copier.wipe(work, &self.lvm.device(&lv.name), part, ionice)
    }
}

/// A missing volume counts as removed; a missing group does not.
fn gone(removed: Result<(), Failure>) -> DriverResult<()> {
    match removed {
        Err(failure) if failure.kind == ErrorKind::NoVolume => Ok(()),
        other => Ok(other?),
    }
}
