//! Actions for attaching and for connections, used before attachments had their own routes.

use serde_json::{Value, json};

use super::OnVolume;
use crate::model::{AttachMode, AttachmentId, Connector};
use crate::verbs::volume::{InitializeConnection, TerminateConnection, VolumeChange};
use crate::web::schema::attachments::{ATTACH_MODE, attach_mode};
use crate::web::schema::prelude::*;
use crate::web::schema::python;
use crate::web::v3::prelude::*;
use crate::web::views::shape::{self, Shape, field};

pub(in crate::web::v3) const CONNECTION: Shape = Shape::Object(&[field(
    "connection_info",
    Shape::Object(&[
        field("driver_volume_type", Shape::Text),
        field("data", shape::OBJECT),
        field("enforce_multipath", Shape::Any),
    ]),
)]);

/// `os-reserve`
pub(in crate::web::v3) async fn reserve(on: OnVolume) -> HandlerResult {
    on.accept_change(VolumeChange::Reserve).await
}

/// `os-unreserve`
pub(in crate::web::v3) async fn unreserve(on: OnVolume) -> HandlerResult {
    on.accept_change(VolumeChange::Unreserve).await
}

/// `os-begin_detaching`
pub(in crate::web::v3) async fn begin_detaching(on: OnVolume) -> HandlerResult {
    on.accept_change(VolumeChange::BeginDetaching).await
}

/// `os-roll_detaching`
pub(in crate::web::v3) async fn roll_detaching(on: OnVolume) -> HandlerResult {
    on.accept_change(VolumeChange::RollDetaching).await
}

pub(in crate::web::v3) const ATTACH: Schema = object!(
    [
        ("instance_uuid", UUID),
        ("mountpoint", STRING_255),
        ("host_name", Schema(&[Type(&[Kind::String]), MaxLength(255)])),
        ("mode", ATTACH_MODE),
    ],
    Required(&["mountpoint"]),
    AnyOf(&[
        Schema(&[Required(&["instance_uuid"])]),
        Schema(&[Required(&["host_name"])])
    ]),
);

/// `os-attach`
pub(in crate::web::v3) async fn attach(on: OnVolume) -> HandlerResult {
    let arguments = &on.arguments;
    on.accept_change(VolumeChange::Attach {
        instance_uuid: uuid(arguments, "instance_uuid"),
        host_name: text(arguments, "host_name").map(str::to_owned),
        mountpoint: text(arguments, "mountpoint").unwrap_or_default().to_owned(),
        mode: attach_mode(arguments, "mode").unwrap_or(AttachMode::Rw),
    })
    .await
}

pub(in crate::web::v3) const DETACH: Schema = Schema(&[
    Type(&[Kind::Object, Kind::Null]),
    Properties(&[("attachment_id", OPTIONAL_UUID)]),
    NoOthers,
]);

/// `os-detach`
pub(in crate::web::v3) async fn detach(on: OnVolume) -> HandlerResult {
    let attachment_id = uuid(&on.arguments, "attachment_id").map(AttachmentId);
    on.accept_change(VolumeChange::Detach { attachment_id }).await
}

const CONNECTOR: Schema = Schema(&[Type(&[Kind::Object, Kind::String])]);
const OPTIONAL_CONNECTOR: Schema = Schema(&[Type(&[Kind::String, Kind::Object, Kind::Null])]);
const OPTIONAL_TEXT: Schema = Schema(&[Type(&[Kind::String, Kind::Null])]);

/// The connector that an action names; `None` for all.
fn connector(arguments: &Value) -> Option<Connector> {
    arguments["connector"].as_object().map(Connector::from_json)
}

pub(in crate::web::v3) const INITIALIZE_CONNECTION: Schema = Schema(&[
    Type(&[Kind::Object]),
    Properties(&[("connector", CONNECTOR)]),
    Required(&["connector"]),
    NoOthers,
    FormatCheck(Format::Connector),
]);

/// Exports the volume, and says how to connect.
pub(in crate::web::v3) async fn initialize(on: OnVolume) -> HandlerResult {
    let (volume_id, connector) = (on.volume_id(), connector(&on.arguments));
    let connector = connector.ok_or_else(Fault::malformed)?;
    let info = on.ask(InitializeConnection { volume_id, connector }).await?;
    let multipath = on.arguments["connector"].get("enforce_multipath");
    ok(&json!({"connection_info": {
        "driver_volume_type": info.driver_volume_type,
        "data": info.data(),
        "enforce_multipath": multipath.unwrap_or(&Value::Bool(false)),
    }}))
}

pub(in crate::web::v3) const TERMINATE_CONNECTION: Schema = Schema(&[
    Type(&[Kind::Object]),
    Properties(&[("connector", OPTIONAL_CONNECTOR)]),
    Required(&["connector"]),
    NoOthers,
    FormatCheck(Format::Connector),
]);

/// Lets the initiator in no longer.
pub(in crate::web::v3) async fn terminate(on: OnVolume) -> HandlerResult {
    end_connection(&on).await?;
    Ok(accepted())
}

async fn end_connection(on: &OnVolume) -> Result<(), Fault> {
    let (volume_id, connector) = (on.volume_id(), connector(&on.arguments));
    on.ask(TerminateConnection { volume_id, connector }).await
}

pub(in crate::web::v3) const FORCE_DETACH: Schema = object!(
    [
        ("connector", OPTIONAL_CONNECTOR),
        ("attachment_id", OPTIONAL_TEXT),
    ],
    NoOthers,
    FormatCheck(Format::Connector),
);

/// `os-force_detach`
pub(in crate::web::v3) async fn force_detach(on: OnVolume) -> HandlerResult {
    let attachment_id = named_attachment(text(&on.arguments, "attachment_id"))?;
    end_connection(&on).await?;
    on.accept_change(VolumeChange::Detach { attachment_id }).await
}

/// An attachment that `os-force_detach` names: any text. A malformed id is answered like an unknown one.
fn named_attachment(text: Option<&str>) -> Result<Option<AttachmentId>, Fault> {
    let Some(text) = text else { return Ok(None) };
    match python::uuid(text) {
        Some(id) => Ok(Some(AttachmentId(id))),
        None => Err(Fault::bad_request(format!(
            "Error force detaching volume - VolumeAttachmentNotFound: Volume attachment could not be found with \
             filter: attachment_id = {text}."
        ))),
    }
}
