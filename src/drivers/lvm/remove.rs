//! Taking volumes and snapshots away: first whether they may be, then the data, then the volume.

use super::report::{Kind, Lv};
use super::verdict::{Failure, Verdict};
use super::{LvmDriver, VolumeClear, names};
use crate::drivers::{DriverError, DriverResult, Work};
use crate::model::{SnapshotId, VolumeId};

impl LvmDriver {
    pub(super) fn remove_volume(&self, work: &Work, id: VolumeId) -> DriverResult<()> {
        let name = names::volume(id);
        let (passing, new, old) = (
            names::clone_snapshot(id),
            names::revert_new(id),
            names::revert_old(id),
        );
        let all = [passing.as_str(), &new, &old, &name];
        let mut report = self.lvm.look(work, &all)?;
        // Snapshots that were taken off are snapshots still.
        if self.finish_shrink(work, &report, &name)? {
            report = self.lvm.look(work, &all)?;
        }
        let report = self.unless_open(work, report, &all)?;
        for lv in all.iter().filter_map(|name| report.find(name)) {
            let cows: Vec<&str> = report.cows_of(&lv.name).map(|cow| cow.name.as_str()).collect();
            if !cows.is_empty() {
                return Err(DriverError::Busy {
                    operator: format!("{} has the snapshots {}", lv.name, cows.join(", ")),
                });
            }
        }
        // The volume last: as long as it is there, so is the one to whom the rest belongs.
        for lv in all.iter().filter_map(|name| report.find(name)) {
            self.wipe(work, lv)?;
            gone(self.lvm.remove(work, &lv.name))?;
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
        if report.cows_of(&name).next().is_some() {
            return Err(DriverError::Busy {
                operator: format!("{} has snapshots itself", lv.name),
            });
        }
        gone(self.lvm.remove(work, &name))
    }

    /// Overwrites a thick volume's data. A snapshot's room holds what its origin was, and a pool gives out zeroed blocks:
    /// neither is wiped (cinder does not, either).
    fn wipe(&self, work: &Work, lv: &Lv) -> DriverResult<()> {
        if self.options.volume_clear == VolumeClear::None || lv.kind != Kind::Thick {
            return Ok(());
        }
        self.awake(work, lv)?;
        let bytes = match self.options.volume_clear_size {
            0 => lv.bytes,
            mib => lv.bytes.min(u64::from(mib) << 20),
        };
        let ionice = Some(self.options.volume_clear_ionice.as_str()).filter(|options| !options.is_empty());
        self.copier.wipe(work, &self.lvm.device(&lv.name), bytes, ionice)
    }
}

/// What is not there is gone. That the group is not there is another matter.
fn gone(removed: Result<(), Failure>) -> DriverResult<()> {
    match removed {
        Err(failure) if failure.verdict == Verdict::NoVolume => Ok(()),
        other => Ok(other?),
    }
}
