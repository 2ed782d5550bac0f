//! Snapshots as clients see them (cinder: `api/views/snapshots.py`, `api/v3/views/snapshots.py`, and the extension that adds
//! `os-extended-snapshot-attributes`).

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{optional_time, time};
use crate::model::Snapshot;
use crate::web::caller::Caller;
use crate::web::microversion::Microversion;
use crate::web::policy::reader;
use crate::web::views::shape::{self, Shape, field};

/// A snapshot with all fields.
pub const DETAIL: Shape = Shape::Named(
    "snapshot",
    &Shape::Object(&[
        field("id", Shape::Uuid),
        field("created_at", Shape::Time),
        field("updated_at", shape::TIME_OR_NULL),
        field("name", shape::TEXT_OR_NULL),
        field("description", shape::TEXT_OR_NULL),
        field("volume_id", Shape::Uuid),
        field("status", Shape::Text),
        field("size", Shape::Integer),
        field("metadata", shape::TEXTS),
        field("group_snapshot_id", shape::UUID_OR_NULL).since(14),
        field("user_id", Shape::Text).since(41),
        field("consumes_quota", Shape::Boolean).since(65),
        field("os-extended-snapshot-attributes:project_id", Shape::Text).optional(),
        field("os-extended-snapshot-attributes:progress", shape::TEXT_OR_NULL).optional(),
    ]),
);

/// A snapshot in a brief list, or just adopted.
pub const SUMMARY: Shape = Shape::Named(
    "snapshot_summary",
    &Shape::Object(&[
        field("id", Shape::Uuid),
        field("created_at", Shape::Time),
        field("updated_at", shape::TIME_OR_NULL),
        field("name", shape::TEXT_OR_NULL),
        field("description", shape::TEXT_OR_NULL),
        field("volume_id", Shape::Uuid),
        field("status", Shape::Text),
        field("size", Shape::Integer),
        field("metadata", shape::TEXTS),
    ]),
);

/// An answer with one snapshot.
pub const ONE: Shape = Shape::Object(&[field("snapshot", DETAIL)]);
/// An answer with one that was adopted.
pub const ADOPTED: Shape = Shape::Object(&[field("snapshot", SUMMARY)]);

/// The options of all snapshots of an answer: the version, and whether the extension's attributes are shown.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotViews {
    version: Microversion,
    extended: bool,
}

impl SnapshotViews {
    /// For answers of `POST` and `PUT`, which have no extended attributes.
    pub fn plain(caller: &Caller) -> Self {
        Self {
            version: caller.version,
            extended: false,
        }
    }

    /// For answers of `GET`.
    pub fn extended(caller: &Caller) -> Self {
        Self {
            extended: caller.can(reader("volume_extension:extended_snapshot_attributes")),
            ..Self::plain(caller)
        }
    }

    /// A snapshot with all fields.
    pub fn detail(self, snapshot: &Snapshot) -> SnapshotDetail<'_> {
        SnapshotDetail {
            views: self,
            snapshot,
        }
    }
}

/// A snapshot in a brief list, or just adopted: the fields that every version has.
#[derive(Clone, Copy)]
pub struct SnapshotSummary<'a>(pub &'a Snapshot);

impl SnapshotSummary<'_> {
    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let snapshot = self.0;
        map.serialize_entry("id", &snapshot.id)?;
        map.serialize_entry("created_at", &time(snapshot.created_at))?;
        map.serialize_entry("updated_at", &optional_time(snapshot.updated_at))?;
        map.serialize_entry("name", &snapshot.name)?;
        map.serialize_entry("description", &snapshot.description)?;
        map.serialize_entry("volume_id", &snapshot.volume_id)?;
        map.serialize_entry("status", snapshot.status.as_str())?;
        map.serialize_entry("size", &snapshot.volume_size)?;
        map.serialize_entry("metadata", &snapshot.metadata)
    }
}

impl Serialize for SnapshotSummary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.entries(&mut map)?;
        map.end()
    }
}

/// See [`SnapshotViews::detail`].
#[derive(Clone, Copy)]
pub struct SnapshotDetail<'a> {
    views: SnapshotViews,
    snapshot: &'a Snapshot,
}

impl Serialize for SnapshotDetail<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let snapshot = self.snapshot;
        let since = |minor| self.views.version.at_least(minor);
        let mut map = serializer.serialize_map(None)?;
        SnapshotSummary(snapshot).entries(&mut map)?;
        if since(14) {
            map.serialize_entry("group_snapshot_id", &snapshot.group_snapshot_id)?;
        }
        if since(41) {
            map.serialize_entry("user_id", &snapshot.user_id)?;
        }
        if since(65) {
            map.serialize_entry("consumes_quota", &snapshot.consumes_quota)?;
        }
        if self.views.extended {
            map.serialize_entry("os-extended-snapshot-attributes:project_id", &snapshot.project_id)?;
            map.serialize_entry("os-extended-snapshot-attributes:progress", &snapshot.progress)?;
        }
        map.end()
    }
}
