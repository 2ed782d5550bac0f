//! Creates volumes and snapshots: empty ones, snapshots, copies.

use super::error_kind::{ErrorKind, Failure};
use super::look::whole_volume;
use super::report::{Kind, Lv, Report, State};
use super::shrink::is_split;
use super::{LvmDriver, Mode, bytes_of, failed, missing, names};
use crate::drivers::copy::Target;
use crate::drivers::{DriverError, DriverResult, GIB, Work};
use crate::model::{SnapshotId, VolumeId, VolumeSpec};

impl LvmDriver {
    /// A single command in the usual case: only if LVM refuses, the state is examined.
    pub(super) fn create_empty(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()> {
        let (name, bytes) = (names::volume(volume.id), bytes_of(volume.size));
        match self.make(work, self.mode(work)?, &name, bytes, false) {
            Err(failure) if failure.kind == ErrorKind::Exists => {
                let report = self.lvm.look(work, &[&name])?;
                let lv = report.find(&name).ok_or(failure)?;
                self.accept(work, lv, bytes)
            }
            made => Ok(made?),
        }
    }

    /// Creates an empty volume. The caller interprets LVM's error.
    fn make(&self, work: &Work, mode: Mode, name: &str, bytes: u64, copying: bool) -> Result<(), Failure> {
        match mode {
            Mode::Thin => self.lvm.create_thin(work, name, bytes, copying),
            Mode::Thick => self.lvm.create_thick(work, name, bytes, copying),
        }
    }

    /// An existing volume counts as created if it is complete and has the right size.
    fn accept(&self, work: &Work, lv: &Lv, bytes: u64) -> DriverResult<()> {
        if !is_whole(lv) || lv.bytes.div_ceil(GIB) != bytes.div_ceil(GIB) {
            return Err(DriverError::failed(
                "The storage backend has another volume of that name.",
                format!("{lv:?} exists where {bytes} bytes were requested"),
            ));
        }
        self.awake(work, lv)
    }

    pub(super) fn create_from_snapshot(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        snapshot: SnapshotId,
    ) -> DriverResult<()> {
        let (name, source) = (names::volume(volume.id), names::snapshot(snapshot));
        let report = self.lvm.look(work, &[&source, &name])?;
        report.may_change()?;
        let source = report.find(&source).ok_or_else(|| missing("snapshot", &source))?;
        fits(volume, source)?;
        match source.kind {
            Kind::Thin => self.derive(work, &report, &name, &source.name, bytes_of(volume.size)),
            Kind::Cow => self.copy_into(work, &report, &name, source, bytes_of(volume.size)),
            _ => Err(failed(format!("{source:?} is no snapshot"))),
        }
    }

    pub(super) fn clone_volume(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        source_id: VolumeId,
    ) -> DriverResult<()> {
        let (name, source) = (names::volume(volume.id), names::volume(source_id));
        let passing = names::clone_snapshot(volume.id);
        let (new, old) = (names::revert_new(source_id), names::revert_old(source_id));
        let report = self.lvm.look(work, &[&name, &source, &passing, &new, &old])?;
        // The source is not locked here: its own verb may be changing it, and will complete that.
        let is_reverting = |lv: &Lv| lv.name == new || lv.name == old || is_split(lv);
        if report.lvs.iter().any(is_reverting) {
            return Err(DriverError::busy(format!("{source} is being reverted")));
        }
        report.may_change()?;
        let source = whole_volume(&report, source_id)?;
        fits(volume, source)?;
        let bytes = bytes_of(volume.size);
        if source.kind == Kind::Thin {
            return self.derive(work, &report, &name, &source.name, bytes);
        }
        if let Some(lv) = report.find(&name).filter(|lv| is_whole(lv)) {
            self.accept(work, lv, bytes)?;
        } else {
            // Both must have space: else the snapshot would be created and wiped in vain.
            if report.find(&name).is_none() && report.find(&passing).is_none() {
                report.has_room(source.bytes + self.room_of_new(work, bytes)?)?;
            }
            self.awake(work, source)?;
            let copied = self
                .snapshot_for_clone(work, &report, &passing, source)
                .and_then(|from| self.copy_into(work, &report, &name, &from, bytes));
            if let Err(error) = copied {
                // If there is no space, the snapshot is removed because it takes some. Other failures are retried with
                // it.
                if matches!(error, DriverError::NoSpace { .. }) {
                    self.forget(work, &passing);
                }
                return Err(error);
            }
        }
        match self.lvm.look(work, &[&passing])?.find(&passing) {
            Some(lv) => self.discard(work, lv),
            None => Ok(()),
        }
    }

    /// The space in the group that an empty volume of this backend's kind takes.
    fn room_of_new(&self, work: &Work, bytes: u64) -> DriverResult<u64> {
        Ok(match self.mode(work)? {
            Mode::Thin => 0,
            Mode::Thick => bytes * (u64::from(self.options.mirrors) + 1),
        })
    }

    /// The snapshot that a thick clone is copied from. One of an earlier attempt is used again.
    fn snapshot_for_clone(&self, work: &Work, report: &Report, name: &str, source: &Lv) -> DriverResult<Lv> {
        let taken = Lv {
            name: name.to_owned(),
            bytes: source.bytes,
            kind: Kind::Cow,
            state: State::Active,
            ..Lv::default()
        };
        match report.find(name) {
            Some(lv)
                if lv.kind == Kind::Cow
                    && lv.origin.as_deref() == Some(&source.name)
                    && lv.state != State::Invalid =>
            {
                return Ok(lv.clone());
            }
            // A leftover of a killed command, or of a split snapshot that was being wiped.
            Some(lv) => self.discard(work, lv)?,
            None => {}
        }
        self.lvm.snapshot_thick(work, name, &source.name)?;
        Ok(taken)
    }

    /// Creates a thin volume from a thin source, with shared blocks.
    fn derive(&self, work: &Work, report: &Report, name: &str, source: &str, bytes: u64) -> DriverResult<()> {
        let held = match report.find(name) {
            None => {
                self.lvm.clone_thin(work, name, source)?;
                None
            }
            Some(lv) if lv.kind == Kind::Thin && lv.bytes <= bytes => {
                self.awake(work, lv)?;
                Some(lv.bytes)
            }
            Some(lv) => return self.accept(work, lv, bytes),
        };
        let held = held.or_else(|| report.find(source).map(|lv| lv.bytes));
        if held.is_some_and(|held| held >= bytes) {
            return Ok(());
        }
        self.grow(work, name, bytes)
    }

    /// Creates an independent volume with the source's data. It has a tag until it is complete.
    fn copy_into(
        &self,
        work: &Work,
        report: &Report,
        name: &str,
        source: &Lv,
        bytes: u64,
    ) -> DriverResult<()> {
        let mode = self.mode(work)?;
        let target = match mode {
            // If the pool does not zero its blocks, unwritten parts of a block have data of its former owner.
            Mode::Thin if self.blocks_are_zeroed() => Target::Zeros,
            _ => Target::Anything,
        };
        let held = report.find(name);
        if let Some(lv) = held.filter(|lv| is_whole(lv)) {
            return self.accept(work, lv, bytes);
        }
        self.awake(work, source)?;
        match held {
            // A thick one is overwritten. A thin one must read as zeros where nothing will be written.
            Some(lv) if target == Target::Anything && lv.kind == Kind::Thick && lv.bytes >= bytes => {
                self.awake(work, lv)?;
            }
            Some(lv) => {
                self.discard(work, lv)?;
                self.make(work, mode, name, bytes, true)?;
            }
            None => self.make(work, mode, name, bytes, true)?,
        }
        let (from, to) = (self.lvm.device(&source.name), self.lvm.device(name));
        let copied = self.copier.copy(work, &from, &to, source.bytes, target);
        if matches!(copied, Err(DriverError::NoSpace { .. })) {
            self.forget(work, name);
        }
        copied?;
        Ok(self.lvm.is_whole(work, name)?)
    }

    /// Removes a useless volume, if that is possible now; else a later delete does it.
    fn forget(&self, work: &Work, name: &str) {
        let forgotten = self
            .lvm
            .look(work, &[name])
            .and_then(|report| report.find(name).map_or(Ok(()), |lv| self.discard(work, lv)));
        if let Err(error) = forgotten {
            tracing::warn!(volume = name, %error, "an incomplete volume stays until it is deleted");
        }
    }

    pub(super) fn take_snapshot(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        snapshot: SnapshotId,
    ) -> DriverResult<()> {
        let (origin, name) = (names::volume(volume.id), names::snapshot(snapshot));
        if self.mode(work)? == Mode::Thin {
            match self.lvm.snapshot_thin(work, &name, &origin) {
                Ok(()) => return Ok(()),
                // It may exist already, or its volume may be thick, or left by a killed revert: examine the state.
                Err(failure) => match failure.kind {
                    ErrorKind::Exists | ErrorKind::NoVolume | ErrorKind::Other => work.check()?,
                    _ => return Err(failure.into()),
                },
            }
        }
        let report = self.look_settled(work, volume.id, &[&name])?;
        report.may_change()?;
        let origin = whole_volume(&report, volume.id)?;
        match report.find(&name) {
            None => {}
            Some(lv) if is_snapshot_of(lv, &origin.name) => return Ok(()),
            // A killed command has created its space, but not made it a snapshot yet.
            Some(lv) if lv.kind == Kind::Thick && lv.origin.is_none() && !lv.open && !is_split(lv) => {
                self.discard(work, lv)?;
            }
            Some(lv) => {
                return Err(failed(format!(
                    "{lv:?} exists and is no snapshot of {}",
                    origin.name
                )));
            }
        }
        match origin.kind {
            Kind::Thin => Ok(self.lvm.snapshot_thin(work, &name, &origin.name)?),
            _ => {
                self.awake(work, origin)?;
                Ok(self.lvm.snapshot_thick(work, &name, &origin.name)?)
            }
        }
    }
}

/// Whether it is a volume, rather than a snapshot, a pool or a part of another volume.
pub(super) fn is_volume(lv: &Lv) -> bool {
    matches!(lv.kind, Kind::Thick | Kind::Thin)
}

fn is_whole(lv: &Lv) -> bool {
    is_volume(lv) && !lv.is_copying()
}

/// Whether it is a snapshot of that volume. The origin of a thin one may be deleted.
pub(super) fn is_snapshot_of(lv: &Lv, origin: &str) -> bool {
    match lv.kind {
        Kind::Cow => lv.origin.as_deref() == Some(origin),
        Kind::Thin => lv.origin.as_deref().is_none_or(|of| of == origin),
        _ => false,
    }
}

fn fits(volume: &VolumeSpec, source: &Lv) -> DriverResult<()> {
    if source.bytes.div_ceil(GIB) > u64::from(volume.size) {
        return Err(DriverError::refused("The volume is smaller than its source."));
    }
    Ok(())
}
