//! Going back to a snapshot, which stays.
//!
//! **Thin**: a snapshot of the snapshot takes the volume's place. Nothing is copied. Between the two renames there is no volume of
//! that name; whichever verb comes next sees that and finishes it.
//!
//! **Thick**: LVM can merge a snapshot back, but that uses it up, and between the merge and a new snapshot there would be none.
//! So the data is copied back, but only what differs. Each block that differs from the snapshot was saved by it when it was
//! changed, so writing it once more needs no further room there.

use super::report::{Kind, Lv, Report};
use super::verdict::Verdict;
use super::{LvmDriver, failed, missing, names};
use crate::drivers::copy::Target;
use crate::drivers::{DriverError, DriverResult, Work};
use crate::model::{SnapshotId, VolumeId, VolumeSpec};

/// How a revert that was killed is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finish {
    /// Nothing is left of one.
    Nothing,
    /// The volume is what it was: the new one goes.
    RemoveNew,
    /// The new one takes the volume's name, and the old one goes.
    TakeNew,
    /// The volume is what it should be: the old one goes.
    RemoveOld,
    /// The new one is gone, too: the old one takes its name back.
    TakeOld,
}

/// Decides by what is there: the volume, the new one, the old one.
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
        let (new, old) = (names::revert_new(volume.id), names::revert_old(volume.id));
        let report = self.lvm.look(work, &[&name, &source, &new, &old])?;
        let report = self.unless_open(work, report, &[&name, &source, &new, &old])?;
        let lv = self.volume_of(work, &report, volume)?;
        let source = report
            .find(&source)
            .ok_or_else(|| missing("snapshot", &source))?;
        match source.kind {
            Kind::Thin if lv.kind == Kind::Thin => self.put_in_place(work, volume.id, &source.name),
            Kind::Cow if source.origin.as_deref() == Some(&name) => {
                self.copy_back(work, &report, &lv, source)
            }
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
        if volume.bytes < source.bytes {
            return Err(failed(format!("{} is smaller than its snapshot", volume.name)));
        }
        let shrinks = volume.bytes > source.bytes;
        let later = report
            .cows_of(&volume.name)
            .find(|cow| cow.bytes > source.bytes);
        if let Some(later) = later.filter(|_| shrinks) {
            tracing::warn!(volume = volume.name, snapshot = later.name, "a later snapshot needs the volume's size");
            return Err(DriverError::Refused {
                client: "A later snapshot of the volume is larger than the one to go back to.".to_owned(),
            });
        }
        self.awake(work, volume)?;
        self.awake(work, source)?;
        let (from, to) = (self.lvm.device(&source.name), self.lvm.device(&volume.name));
        self.copier
            .copy(work, &from, &to, source.bytes, Target::Alike)?;
        if !shrinks {
            return Ok(());
        }
        self.lvm.settle(work);
        self.lvm.deactivate(work, &volume.name)?;
        let reduced = self.lvm.reduce(work, &volume.name, source.bytes);
        self.lvm.activate(work, &volume.name, false)?;
        match reduced {
            Err(failure) if failure.verdict == Verdict::SameSize => Ok(()),
            other => Ok(other?),
        }
    }

    /// The volume, after whatever a killed revert left was put right. `None` if it is not there.
    pub(super) fn finish_revert(
        &self,
        work: &Work,
        report: &Report,
        id: VolumeId,
    ) -> DriverResult<Option<Lv>> {
        let name = names::volume(id);
        let (new, old) = (names::revert_new(id), names::revert_old(id));
        let at = |name: &str| report.find(name);
        let step = finish(at(&name).is_some(), at(&new).is_some(), at(&old).is_some());
        if step != Finish::Nothing {
            tracing::info!(volume = name, ?step, "finishing a revert that was interrupted");
        }
        let taken = |from: &str| {
            at(from).map(|lv| Lv {
                name: name.clone(),
                ..lv.clone()
            })
        };
        match step {
            Finish::Nothing => {}
            Finish::RemoveNew => self.lvm.remove(work, &new)?,
            Finish::RemoveOld => self.lvm.remove(work, &old)?,
            Finish::TakeNew => {
                self.lvm.rename(work, &new, &name)?;
                self.lvm.remove(work, &old)?;
                return Ok(taken(&new));
            }
            Finish::TakeOld => {
                self.lvm.rename(work, &old, &name)?;
                return Ok(taken(&old));
            }
        }
        Ok(at(&name).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::{Finish, finish};

    /// A group with the three names in it, as LVM would change it.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Names {
        volume: Option<&'static str>,
        new: Option<&'static str>,
        old: Option<&'static str>,
    }

    fn finished(mut names: Names) -> Names {
        match finish(names.volume.is_some(), names.new.is_some(), names.old.is_some()) {
            Finish::Nothing => {}
            Finish::RemoveNew => names.new = None,
            Finish::RemoveOld => names.old = None,
            Finish::TakeNew => {
                names.volume = names.new.take();
                names.old = None;
            }
            Finish::TakeOld => names.volume = names.old.take(),
        }
        names
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
            let after = finished(Names { volume, new, old });
            let alone = Names {
                volume: Some(content),
                new: None,
                old: None,
            };
            assert_eq!(after, alone, "{volume:?} {new:?} {old:?}");
        }
    }
}
