//! Single exports: creation step by step, changes, removal.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::admin::Admin;
use super::show::{Change, ExportDifference, Exported, ShownTarget, access, compare};
use crate::drivers::targets::chap::Chap;
use crate::drivers::targets::iscsi::is_same_name;
use crate::drivers::{DriverError, DriverResult, Work};
use crate::model::VolumeId;

/// The time limit of cleaning up after a failure, independent of the verb's work.
const UNDO_LIMIT: Duration = Duration::from_secs(10);

/// How often it is checked whether something has ended by itself.
const LOOK: Duration = Duration::from_millis(5);

/// The recorded state of an export.
#[derive(Clone, Debug)]
pub(super) struct AppliedExport {
    pub(super) export: Exported,
    /// The initiators with access.
    pub(super) initiators: BTreeSet<String>,
    /// False while it is being created or changed, and after a failure of that.
    pub(super) sound: bool,
}

/// The desired export.
pub(super) struct Wanted<'a> {
    pub(super) chap: Option<&'a Chap>,
    /// Whether the daemon supports the control socket for secrets.
    pub(super) direct: bool,
    /// The present output of `target show`.
    pub(super) shown: &'a [ShownTarget],
    pub(super) id: VolumeId,
}

/// Creates and removes exports.
pub(super) struct Exports {
    pub(super) admin: Admin,
    pub(super) discard: bool,
}

impl Exports {
    /// Creates or changes the export `name` to match `desired`, and records its state in `table`. `desired` is updated if a
    /// part of it is deferred.
    ///
    /// Until everything is done it is recorded as unsound: after a failure the next call rebuilds it.
    pub(super) fn ensure(
        &self,
        work: &Work,
        table: &mut BTreeMap<String, AppliedExport>,
        name: &str,
        desired: &mut Exported,
        wanted: &Wanted<'_>,
    ) -> DriverResult<()> {
        let applied = table.get(name).cloned();
        let difference = match &applied {
            Some(applied) if applied.sound => compare(desired, &applied.export, wanted.shown),
            _ => ExportDifference::Rebuild,
        };
        let initiators = match (difference, applied) {
            (ExportDifference::Adjust(change), Some(applied)) => {
                self.adjust_access(work, &applied, wanted.shown)?;
                if change == Change::default() {
                    return Ok(());
                }
                let sound = false;
                table.insert(
                    name.to_owned(),
                    AppliedExport {
                        sound,
                        ..applied.clone()
                    },
                );
                self.adjust(work, &applied, desired, change, wanted)?;
                applied.initiators
            }
            (_, applied) => {
                let mut initiators = BTreeSet::new();
                if let Some(applied) = applied {
                    tracing::warn!(
                        export = name,
                        "an export was changed by another program, and is rebuilt"
                    );
                    self.tear_down(work, &applied)?;
                    initiators = applied.initiators;
                }
                let unsound = AppliedExport {
                    export: desired.clone(),
                    initiators,
                    sound: false,
                };
                table.insert(name.to_owned(), unsound.clone());
                if let Err(error) = self.build(work, &unsound, wanted) {
                    match self.tear_down(&work.renewed(UNDO_LIMIT), &unsound) {
                        // Its initiators are recorded for the next attempt.
                        Ok(()) if !unsound.initiators.is_empty() => {}
                        Ok(()) => drop(table.remove(name)),
                        Err(undo) => {
                            tracing::warn!(export = name, error = %undo, "an incomplete export could not be removed yet")
                        }
                    }
                    return Err(error);
                }
                unsound.initiators
            }
        };
        let applied = AppliedExport {
            export: desired.clone(),
            initiators,
            sound: true,
        };
        table.insert(name.to_owned(), applied);
        Ok(())
    }

    /// Target, LUN, account, and only then the ACL.
    fn build(&self, work: &Work, applied: &AppliedExport, wanted: &Wanted<'_>) -> DriverResult<()> {
        let export = &applied.export;
        let tid = export.tid;
        self.admin.new_target(work, tid, &export.iqn)?;
        self.admin.new_lun(work, tid, &export.backing_store)?;
        let id = wanted.id.0.simple();
        let params = format!(
            "vendor_id=Pumice,product_id=volume,scsi_id={id},scsi_sn={id},readonly={},thin_provisioning={}",
            u8::from(export.readonly),
            u8::from(self.discard),
        );
        self.admin.update_lun(work, tid, &params)?;
        self.give_access(work, applied, wanted)
    }

    /// The account, and then the ACL.
    fn give_access(&self, work: &Work, applied: &AppliedExport, wanted: &Wanted<'_>) -> DriverResult<()> {
        let tid = applied.export.tid;
        if let Some(chap) = wanted.chap {
            self.admin.new_account(work, chap, wanted.direct)?;
            self.admin.bind_account(work, tid, chap.name())?;
        }
        let mut initiators = applied.initiators.iter();
        initiators.try_for_each(|initiator| self.admin.bind_initiator(work, tid, initiator))
    }

    /// Empties the ACL. Existing sessions are kept.
    fn take_access(&self, work: &Work, applied: &AppliedExport) -> DriverResult<()> {
        let mut initiators = applied.initiators.iter();
        initiators.try_for_each(|initiator| self.admin.unbind_initiator(work, applied.export.tid, initiator))
    }

    /// Changes an existing export to match `desired`. A size that cannot be announced now is deferred.
    fn adjust(
        &self,
        work: &Work,
        applied: &AppliedExport,
        desired: &mut Exported,
        change: Change,
        wanted: &Wanted<'_>,
    ) -> DriverResult<()> {
        if change.account {
            self.change_account(work, applied, wanted)?;
        }
        if change.readonly {
            self.admin.update_lun(
                work,
                applied.export.tid,
                &format!("readonly={}", u8::from(desired.readonly)),
            )?;
        }
        if change.size && !self.tell_size(work, &applied.export)? {
            desired.bytes = applied.export.bytes;
        }
        Ok(())
    }

    /// Replaces the account. There must never be two, so briefly there is none, and tgtd would require no secret: so
    /// the ACL is empty meanwhile.
    fn change_account(&self, work: &Work, applied: &AppliedExport, wanted: &Wanted<'_>) -> DriverResult<()> {
        self.take_access(work, applied)?;
        if let Some(name) = &applied.export.account {
            self.admin.delete_account(work, name)?;
        }
        self.give_access(work, applied, wanted)
    }

    /// Removes ACL entries that are not recorded, and adds missing recorded ones.
    fn adjust_access(&self, work: &Work, applied: &AppliedExport, shown: &[ShownTarget]) -> DriverResult<()> {
        let tid = applied.export.tid;
        let mut alike = shown.iter().filter(|target| target.tid == tid);
        // More than one: the output was manipulated by an initiator, and is not reliable.
        let (Some(target), None) = (alike.next(), alike.next()) else {
            return Ok(());
        };
        let (strangers, missing) = access(&target.acl, &applied.initiators);
        for stranger in strangers {
            tracing::warn!(
                iqn = applied.export.iqn,
                stranger,
                "another program gave an initiator access, which is revoked"
            );
            self.admin.unbind(work, tid, stranger)?;
        }
        for initiator in missing {
            self.admin.bind_initiator(work, tid, initiator)?;
        }
        Ok(())
    }

    /// Makes tgtd open the backing store again, which updates its size; not while initiators are connected (tgtd would
    /// close the file during reads and writes). Cinder does the same.
    pub(super) fn tell_size(&self, work: &Work, export: &Exported) -> DriverResult<bool> {
        if !self.admin.connections(work, export.tid)?.is_empty() {
            tracing::info!(
                iqn = export.iqn,
                "the new size will be announced once no initiator is connected"
            );
            return Ok(false);
        }
        let params = format!("online=0,path={},online=1", export.backing_store.display());
        self.admin.update_lun(work, export.tid, &params)?;
        Ok(true)
    }

    /// Closes the connections of an initiator, or all, and waits until they are closed.
    pub(super) fn close(&self, work: &Work, tid: u32, initiator: Option<&str>) -> DriverResult<()> {
        let mut closed = BTreeSet::new();
        loop {
            let mut open = self.admin.connections(work, tid)?;
            open.retain(|connection| initiator.is_none_or(|name| is_same_name(&connection.initiator, name)));
            if open.is_empty() {
                return Ok(());
            }
            for connection in &open {
                if closed.insert((connection.sid, connection.cid)) {
                    self.admin.close_connection(work, tid, connection)?;
                }
            }
            work.check()?;
            std::thread::sleep(LOOK);
        }
    }

    /// Removes the ACL, then the sessions, then the export.
    pub(super) fn tear_down(&self, work: &Work, applied: &AppliedExport) -> DriverResult<()> {
        let tid = applied.export.tid;
        self.take_access(work, applied)?;
        self.close(work, tid, None)?;
        while !self.admin.delete_target(work, tid)? {
            work.check()?;
            std::thread::sleep(LOOK);
        }
        if let Some(account) = &applied.export.account {
            self.admin.delete_account(work, account)?;
        }
        Ok(())
    }
}

/// The size of the backing store, if tgt can export it: it splits paths at commas.
pub(super) fn measure(backing_store: &Path) -> DriverResult<u64> {
    let shown = backing_store.display();
    let unusable = |why: &str| {
        DriverError::failed(
            "The volume cannot be exported.",
            format!("cannot export {shown}: {why}"),
        )
    };
    let text = backing_store
        .to_str()
        .ok_or_else(|| unusable("its path is not UTF-8"))?;
    if !backing_store.is_absolute() || text.contains([',', '\n']) || text.len() > 900 {
        return Err(unusable("tgt does not support such a path"));
    }
    match std::fs::File::open(backing_store)
        .and_then(|mut file| std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)))
    {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(DriverError::not_found(
            "The volume is not on the storage backend.",
            format!("there is no {shown} to export"),
        )),
        Err(error) => Err(unusable(&error.to_string())),
    }
}
