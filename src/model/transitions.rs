//! The volume's state machine: which verb is allowed from where, and which status follows.
//!
//! Pure functions over records; the texts are Cinder's to the letter (cinder: `volume/api.py`, `volume/manager.py`; every
//! row of `tests/api/observed_states.tsv` is replayed against this file). The actors ask here, and commit what they were
//! told under the condition that the record has not changed since.
//!
//! ```text
//!              create                report                      extend
//!   (nothing) ───────> creating ──────────────> available <──────────────> extending
//!                          └──> error              │  ↑ attachments come and go:
//!                                                  ↓  │ reserved, attaching, in-use, detaching
//!             (nothing) <────── deleting <─────────┘
//!                                   └──> error_deleting
//! ```
//!
//! A transient status ([`VolumeStatus::is_transient`]) always has an operation that will end it. The one exception is an
//! administrator's `os-reset_status`, whose word stands; another `os-reset_status`, or a forced delete, leads out again.

use uuid::Uuid;

use super::{AttachStatus, Attachment, AttachmentStatus, Error, Result, Volume, VolumeStatus, VolumeTypeId};

pub mod snapshots;

/// What is asked of a volume, as far as its state decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `DELETE`, `os-force_delete`
    Delete {
        /// From any status.
        force: bool,
    },
    /// `os-extend`
    Extend {
        /// Whether an attached volume may grow, too (3.42).
        attached_too: bool,
    },
    /// `os-reserve`
    Reserve,
    /// `os-unreserve`; does nothing where nothing is reserved.
    Unreserve,
    /// `os-begin_detaching`
    BeginDetaching,
    /// `os-roll_detaching`; does nothing where nothing is being detached.
    RollDetaching,
    /// `os-attach`
    Attach,
    /// `os-detach`
    Detach,
    /// `os-initialize_connection`
    InitializeConnection,
    /// `os-terminate_connection`
    TerminateConnection,
    /// `os-update_readonly_flag`
    UpdateReadonlyFlag,
    /// `PUT`, `os-set_bootable`
    Update,
    /// Metadata is added or replaced.
    UpdateMetadata,
    /// A metadata key is removed.
    DeleteMetadata,
    /// It is the source of a new volume.
    CloneFrom,
    /// An attachment is made.
    CreateAttachment {
        /// The server it is for.
        instance_uuid: Option<Uuid>,
    },
    /// An attachment gets its connector.
    UpdateAttachment,
    /// `POST /snapshots`
    CreateSnapshot {
        /// Whether an attached volume will do (`force`, 3.66).
        in_use_too: bool,
    },
    /// `os-unmanage`
    Unmanage,
    /// `os-migrate_volume`
    Migrate,
    /// `os-retype`, to this type.
    Retype(VolumeTypeId),
}

impl Verb {
    /// Whether it reads or changes what the volume holds, or lets somebody do so.
    fn touches_content(self) -> bool {
        matches!(
            self,
            Self::Extend { .. }
                | Self::Reserve
                | Self::Attach
                | Self::InitializeConnection
                | Self::CloneFrom
                | Self::CreateAttachment { .. }
                | Self::UpdateAttachment
                | Self::CreateSnapshot { .. }
        )
    }
}

/// The status that follows at once; the error is what the client reads.
///
/// # Errors
/// 400 (409 for [`Verb::UpdateAttachment`]) with Cinder's text, if the volume's state does not allow the verb.
pub fn decide(volume: &Volume, attachments: &[Attachment], verb: Verb) -> Result<VolumeStatus> {
    if verb.touches_content() {
        not_migrating(volume)?;
    }
    match verb {
        Verb::Delete { force } => delete(volume, force),
        Verb::Extend { attached_too } => extend(volume, attached_too),
        Verb::Reserve => reserve(volume),
        Verb::Unreserve if volume.status == VolumeStatus::Attaching => Ok(unreserved(attachments)),
        Verb::BeginDetaching => begin_detaching(volume),
        Verb::RollDetaching if volume.status == VolumeStatus::Detaching => Ok(VolumeStatus::InUse),
        Verb::Unreserve | Verb::RollDetaching | Verb::TerminateConnection => Ok(volume.status),
        Verb::Attach => attach(volume),
        Verb::Detach => {
            not_in_maintenance(volume, "The volume cannot be detached in maintenance mode.")?;
            Ok(volume.status)
        }
        Verb::InitializeConnection => {
            not_in_maintenance(
                volume,
                "The volume connection cannot be initialized in maintenance mode.",
            )?;
            Ok(volume.status)
        }
        Verb::UpdateReadonlyFlag => update_readonly_flag(volume),
        Verb::Update => {
            not_in_maintenance(volume, "The volume cannot be updated during maintenance.")?;
            Ok(volume.status)
        }
        Verb::UpdateMetadata => metadata(volume, "Updating"),
        Verb::DeleteMetadata => metadata(volume, "Deleting"),
        Verb::CloneFrom => clone_from(volume),
        Verb::CreateAttachment { instance_uuid } => reserve_for(volume, attachments, instance_uuid),
        Verb::UpdateAttachment => connect(volume),
        Verb::CreateSnapshot { in_use_too } => keep_snapshot(volume, in_use_too),
        Verb::Migrate => may_be_moved(volume)
            .then_some(volume.status)
            .ok_or_else(|| not_migratable(volume)),
        Verb::Retype(new_type) => {
            if !may_be_moved(volume) || volume.volume_type_id == Some(new_type) {
                return Err(Error::invalid_volume(
                    "Retype needs volume to be in available or in-use state, not be part of an active migration or a \
                     consistency group, requested type has to be different that the one from the volume, and for in-use \
                     volumes front-end qos specs cannot change.",
                ));
            }
            Ok(VolumeStatus::Retyping)
        }
        Verb::Unmanage => Ok(match delete(volume, false)? {
            VolumeStatus::Deleting => VolumeStatus::Unmanaging,
            other => other,
        }),
    }
}

/// Whether there is storage behind the record that a host can be let in to. Cinder leaves this to the backend, which fails
/// with whatever its driver says.
///
/// # Errors
/// 400, if there is none yet, or none any more.
pub fn must_have_storage(volume: &Volume) -> Result<()> {
    let gone_or_going = matches!(
        volume.status,
        VolumeStatus::Creating
            | VolumeStatus::Downloading
            | VolumeStatus::Managing
            | VolumeStatus::ErrorManaging
            | VolumeStatus::Deleting
            | VolumeStatus::ErrorManagingDeleting
            | VolumeStatus::Unmanaging
    );
    if volume.host.is_none() || volume.launched_at.is_none() || gone_or_going {
        return Err(Error::invalid_volume(format!(
            "Volume {} is not ready to be connected: its status is {}.",
            volume.id, volume.status
        )));
    }
    Ok(())
}

/// Whether its storage must be there: it was made, nothing is being done to it, and no error says that it may be gone.
#[must_use]
pub fn claims_storage(volume: &Volume) -> bool {
    volume.launched_at.is_some() && volume.operation.is_none() && volume.status.claims_storage()
}

/// What the attachments make of `attach_status`. Attachments that failed to attach do not count, for nobody ever used
/// them (cinder: `_get_statuses_from_attachments`). One that failed to *detach* may still be in use, so here it counts as
/// attached, unlike in Cinder, where the volume would become deletable under its user.
pub fn attach_status(attachments: impl IntoIterator<Item = AttachmentStatus>) -> AttachStatus {
    attachments
        .into_iter()
        .map(|status| match status {
            AttachmentStatus::Attached | AttachmentStatus::ErrorDetaching => AttachStatus::Attached,
            AttachmentStatus::Attaching => AttachStatus::Attaching,
            AttachmentStatus::Reserved => AttachStatus::Reserved,
            AttachmentStatus::Detached | AttachmentStatus::Deleted | AttachmentStatus::ErrorAttaching => {
                AttachStatus::Detached
            }
        })
        .min_by_key(|status| match status {
            AttachStatus::Attached => 0,
            AttachStatus::Attaching => 1,
            AttachStatus::Reserved => 2,
            _ => 3,
        })
        .unwrap_or(AttachStatus::Detached)
}

/// The status of a volume that does nothing but be attached so.
#[must_use]
pub fn resting_status(attach_status: AttachStatus) -> VolumeStatus {
    match attach_status {
        AttachStatus::Attached => VolumeStatus::InUse,
        AttachStatus::Attaching => VolumeStatus::Attaching,
        AttachStatus::Reserved => VolumeStatus::Reserved,
        _ => VolumeStatus::Available,
    }
}

/// Makes the volume's states follow its attachments. A running operation keeps its status, and will go back to the new
/// one; a volume that never came to be, or waits for its owner, keeps its status as well. So does one that may have grown
/// beyond what is recorded: Cinder shows it as `available` once it is detached, and nothing says any more that it differs.
pub fn follow_attachments(volume: &mut Volume, attachments: impl IntoIterator<Item = AttachmentStatus>) {
    volume.attach_status = attach_status(attachments);
    let resting = resting_status(volume.attach_status);
    if volume.status.is_transient() {
        if volume.previous_status.is_some() {
            volume.previous_status = Some(resting);
        }
        return;
    }
    let waits_for_its_owner = matches!(
        volume.status,
        VolumeStatus::Maintenance | VolumeStatus::AwaitingTransfer | VolumeStatus::ErrorExtending
    );
    let never_was = volume.status.is_error() && volume.launched_at.is_none();
    if !waits_for_its_owner && !never_was {
        volume.status = resting;
    }
}

/// What `os-reset_status` refuses (cinder: `api/contrib/admin_actions.py`). `error_deleting` and `detaching` pass, as they
/// do there.
///
/// # Errors
/// 400 with Cinder's text.
pub fn check_reset(status: Option<VolumeStatus>, has_attachments: bool) -> Result<()> {
    match status {
        Some(VolumeStatus::Deleting) => Err(Error::bad_request("Cannot reset-state to deleting")),
        Some(VolumeStatus::InUse) if !has_attachments => Err(Error::bad_request(
            "Cannot reset-state to in-use because volume does not have any attachments.",
        )),
        _ => Ok(()),
    }
}

/// What the volume's owner may do with its growth: more than before, and an allowed status.
///
/// # Errors
/// 400 with Cinder's text.
pub fn check_growth(volume: &Volume, new_size: u32) -> Result<()> {
    if new_size <= volume.size {
        return Err(Error::invalid_input(format!(
            "New size for extend must be greater than current size. (current: {}, extended: {new_size}).",
            volume.size
        )));
    }
    Ok(())
}

/// The statuses from which a delete that is not forced starts.
const DELETABLE: [VolumeStatus; 5] = [
    VolumeStatus::Available,
    VolumeStatus::Error,
    VolumeStatus::ErrorRestoring,
    VolumeStatus::ErrorExtending,
    VolumeStatus::ErrorManaging,
];

fn delete(volume: &Volume, force: bool) -> Result<VolumeStatus> {
    let allowed = (force || DELETABLE.contains(&volume.status))
        && volume.attach_status != AttachStatus::Attached
        && !volume.is_migrating()
        && volume.group_id.is_none();
    if !allowed {
        return Err(not_deletable(force));
    }
    Ok(match volume.status {
        VolumeStatus::ErrorManaging => VolumeStatus::ErrorManagingDeleting,
        _ => VolumeStatus::Deleting,
    })
}

/// 400 in Cinder's words for a volume that is in no state to be deleted, or has snapshots.
#[must_use]
pub fn not_deletable(force: bool) -> Error {
    let status = if force {
        String::new()
    } else {
        format!("status must be {} and", either(&DELETABLE))
    };
    Error::invalid_volume(format!(
        "Volume {status} must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be \
         disassociated from snapshots after volume transfer."
    ))
}

/// Whether it rests, and belongs to nothing that binds it to its place.
fn may_be_moved(volume: &Volume) -> bool {
    let is_replicated = !matches!(
        volume.replication_status.as_deref(),
        None | Some("disabled" | "not-capable")
    );
    matches!(volume.status, VolumeStatus::Available | VolumeStatus::InUse)
        && !volume.is_migrating()
        && !is_replicated
        && volume.group_id.is_none()
}

/// 400 in Cinder's words for a volume that cannot be moved, or not there.
#[must_use]
pub fn not_migratable(volume: &Volume) -> Error {
    Error::invalid_volume(format!(
        "Volume {} status must be available or in-use, must not be migrating, have snapshots, be replicated, be part of a \
         group and destination host/cluster must be different than the current one",
        volume.id
    ))
}

/// Refuses what would change a volume, or connect somebody to it, while it is being moved. Cinder lets it begin, and what was
/// written meanwhile is lost.
///
/// # Errors
/// 400 while a migration is in progress.
pub fn not_migrating(volume: &Volume) -> Result<()> {
    if volume.is_migrating() {
        return Err(Error::invalid_volume(format!(
            "Volume {} is part of an active migration.",
            volume.id
        )));
    }
    Ok(())
}

fn keep_snapshot(volume: &Volume, in_use_too: bool) -> Result<VolumeStatus> {
    let refused = match volume.status {
        VolumeStatus::Available => return Ok(volume.status),
        VolumeStatus::InUse if in_use_too => return Ok(volume.status),
        VolumeStatus::Maintenance => {
            "The snapshot cannot be created when the volume is in maintenance mode.".to_owned()
        }
        VolumeStatus::Error => {
            "The snapshot cannot be created when the volume is in error status.".to_owned()
        }
        other => {
            let allowed = if in_use_too {
                "available, in-use"
            } else {
                "available"
            };
            format!(
                "Volume {} status must be {allowed}, but current status is: {other}.",
                volume.id
            )
        }
    };
    Err(Error::invalid_volume(refused))
}

fn extend(volume: &Volume, attached_too: bool) -> Result<VolumeStatus> {
    let in_use = attached_too && volume.status == VolumeStatus::InUse;
    if volume.status != VolumeStatus::Available && !in_use {
        return Err(Error::invalid_volume(format!(
            "Volume {} status must be '{{'status': 'available'}}' to extend, currently {}.",
            volume.id, volume.status
        )));
    }
    Ok(VolumeStatus::Extending)
}

fn reserve(volume: &Volume) -> Result<VolumeStatus> {
    let allowed: &[VolumeStatus] = if volume.multiattach {
        &[VolumeStatus::Available, VolumeStatus::InUse]
    } else {
        &[VolumeStatus::Available]
    };
    if !allowed.contains(&volume.status) {
        return Err(Error::invalid_volume(format!(
            "Volume status must be {} to reserve, but the status is {}.",
            either(allowed),
            volume.status
        )));
    }
    Ok(VolumeStatus::Attaching)
}

fn unreserved(attachments: &[Attachment]) -> VolumeStatus {
    if attachments
        .iter()
        .any(|attachment| attachment.status != AttachmentStatus::Detached)
    {
        VolumeStatus::InUse
    } else {
        VolumeStatus::Available
    }
}

fn begin_detaching(volume: &Volume) -> Result<VolumeStatus> {
    if volume.is_migrating() {
        return Ok(volume.status);
    }
    if volume.status != VolumeStatus::InUse || volume.attach_status != AttachStatus::Attached {
        return Err(Error::invalid_volume(
            "Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach.",
        ));
    }
    Ok(VolumeStatus::Detaching)
}

/// Cinder's API refuses maintenance only and its manager the rest, after the 202; here both answer at once.
fn attach(volume: &Volume) -> Result<VolumeStatus> {
    not_in_maintenance(volume, "The volume cannot be attached in maintenance mode.")?;
    match volume.status {
        VolumeStatus::Available | VolumeStatus::Attaching => Ok(VolumeStatus::InUse),
        VolumeStatus::InUse if volume.multiattach => Ok(VolumeStatus::InUse),
        VolumeStatus::InUse => Err(Error::bad_request(
            "Error attaching volume - InvalidVolume: Invalid volume: volume is already attached and multiple \
             attachments are not enabled",
        )),
        other => Err(Error::bad_request(format!(
            "Error attaching volume - InvalidVolume: Invalid volume: Volume status must be available or attaching \
             to attach, but the status is {other}."
        ))),
    }
}

fn update_readonly_flag(volume: &Volume) -> Result<VolumeStatus> {
    if volume.status != VolumeStatus::Available {
        return Err(Error::invalid_volume(format!(
            "Volume {} status must be available to update readonly flag, but current status is: {}.",
            volume.id, volume.status
        )));
    }
    Ok(volume.status)
}

fn metadata(volume: &Volume, doing: &str) -> Result<VolumeStatus> {
    if matches!(volume.status, VolumeStatus::Maintenance | VolumeStatus::Uploading) {
        return Err(Error::invalid_volume(format!(
            "{doing} volume metadata is not allowed for volumes in {} status.",
            volume.status
        )));
    }
    Ok(volume.status)
}

fn clone_from(volume: &Volume) -> Result<VolumeStatus> {
    if !matches!(volume.status, VolumeStatus::Available | VolumeStatus::InUse) {
        return Err(Error::invalid_volume(
            "Originating source volume status must be one of 'available, in-use' values",
        ));
    }
    Ok(volume.status)
}

fn reserve_for(
    volume: &Volume,
    attachments: &[Attachment],
    instance_uuid: Option<Uuid>,
) -> Result<VolumeStatus> {
    if volume.status.is_error() {
        return Err(Error::invalid_volume(format!(
            "Volume attachments can not be created if the volume is in an error state. The Volume {} currently has a \
             status of: {} ",
            volume.id, volume.status
        )));
    }
    let allowed: &[VolumeStatus] = if volume.multiattach {
        &[
            VolumeStatus::Available,
            VolumeStatus::InUse,
            VolumeStatus::Downloading,
        ]
    } else {
        &[VolumeStatus::Available, VolumeStatus::Downloading]
    };
    if allowed.contains(&volume.status) {
        // A download goes on under its own status, so that its operation still ends it; Cinder shows `reserved` at once.
        return Ok(if volume.status.is_transient() {
            volume.status
        } else {
            VolumeStatus::Reserved
        });
    }
    // The same server again: it is being moved to another host, which needs a second attachment for a while.
    let same_server = instance_uuid.is_some()
        && matches!(volume.status, VolumeStatus::InUse | VolumeStatus::Reserved)
        && attachments
            .iter()
            .any(|attachment| attachment.instance_uuid == instance_uuid);
    if same_server {
        return Ok(volume.status);
    }
    Err(Error::invalid_volume(format!(
        "Volume {} status must be {} to reserve, but the current status is {}.",
        volume.id,
        either(allowed),
        volume.status
    )))
}

fn connect(volume: &Volume) -> Result<VolumeStatus> {
    if volume.status.is_error() {
        return Err(Error::conflict(format!(
            "Resource conflict: Volume attachments can not be updated if the volume is in an error state. The Volume {} \
             currently has a status of: {} ",
            volume.id, volume.status
        )));
    }
    Ok(volume.status)
}

fn not_in_maintenance(volume: &Volume, text: &str) -> Result<()> {
    if volume.status == VolumeStatus::Maintenance {
        return Err(Error::invalid_volume(text));
    }
    Ok(())
}

/// `a or b or c` (cinder: `build_or_str`).
fn either(statuses: &[VolumeStatus]) -> String {
    statuses
        .iter()
        .map(|status| status.as_str())
        .collect::<Vec<_>>()
        .join(" or ")
}

#[cfg(test)]
pub(crate) mod tests;
