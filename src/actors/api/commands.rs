//! The command that an open operation stands for, built from records alone: whoever has the journal can send it again.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use super::old_connectors;
use crate::messages::volume::CommandId;
use crate::messages::{scheduler, volume};
use crate::model::spec::VolumeSource;
use crate::model::{
    AttachMode, Attachment, AttachmentId, BackendName, Connector, Context, Operation, OperationKind,
    PoolName, ProjectId, SnapshotId, Volume, VolumeSpec,
};
use crate::transport::{CallError, Router};

/// A message to the scheduler or to a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Find a pool for the volume.
    Schedule(Box<scheduler::CreateVolume>),
    /// To this backend.
    Create(BackendName, Box<volume::CreateVolume>),
    /// To this backend.
    Delete(BackendName, Box<volume::DeleteVolume>),
    /// To this backend.
    Extend(BackendName, Box<volume::ExtendVolume>),
    /// To this backend.
    Connect(BackendName, Box<volume::InitializeConnection>),
    /// To this backend.
    Disconnect(BackendName, Box<volume::TerminateConnection>),
    /// To this backend.
    DeleteCascade(BackendName, Box<volume::DeleteVolumeCascade>),
    /// To this backend.
    CreateSnapshot(BackendName, Box<volume::CreateSnapshot>),
    /// To this backend.
    DeleteSnapshot(BackendName, Box<volume::DeleteSnapshot>),
    /// To this backend.
    Revert(BackendName, Box<volume::RevertToSnapshot>),
    /// To this backend.
    Manage(BackendName, Box<volume::ManageVolume>),
    /// To this backend.
    Unmanage(BackendName, Box<volume::UnmanageVolume>),
    /// To this backend.
    ManageSnapshot(BackendName, Box<volume::ManageSnapshot>),
    /// To this backend.
    UnmanageSnapshot(BackendName, Box<volume::UnmanageSnapshot>),
    /// To this backend, after the command itself.
    Cancel(BackendName, volume::CancelOperation),
}

/// What a command is built from.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    /// The operation.
    pub operation: &'a Operation,
    /// Its volume.
    pub volume: &'a Volume,
    /// The volume's attachments; only connection commands look at them.
    pub attachments: &'a [Attachment],
    /// Extra specs of the volume's type.
    pub extra_specs: &'a BTreeMap<String, String>,
    /// The snapshots that go with the volume; only a cascading delete looks at them.
    pub snapshots: &'a [SnapshotId],
    /// The volume that the new one is made from, or whose snapshot it is made from.
    pub source: Option<&'a Volume>,
}

/// The operation's current command, for which so much time is left; `None` if there is nobody to send it to.
#[must_use]
pub fn command(records: &Records<'_>, left: Duration) -> Option<Command> {
    let Records {
        operation, volume, ..
    } = *records;
    let id = CommandId {
        operation: operation.id,
        attempt: operation.attempt,
    };
    let remaining_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    let pool = operation.pool.as_ref();
    if operation.kind.creates_volume() && pool.is_none() {
        let hints = operation.kind.hints().cloned();
        return Some(Command::Schedule(Box::new(schedule(records, id, hints))));
    }
    let pool = pool?;
    let backend = pool.backend.clone();
    let spec = spec_of(records, pool.clone());
    Some(match &operation.kind {
        OperationKind::CreateVolume { .. } | OperationKind::CreateVolumeFrom { .. } => Command::Create(
            backend,
            Box::new(volume::CreateVolume {
                command: id,
                volume: spec,
                remaining_ms,
            }),
        ),
        OperationKind::DeleteVolume { .. } if !records.snapshots.is_empty() => Command::DeleteCascade(
            backend,
            Box::new(volume::DeleteVolumeCascade {
                command: id,
                volume: spec,
                snapshots: records.snapshots.to_vec(),
                remaining_ms,
            }),
        ),
        OperationKind::DeleteVolume { .. } => Command::Delete(
            backend,
            Box::new(volume::DeleteVolume {
                command: id,
                volume: spec,
                remaining_ms,
            }),
        ),
        OperationKind::ExtendVolume { new_size } => Command::Extend(
            backend,
            Box::new(volume::ExtendVolume {
                command: id,
                volume: spec,
                new_size: *new_size,
                remaining_ms,
            }),
        ),
        OperationKind::UpdateAttachment {
            attachment_id,
            connector,
            mode,
        } => {
            let alone = !records
                .attachments
                .iter()
                .any(|other| other.id != *attachment_id && other.connection_info.is_some())
                && old_connectors::list(volume).is_empty();
            Command::Connect(
                backend,
                Box::new(volume::InitializeConnection {
                    command: id,
                    volume: if alone { with_fresh_secret(spec) } else { spec },
                    attachment: Some(*attachment_id),
                    connector: connector.clone(),
                    mode: *mode,
                    remaining_ms,
                }),
            )
        }
        OperationKind::InitializeConnection { connector } => Command::Connect(
            backend,
            Box::new(volume::InitializeConnection {
                command: id,
                mode: if spec.readonly {
                    AttachMode::Ro
                } else {
                    AttachMode::Rw
                },
                volume: spec,
                attachment: None,
                connector: connector.clone(),
                remaining_ms,
            }),
        ),
        OperationKind::DeleteAttachment { attachment_id } => {
            let connector = records
                .attachments
                .iter()
                .find(|attachment| attachment.id == *attachment_id)
                .and_then(|attachment| attachment.connector.clone());
            let others: Vec<_> =
                others_that_stay(volume, records.attachments, operation, *attachment_id).collect();
            Command::Disconnect(
                backend,
                Box::new(volume::TerminateConnection {
                    command: id,
                    volume: spec,
                    connector_stays: others.iter().any(|other| is_of(other, connector.as_ref())),
                    export_stays: !others.is_empty(),
                    connector,
                    remaining_ms,
                }),
            )
        }
        OperationKind::TerminateConnection { connector } => {
            let same_host =
                |other: &Attachment| other.connection_info.is_some() && is_of(other, connector.as_ref());
            Command::Disconnect(
                backend,
                Box::new(volume::TerminateConnection {
                    command: id,
                    volume: spec,
                    connector_stays: records.attachments.iter().any(same_host),
                    export_stays: volume.operation != Some(operation.id),
                    connector: connector.clone(),
                    remaining_ms,
                }),
            )
        }
        OperationKind::CreateSnapshot { snapshot_id } => Command::CreateSnapshot(
            backend,
            Box::new(volume::CreateSnapshot {
                command: id,
                volume: spec,
                snapshot_id: *snapshot_id,
                remaining_ms,
            }),
        ),
        OperationKind::DeleteSnapshot { snapshot_id } => Command::DeleteSnapshot(
            backend,
            Box::new(volume::DeleteSnapshot {
                command: id,
                volume: spec,
                snapshot_id: *snapshot_id,
                remaining_ms,
            }),
        ),
        OperationKind::RevertToSnapshot { snapshot_id, size } => Command::Revert(
            backend,
            Box::new(volume::RevertToSnapshot {
                command: id,
                volume: spec,
                snapshot_id: *snapshot_id,
                size: *size,
                remaining_ms,
            }),
        ),
        OperationKind::UnmanageSnapshot { snapshot_id } => Command::UnmanageSnapshot(
            backend,
            Box::new(volume::UnmanageSnapshot {
                command: id,
                volume: spec,
                snapshot_id: *snapshot_id,
                remaining_ms,
            }),
        ),
        OperationKind::ManageVolume { reference } => Command::Manage(
            backend,
            Box::new(volume::ManageVolume {
                command: id,
                volume: spec,
                reference: reference.clone(),
                remaining_ms,
            }),
        ),
        OperationKind::UnmanageVolume => Command::Unmanage(
            backend,
            Box::new(volume::UnmanageVolume {
                command: id,
                volume: spec,
                remaining_ms,
            }),
        ),
        OperationKind::ManageSnapshot {
            snapshot_id,
            reference,
        } => Command::ManageSnapshot(
            backend,
            Box::new(volume::ManageSnapshot {
                command: id,
                volume: spec,
                snapshot_id: *snapshot_id,
                reference: reference.clone(),
                remaining_ms,
            }),
        ),
    })
}

/// What ends the operation's current command, if somebody wants that.
#[must_use]
pub fn cancellation(operation: &Operation) -> Option<Command> {
    let pool = operation.pool.as_ref().filter(|_| operation.is_cancelled())?;
    let command = CommandId {
        operation: operation.id,
        attempt: operation.attempt,
    };
    Some(Command::Cancel(
        pool.backend.clone(),
        volume::CancelOperation { command },
    ))
}

/// Whether an attachment needs the volume's export.
#[must_use]
pub fn holds_the_export(attachment: &Attachment) -> bool {
    use crate::model::AttachmentStatus::{Attached, Attaching, ErrorDetaching};
    attachment.connection_info.is_some()
        || attachment.operation.is_some()
        || matches!(attachment.status, Attached | Attaching | ErrorDetaching)
}

/// The other attachments that keep the export when this one goes. One that is going itself does not: of two that leave
/// at once, the later must take the export with it. (`Volume::operation` names the one that does, so that nobody connects
/// meanwhile.)
fn others_that_stay<'a>(
    volume: &Volume,
    attachments: &'a [Attachment],
    operation: &Operation,
    leaving: AttachmentId,
) -> impl Iterator<Item = &'a Attachment> {
    let takes_the_export = volume.operation == Some(operation.id);
    attachments
        .iter()
        .filter(move |other| !takes_the_export && other.id != leaving && holds_the_export(other))
}

/// Whether an attachment is the initiator's whose connector this is.
fn is_of(attachment: &Attachment, connector: Option<&Connector>) -> bool {
    let theirs = attachment.connector.as_ref().zip(connector);
    theirs.is_some_and(|(theirs, ours)| theirs.is_same_initiator(ours))
}

/// Nobody is connected: whoever knew the old secret shall not come in with it.
fn with_fresh_secret(mut spec: VolumeSpec) -> VolumeSpec {
    spec.provider_auth = None;
    spec
}

/// What must not change while copies are made of it, for an operation that would change it.
#[must_use]
pub fn waits_for_copies_of(operation: &Operation) -> Vec<Uuid> {
    match &operation.kind {
        // A copy is as large as its source was when it was asked for.
        OperationKind::DeleteVolume { .. } | OperationKind::ExtendVolume { .. } => {
            vec![operation.volume_id.0]
        }
        OperationKind::RevertToSnapshot { snapshot_id, .. } => vec![operation.volume_id.0, snapshot_id.0],
        OperationKind::DeleteSnapshot { snapshot_id } => vec![snapshot_id.0],
        _ => Vec::new(),
    }
}

fn schedule(records: &Records<'_>, id: CommandId, hints: Option<String>) -> scheduler::CreateVolume {
    let Records {
        operation,
        volume,
        source,
        extra_specs,
        ..
    } = *records;
    // The scheduler fills the pool in; the type has no way to say "none yet".
    let nowhere = BackendName::new("", "").pool("");
    scheduler::CreateVolume {
        operation: id.operation,
        attempt: id.attempt,
        request: scheduler::RequestSpec {
            volume_id: volume.id,
            size: volume.size,
            availability_zone: Some(volume.availability_zone.clone()).filter(|zone| !zone.is_empty()),
            extra_specs: extra_specs.clone(),
            resource_backend: source.and_then(|source| source.host.clone()),
            hints,
            tried: operation.tried.iter().map(|(pool, _)| pool.clone()).collect(),
        },
        volume: scheduler::UnplacedVolume::new(spec_of(records, nowhere)),
    }
}

fn spec_of(records: &Records<'_>, pool: PoolName) -> VolumeSpec {
    let source = match (records.operation.kind.source(), records.volume.source_volid) {
        // An operation from before its kind told what it makes the volume from.
        (VolumeSource::Raw, Some(id)) => VolumeSource::Volume {
            id,
            size: records.source.map_or(records.volume.size, |source| source.size),
        },
        (source, _) => source,
    };
    VolumeSpec {
        source,
        ..spec(records.volume, records.extra_specs, pool)
    }
}

/// What a backend is told of a volume that exists.
#[must_use]
pub fn spec(volume: &Volume, extra_specs: &BTreeMap<String, String>, pool: PoolName) -> VolumeSpec {
    VolumeSpec {
        id: volume.id,
        project_id: volume.project_id.clone(),
        size: volume.size,
        pool,
        multiattach: volume.multiattach,
        readonly: is_readonly(volume),
        encrypted: volume.encryption_key_id.is_some(),
        extra_specs: extra_specs.clone(),
        source: VolumeSource::Raw,
        provider_location: volume.provider_location.clone(),
        provider_auth: volume.provider_auth.clone(),
    }
}

/// Whether the volume may only be read (`os-update_readonly_flag`).
#[must_use]
pub fn is_readonly(volume: &Volume) -> bool {
    volume
        .admin_metadata
        .get("readonly")
        .is_some_and(|flag| flag == "True")
}

/// The context of what an operation does after its request is gone.
#[must_use]
pub fn context_of(operation: &Operation) -> Context {
    Context {
        request_id: operation.request_id.clone(),
        user_id: operation.user_id.clone(),
        project_id: ProjectId::clone(&operation.project_id),
        ..Context::internal("api")
    }
}

/// Sends it.
///
/// # Errors
/// What the door said; it surely was not delivered then.
pub async fn send(router: &Router, context: &Context, command: Command) -> Result<(), CallError> {
    fn to(router: &Router, backend: &BackendName) -> crate::transport::Handle<volume::VolumeTopic> {
        router.server(&backend.to_string())
    }
    match command {
        Command::Schedule(message) => {
            router
                .any::<scheduler::SchedulerTopic>()
                .cast(context, *message)
                .await
        }
        Command::Create(backend, message) => to(router, &backend).cast(context, *message).await,
        Command::Delete(backend, message) => to(router, &backend).cast(context, *message).await,
        Command::Extend(backend, message) => to(router, &backend).cast(context, *message).await,
        Command::Connect(backend, message) => to(router, &backend).cast(context, *message).await,
        Command::Disconnect(backend, message) => to(router, &backend).cast(context, *message).await,
        Command::DeleteCascade(backend, message) => to(router, &backend).cast(context, *message).await,
        Command::CreateSnapshot(backend, message) => to(router, &backend).cast(context, *message).await,
        Command::DeleteSnapshot(backend, message) => to(router, &backend).cast(context, *message).await,
        Command::Revert(backend, message) => to(router, &backend).cast(context, *message).await,
        Command::Manage(backend, message) => to(router, &backend).cast(context, *message).await,
        Command::Unmanage(backend, message) => to(router, &backend).cast(context, *message).await,
        Command::ManageSnapshot(backend, message) => to(router, &backend).cast(context, *message).await,
        Command::UnmanageSnapshot(backend, message) => to(router, &backend).cast(context, *message).await,
        Command::Cancel(backend, message) => to(router, &backend).cast(context, message).await,
    }
}
