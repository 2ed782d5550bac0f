//! Looks up the resources that a request names, with Cinder's text if one does not exist, and maps store failures
//! to answers.
//!
//! Ids are used as the client wrote them: a malformed id is answered with 404 and the client's own text. A resource
//! of another project is 404, too, unless the caller is an administrator.

use uuid::Uuid;

use super::Control;
use super::quota_texts::over_quota;
use crate::model::quota::Resource;
use crate::model::transitions::not_migrating;
use crate::model::{
    AttachStatus, Attachment, AttachmentId, Context, Error, ErrorKind, OperationId, ProjectId, Result,
    Snapshot, SnapshotId, Timestamp, Volume, VolumeId, VolumeType, VolumeTypeId,
};
use crate::store::catalog::Stored;
use crate::store::{CommitError, StoreError};
use crate::transport::CallError;

/// How often a change is retried after a conflict.
pub const TRIES: u32 = 32;

/// 503: the client may retry.
pub fn try_again(operator: impl std::fmt::Display) -> Error {
    try_again_in(1, operator)
}

/// The same, after so many seconds.
pub fn try_again_in(seconds: u32, operator: impl std::fmt::Display) -> Error {
    Error::unavailable(
        "The service is temporarily unable to handle the request.",
        seconds,
    )
    .with_operator(operator)
}

/// Runs an attempt at a change again for as long as it meets a conflict. `$attempt` is an expression that gives
/// `Result<T, Interrupt>`, evaluated again each time. The result is a `Result<T, Error>`.
macro_rules! retry_on_conflict {
    ($attempt:expr) => {{
        let mut tries = 0_u32;
        loop {
            match $attempt {
                Ok(value) => break Ok(value),
                Err($crate::control::Interrupt::Refused(error)) => break Err(error),
                Err(_) => {
                    tries += 1;
                    if tries >= $crate::control::TRIES {
                        break Err($crate::control::try_again(
                            "conflicted too often with other changes",
                        ));
                    }
                }
            }
        }
    }};
}
pub(crate) use retry_on_conflict;

/// Why an attempt at a change changed nothing.
#[derive(Debug)]
pub enum Interrupt {
    /// The records that it was decided on have changed: read and decide again.
    Conflict,
    /// An operation must end first: wait for it, then read and decide again. It is an operation on this volume.
    WaitFor(OperationId, VolumeId),
    /// The change is refused.
    Refused(Error),
}

impl From<Error> for Interrupt {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<CallError> for Interrupt {
    fn from(error: CallError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<StoreError> for Interrupt {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<CommitError> for Interrupt {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict(_) => Self::Conflict,
            CommitError::Store(error) => error.into(),
            CommitError::OverCeiling { name, sum, limit } => Self::Refused(Error::internal(format!(
                "{name} would be {sum}, over {limit}, where nothing grows"
            ))),
        }
    }
}

impl Control {
    /// The volume with this id.
    pub async fn find_volume(&self, context: &Context, id: &str) -> Result<Stored<Volume>> {
        let parsed: VolumeId = id.parse().map_err(|_| Error::volume_not_found(id))?;
        self.catalog
            .volume(parsed)
            .await?
            .filter(|volume| may_see(context, &volume.project_id))
            .ok_or_else(|| Error::volume_not_found(id))
    }

    /// The snapshot with this id.
    pub async fn find_snapshot(&self, context: &Context, id: &str) -> Result<Stored<Snapshot>> {
        let parsed: SnapshotId = id.parse().map_err(|_| snapshot_not_found(id))?;
        self.catalog
            .snapshot(parsed)
            .await?
            .filter(|snapshot| may_see(context, &snapshot.project_id))
            .ok_or_else(|| snapshot_not_found(id))
    }

    /// The attachment with this id.
    pub async fn find_attachment(&self, context: &Context, id: &str) -> Result<Stored<Attachment>> {
        let not_found = || {
            Error::not_found(format!(
                "Volume attachment could not be found with filter: attachment_id = {id}."
            ))
        };
        let parsed: AttachmentId = id.parse().map_err(|_| not_found())?;
        self.catalog
            .attachment(parsed)
            .await?
            .filter(|attachment| may_see(context, &attachment.project_id))
            .ok_or_else(not_found)
    }

    /// The type with this id or name (cinder: `volume_types.get_by_name_or_id`).
    pub async fn find_volume_type(&self, context: &Context, name: &str) -> Result<Stored<VolumeType>> {
        let open = |found: &Stored<VolumeType>| context.is_admin || found.is_open_to(&context.project_id);
        let catalog = &self.catalog;
        let id = Uuid::parse_str(name).ok().map(VolumeTypeId);
        if let Some(id) = id
            && let Some(found) = catalog.volume_type(id).await?
            && open(&found)
        {
            return Ok(found);
        }
        let by_name = catalog.volume_type_by_name(name).await?;
        by_name.filter(open).ok_or_else(|| match id {
            Some(_) => type_not_found(name),
            None => Error::not_found(format!("Volume type with name {name} could not be found.")),
        })
    }

    /// A type by its id, for administrators.
    pub async fn volume_type(&self, id: VolumeTypeId) -> Result<Stored<VolumeType>> {
        self.catalog
            .volume_type(id)
            .await?
            .ok_or_else(|| type_not_found(id))
    }

    /// Whether volumes of a type are encrypted.
    pub async fn is_encrypted(&self, id: VolumeTypeId) -> Result<bool> {
        Ok(self.catalog.type_encryption(id).await?.is_some())
    }

    /// Refuses a type whose volumes are encrypted: there is no key manager that could keep their keys (cinder:
    /// `volume/volume_utils.py` `create_encryption_key`).
    ///
    /// # Errors
    /// 400.
    pub async fn check_key_manager(&self, volume_type: &VolumeType) -> Result<()> {
        match self.is_encrypted(volume_type.id).await? {
            true => Err(Error::bad_request(format!(
                "Key manager error: none is configured, so no volume can be of the encrypted type {}.",
                volume_type.name
            ))),
            false => Ok(()),
        }
    }

    /// The type of a volume; `None` where it has none.
    pub async fn type_of(&self, volume: &Volume) -> Result<Option<Stored<VolumeType>>> {
        self.type_by_id(volume.volume_type_id).await
    }

    /// A type by an id that may be missing; `None` also if the type is deleted.
    pub async fn type_by_id(&self, id: Option<VolumeTypeId>) -> Result<Option<Stored<VolumeType>>> {
        let Some(id) = id else {
            return Ok(None);
        };
        Ok(self.catalog.volume_type(id).await?)
    }

    /// The type for this caller's requests without one: of its project, else the service's.
    pub async fn default_volume_type_for(&self, context: &Context) -> Result<Stored<VolumeType>> {
        match self.catalog.project_default_type(&context.project_id).await? {
            Some(default) => {
                let id = default.volume_type_id;
                let found = self.volume_type(id).await?;
                match context.is_admin || found.is_open_to(&context.project_id) {
                    true => Ok(found),
                    false => Err(type_not_found(id)),
                }
            }
            None => self.default_volume_type().await,
        }
    }

    /// The service's type for requests without one.
    pub async fn default_volume_type(&self) -> Result<Stored<VolumeType>> {
        let name = &self.options.default_volume_type;
        let found = self.catalog.volume_type_by_name(name).await?;
        found.ok_or_else(|| Error {
            kind: ErrorKind::Internal,
            client: format!(
                "The request cannot be fulfilled as the default volume type {name} cannot be found."
            ),
            operator: None,
        })
    }

    /// The volume with this id, if its export is not being removed: a connection that is made meanwhile would be cut off.
    ///
    /// # Errors
    /// [`Interrupt::WaitFor`] while its export is being removed.
    pub async fn settled_volume(&self, context: &Context, id: &str) -> Result<Stored<Volume>, Interrupt> {
        let volume = self.find_volume(context, id).await?;
        must_be_settled(&volume)?;
        Ok(volume)
    }

    /// The attachments of a volume, without their revisions.
    pub async fn plain_attachments(&self, id: VolumeId) -> Result<Vec<Attachment>> {
        let stored = self.catalog.volume_attachments(id).await?;
        Ok(stored.into_iter().map(|stored| stored.record).collect())
    }

    /// Commits a volume only; nothing is written if nothing changed.
    pub async fn commit_volume(&self, was: &Stored<Volume>, mut now: Volume) -> Result<Volume, Interrupt> {
        if now == was.record {
            return Ok(now);
        }
        now.updated_at = Some(Timestamp::now());
        let mut changes = self.catalog.change();
        changes.update(was, &now);
        changes.commit().await?;
        Ok(now)
    }
}

/// Makes requests that connect to the volume, or change its storage, wait while its export is being removed.
///
/// # Errors
/// [`Interrupt::WaitFor`] while it is being removed.
pub fn must_be_settled(volume: &Volume) -> Result<(), Interrupt> {
    // A copy may take hours, so requests do not wait for it. An attached volume is not copied, and its operation ends
    // at once.
    if volume.attach_status == AttachStatus::Detached {
        not_migrating(volume)?;
    }
    match volume.operation.filter(|_| !volume.status.is_transient()) {
        Some(operation) => Err(Interrupt::WaitFor(operation, volume.id)),
        None => Ok(()),
    }
}

/// 404 with Cinder's text for a snapshot.
pub fn snapshot_not_found(id: impl std::fmt::Display) -> Error {
    Error::not_found(format!("Snapshot {id} could not be found."))
}

/// 404 with Cinder's text for a type's id.
pub fn type_not_found(id: impl std::fmt::Display) -> Error {
    Error::not_found(format!("Volume type {id} could not be found."))
}

/// Whether the caller may see resources of this project.
pub fn may_see(context: &Context, project: &ProjectId) -> bool {
    context.is_admin || context.project_id == *project
}

/// The answer for a failed commit that adds these to a project's usage, also by type.
pub fn growth_failed(
    error: CommitError,
    deltas: &crate::model::quota::Deltas,
    volume_type: Option<&VolumeType>,
) -> Interrupt {
    match error {
        CommitError::OverCeiling { name, sum, limit } => {
            let resource = Resource(name);
            let requested = deltas.get(&resource).copied().unwrap_or(0);
            let consumed = sum.saturating_sub(requested);
            Interrupt::Refused(over_quota(
                &resource.shown(volume_type),
                limit,
                requested,
                consumed,
            ))
        }
        other => other.into(),
    }
}

/// The size that a type's `provisioning:min_vol_size` and `max_vol_size` allow (cinder: `provision_filter_on_size`).
///
/// # Errors
/// 400 outside of it.
pub fn check_type_size(volume_type: &VolumeType, size: u32) -> Result<()> {
    let bound = |key: &str| {
        volume_type
            .extra_specs
            .get(key)
            .and_then(|text| text.trim().parse::<u64>().ok())
    };
    let name = &volume_type.name;
    if let Some(least) = bound("provisioning:min_vol_size").filter(|least| u64::from(size) < *least) {
        return Err(Error::invalid_input(format!(
            "Specified volume size of '{size}' is less than the minimum required size of '{least}' for volume type \
             '{name}'."
        )));
    }
    if let Some(most) = bound("provisioning:max_vol_size").filter(|most| u64::from(size) > *most) {
        return Err(Error::invalid_input(format!(
            "Specified volume size of '{size}' is greater than the maximum allowable size of '{most}' for volume \
             type '{name}'."
        )));
    }
    Ok(())
}
