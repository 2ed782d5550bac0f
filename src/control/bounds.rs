//! Checks of the bounds of [`model::bounds`](crate::model::bounds): of records that a request would change, and of reports by
//! backends.

use crate::messages::api::{Failure, FailureKind, Outcome, Report};
use crate::model::bounds::{
    self, CAUSE, CONNECTION_INFO, CONNECTORS_OF_VOLUME, EXPORT, METADATA, OLD_CONNECTORS, PLACEMENT,
    PROVIDER_ID, RECORD, STEP_TEXT, STEPS, check_connector, check_count, check_pairs, cut, pairs,
};
use crate::model::volume::Secret;
use crate::model::{
    Attachment, AttachmentId, Connector, Error, Operation, Result, Snapshot, StepOutcome, StepRecord, Volume,
};
use crate::store::record::size_of;

/// The size of a volume's metadata, including its image's.
fn owners_data(volume: &Volume) -> usize {
    pairs(&volume.metadata) + pairs(&volume.image_metadata)
}

/// Refuses a new volume whose metadata exceed the bound.
///
/// # Errors
/// 413 that names the part and its bound.
pub fn check_new_volume(volume: &Volume) -> Result<()> {
    METADATA.check(0, owners_data(volume))
}

/// Refuses a change that makes a part of the volume larger than it may be. A record of an earlier version may be so large
/// already that the bounds of its parts are not sufficient: the size of the whole is checked, too.
///
/// # Errors
/// 413 that names the part and its bound.
pub fn check_volume(was: &Volume, now: &Volume) -> Result<()> {
    METADATA.check(owners_data(was), owners_data(now))?;
    check_pairs(OLD_CONNECTORS, &was.admin_metadata, &now.admin_metadata)?;
    let (before, after) = (size_of(was), size_of(now));
    let kept_free = PLACEMENT + OLD_CONNECTORS.bytes.saturating_sub(pairs(&now.admin_metadata));
    if after <= before || after + kept_free <= RECORD {
        return Ok(());
    }
    Err(Error::too_large(format!(
        "Invalid size of metadata and image metadata: the volume would be of {after} bytes, more than {}.",
        RECORD - kept_free
    )))
}

/// Refuses a new snapshot whose metadata exceed the bound.
///
/// # Errors
/// 413 that names the part and its bound.
pub fn check_new_snapshot(metadata: &std::collections::BTreeMap<String, String>) -> Result<()> {
    METADATA.check(0, pairs(metadata))
}

/// Refuses a change that makes a part of the snapshot larger than it may be.
///
/// # Errors
/// 413 that names the part and its bound.
pub fn check_snapshot(was: &Snapshot, now: &Snapshot) -> Result<()> {
    check_pairs(METADATA, &was.metadata, &now.metadata)
}

/// Refuses an attachment beyond a volume's limit.
///
/// # Errors
/// 413 that names the bound.
pub fn check_one_more(attachments: &[Attachment]) -> Result<()> {
    check_count("attachments", attachments.len(), bounds::ATTACHMENTS)
}

/// Refuses a connector for an attachment if it is too large, or too large together with those of the volume's other
/// attachments.
///
/// # Errors
/// 413 that names the bound.
pub fn check_attachment_connector(
    attachments: &[Attachment],
    this: Option<AttachmentId>,
    connector: &Connector,
) -> Result<()> {
    check_connector(connector)?;
    let of = |attachment: &Attachment| attachment.connector.as_ref().map_or(0, Connector::weight);
    let others = attachments
        .iter()
        .filter(|other| Some(other.id) != this)
        .map(of)
        .sum::<usize>();
    let was = attachments
        .iter()
        .filter(|other| Some(other.id) == this)
        .map(of)
        .sum::<usize>();
    CONNECTORS_OF_VOLUME.check(others + was, others + connector.weight())
}

/// Truncates the texts of a report to their bounds. If a part that cannot be truncated is too large, it becomes the report of
/// a failure with an unknown result: what the volume has on its backend is removed when its owner deletes or detaches it.
pub fn bounded(mut report: Report) -> Report {
    report.steps = last_steps(std::mem::take(&mut report.steps));
    let too_large = match &mut report.outcome {
        Outcome::Failed(failure) => {
            failure.client = cut(&failure.client, CAUSE);
            None
        }
        Outcome::Created { provider_id }
        | Outcome::SnapshotCreated { provider_id }
        | Outcome::Managed { provider_id, .. }
        | Outcome::SnapshotManaged { provider_id, .. } => provider_id
            .as_ref()
            .is_some_and(|id| id.len() > PROVIDER_ID)
            .then_some("provider_id"),
        Outcome::Connected {
            connection_info,
            provider_location,
            provider_auth,
        } => {
            let export = provider_location.len() + provider_auth.as_ref().map_or(0, secret_len);
            if export > EXPORT {
                Some("provider_location")
            } else {
                (connection_info.weight() > CONNECTION_INFO).then_some("connection_info")
            }
        }
        Outcome::Deleted
        | Outcome::Extended
        | Outcome::CopySourceOpened
        | Outcome::Copied { .. }
        | Outcome::Disconnected { .. }
        | Outcome::SnapshotDeleted
        | Outcome::Reverted
        | Outcome::Unmanaged
        | Outcome::SnapshotUnmanaged
        | Outcome::Placed { .. }
        | Outcome::Retyped { .. } => None,
    };
    if let Some(part) = too_large {
        report.outcome = Outcome::Failed(unknown_end(format!("its {part} is larger than can be kept")));
    }
    report
}

fn secret_len(secret: &Secret) -> usize {
    secret.reveal().len()
}

/// The failure of a command that may have been done nevertheless.
pub fn unknown_end(operator: String) -> Failure {
    Failure {
        kind: FailureKind::TimedOut,
        client: "What the backend reported cannot be kept.".to_owned(),
        operator,
    }
}

/// The last steps that a journal entry stores, and the step of its cancellation.
pub fn last_steps(mut steps: Vec<StepRecord>) -> Vec<StepRecord> {
    let mut surplus = steps.len().saturating_sub(STEPS);
    steps.retain(|step| {
        let goes = surplus > 0 && !Operation::says_cancelled(step);
        surplus -= usize::from(goes);
        !goes
    });
    for step in &mut steps {
        step.name = cut(&step.name, STEP_TEXT);
        if let StepOutcome::Failed(why) = &mut step.outcome {
            *why = cut(why, STEP_TEXT);
        }
    }
    steps
}
