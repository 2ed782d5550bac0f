//! Checks before an attachment is connected, for all requests that connect one.

use crate::model::{AttachMode, Connector};
use crate::store::catalog::Stored;
use crate::verbs::prelude::*;

/// 400 with Cinder's text (`InvalidVolumeAttachMode`).
pub(super) fn readonly(volume: impl std::fmt::Display, mode: AttachMode) -> Error {
    Error::bad_request(format!("Invalid attaching mode '{mode}' for volume {volume}."))
}

/// 409 while an operation of the attachment is open.
pub(super) fn is_being_changed(attachment: &Stored<Attachment>) -> Error {
    Error::conflict(format!(
        "Resource conflict: attachment {} is being changed by another request",
        attachment.id
    ))
}

/// A second connection to the same host would be the same session. Another host is allowed: this is how a server is
/// migrated. (Cinder's code refuses any second connection; its comments, its tests and compute expect this.)
pub(super) fn must_not_be_duplicate(
    volume: &Volume,
    attachments: &[Attachment],
    this: &Attachment,
    connector: &Connector,
) -> Result<()> {
    let host = connector.host();
    let same_host = |other: &Attachment| {
        other.id != this.id && other.connection_info.is_some() && {
            other.connector.as_ref().and_then(Connector::host) == host
        }
    };
    if !volume.multiattach && attachments.iter().any(same_host) {
        return Err(Error::conflict(format!(
            "Resource conflict: duplicate connectors detected on volume {}",
            volume.id
        )));
    }
    Ok(())
}
