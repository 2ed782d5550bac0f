//! Attachments of volumes, with their connectors and connection data.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::volume::status_enum;
use super::{AttachmentId, OperationId, ProjectId, Timestamp, Volume, VolumeId};

status_enum!(
    /// The status of an attachment (cinder: `VolumeAttachStatus`).
    #[expect(missing_docs, reason = "the names are Cinder's")]
    AttachmentStatus {
        Attached = "attached",
        Attaching = "attaching",
        Detached = "detached",
        Reserved = "reserved",
        ErrorAttaching = "error_attaching",
        ErrorDetaching = "error_detaching",
        Deleted = "deleted",
    }
);

status_enum!(
    /// Read-write or read-only.
    #[expect(missing_docs, reason = "the names are Cinder's")]
    AttachMode {
        Rw = "rw",
        Ro = "ro",
    }
);

/// The properties of an initiator, as the JSON text that the client sent. Free-form on purpose: os-brick sends what
/// its host has; the drivers use what they know. Stored as text because bincode cannot encode a JSON value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Connector(String);

/// A key that clients do not send.
const MODE: &str = "pumice:mode";

impl Connector {
    /// From a JSON object.
    pub fn from_json(object: &serde_json::Map<String, serde_json::Value>) -> Self {
        Self(serde_json::Value::Object(object.clone()).to_string())
    }

    /// Its size in a record ([`super::bounds`]).
    pub fn weight(&self) -> usize {
        super::bounds::text(&self.0)
    }

    /// The JSON object; empty if the text is invalid.
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// The text of a field.
    pub fn text(&self, field: &str) -> Option<String> {
        self.to_json()
            .get(field)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    }

    /// Adds the attach mode, with which a starting manager restores the connection.
    pub fn with_mode(&self, mode: AttachMode) -> Self {
        let mut object = self.to_json();
        object.insert(MODE.to_owned(), mode.as_str().into());
        Self::from_json(&object)
    }

    /// The connector without the mode that [`Connector::with_mode`] added, and the mode.
    #[must_use]
    pub fn take_mode(&self) -> (Self, Option<AttachMode>) {
        let mut object = self.to_json();
        let Some(mode) = object.remove(MODE) else {
            return (self.clone(), None);
        };
        let mode = mode.as_str().and_then(|mode| mode.parse().ok());
        (Self::from_json(&object), mode)
    }

    /// The initiator's name (an IQN), without which nothing can be exported over iSCSI.
    pub fn initiator(&self) -> Option<String> {
        self.text("initiator")
    }

    /// The host's name.
    pub fn host(&self) -> Option<String> {
        self.text("host")
    }

    /// Whether both belong to the same initiator and so share access (cinder: `volume/targets/iscsi.py` and `nvmeof.py`,
    /// `are_same_connector`). Host names are compared if there is nothing better.
    ///
    /// iSCSI names are case-insensitive (RFC 3722), NVMe names are case-sensitive (NVM Express
    /// Base 2.0, 4.5).
    pub fn is_same_initiator(&self, other: &Self) -> bool {
        let of = |field: &str| Some((self.text(field)?, other.text(field)?));
        match (of("initiator"), of("nqn")) {
            (None, None) => of("host").is_some_and(|(one, two)| one == two),
            (iqns, nqns) => {
                iqns.is_some_and(|(one, two)| one.eq_ignore_ascii_case(&two))
                    || nqns.is_some_and(|(one, two)| one == two)
            }
        }
    }

    /// Whether the host uses every portal (`"multipath": true`).
    pub fn multipath(&self) -> bool {
        self.to_json()
            .get("multipath")
            .and_then(serde_json::Value::as_bool)
            .unwrap_or(false)
    }
}

/// The data that a client needs to connect to the volume: `driver_volume_type` and the `data` object as JSON text. It
/// contains the CHAP password, so it prints as stars.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionInfo {
    /// `iscsi`, `nvmeof`, …
    pub driver_volume_type: String,
    data: String,
}

impl ConnectionInfo {
    /// From the `data` object.
    pub fn new(
        driver_volume_type: impl Into<String>,
        data: serde_json::Map<String, serde_json::Value>,
    ) -> Self {
        Self {
            driver_volume_type: driver_volume_type.into(),
            data: serde_json::Value::Object(data).to_string(),
        }
    }

    /// Its size in a record ([`super::bounds`]).
    pub fn weight(&self) -> usize {
        super::bounds::text(&self.driver_volume_type) + super::bounds::text(&self.data)
    }

    /// The `data` object.
    pub fn data(&self) -> serde_json::Map<String, serde_json::Value> {
        serde_json::from_str(&self.data).unwrap_or_default()
    }
}

impl fmt::Debug for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionInfo")
            .field("driver_volume_type", &self.driver_volume_type)
            .field("data", &"***")
            .finish()
    }
}

/// An attachment, as stored in the catalog (version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its id.
    pub id: AttachmentId,
    /// The volume.
    pub volume_id: VolumeId,
    /// The volume's project: an attachment is visible with its volume.
    pub project_id: ProjectId,
    /// The server, if the client named one.
    pub instance_uuid: Option<Uuid>,
    /// Its status.
    pub status: AttachmentStatus,
    /// The requested or granted mode; `None` until one is known (shown as `null`).
    pub mode: Option<AttachMode>,
    /// The host it is attached to.
    pub attached_host: Option<String>,
    /// The device at the client (`/dev/vdb`).
    pub mountpoint: Option<String>,
    /// The connector, once it is known.
    pub connector: Option<Connector>,
    /// The connection data, once the backend has reported them.
    pub connection_info: Option<ConnectionInfo>,
    /// Its open operation.
    pub operation: Option<OperationId>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
    /// When it became attached.
    pub attached_at: Option<Timestamp>,
    /// When it was detached.
    pub detached_at: Option<Timestamp>,
}

impl Attachment {
    /// An attachment of a volume: everything else is as it is before anybody says otherwise.
    pub fn of(volume: &Volume, status: AttachmentStatus, created_at: Timestamp) -> Self {
        Self {
            id: AttachmentId::new(),
            volume_id: volume.id,
            project_id: volume.project_id.clone(),
            instance_uuid: None,
            status,
            mode: None,
            attached_host: None,
            mountpoint: None,
            connector: None,
            connection_info: None,
            operation: None,
            created_at,
            updated_at: None,
            attached_at: None,
            detached_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AttachMode, Connector};

    fn connector(fields: &[(&str, &str)]) -> Connector {
        let object = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect();
        Connector::from_json(&object)
    }

    #[test]
    fn an_initiator_is_known_by_its_own_name_before_its_hosts() {
        let us = connector(&[("host", "h"), ("initiator", "iqn.a"), ("nqn", "nqn.a")]);
        for same in [
            connector(&[("initiator", "iqn.a")]),
            connector(&[("initiator", "IQN.A")]),
            connector(&[("nqn", "nqn.a"), ("initiator", "iqn.b")]),
            connector(&[("host", "h")]),
        ] {
            assert!(
                us.is_same_initiator(&same) && same.is_same_initiator(&us),
                "{same:?}"
            );
        }
        for other in [
            connector(&[("host", "h"), ("initiator", "iqn.b")]),
            connector(&[("nqn", "nqn.A")]),
            connector(&[("host", "other")]),
            connector(&[]),
        ] {
            assert!(!us.is_same_initiator(&other), "{other:?}");
        }
    }

    #[test]
    fn a_mode_travels_with_a_connector_and_leaves_it_as_it_was() {
        let object = serde_json::json!({"initiator": "iqn.x", "host": "h"});
        let connector = Connector::from_json(object.as_object().unwrap());
        for mode in [AttachMode::Ro, AttachMode::Rw] {
            assert_eq!(
                connector.with_mode(mode).take_mode(),
                (connector.clone(), Some(mode))
            );
        }
        assert_eq!(connector.take_mode(), (connector.clone(), None));
    }
}
