//! Adopts and lists existing volumes of the group.

use super::create::{is_snapshot_of, is_volume};
use super::report::{Kind, Lv, Report, State};
use super::shrink::is_split;
use super::{LvmDriver, names};
use crate::drivers::{DriverError, DriverResult, Managed, Work};
use crate::model::manageable::gib_of;
use crate::model::{Existing, Reference, SnapshotId, VolumeSpec};

impl LvmDriver {
    pub(super) fn adopt_volume(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        reference: &Reference,
    ) -> DriverResult<Managed> {
        let name = names::volume(volume.id);
        let lv = self.adopt(work, "volume", reference, &name, |lv| {
            (!is_volume(lv)).then_some("The logical volume is no volume, but a snapshot or a pool.")
        })?;
        self.awake(work, &lv)?;
        Ok(Managed::of_size(gib_of(lv.bytes)))
    }

    pub(super) fn adopt_snapshot(
        &self,
        work: &Work,
        volume: &VolumeSpec,
        snapshot: SnapshotId,
        reference: &Reference,
    ) -> DriverResult<Managed> {
        let (name, origin) = (names::snapshot(snapshot), names::volume(volume.id));
        let lv = self.adopt(work, "snapshot", reference, &name, |lv| {
            (!is_snapshot_of(lv, &origin)).then_some("The logical volume is no snapshot of this volume.")
        })?;
        Ok(Managed::of_size(gib_of(lv.bytes)))
    }

    /// Renames it to Pumice's name, if that is allowed. Its state is preserved.
    fn adopt(
        &self,
        work: &Work,
        kind: &str,
        reference: &Reference,
        name: &str,
        against: impl Fn(&Lv) -> Option<&'static str>,
    ) -> DriverResult<Lv> {
        // cinder: `ManageExistingInvalidReference`, and its texts in `LVMVolumeDriver.manage_existing`.
        let refused = |what: &str, why: &str| {
            DriverError::refused(format!(
                "Manage existing {kind} failed due to invalid backend reference {what}: {why}"
            ))
        };
        let Some(source) = reference.source_name() else {
            let what = serde_json::Value::Object(reference.to_json()).to_string();
            return Err(refused(&what, "Reference must contain source-name element."));
        };
        if !names::is_plain(&source) {
            return Err(refused(&source, "Specified logical volume does not exist."));
        }
        let report = self.lvm.look(work, &[&source, name])?;
        let visible = report.find(&source).filter(|lv| lv.kind != Kind::Internal);
        let lv = match (visible, report.find(name)) {
            (_, Some(ours)) if source == name => ours,
            (None, Some(ours)) => ours,
            (Some(_), Some(_)) => {
                let why = "The storage backend has another one of our name.";
                return Err(refused(&source, why));
            }
            (Some(lv), None) => lv,
            (None, None) => {
                return Err(refused(&source, "Specified logical volume does not exist."));
            }
        };
        if lv.is_copying() || is_split(lv) || names::is_passing(&lv.name) {
            return Err(refused(&source, "The logical volume is being made or removed."));
        }
        if let Some(why) = against(lv) {
            return Err(refused(&source, why));
        }
        if lv.state == State::Invalid {
            return Err(refused(&source, "The snapshot has run out of space."));
        }
        if lv.name != name && lv.is_in_another_pool(self.lvm.pool()) {
            return Err(refused(&source, "The logical volume is in another thin pool."));
        }
        report.may_change()?;
        if lv.name != name {
            self.lvm.rename(work, &lv.name, name)?;
        }
        Ok(Lv {
            name: name.to_owned(),
            ..lv.clone()
        })
    }

    /// Everything that is managed or could be adopted, in one report.
    pub(super) fn list(&self, work: &Work) -> DriverResult<Vec<Existing>> {
        Ok(existing(&self.lvm.look_at_all(work)?, self.lvm.pool()))
    }
}

/// Volumes and snapshots, managed or not, without pools, parts of others, and temporary volumes of verbs. Volumes in
/// another thin pool are excluded, unless they have a name of Pumice's: those were adopted.
fn existing(report: &Report, pool: &str) -> Vec<Existing> {
    let mut all: Vec<Existing> = report
        .lvs
        .iter()
        .filter(|lv| matches!(lv.kind, Kind::Thick | Kind::Thin | Kind::Cow))
        .filter(|lv| !lv.is_copying() && !is_split(lv) && !names::is_passing(&lv.name))
        .filter(|lv| !lv.is_in_another_pool(pool) || names::is_ours(&lv.name))
        .map(|lv| Existing {
            name: lv.name.clone(),
            bytes: lv.bytes,
            in_use: lv.open,
            origin: lv.origin.clone(),
        })
        .collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

#[cfg(test)]
mod tests {
    use super::existing;
    use crate::drivers::lvm::names;
    use crate::drivers::lvm::report::{COPYING, Kind, Lv, Report};
    use crate::model::VolumeId;

    #[test]
    fn what_is_no_volume_is_not_listed() {
        let adopted = names::volume(VolumeId::new());
        let lv = |name: &str, kind| Lv {
            bytes: 5,
            ..Lv::named(name, kind)
        };
        let report = Report {
            group: None,
            lvs: vec![
                lv("root", Kind::Thick),
                lv("vg-pool", Kind::Pool),
                lv("lvol0_pmspare", Kind::Internal),
                Lv {
                    pool: Some("other".to_owned()),
                    ..lv("of-another-pool", Kind::Thin)
                },
                Lv {
                    pool: Some("other".to_owned()),
                    ..lv(&adopted, Kind::Thin)
                },
                lv(&names::clone_snapshot(VolumeId::new()), Kind::Cow),
                Lv {
                    tags: vec![COPYING.to_owned()],
                    ..lv("volume-x", Kind::Thick)
                },
                Lv {
                    open: true,
                    origin: Some("root".to_owned()),
                    ..lv("before-upgrade", Kind::Cow)
                },
            ],
        };
        let listed: Vec<_> = existing(&report, "vg-pool")
            .into_iter()
            .map(|one| (one.name, one.in_use, one.origin))
            .collect();
        assert_eq!(
            listed,
            [
                ("before-upgrade".to_owned(), true, Some("root".to_owned())),
                ("root".to_owned(), false, None),
                (adopted, false, None)
            ]
        );
    }
}
