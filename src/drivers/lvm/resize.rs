//! Extends volumes, attached or not.

use super::error_kind::ErrorKind;
use super::look::whole_volume;
use super::report::{Kind, State};
use super::{LvmDriver, names};
use crate::drivers::{DriverError, DriverResult, Work};
use crate::model::VolumeSpec;

impl LvmDriver {
    pub(super) fn extend(&self, work: &Work, volume: &VolumeSpec, bytes: u64) -> DriverResult<()> {
        let name = names::volume(volume.id);
        let report = self.look_settled(work, volume.id, &[])?;
        let lv = whole_volume(&report, volume.id)?;
        report.may_change()?;
        if lv.bytes > bytes {
            return Err(DriverError::refused("A volume cannot be shrunk."));
        }
        if lv.bytes == bytes {
            return self.awake(work, lv);
        }
        if lv.state == State::Suspended {
            self.awake(work, lv)?;
        }
        let has_snapshots = lv.kind == Kind::Thick && report.cows_of(&name).next().is_some();
        if !has_snapshots {
            self.grow(work, &name, bytes)?;
            return if lv.state == State::Inactive {
                self.awake(work, lv)
            } else {
                Ok(())
            };
        }
        // LVM resizes an origin only while neither it nor its snapshots are active.
        let cows: Vec<String> = report.cows_of(&name).map(|cow| cow.name.clone()).collect();
        let mut all: Vec<&str> = cows.iter().map(String::as_str).collect();
        all.push(&name);
        report.has_room(bytes - lv.bytes)?;
        self.unless_open(work, report.clone(), &all)?;
        self.lvm.deactivate(work, &name)?;
        let grown = self.grow(work, &name, bytes);
        // Whatever the result, the volume must be active again.
        self.lvm.activate(work, &name, false)?;
        grown
    }

    /// Extends it to that size; succeeds if it has it already.
    pub(super) fn grow(&self, work: &Work, name: &str, bytes: u64) -> DriverResult<()> {
        match self.lvm.extend(work, name, bytes) {
            Err(failure) if failure.kind == ErrorKind::SameSize => Ok(()),
            other => Ok(other?),
        }
    }
}
