//! Bodies of `/attachments` (cinder: `api/schemas/attachments.py`).

use serde_json::Value;

use super::Check::{Enum, NoOthers, NotEmpty, Properties, Required, Type};
use super::parameter_types::UUID;
use super::{Choice, Kind, Schema, text, uuid};
use crate::model::{AttachMode, Connector};
use crate::verbs::attachment::create_attachment::CreateAttachment;
use crate::verbs::attachment::update_attachment::UpdateAttachment;
use crate::web::fault::Fault;
use crate::web::microversion::Microversion;

/// How a volume is attached.
pub(in crate::web) const ATTACH_MODE: Schema = Schema(&[
    Type(&[Kind::String]),
    Enum(&[Choice::Text("rw"), Choice::Text("ro")]),
]);

macro_rules! new_attachment {
    ($($later:expr)?) => {
        Schema(&[
            Type(&[Kind::Object]),
            Properties(&[(
                "attachment",
                Schema(&[
                    Type(&[Kind::Object]),
                    Properties(&[
                        ("instance_uuid", UUID),
                        ("connector", Schema(&[Type(&[Kind::Object, Kind::Null])])),
                        ("volume_uuid", UUID),
                        $($later,)?
                    ]),
                    Required(&["volume_uuid"]),
                    NoOthers,
                ]),
            )]),
            Required(&["attachment"]),
            NoOthers,
        ])
    };
}

const CREATE: Schema = new_attachment!();
const CREATE_V354: Schema = new_attachment!(("mode", ATTACH_MODE));

const UPDATE: Schema = Schema(&[
    Type(&[Kind::Object]),
    Properties(&[(
        "attachment",
        Schema(&[
            Type(&[Kind::Object]),
            Properties(&[("connector", Schema(&[Type(&[Kind::Object]), NotEmpty]))]),
            Required(&["connector"]),
            NoOthers,
        ]),
    )]),
    Required(&["attachment"]),
    NoOthers,
]);

/// Reads `POST /attachments`.
///
/// # Errors
/// 400 for a body that is not as Cinder wants it in this version.
pub fn create(version: Microversion, body: Option<&Value>) -> Result<CreateAttachment, Fault> {
    let schema = if version.at_least(54) { CREATE_V354 } else { CREATE };
    let attachment = &schema.check_body(body)?["attachment"];
    Ok(CreateAttachment {
        volume_id: text(attachment, "volume_uuid").unwrap_or_default().to_owned(),
        instance_uuid: uuid(attachment, "instance_uuid"),
        connector: attachment["connector"]
            .as_object()
            .filter(|connector| !connector.is_empty())
            .map(Connector::from_json),
        mode: attach_mode(attachment, "mode"),
    })
}

/// Reads `PUT /attachments/{id}`.
///
/// # Errors
/// 400 for a body that is not as Cinder wants it.
pub fn update(attachment_id: &str, body: Option<&Value>) -> Result<UpdateAttachment, Fault> {
    let attachment = &UPDATE.check_body(body)?["attachment"];
    let connector = attachment["connector"].as_object().ok_or_else(Fault::malformed)?;
    Ok(UpdateAttachment {
        attachment_id: attachment_id.to_owned(),
        connector: Connector::from_json(connector),
    })
}

/// A mode that the schema has let pass.
pub(in crate::web) fn attach_mode(object: &Value, field: &str) -> Option<AttachMode> {
    text(object, field)?.parse().ok()
}
