//! Transfers as clients see them (cinder: `api/views/transfers.py`). Their links use the older name of the routes.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{LinkBase, time};
use crate::model::Transfer;
use crate::model::volume::Secret;
use crate::web::microversion::Microversion;
use crate::web::views::shape::{self, Shape as Kind, field};

/// A transfer with all fields.
pub const DETAIL: Kind = Kind::Named(
    "transfer",
    &Kind::Object(&[
        field("id", Kind::Uuid),
        field("created_at", Kind::Time),
        field("name", shape::TEXT_OR_NULL),
        field("volume_id", Kind::Uuid),
        field("links", shape::LINKS),
        field("no_snapshots", Kind::Boolean).since(55),
        field("destination_project_id", shape::TEXT_OR_NULL).since(57),
        field("source_project_id", shape::TEXT_OR_NULL).since(57),
        field("accepted", Kind::Boolean).since(57),
    ]),
);

/// A transfer in a brief list.
pub const SUMMARY: Kind = Kind::Named(
    "transfer_summary",
    &Kind::Object(&[
        field("id", Kind::Uuid),
        field("name", shape::TEXT_OR_NULL),
        field("volume_id", Kind::Uuid),
        field("links", shape::LINKS),
    ]),
);

/// An answer with a transfer that was created.
pub const CREATED: Kind = Kind::Object(&[field(
    "transfer",
    Kind::Object(&[
        field("id", Kind::Uuid),
        field("created_at", Kind::Time),
        field("name", shape::TEXT_OR_NULL),
        field("volume_id", Kind::Uuid),
        field("auth_key", Kind::Text),
        field("links", shape::LINKS),
        field("no_snapshots", Kind::Boolean).since(55),
        field("destination_project_id", shape::TEXT_OR_NULL).since(57),
        field("source_project_id", shape::TEXT_OR_NULL).since(57),
        field("accepted", Kind::Boolean).since(57),
    ]),
)]);

/// An answer with one transfer.
pub const ONE: Kind = Kind::Object(&[field("transfer", DETAIL)]);
/// An answer with a transfer that was accepted.
pub const ACCEPTED: Kind = Kind::Object(&[field("transfer", SUMMARY)]);

/// The collection in links.
pub const COLLECTION: &str = "os-volume-transfer";

/// A transfer.
#[derive(Clone, Copy)]
pub struct TransferView<'a> {
    /// The transfer.
    pub transfer: &'a Transfer,
    /// How its links begin.
    pub links: &'a LinkBase,
    /// What is shown of it.
    pub shown: Shown<'a>,
}

/// What is shown of a transfer.
#[derive(Clone, Copy)]
pub enum Shown<'a> {
    /// The fields of a brief list and of an accepted transfer.
    Summary,
    /// All fields of this version.
    Detail(Microversion),
    /// All fields and the key, when it is created.
    New(Microversion, &'a Secret),
}

impl Serialize for TransferView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let transfer = self.transfer;
        let version = match self.shown {
            Shown::Summary => None,
            Shown::Detail(version) | Shown::New(version, _) => Some(version),
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &transfer.id)?;
        if version.is_some() {
            map.serialize_entry("created_at", &time(transfer.created_at))?;
        }
        map.serialize_entry("name", &transfer.name)?;
        map.serialize_entry("volume_id", &transfer.volume_id)?;
        if let Shown::New(_, auth_key) = self.shown {
            map.serialize_entry("auth_key", auth_key.reveal())?;
        }
        map.serialize_entry("links", &self.links.of(transfer.id))?;
        if version.is_some_and(|version| version.at_least(55)) {
            map.serialize_entry("no_snapshots", &transfer.no_snapshots)?;
        }
        if version.is_some_and(|version| version.at_least(57)) {
            // An accepted transfer is deleted.
            map.serialize_entry("destination_project_id", &None::<&str>)?;
            map.serialize_entry("source_project_id", &transfer.source_project_id)?;
            map.serialize_entry("accepted", &false)?;
        }
        map.end()
    }
}
