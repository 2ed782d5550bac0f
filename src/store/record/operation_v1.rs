//! Version 1 of a journal entry: every verb was a variant of one enum, and every operation had a volume.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::quota::Deltas;
use crate::model::spec::VolumeSource;
use crate::model::{
    AttachMode, AttachmentId, Connector, Operation, OperationId, PoolName, ProjectId, Reference, SnapshotId,
    StepRecord, Subject, Timestamp, UserId, VolumeId, VolumeStatus,
};

use super::{RecordError, encode_part};

/// The kind of an operation. A variant is named as its verb is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum OperationKind {
    /// Create a volume: schedule it, then have a backend create it.
    CreateVolume {
        /// Hints of the request, as JSON text (`OS-SCH-HNT:scheduler_hints`).
        hints: Option<String>,
    },
    /// Delete a volume's storage, then its record.
    DeleteVolume {
        /// Whether to delete its snapshots, too.
        cascade: bool,
        /// Whether from any state.
        force: bool,
    },
    /// Extend a volume to `new_size` GiB.
    ExtendVolume {
        /// The new size, in GiB.
        new_size: u32,
    },
    /// Export a volume for an initiator.
    UpdateAttachment {
        /// The attachment.
        attachment_id: AttachmentId,
        /// The initiator.
        connector: Connector,
        /// Read-write or read-only.
        mode: AttachMode,
    },
    /// Remove an initiator's access, and the export with the last one.
    DeleteAttachment {
        /// The attachment.
        attachment_id: AttachmentId,
    },
    /// The old API for exporting, without an attachment.
    InitializeConnection {
        /// The initiator.
        connector: Connector,
    },
    /// The old API for ending it.
    TerminateConnection {
        /// The initiator; `None` means all of them.
        connector: Option<Connector>,
    },
    /// Create a volume with the content of an existing source. Requests that would change or delete the source wait for
    /// this operation's end.
    CreateVolumeFrom {
        /// Hints of the request, as JSON text.
        hints: Option<String>,
        /// The source.
        source: VolumeSource,
    },
    /// Create a snapshot of a volume.
    CreateSnapshot {
        /// The snapshot.
        snapshot_id: SnapshotId,
    },
    /// Delete a snapshot's storage, then its record.
    DeleteSnapshot {
        /// The snapshot.
        snapshot_id: SnapshotId,
    },
    /// Revert a volume to a snapshot.
    RevertToSnapshot {
        /// The snapshot.
        snapshot_id: SnapshotId,
        /// The size of the volume at the time of the snapshot, in GiB.
        size: u32,
    },
    /// Adopt existing storage as a volume.
    ManageVolume {
        /// The reference to the storage.
        reference: Reference,
    },
    /// Delete a volume's record and keep its storage.
    UnmanageVolume,
    /// Adopt existing storage as a snapshot.
    ManageSnapshot {
        /// The new snapshot.
        snapshot_id: SnapshotId,
        /// The reference to the storage.
        reference: Reference,
    },
    /// Delete a snapshot's record and keep its storage.
    UnmanageSnapshot {
        /// The snapshot.
        snapshot_id: SnapshotId,
    },
}

/// A journal entry as version 1 stored it. The fields' meanings are those of [`Operation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of Operation")]
pub struct OperationV1 {
    pub id: OperationId,
    pub kind: OperationKind,
    pub volume_id: VolumeId,
    pub project_id: ProjectId,
    pub user_id: UserId,
    pub request_id: String,
    pub attempt: u32,
    pub pool: Option<PoolName>,
    pub tried: Vec<(PoolName, String)>,
    pub previous_status: Option<VolumeStatus>,
    pub reserved: Deltas,
    pub steps: Vec<StepRecord>,
    pub created_at: Timestamp,
    pub deadline: Timestamp,
}

/// The parts of a version 2 entry that a kind of version 1 determines.
struct Converted {
    verb: &'static str,
    entry: Vec<u8>,
    subject: Subject,
    snapshot_id: Option<SnapshotId>,
    copied_from: Option<Uuid>,
}

impl OperationKind {
    fn verb(&self) -> &'static str {
        match self {
            Self::CreateVolumeFrom { hints, .. } => Self::CreateVolume { hints: hints.clone() }.into(),
            other => other.into(),
        }
    }
}

impl OperationV1 {
    /// Converts it to the current version.
    ///
    /// # Errors
    /// When a part of it cannot be encoded.
    pub fn upgrade(self) -> Result<Operation, RecordError> {
        let converted = convert(&self.kind, self.volume_id)?;
        Ok(Operation {
            id: self.id,
            verb: converted.verb.to_owned(),
            entry: converted.entry,
            subject: converted.subject,
            volume_id: Some(self.volume_id),
            snapshot_id: converted.snapshot_id,
            copied_from: converted.copied_from,
            project_id: self.project_id,
            user_id: self.user_id,
            request_id: self.request_id,
            attempt: self.attempt,
            pool: self.pool,
            tried: self.tried,
            previous_status: self.previous_status,
            reserved: self.reserved,
            steps: self.steps,
            created_at: self.created_at,
            deadline: self.deadline,
            owner: None,
        })
    }
}

fn convert(kind: &OperationKind, volume: VolumeId) -> Result<Converted, RecordError> {
    let of_volume = |entry| Converted {
        verb: kind.verb(),
        entry,
        subject: Subject::Volume(volume),
        snapshot_id: None,
        copied_from: None,
    };
    let of_snapshot = |snapshot: &SnapshotId, entry| Converted {
        subject: Subject::Snapshot(*snapshot),
        snapshot_id: Some(*snapshot),
        ..of_volume(entry)
    };
    Ok(match kind {
        OperationKind::CreateVolume { hints } => of_volume(encode_part(&(hints, VolumeSource::Raw))?),
        OperationKind::CreateVolumeFrom { hints, source } => Converted {
            copied_from: source.id(),
            ..of_volume(encode_part(&(hints, source))?)
        },
        OperationKind::DeleteVolume { cascade, force } => of_volume(encode_part(&(cascade, force))?),
        OperationKind::ExtendVolume { new_size } => of_volume(encode_part(&new_size)?),
        OperationKind::UpdateAttachment {
            attachment_id,
            connector,
            mode,
        } => Converted {
            subject: Subject::Attachment(*attachment_id),
            ..of_volume(encode_part(&(attachment_id, connector, mode))?)
        },
        OperationKind::DeleteAttachment { attachment_id } => Converted {
            subject: Subject::Attachment(*attachment_id),
            ..of_volume(encode_part(&attachment_id)?)
        },
        OperationKind::InitializeConnection { connector } => Converted {
            subject: Subject::Export(volume),
            ..of_volume(encode_part(&connector)?)
        },
        OperationKind::TerminateConnection { connector } => Converted {
            subject: Subject::Export(volume),
            ..of_volume(encode_part(&connector)?)
        },
        OperationKind::CreateSnapshot { snapshot_id } => of_snapshot(snapshot_id, encode_part(&snapshot_id)?),
        OperationKind::DeleteSnapshot { snapshot_id } => of_snapshot(snapshot_id, encode_part(&snapshot_id)?),
        OperationKind::RevertToSnapshot { snapshot_id, size } => Converted {
            snapshot_id: Some(*snapshot_id),
            ..of_volume(encode_part(&(snapshot_id, size))?)
        },
        OperationKind::ManageVolume { reference } => of_volume(encode_part(&reference)?),
        OperationKind::UnmanageVolume => of_volume(Vec::new()),
        OperationKind::ManageSnapshot {
            snapshot_id,
            reference,
        } => of_snapshot(snapshot_id, encode_part(&(snapshot_id, reference))?),
        OperationKind::UnmanageSnapshot { snapshot_id } => {
            of_snapshot(snapshot_id, encode_part(&snapshot_id)?)
        }
    })
}
