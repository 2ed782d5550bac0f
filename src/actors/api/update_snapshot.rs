//! Change what a snapshot's record says, where no storage is touched: name, description, metadata, and the states that
//! administrators and compute services set.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::ApiActor;
use super::bounds::check_snapshot;
use super::lookup::{Unchanged, until_not_overtaken};
use crate::messages::api::{
    ChangeSnapshot, MetadataChange, SnapshotChange, UpdateSnapshot, UpdateSnapshotMetadata,
};
use crate::model::transitions::snapshots;
use crate::model::{Context, Error, OperationKind, Result, Snapshot, Timestamp};
use crate::store::catalog::{Changes, Stored};

impl ApiActor {
    /// Serves [`UpdateSnapshot`].
    pub(super) async fn update_snapshot(
        self: Rc<Self>,
        context: Context,
        request: UpdateSnapshot,
    ) -> Result<Snapshot> {
        self.change_record(&context, &request.snapshot_id, |snapshot| {
            if let Some(name) = &request.name {
                snapshot.name.clone_from(name);
            }
            if let Some(description) = &request.description {
                snapshot.description.clone_from(description);
            }
            Ok(())
        })
        .await
    }

    /// Serves [`UpdateSnapshotMetadata`].
    pub(super) async fn update_snapshot_metadata(
        self: Rc<Self>,
        context: Context,
        request: UpdateSnapshotMetadata,
    ) -> Result<BTreeMap<String, String>> {
        let changed = self
            .change_record(&context, &request.snapshot_id, |snapshot| {
                match &request.change {
                    MetadataChange::Merge(pairs) => snapshot.metadata.extend(pairs.clone()),
                    MetadataChange::Replace(pairs) => snapshot.metadata.clone_from(pairs),
                    MetadataChange::Remove(key) => {
                        snapshot.metadata.remove(key).ok_or_else(|| {
                            Error::not_found(format!(
                                "Snapshot {} has no metadata with key {key}.",
                                snapshot.id
                            ))
                        })?;
                    }
                }
                Ok(())
            })
            .await?;
        Ok(changed.metadata)
    }

    /// Serves [`ChangeSnapshot`].
    pub(super) async fn change_snapshot(
        self: Rc<Self>,
        context: Context,
        request: ChangeSnapshot,
    ) -> Result<Snapshot> {
        match request.change {
            SnapshotChange::ResetStatus { status } => until_not_overtaken!(
                self.try_to_reset_snapshot(&context, &request.snapshot_id, |snapshot| {
                    snapshot.status = status;
                    Ok(())
                })
                .await
            ),
            SnapshotChange::UpdateStatus { status, progress } => until_not_overtaken!(
                self.try_to_reset_snapshot(&context, &request.snapshot_id, |snapshot| {
                    snapshot.status = snapshots::update_status(snapshot, &status)?;
                    if let Some(progress) = &progress {
                        snapshot.progress.clone_from(progress);
                    }
                    Ok(())
                })
                .await
            ),
        }
    }

    /// Somebody else's word ends what we were doing to the snapshot.
    async fn try_to_reset_snapshot(
        &self,
        context: &Context,
        id: &str,
        change: impl Fn(&mut Snapshot) -> Result<()>,
    ) -> Result<Snapshot, Unchanged> {
        let snapshot = self.find_snapshot(context, id).await?;
        let mut changed = snapshot.record.clone();
        change(&mut changed)?;
        let mut changes = self.deps.catalog.change();
        let mut named = Vec::new();
        if let Some(id) = snapshot.operation
            && let Some(open) = self.deps.catalog.operation(id).await?
            && !matches!(
                open.kind,
                OperationKind::RevertToSnapshot { .. } | OperationKind::DeleteVolume { .. }
            )
        {
            // Those two are the volume's, and set its snapshots to rights when they end.
            named.push(id);
        }
        let overtaken = self.overtake(&mut changes, named).await?;
        if !overtaken.is_empty() {
            changed.operation = None;
        }
        let changed = write(changes, &snapshot, changed).await?;
        self.were_overtaken(&overtaken);
        Ok(changed)
    }

    async fn change_record(
        &self,
        context: &Context,
        id: &str,
        change: impl Fn(&mut Snapshot) -> Result<()>,
    ) -> Result<Snapshot> {
        until_not_overtaken!(self.try_to_change_record(context, id, &change).await)
    }

    async fn try_to_change_record(
        &self,
        context: &Context,
        id: &str,
        change: impl Fn(&mut Snapshot) -> Result<()>,
    ) -> Result<Snapshot, Unchanged> {
        let snapshot = self.find_snapshot(context, id).await?;
        let mut changed = snapshot.record.clone();
        change(&mut changed)?;
        check_snapshot(&snapshot, &changed)?;
        write(self.deps.catalog.change(), &snapshot, changed).await
    }
}

async fn write(
    mut changes: Changes,
    snapshot: &Stored<Snapshot>,
    mut changed: Snapshot,
) -> Result<Snapshot, Unchanged> {
    changed.updated_at = Some(Timestamp::now());
    changes.update_snapshot(snapshot, &changed);
    changes.commit().await?;
    Ok(changed)
}
