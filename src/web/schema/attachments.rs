//! Bodies of `/attachments` (cinder: `api/schemas/attachments.py`).

use serde_json::Value;

use super::prelude::*;
use crate::model::{AttachMode, Connector};
use crate::verbs::attachment::{CreateAttachment, UpdateAttachment};
use crate::web::fault::Fault;

/// How a volume is attached.
pub(in crate::web) const ATTACH_MODE: Schema = Schema(&[Type(&[Kind::String]), Enum(&["rw", "ro"])]);

macro_rules! new_attachment {
    ($($later:expr)?) => {
        envelope!("attachment", object!(
            [
                ("instance_uuid", UUID),
                ("connector", Schema(&[Type(&[Kind::Object, Kind::Null])])),
                ("volume_uuid", UUID),
                $($later,)?
            ],
            Required(&["volume_uuid"])
        ))
    };
}

pub(in crate::web) const CREATE: Schema = new_attachment!();
pub(in crate::web) const CREATE_V354: Schema = new_attachment!(("mode", ATTACH_MODE));

pub(in crate::web) const UPDATE: Schema = envelope!(
    "attachment",
    envelope!("connector", Schema(&[Type(&[Kind::Object]), NotEmpty]))
);

/// Reads `POST /attachments`.
pub fn create(body: &Value) -> CreateAttachment {
    let attachment = &body["attachment"];
    CreateAttachment {
        volume_id: text(attachment, "volume_uuid").unwrap_or_default().to_owned(),
        instance_uuid: uuid(attachment, "instance_uuid"),
        connector: attachment["connector"]
            .as_object()
            .filter(|connector| !connector.is_empty())
            .map(Connector::from_json),
        mode: attach_mode(attachment, "mode"),
    }
}

/// Reads `PUT /attachments/{id}`.
///
/// # Errors
/// 400 for a body that does not match the schema.
pub fn update(attachment_id: &str, body: &Value) -> Result<UpdateAttachment, Fault> {
    let attachment = &body["attachment"];
    let connector = attachment["connector"].as_object().ok_or_else(Fault::malformed)?;
    Ok(UpdateAttachment {
        attachment_id: attachment_id.to_owned(),
        connector: Connector::from_json(connector),
    })
}

/// A mode that was checked by the schema.
pub(in crate::web) fn attach_mode(object: &Value, field: &str) -> Option<AttachMode> {
    text(object, field)?.parse().ok()
}
