//! Commands of stages to other actors, built from records only, so that they can be sent again from the journal.

use std::collections::BTreeMap;

use futures_util::future::LocalBoxFuture;
use uuid::Uuid;

use crate::backend::BackendCommand;
use crate::control::{Control, old_connectors};
use crate::messages::Cast;
use crate::messages::scheduler::SchedulerTopic;
use crate::messages::volume::{CancelOperation, CommandId, VolumeTopic};
use crate::model::spec::VolumeSource;
use crate::model::{
    Attachment, BackendName, Connector, Context, Operation, PoolName, Result, Snapshot, Volume, VolumeSpec,
};
use crate::transport::{CallError, Router};

/// The records that a command is built from.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    /// The operation.
    pub operation: &'a Operation,
    /// Its volume.
    pub volume: &'a Volume,
    /// The volume's attachments, as [`super::Verb::reads`] says.
    pub attachments: &'a [Attachment],
    /// Extra specs of the volume's type.
    pub extra_specs: &'a BTreeMap<String, String>,
    /// The volume's snapshots, as [`super::Verb::reads`] says.
    pub snapshots: &'a [Snapshot],
    /// The other volume that the operation works with, as [`super::Verb::reads`] says.
    pub other: Option<&'a Volume>,
}

impl Records<'_> {
    /// The volume's spec for the backend of the operation's pool; `None` while there is no pool.
    pub fn spec(&self) -> Option<VolumeSpec> {
        let pool = self.operation.pool.clone()?;
        Some(spec(self.volume, self.extra_specs, pool))
    }

    /// A message about the volume, to the backend of the operation's pool; `None` while there is no pool.
    pub fn to_backend<C: BackendCommand + Cast>(
        &self,
        message: impl FnOnce(VolumeSpec) -> C,
    ) -> Option<Command> {
        self.spec().map(|spec| Command::to_backend(message(spec)))
    }
}

type Deliver = Box<dyn for<'a> FnOnce(&'a Router, &'a Context) -> LocalBoxFuture<'a, Result<(), CallError>>>;

/// A message to the scheduler or to a backend.
pub struct Command(Deliver);

impl Command {
    /// To the backend of its volume's pool.
    pub fn to_backend<C: BackendCommand + Cast>(command: C) -> Self {
        Self::to_volume_manager(&command.volume().pool.backend.clone(), command)
    }

    fn to_volume_manager<M: Cast<To = VolumeTopic>>(backend: &BackendName, message: M) -> Self {
        let server = backend.to_string();
        Self(Box::new(move |router, context| {
            let handle = router.server::<VolumeTopic>(&server);
            Box::pin(async move { handle.cast(context, message).await })
        }))
    }

    /// To a scheduler.
    pub fn to_scheduler<M: Cast<To = SchedulerTopic>>(message: M) -> Self {
        Self(Box::new(move |router, context| {
            let handle = router.any::<SchedulerTopic>();
            Box::pin(async move { handle.cast(context, message).await })
        }))
    }

    /// The cancellation of the operation's current command, if it was requested.
    pub fn cancellation(operation: &Operation) -> Option<Self> {
        let pool = operation.pool.as_ref().filter(|_| operation.is_cancelled())?;
        let command = CommandId {
            operation: operation.id,
            attempt: operation.attempt,
        };
        Some(Self::to_volume_manager(
            &pool.backend,
            CancelOperation { command },
        ))
    }

    /// Sends the command.
    ///
    /// # Errors
    /// Why it was refused; then it was certainly not delivered.
    pub async fn send(self, router: &Router, context: &Context) -> Result<(), CallError> {
        (self.0)(router, context).await
    }
}

/// The spec of an existing volume.
pub fn spec(volume: &Volume, extra_specs: &BTreeMap<String, String>, pool: PoolName) -> VolumeSpec {
    VolumeSpec {
        id: volume.storage_id(),
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
pub fn is_readonly(volume: &Volume) -> bool {
    volume
        .admin_metadata
        .get("readonly")
        .is_some_and(|flag| flag == "True")
}

/// Whether an attachment needs the volume's export.
#[must_use]
pub fn holds_the_export(attachment: &Attachment) -> bool {
    use crate::model::AttachmentStatus::{Attached, Attaching, ErrorDetaching};
    attachment.connection_info.is_some()
        || attachment.operation.is_some()
        || matches!(attachment.status, Attached | Attaching | ErrorDetaching)
}

/// Whether no other attachment may be connected.
pub fn is_only_connection(records: &Records<'_>) -> bool {
    let this = records.operation.attachment_id();
    !records
        .attachments
        .iter()
        .any(|other| Some(other.id) != this && other.connection_info.is_some())
        && old_connectors::list(records.volume).is_empty()
}

/// Whether an attachment belongs to the initiator with this connector.
pub fn is_of(attachment: &Attachment, connector: Option<&Connector>) -> bool {
    let theirs = attachment.connector.as_ref().zip(connector);
    theirs.is_some_and(|(theirs, ours)| theirs.is_same_initiator(ours))
}

/// The context of an operation's work after the end of its request.
pub fn context_of(operation: &Operation) -> Context {
    Context {
        request_id: operation.request_id.clone(),
        user_id: operation.user_id.clone(),
        project_id: operation.project_id.clone(),
        ..Context::internal("api")
    }
}

impl Control {
    /// Whether an open operation copies one of these volumes or snapshots. Such copies began before the calling
    /// operation, whose status prevents new ones, and end by themselves.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_any_copied(&self, sources: impl IntoIterator<Item = Uuid>) -> Result<bool> {
        for source in sources {
            if self.catalog.is_being_copied(source).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
