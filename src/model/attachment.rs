//! Attachments: who has a volume, how, and what it takes to connect.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::volume::UnknownWord;
use super::volume::status_enum;
use super::{AttachmentId, OperationId, ProjectId, Timestamp, VolumeId};
use std::fmt;
use std::str::FromStr;

status_enum!(
    /// How an attachment stands (cinder: `VolumeAttachStatus`).
    #[expect(missing_docs, reason = "the words are Cinder's and say what they mean")]
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
    #[expect(missing_docs, reason = "the words are Cinder's and say what they mean")]
    AttachMode {
        Rw = "rw",
        Ro = "ro",
    }
);

/// What an initiator says of itself, as the JSON text the client sent. Free-form on purpose: os-brick sends what its
/// host has; the drivers pick what they know. Kept as text because bincode cannot carry a JSON value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Connector(String);

/// No client sends such a key.
const MODE: &str = "pumice:mode";

impl Connector {
    /// Keeps a JSON object.
    #[must_use]
    pub fn from_json(object: &serde_json::Map<String, serde_json::Value>) -> Self {
        Self(serde_json::Value::Object(object.clone()).to_string())
    }

    /// What it weighs in a record ([`super::bounds`]).
    #[must_use]
    pub fn weight(&self) -> usize {
        super::bounds::text(&self.0)
    }

    /// The object again; empty if the text should ever be none.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// A field that holds text.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<String> {
        self.to_json()
            .get(field)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    }

    /// With the mode that it was let in by: a manager that starts lets it in again so.
    #[must_use]
    pub fn with_mode(&self, mode: AttachMode) -> Self {
        let mut object = self.to_json();
        object.insert(MODE.to_owned(), mode.as_str().into());
        Self::from_json(&object)
    }

    /// As it was, and the mode that [`Connector::with_mode`] put there.
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
    #[must_use]
    pub fn initiator(&self) -> Option<String> {
        self.text("initiator")
    }

    /// The host's name.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        self.text("host")
    }

    /// Whether both are of one initiator: what one of them lets in, the other needs (cinder: `volume/targets/iscsi.py` and
    /// `nvmeof.py`, `are_same_connector`). Hosts' names count where there is nothing better.
    ///
    /// iSCSI names that differ in capital letters are one (RFC 3722), NVMe names are not: they are compared as they are (NVM Express
    /// Base 2.0, 4.5).
    #[must_use]
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

    /// Whether the host wants every portal (`"multipath": true`).
    #[must_use]
    pub fn multipath(&self) -> bool {
        self.to_json()
            .get("multipath")
            .and_then(serde_json::Value::as_bool)
            .unwrap_or(false)
    }
}

/// What a client needs to reach the volume: `driver_volume_type` and the `data` object as JSON text. It holds the CHAP
/// password, so it prints as stars.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionInfo {
    /// `iscsi`, `nvmeof`, …
    pub driver_volume_type: String,
    data: String,
}

impl ConnectionInfo {
    /// Keeps `data`.
    pub fn new(
        driver_volume_type: impl Into<String>,
        data: serde_json::Map<String, serde_json::Value>,
    ) -> Self {
        Self {
            driver_volume_type: driver_volume_type.into(),
            data: serde_json::Value::Object(data).to_string(),
        }
    }

    /// What it weighs in a record ([`super::bounds`]).
    #[must_use]
    pub fn weight(&self) -> usize {
        super::bounds::text(&self.driver_volume_type) + super::bounds::text(&self.data)
    }

    /// The `data` object.
    #[must_use]
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

/// An attachment as the catalog keeps it (stored form of version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Its id.
    pub id: AttachmentId,
    /// The volume.
    pub volume_id: VolumeId,
    /// The volume's project: an attachment is seen by those who see its volume.
    pub project_id: ProjectId,
    /// The server, where the client named one.
    pub instance_uuid: Option<Uuid>,
    /// How it stands.
    pub status: AttachmentStatus,
    /// The mode asked for or given; `None` until one is known (shown as `null`).
    pub mode: Option<AttachMode>,
    /// The host it is attached to.
    pub attached_host: Option<String>,
    /// Where the client sees it (`/dev/vdb`).
    pub mountpoint: Option<String>,
    /// What the initiator said of itself, once it did.
    pub connector: Option<Connector>,
    /// What it takes to connect, once the backend said.
    pub connection_info: Option<ConnectionInfo>,
    /// The operation at work on it.
    pub operation: Option<OperationId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
    /// When it became attached.
    pub attached_at: Option<Timestamp>,
    /// When it was detached.
    pub detached_at: Option<Timestamp>,
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
