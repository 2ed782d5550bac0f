//! Keep a volume as it is (cinder: `volume/api.py`, `create_snapshot_in_db`).
//!
//! Checks in Cinder's order: the volume's state, then quota. Snapshot, usage and operation are one commit, which also touches
//! the volume's record: a delete of the volume that was decided on meanwhile is decided again, and finds the snapshot.

use std::rc::Rc;
use std::time::Duration;

use super::ApiActor;
use super::bounds::check_new_snapshot;
use super::lookup::{Unchanged, growth_failed, until_not_overtaken};
use crate::messages::api::CreateSnapshot;
use crate::messages::quota::{Reserve, Reserved};
use crate::model::bounds::{SNAPSHOTS, check_count};
use crate::model::quota::snapshot_deltas;
use crate::model::transitions::{Verb, decide};
use crate::model::{
    Context, Error, Operation, OperationId, OperationKind, Result, Snapshot, SnapshotId, SnapshotStatus,
    Timestamp, Volume,
};
use crate::store::catalog::Stored;

/// A snapshot to be: what its owner says of it.
pub(super) struct Wanted {
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) metadata: std::collections::BTreeMap<String, String>,
}

impl ApiActor {
    /// Serves [`CreateSnapshot`]: the reply is the snapshot in `creating`.
    pub(super) async fn create_snapshot(
        self: Rc<Self>,
        context: Context,
        request: CreateSnapshot,
    ) -> Result<Snapshot> {
        let CreateSnapshot {
            volume_id,
            name,
            description,
            metadata,
            in_use_too,
        } = request;
        let wanted = Wanted {
            name,
            description,
            metadata,
        };
        let verb = Verb::CreateSnapshot { in_use_too };
        let kind = |snapshot_id| OperationKind::CreateSnapshot { snapshot_id };
        self.begin_snapshot(&context, &volume_id, verb, &wanted, kind)
            .await
    }

    /// Holds quota for a snapshot, writes it down in `creating` with its operation, and sends its command.
    pub(super) async fn begin_snapshot(
        &self,
        context: &Context,
        volume_id: &str,
        verb: Verb,
        wanted: &Wanted,
        kind: impl Fn(SnapshotId) -> OperationKind,
    ) -> Result<Snapshot> {
        check_new_snapshot(&wanted.metadata)?;
        let volume = self.find_volume(context, volume_id).await?;
        decide(&volume, &[], verb)?;
        let snapshots = self.snapshots_of(volume.id).await?;
        check_count("snapshots", snapshots.len(), SNAPSHOTS)?;
        let hold = Reserve {
            project_id: volume.project_id.clone(),
            deltas: snapshot_deltas(volume.size, volume.volume_type_id),
            volume_size: None,
        };
        let reserved = self
            .deps
            .quota
            .call(context, hold, self.options.call_timeout)
            .await?;
        let made: Result<(Operation, Volume, Snapshot)> = until_not_overtaken!(
            self.try_to_create_snapshot(context, volume_id, verb, wanted, &kind, &reserved)
                .await
        );
        match made {
            Ok((operation, volume, snapshot)) => {
                self.commit_hold(context, &reserved).await;
                self.begin(&operation, &volume).await;
                Ok(snapshot)
            }
            Err(error) => {
                self.roll_back(context, reserved).await;
                Err(error)
            }
        }
    }

    async fn try_to_create_snapshot(
        &self,
        context: &Context,
        volume_id: &str,
        verb: Verb,
        wanted: &Wanted,
        kind: impl Fn(SnapshotId) -> OperationKind,
        reserved: &Reserved,
    ) -> Result<(Operation, Volume, Snapshot), Unchanged> {
        let volume: Stored<Volume> = self.find_volume(context, volume_id).await?;
        decide(&volume, &[], verb)?;
        let Some(pool) = volume.host.clone() else {
            return Err(Error::internal("a volume that can have a snapshot has a host").into());
        };
        let volume_type = self.type_of(&volume).await?;
        let id = SnapshotId::new();
        let operation = self.new_operation(context, kind(id), &volume, Some(pool));
        let latest = self.deps.catalog.latest_snapshot(volume.id).await?;
        let created_at = later_than(latest.map(|latest| latest.created_at), Timestamp::now());
        let snapshot = new_snapshot(context, id, &volume, wanted, operation.id, created_at);
        let mut changes = self.deps.catalog.change();
        changes
            .update_volume(&volume, &volume.record)
            .insert_snapshot(&snapshot)
            .insert_operation(&operation);
        let deltas = snapshot_deltas(volume.size, volume.volume_type_id);
        changes.add_usage(&volume.project_id, &deltas);
        for (resource, limit) in &reserved.limits {
            if *limit >= 0 && deltas.contains_key(resource) {
                changes.within_limit(&volume.project_id, resource, *limit);
            }
        }
        changes
            .commit()
            .await
            .map_err(|error| growth_failed(error, &deltas, volume_type.as_deref()))?;
        Ok((operation, volume.record, snapshot))
    }
}

/// The time now, and later than that of the snapshot before it: the latest of a volume is the only one that it can go back to, and
/// which one that is must not depend on a clock that was set back.
fn later_than(before: Option<Timestamp>, now: Timestamp) -> Timestamp {
    before.map_or(now, |before| now.max(before.plus(Duration::from_micros(1))))
}

fn new_snapshot(
    context: &Context,
    id: SnapshotId,
    volume: &Volume,
    wanted: &Wanted,
    operation: OperationId,
    created_at: Timestamp,
) -> Snapshot {
    Snapshot {
        id,
        volume_id: volume.id,
        project_id: volume.project_id.clone(),
        user_id: context.user_id.clone(),
        name: wanted.name.clone(),
        description: wanted.description.clone(),
        volume_size: volume.size,
        volume_type_id: volume.volume_type_id,
        status: SnapshotStatus::Creating,
        progress: "0%".to_owned(),
        metadata: wanted.metadata.clone(),
        provider_id: None,
        encryption_key_id: volume.encryption_key_id,
        group_snapshot_id: None,
        consumes_quota: true,
        operation: Some(operation),
        created_at,
        updated_at: None,
    }
}
