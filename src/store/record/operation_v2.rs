//! Version 2 of a journal entry: it did not say which control node runs it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::quota::Deltas;
use crate::model::{
    Operation, OperationId, PoolName, ProjectId, SnapshotId, StepRecord, Subject, Timestamp, UserId,
    VolumeId, VolumeStatus,
};

/// A journal entry as version 2 stored it. The fields' meanings are those of [`Operation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OperationV2 {
    id: OperationId,
    verb: String,
    entry: Vec<u8>,
    subject: Subject,
    volume_id: Option<VolumeId>,
    snapshot_id: Option<SnapshotId>,
    copied_from: Option<Uuid>,
    project_id: ProjectId,
    user_id: UserId,
    request_id: String,
    attempt: u32,
    pool: Option<PoolName>,
    tried: Vec<(PoolName, String)>,
    previous_status: Option<VolumeStatus>,
    reserved: Deltas,
    steps: Vec<StepRecord>,
    created_at: Timestamp,
    deadline: Timestamp,
}

impl From<OperationV2> for Operation {
    fn from(was: OperationV2) -> Self {
        Self {
            id: was.id,
            verb: was.verb,
            entry: was.entry,
            subject: was.subject,
            volume_id: was.volume_id,
            snapshot_id: was.snapshot_id,
            copied_from: was.copied_from,
            project_id: was.project_id,
            user_id: was.user_id,
            request_id: was.request_id,
            attempt: was.attempt,
            pool: was.pool,
            tried: was.tried,
            previous_status: was.previous_status,
            reserved: was.reserved,
            steps: was.steps,
            created_at: was.created_at,
            deadline: was.deadline,
            owner: None,
        }
    }
}
