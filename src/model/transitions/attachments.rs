//! How a volume's statuses follow its attachments.

use crate::model::{AttachStatus, AttachmentStatus, Volume, VolumeStatus};

/// The `attach_status` for these attachments. Attachments that failed to attach do not count, since they were never used
/// (cinder: `_get_statuses_from_attachments`). One that failed to *detach* may still be in use, so here it counts as
/// attached, unlike in Cinder, where the volume could be deleted while in use.
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

/// The status of a volume without an operation and with this `attach_status`.
pub fn resting_status(attach_status: AttachStatus) -> VolumeStatus {
    match attach_status {
        AttachStatus::Attached => VolumeStatus::InUse,
        AttachStatus::Attaching => VolumeStatus::Attaching,
        AttachStatus::Reserved => VolumeStatus::Reserved,
        _ => VolumeStatus::Available,
    }
}

/// Updates the volume's statuses to match its attachments. The status of a running operation is kept, and the new one is
/// restored at its end; a volume that was never created, or waits for its owner, keeps its status, too. So does one that
/// may be larger than its record: Cinder shows it as `available` once it is detached, and the difference is no longer
/// visible.
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
