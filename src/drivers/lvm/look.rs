//! Checks before an action: existing volumes, whether they may be changed, and unfinished work of a killed verb.

use super::error_kind::ErrorKind;
use super::report::{Kind, Lv, Report, State};
use super::{LvmDriver, LvmType, Mode, VolumeClear, failed, missing, names};
use crate::drivers::command::Command;
use crate::drivers::{DriverError, DriverResult, Work};
use crate::model::{VolumeId, VolumeSpec};

impl LvmDriver {
    /// Checks the prerequisites, decides the kind of new volumes, and creates the thin pool if it is missing.
    pub(super) fn make_ready(&self, work: &Work) -> DriverResult<()> {
        self.lvm.find()?;
        let report = self.lvm.look_at_all(work)?;
        if self.decide_mode(&report) == Mode::Thin {
            match report.find(self.lvm.pool()) {
                None => match self.lvm.create_pool(work) {
                    Err(failure) if failure.kind != ErrorKind::Exists => return Err(failure.into()),
                    _ => {}
                },
                Some(pool) if pool.kind != Kind::Pool => {
                    return Err(failed(format!("{} exists and is no thin pool", self.lvm.pool())));
                }
                Some(pool) => {
                    self.awake(work, pool)?;
                    self.see_that_blocks_are_zeroed(work, pool)?;
                }
            }
        }
        for lv in report.lvs.iter().filter(|lv| lv.state == State::Suspended) {
            self.awake(work, lv)?;
        }
        Ok(())
    }

    /// Enables zeroing of a pool that allocates blocks with former data, unless the operator has disabled wiping.
    /// Blocks that were allocated before are not changed.
    pub(super) fn see_that_blocks_are_zeroed(&self, work: &Work, pool: &Lv) -> DriverResult<()> {
        if pool.zeroes || pool.kind != Kind::Pool {
            self.watch().zeroes(true);
            return Ok(());
        }
        if self.options.volume_clear == VolumeClear::None {
            if self.watch().zeroes(false) {
                tracing::warn!(
                    group = self.options.volume_group,
                    pool = pool.name,
                    "zeroing of the thin pool is off and volume_clear is none: new volumes may read data of deleted ones \
                     (lvchange -Zy turns it on)"
                );
            }
            return Ok(());
        }
        self.lvm.zero_new_blocks(work)?;
        tracing::warn!(
            group = self.options.volume_group,
            pool = pool.name,
            "zeroing of the thin pool was off, so that volumes could read what deleted ones had held: it is on now; blocks that \
             volumes have already are as they were"
        );
        Ok(())
    }

    /// Whether the pool zeroed its blocks at the last check.
    pub(super) fn blocks_are_zeroed(&self) -> bool {
        !self.watch().unzeroed
    }

    fn watch(&self) -> parking_lot::MutexGuard<'_, super::Watch> {
        self.watch.lock()
    }

    /// The kind of new volumes, determined at the first call.
    pub(super) fn mode(&self, work: &Work) -> DriverResult<Mode> {
        let known = *self.mode.lock();
        if let Some(mode) = known {
            return Ok(mode);
        }
        Ok(self.decide_mode(&self.lvm.look_at_all(work)?))
    }

    fn decide_mode(&self, report: &Report) -> Mode {
        let can_thin = can_thin(&self.options);
        let mode = decide(self.options.lvm_type, report, self.lvm.pool(), can_thin);
        *self.mode.lock() = Some(mode);
        mode
    }

    /// Ensures that the device exists and is not suspended.
    pub(super) fn awake(&self, work: &Work, lv: &Lv) -> DriverResult<()> {
        match lv.state {
            State::Active if !lv.skipped => Ok(()),
            State::Active | State::Inactive => Ok(self.lvm.activate(work, &lv.name, lv.skipped)?),
            State::Suspended => {
                tracing::warn!(
                    volume = lv.name,
                    "a killed command left a volume suspended: it is resumed"
                );
                Ok(self.lvm.refresh(work, &lv.name)?)
            }
            State::Invalid => Err(DriverError::failed(
                "The snapshot can no longer be used: it has run out of space.",
                format!("the snapshot {} is invalid: it ran full", lv.name),
            )),
        }
    }

    /// A report of the volume, its snapshots and further names. An interrupted revert of it is completed first.
    pub(super) fn look_settled(&self, work: &Work, id: VolumeId, more: &[&str]) -> DriverResult<Report> {
        let (name, new, old) = (names::volume(id), names::revert_new(id), names::revert_old(id));
        let names = [&[name.as_str(), &new, &old], more].concat();
        let report = self.lvm.look(work, &names)?;
        if self.finish_revert(work, &report, id)? {
            return self.lvm.look(work, &names);
        }
        Ok(report)
    }

    /// The volume, with an existing and not suspended device.
    pub(super) fn volume_awake(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<Lv> {
        let report = self.look_settled(work, volume.id, &[])?;
        let lv = whole_volume(&report, volume.id)?;
        self.awake(work, lv)?;
        Ok(lv.clone())
    }

    /// A report in which none of these is open, or `Busy`. Waits for devices that udev has open briefly.
    pub(super) fn unless_open(&self, work: &Work, report: Report, touched: &[&str]) -> DriverResult<Report> {
        if open_one(&report, touched).is_none() {
            return Ok(report);
        }
        self.lvm.settle(work);
        let again = self.lvm.look(work, touched)?;
        match open_one(&again, touched) {
            None => Ok(again),
            Some(name) => Err(DriverError::busy(format!("{name} is open"))),
        }
    }
}

/// The volume, if it exists and is complete.
pub(super) fn whole_volume(report: &Report, id: VolumeId) -> DriverResult<&Lv> {
    let name = names::volume(id);
    let lv = report.find(&name).ok_or_else(|| missing("volume", &name))?;
    if lv.is_copying() {
        return Err(failed(format!("{name} is incomplete: its copy was not finished")));
    }
    Ok(lv)
}

fn open_one<'a>(report: &Report, touched: &[&'a str]) -> Option<&'a str> {
    touched
        .iter()
        .find(|name| report.find(name).is_some_and(|lv| lv.open))
        .copied()
}

/// Whether the programs for thin pools are installed.
fn can_thin(options: &super::LvmOptions) -> bool {
    options.bin_dir.is_some()
        || Command::new("thin_check", "thin-provisioning-tools")
            .find()
            .is_ok()
}

/// Thin if configured; with `Auto`, if the pool exists, or if the group is empty and a pool can be created.
fn decide(wanted: LvmType, report: &Report, pool: &str, can_thin: bool) -> Mode {
    let has_pool = report.find(pool).is_some_and(|lv| lv.kind == Kind::Pool);
    match wanted {
        LvmType::Thick => Mode::Thick,
        LvmType::Thin => Mode::Thin,
        LvmType::Auto if has_pool || (report.lvs.is_empty() && can_thin) => Mode::Thin,
        LvmType::Auto => Mode::Thick,
    }
}

#[cfg(test)]
mod tests {
    use super::{LvmType, Mode, decide};
    use crate::drivers::lvm::report::{Kind, Lv, Report};

    fn report(lvs: &[(&str, Kind)]) -> Report {
        Report {
            group: None,
            lvs: lvs.iter().map(|(name, kind)| Lv::named(name, *kind)).collect(),
        }
    }

    #[test]
    fn a_group_that_is_thick_stays_so_by_itself() {
        let empty = report(&[]);
        let thick = report(&[("root", Kind::Thick)]);
        let thin = report(&[("root", Kind::Thick), ("vg-pool", Kind::Pool)]);
        let other = report(&[("vg-pool", Kind::Thick)]);
        for (wanted, report, can_thin, mode) in [
            (LvmType::Auto, &empty, true, Mode::Thin),
            (LvmType::Auto, &empty, false, Mode::Thick),
            (LvmType::Auto, &thick, true, Mode::Thick),
            (LvmType::Auto, &thin, true, Mode::Thin),
            (LvmType::Auto, &other, true, Mode::Thick),
            (LvmType::Thick, &thin, true, Mode::Thick),
            (LvmType::Thin, &thick, true, Mode::Thin),
        ] {
            let decided = decide(wanted, report, "vg-pool", can_thin);
            assert_eq!(decided, mode, "{wanted:?} {report:?}");
        }
    }
}
