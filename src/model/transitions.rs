//! The volume's state machine: which verb is allowed from where, and which status follows.
//!
//! Pure functions over records; the texts are exactly Cinder's (cinder: `volume/api.py`, `volume/manager.py`; every row
//! of `tests/api/observed_states.tsv` is replayed against this file). The actors call these functions, and commit the
//! result under the condition that the record has not changed since.
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
//! administrator's `os-reset_status`; such a status is left by another `os-reset_status`, or a forced delete.

use uuid::Uuid;

use super::{AttachStatus, Attachment, AttachmentStatus, Error, Result, Volume, VolumeStatus, VolumeTypeId};

mod attachments;
pub mod snapshots;

pub use attachments::{attach_status, follow_attachments, resting_status};

/// A verb on a volume, as far as the volume's state decides whether it is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `DELETE`, `os-force_delete`
    Delete {
        /// From any status.
        force: bool,
    },
    /// `os-extend`
    Extend {
        /// Whether attached volumes may be extended, too (3.42).
        attached_too: bool,
    },
    /// `os-reserve`
    Reserve,
    /// `os-unreserve`; no effect if nothing is reserved.
    Unreserve,
    /// `os-begin_detaching`
    BeginDetaching,
    /// `os-roll_detaching`; no effect if nothing is being detached.
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
    /// An attachment is created.
    CreateAttachment {
        /// The server of the attachment.
        instance_uuid: Option<Uuid>,
    },
    /// An attachment gets its connector.
    UpdateAttachment,
    /// `POST /snapshots`
    CreateSnapshot {
        /// Whether attached volumes are allowed (`force`, 3.66).
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
    /// Whether it reads or changes the volume's content, or gives access to it.
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

/// The new status of the volume; the error is for the client.
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
        Verb::Detach => not_in_maintenance(volume, "The volume cannot be detached in maintenance mode."),
        Verb::InitializeConnection => not_in_maintenance(
            volume,
            "The volume connection cannot be initialized in maintenance mode.",
        ),
        Verb::UpdateReadonlyFlag => update_readonly_flag(volume),
        Verb::Update => not_in_maintenance(volume, "The volume cannot be updated during maintenance."),
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
                return Err(not_retypable());
            }
            Ok(VolumeStatus::Retyping)
        }
        Verb::Unmanage => Ok(match delete(volume, false)? {
            VolumeStatus::Deleting => VolumeStatus::Unmanaging,
            other => other,
        }),
    }
}

/// The refusal of a retype.
pub fn not_retypable() -> Error {
    Error::invalid_volume(
        "Retype needs volume to be in available or in-use state, not be part of an active migration or a consistency \
         group, requested type has to be different that the one from the volume, and for in-use volumes front-end qos \
         specs cannot change.",
    )
}

/// Checks that the volume has storage that a host can be connected to. Cinder leaves this to the backend, which fails with
/// its driver's error.
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

/// Whether its storage must exist: it was created, no operation is in progress, and it has no error status after which
/// it may be missing.
pub fn claims_storage(volume: &Volume) -> bool {
    volume.launched_at.is_some() && volume.operation.is_none() && volume.status.claims_storage()
}

/// The checks of `os-reset_status` (cinder: `api/contrib/admin_actions.py`). `error_deleting` and `detaching` pass, as
/// they do there.
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

/// Checks an extension of a volume: a larger size, and an allowed status.
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

/// The statuses from which a delete without `force` is allowed.
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

/// 400 with Cinder's text for a volume whose state does not allow a delete, or that has snapshots.
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

/// Whether no operation is in progress, and nothing binds the volume to its place.
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

/// 400 with Cinder's text for a volume that cannot be migrated, or not to that host.
pub fn not_migratable(volume: &Volume) -> Error {
    Error::invalid_volume(format!(
        "Volume {} status must be available or in-use, must not be migrating, have snapshots, be replicated, be part of a \
         group and destination host/cluster must be different than the current one",
        volume.id
    ))
}

/// Refuses changes of a volume, and connections to it, while it is being migrated. Cinder allows them, and the data written
/// meanwhile is lost.
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
        // Cinder writes a Python dictionary for the allowed statuses.
        let allowed = if attached_too {
            "available or in-use"
        } else {
            "available"
        };
        return Err(Error::invalid_volume(format!(
            "Volume {} status must be {allowed} to extend, currently {}.",
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
    let is_detached = |attachment: &Attachment| attachment.status == AttachmentStatus::Detached;
    match attachments.iter().all(is_detached) {
        true => VolumeStatus::Available,
        false => VolumeStatus::InUse,
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

/// Cinder's API refuses maintenance only, and its manager the rest, after the 202; here both are refused at once.
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
        // A download keeps its status, so that its operation still ends it; Cinder shows `reserved` at once.
        return Ok(if volume.status.is_transient() {
            volume.status
        } else {
            VolumeStatus::Reserved
        });
    }
    // A second attachment of the same server: it is being migrated to another host, which needs both for a while.
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

fn not_in_maintenance(volume: &Volume, text: &str) -> Result<VolumeStatus> {
    match volume.status {
        VolumeStatus::Maintenance => Err(Error::invalid_volume(text)),
        status => Ok(status),
    }
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
