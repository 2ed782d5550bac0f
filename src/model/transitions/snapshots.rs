//! The snapshot's state machine: which verb is allowed from where (cinder: `volume/api.py`, `api/contrib/snapshot_actions.py`).
//!
//! ```text
//!              create                report
//!   (nothing) ───────> creating ──────────────> available <────> restoring (its volume is reverted to it)
//!                          └──> error              │
//!             (nothing) <────── deleting <─────────┘
//!                                   └──> error_deleting
//! ```

use std::ops::Deref;

use crate::model::{Error, Result, Snapshot, SnapshotStatus, Volume, VolumeStatus};

/// 400 with Cinder's text (`InvalidSnapshot`).
fn invalid_snapshot(reason: impl std::fmt::Display) -> Error {
    Error::bad_request(format!("Invalid snapshot: {reason}"))
}

/// Checks whether it may be deleted, or unmanaged.
///
/// # Errors
/// 400, unless it is forced.
pub fn delete(snapshot: &Snapshot, force: bool) -> Result<()> {
    let rests = matches!(snapshot.status, SnapshotStatus::Available | SnapshotStatus::Error);
    if (rests || force) && snapshot.group_snapshot_id.is_none() {
        return Ok(());
    }
    let status = if force {
        String::new()
    } else {
        "status must be available or error and".to_owned()
    };
    Err(invalid_snapshot(format!(
        "Snapshot {status} must not be part of a group."
    )))
}

/// Whether it may be deleted with its volume.
pub fn goes_with_its_volume(snapshot: &Snapshot, force: bool) -> bool {
    delete(snapshot, force).is_ok()
}

/// Checks whether a volume may be created from it.
///
/// # Errors
/// 400, unless it is available.
pub fn create_volume_from(snapshot: &Snapshot) -> Result<()> {
    if snapshot.status == SnapshotStatus::Available {
        return Ok(());
    }
    Err(invalid_snapshot(
        "Originating snapshot status must be one of 'available' values",
    ))
}

/// Checks whether the snapshot that a client names (as it wrote it) is the latest one of its volume, the only one that it
/// can be reverted to. A snapshot of another project, which kept it when it transferred the volume, does not count.
///
/// # Errors
/// 400, if it is not.
pub fn is_latest<S: Deref<Target = Snapshot>>(
    volume: &Volume,
    latest: Option<S>,
    named: Option<&str>,
) -> Result<S> {
    let latest = latest
        .filter(|latest| latest.project_id == volume.project_id)
        .ok_or_else(|| Error::bad_request(format!("Volume {} doesn't have any snapshots.", volume.id)))?;
    if named.and_then(|id| id.parse().ok()) == Some(latest.id) {
        return Ok(latest);
    }
    Err(Error::bad_request(format!(
        "Specified snapshot {} is None or not the latest one of volume {}.",
        named.unwrap_or("None"),
        volume.id
    )))
}

/// Checks whether its volume may be reverted to it.
///
/// # Errors
/// 409, unless both are available. Cinder leaves a volume whose snapshot is not in `reverting`; here nothing is
/// changed.
pub fn revert(volume: &Volume, snapshot: &Snapshot) -> Result<()> {
    let conflict = |what: &str, whose: &str| {
        Error::conflict(format!(
            "Invalid {what}: Can't revert volume {} to its latest snapshot {}. {whose} status must be 'available'.",
            volume.id, snapshot.id
        ))
    };
    if volume.status != VolumeStatus::Available {
        return Err(conflict("volume", "Volume's"));
    }
    if snapshot.status != SnapshotStatus::Available {
        return Err(conflict("snapshot", "Snapshot's"));
    }
    Ok(())
}

/// The new status after `os-update_snapshot_status` (cinder: `api/contrib/snapshot_actions.py`).
///
/// # Errors
/// 400, if a compute service may not make this change.
pub fn update_status(snapshot: &Snapshot, wanted: &str) -> Result<SnapshotStatus> {
    use SnapshotStatus::{Available, Creating, Deleting, Error as Failed, ErrorDeleting};
    let allowed: &[SnapshotStatus] = match snapshot.status {
        Creating => &[Creating, Available, Failed],
        Deleting => &[Deleting, ErrorDeleting],
        other => {
            return Err(Error::bad_request(format!(
                "Snapshot status {other} not allowed for update_snapshot_status"
            )));
        }
    };
    allowed
        .iter()
        .copied()
        .find(|status| status.as_str() == wanted)
        .ok_or_else(|| {
            Error::bad_request(format!(
                "Provided snapshot status {wanted} not allowed for snapshot with status {}.",
                snapshot.status
            ))
        })
}

#[cfg(test)]
mod tests;
