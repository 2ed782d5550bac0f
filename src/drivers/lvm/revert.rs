//! Reverts a volume to a snapshot, which is kept.
//!
//! **Thin**: a snapshot of the snapshot replaces the volume. Nothing is copied. Between the two renames there is no
//! volume with that name; the next verb detects and finishes this.
//!
//! **Thick**: LVM can merge a snapshot back, but that deletes it, and between the merge and a new snapshot there would
//! be none. So the data is copied back, but only differences. The snapshot already contains each block that differs, so
//! writing it again needs no further space there.

use super::look::whole_volume;
use super::report::{Kind, Lv, Report};
use super::{LvmDriver, failed, missing, names};
use crate::drivers::copy::Target;
use crate::drivers::{DriverResult, Work};
use crate::model::{SnapshotId, VolumeId, VolumeSpec};

/// How an interrupted revert is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    /// There is nothing to finish.
    Nothing,
    /// The volume is unchanged: the new one is removed.
    RemoveNew,
    /// The new one is renamed to the volume, and the old one removed.
    TakeNew,
    /// The volume is reverted: the old one is removed.
    RemoveOld,
    /// The new one does not exist, either: the old one is renamed back.
    TakeOld,
}

/// Decides by which ones exist: the volume, the new one, the old one.
fn finish(volume: bool, new: bool, old: bool) -> Finish {
    match (volume, new, old) {
        (true, true, _) => Finish::RemoveNew,
        (true, false, true) => Finish::RemoveOld,
        (false, true, true) => Finish::TakeNew,
        (false, false, true) => Finish::TakeOld,
        (_, _, false) => Finish::Nothing,
    }
}

impl LvmDriver {
    pub(super) fn revert(&self, work: &Work, volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()> {
        let (name, source) = (names::volume(volume.id), names::snapshot(snapshot));
        let report = self.look_settled(work, volume.id, &[&source])?;
        report.may_change()?;
        // Its snapshots are changed, too, if it is shrunk.
        let cows: Vec<String> = report.cows_of(&name).map(|cow| cow.name.clone()).collect();
        let mut touched: Vec<&str> = cows.iter().map(String::as_str).collect();
        touched.extend([name.as_str(), &source]);
        let report = self.unless_open(work, report, &touched)?;
        let lv = whole_volume(&report, volume.id)?;
        let source = report.find(&source).ok_or_else(|| missing("snapshot", &source))?;
        match source.kind {
            Kind::Thin if lv.kind == Kind::Thin => self.put_in_place(work, volume.id, &source.name),
            Kind::Cow if source.origin.as_deref() == Some(&name) => self.copy_back(work, &report, lv, source),
            _ => Err(failed(format!("{source:?} is no snapshot of {name}"))),
        }
    }

    fn put_in_place(&self, work: &Work, id: VolumeId, source: &str) -> DriverResult<()> {
        let (name, new, old) = (names::volume(id), names::revert_new(id), names::revert_old(id));
        self.lvm.clone_thin(work, &new, source)?;
        self.lvm.rename(work, &name, &old)?;
        self.lvm.rename(work, &new, &name)?;
        Ok(self.lvm.remove(work, &old)?)
    }

    fn copy_back(&self, work: &Work, report: &Report, volume: &Lv, source: &Lv) -> DriverResult<()> {
        // All checks are done before the first byte is written.
        if volume.bytes < source.bytes {
            return Err(failed(format!("{} is smaller than its snapshot", volume.name)));
        }
        self.awake(work, source)?;
        let is_larger = volume.bytes > source.bytes;
        let cut = is_larger.then(|| self.check_shrink(work, report, volume, source.bytes));
        let cut = cut.transpose()?;
        self.awake(work, volume)?;
        let (from, to) = (self.lvm.device(&source.name), self.lvm.device(&volume.name));
        self.copier.copy(work, &from, &to, source.bytes, Target::Alike)?;
        if let Some(cut) = cut {
            // The excess is returned to the group. It is beyond all snapshots, so none has to store it.
            self.wipe(work, volume, source.bytes..volume.bytes)?;
            self.shrink(work, volume, cut)?;
        }
        Ok(())
    }

    /// Finishes an interrupted revert. True if there was one: then earlier reports are outdated.
    pub(super) fn finish_revert(&self, work: &Work, report: &Report, id: VolumeId) -> DriverResult<bool> {
        let name = names::volume(id);
        let (new, old) = (names::revert_new(id), names::revert_old(id));
        let is_there = |name: &str| report.find(name).is_some();
        let step = finish(is_there(&name), is_there(&new), is_there(&old));
        if step != Finish::Nothing {
            tracing::info!(volume = name, ?step, "finishing a revert that was interrupted");
        }
        match step {
            Finish::Nothing => return self.finish_shrink(work, report, &name),
            Finish::RemoveNew => self.discard_named(work, report, &new)?,
            Finish::RemoveOld => self.discard_named(work, report, &old)?,
            Finish::TakeNew => {
                self.lvm.rename(work, &new, &name)?;
                self.discard_named(work, report, &old)?;
            }
            Finish::TakeOld => self.lvm.rename(work, &old, &name)?,
        }
        Ok(true)
    }

    fn discard_named(&self, work: &Work, report: &Report, name: &str) -> DriverResult<()> {
        report.find(name).map_or(Ok(()), |lv| self.discard(work, lv))
    }
}

#[cfg(test)]
mod tests {
    use super::{Finish, finish};

    /// A group's three names: the volume, the new one, the old one.
    type Names = [Option<&'static str>; 3];

    fn finished([volume, new, old]: Names) -> Names {
        match finish(volume.is_some(), new.is_some(), old.is_some()) {
            Finish::Nothing => [volume, new, old],
            Finish::RemoveNew => [volume, None, old],
            Finish::RemoveOld => [volume, new, None],
            Finish::TakeNew => [new, None, None],
            Finish::TakeOld => [old, new, None],
        }
    }

    #[test]
    fn wherever_a_revert_is_killed_there_is_one_volume_afterwards() {
        let steps = [
            (Some("before"), None, None, "before"),
            (Some("before"), Some("snapshot"), None, "before"),
            (None, Some("snapshot"), Some("before"), "snapshot"),
            (Some("snapshot"), None, Some("before"), "snapshot"),
            (Some("snapshot"), None, None, "snapshot"),
        ];
        for (volume, new, old, content) in steps {
            let after = finished([volume, new, old]);
            assert_eq!(after, [Some(content), None, None], "{volume:?} {new:?} {old:?}");
        }
    }
}
