//! Who has a volume, the old way and the new.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ApiTopic;
use crate::messages::call;
use crate::model::{AttachMode, Attachment, ConnectionInfo, Connector};

/// `os-initialize_connection`: export, and say how to connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitializeConnection {
    /// Which, as the client wrote it.
    pub volume_id: String,
    /// The initiator.
    pub connector: Connector,
}
call!(InitializeConnection => ApiTopic, "initialize_connection", since 1, reply ConnectionInfo);

/// `os-terminate_connection`, and the storage half of `os-force_detach`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminateConnection {
    /// Which, as the client wrote it.
    pub volume_id: String,
    /// The initiator; `None` means all.
    pub connector: Option<Connector>,
}
call!(TerminateConnection => ApiTopic, "terminate_connection", since 1, reply ());

/// Reserve a volume for a server, and connect at once if a connector is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateAttachment {
    /// Which volume, as the client wrote it.
    pub volume_id: String,
    /// The server.
    pub instance_uuid: Option<Uuid>,
    /// The initiator.
    pub connector: Option<Connector>,
    /// The mode asked for (3.54).
    pub mode: Option<AttachMode>,
}
call!(CreateAttachment => ApiTopic, "create_attachment", since 1, reply Attachment);

/// Connect a reserved attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateAttachment {
    /// Which, as the client wrote it.
    pub attachment_id: String,
    /// The initiator.
    pub connector: Connector,
}
call!(UpdateAttachment => ApiTopic, "update_attachment", since 1, reply Attachment);

/// Say that the server has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompleteAttachment {
    /// Which, as the client wrote it.
    pub attachment_id: String,
}
call!(CompleteAttachment => ApiTopic, "complete_attachment", since 1, reply ());

/// Disconnect. The reply is the volume's other attachments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteAttachment {
    /// Which, as the client wrote it.
    pub attachment_id: String,
}
call!(DeleteAttachment => ApiTopic, "delete_attachment", since 1, reply Vec<Attachment>);
