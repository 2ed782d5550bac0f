//! Volumes as clients see them (cinder: `api/v3/views/volumes.py`, and the extensions that add `os-vol-…` attributes).

use std::collections::{BTreeMap, HashMap};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{LinkBase, Shown, optional_time, time};
use crate::model::{Attachment, AttachmentStatus, Volume, VolumeType, VolumeTypeId};
use crate::web::caller::Caller;
use crate::web::microversion::Microversion;
use crate::web::policy::{admin, reader};
use crate::web::views::shape::{self, Field, Shape, field};

/// A volume with all fields.
pub const DETAIL: Shape = Shape::Named("volume", &ALL_FIELDS);

/// The same, for answers in the format of another version.
pub const ALL_FIELDS: Shape = Shape::Object(FIELDS);

const FIELDS: &[Field] = &[
    field("id", Shape::Uuid),
    field("status", Shape::Text),
    field("size", Shape::Integer),
    field("availability_zone", Shape::Text),
    field("created_at", Shape::Time),
    field("updated_at", shape::TIME_OR_NULL),
    field("name", shape::TEXT_OR_NULL),
    field("description", shape::TEXT_OR_NULL),
    field("volume_type", shape::TEXT_OR_NULL),
    field("snapshot_id", shape::UUID_OR_NULL),
    field("source_volid", shape::UUID_OR_NULL),
    field("metadata", shape::TEXTS),
    field("links", shape::LINKS),
    field("user_id", Shape::Text),
    field("bootable", Shape::Enum(&["true", "false"])),
    field("encrypted", Shape::Boolean),
    field("replication_status", shape::TEXT_OR_NULL),
    field("consistencygroup_id", Shape::Null),
    field("multiattach", Shape::Boolean),
    field("attachments", Shape::List(&ATTACHED_TO)),
    field("migration_status", shape::TEXT_OR_NULL).optional(),
    field("group_id", shape::UUID_OR_NULL).since(13),
    field("provider_id", shape::TEXT_OR_NULL).since(21).optional(),
    field("shared_targets", Shape::Nullable(&Shape::Boolean)).since(48),
    field("service_uuid", shape::UUID_OR_NULL).since(48),
    field("cluster_name", Shape::Null).since(61).optional(),
    field("volume_type_id", shape::UUID_OR_NULL).since(63),
    field("encryption_key_id", Shape::Uuid).since(64).optional(),
    field("consumes_quota", Shape::Boolean).since(65),
    field("os-vol-tenant-attr:tenant_id", Shape::Text).optional(),
    field("os-vol-mig-status-attr:migstat", shape::TEXT_OR_NULL).optional(),
    field("os-vol-mig-status-attr:name_id", shape::UUID_OR_NULL).optional(),
    field("os-vol-host-attr:host", shape::TEXT_OR_NULL).optional(),
    field("volume_image_metadata", shape::TEXTS).optional(),
];

const ATTACHED_TO: Shape = Shape::Object(&[
    field("id", Shape::Uuid),
    field("attachment_id", Shape::Uuid),
    field("volume_id", Shape::Uuid),
    field("server_id", shape::UUID_OR_NULL),
    field("host_name", shape::TEXT_OR_NULL),
    field("device", shape::TEXT_OR_NULL),
    field("attached_at", shape::TIME_OR_NULL),
]);

/// A volume in a brief list.
pub const SUMMARY: Shape = Shape::Named(
    "volume_summary",
    &Shape::Object(&[
        field("id", Shape::Uuid),
        field("name", shape::TEXT_OR_NULL),
        field("links", shape::LINKS),
    ]),
);

/// An answer with one volume.
pub const ONE: Shape = Shape::Object(&[field("volume", DETAIL)]);

/// Admin metadata that is shown to all users among the volume's own (cinder: `_visible_admin_metadata_keys`).
const VISIBLE_ADMIN_METADATA: [&str; 2] = ["readonly", "attached_mode"];

/// Names of types by id: read once for a page.
pub type TypeNames = HashMap<VolumeTypeId, String>;

/// The names of these types.
pub fn type_names<'t>(types: impl IntoIterator<Item = &'t VolumeType>) -> TypeNames {
    types.into_iter().map(|one| (one.id, one.name.clone())).collect()
}

/// The options of all volumes of an answer: the caller and the version.
#[derive(Clone, Debug)]
pub struct VolumeViews {
    version: Microversion,
    is_admin: bool,
    sees_host_names: bool,
    extended: Extended,
    links: LinkBase,
}

/// The attributes that extensions add to answers of `GET`, by policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Extended {
    tenant: bool,
    migration: bool,
    host: bool,
    image_metadata: bool,
}

impl VolumeViews {
    /// For answers of `POST` and `PUT`, which have no extended attributes.
    pub fn plain(caller: &Caller) -> Self {
        Self {
            version: caller.version,
            is_admin: caller.context.is_admin,
            sees_host_names: caller.context.is_admin
                || caller
                    .context
                    .roles
                    .iter()
                    .any(|role| role.eq_ignore_ascii_case("service")),
            extended: Extended::default(),
            links: LinkBase::new(caller, "volumes"),
        }
    }

    /// For answers of `GET`.
    pub fn extended(caller: &Caller) -> Self {
        Self {
            extended: Extended {
                tenant: caller.can(reader("volume_extension:volume_tenant_attribute")),
                migration: caller.can(admin("volume_extension:volume_mig_status_attribute")),
                host: caller.can(admin("volume_extension:volume_host_attribute")),
                image_metadata: caller.can(reader("volume_extension:volume_image_metadata:show")),
            },
            ..Self::plain(caller)
        }
    }

    /// A volume with all fields.
    pub fn detail<'a>(
        &'a self,
        volume: &'a Volume,
        types: &'a TypeNames,
        attachments: &'a [Attachment],
    ) -> VolumeDetail<'a> {
        VolumeDetail {
            views: self,
            volume,
            types,
            attachments,
        }
    }

    /// A volume in a brief list.
    pub fn summary<'a>(&'a self, volume: &'a Volume) -> VolumeSummary<'a> {
        VolumeSummary { views: self, volume }
    }
}

/// See [`VolumeViews::summary`].
#[derive(Clone, Copy)]
pub struct VolumeSummary<'a> {
    views: &'a VolumeViews,
    volume: &'a Volume,
}

impl Serialize for VolumeSummary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("id", &self.volume.id)?;
        map.serialize_entry("name", &self.volume.name)?;
        map.serialize_entry("links", &self.views.links.of(self.volume.id))?;
        map.end()
    }
}

/// See [`VolumeViews::detail`].
#[derive(Clone, Copy)]
pub struct VolumeDetail<'a> {
    views: &'a VolumeViews,
    volume: &'a Volume,
    types: &'a TypeNames,
    attachments: &'a [Attachment],
}

impl Serialize for VolumeDetail<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self {
            views, volume, types, ..
        } = *self;
        let since = |minor| views.version.at_least(minor);
        let type_name = volume.volume_type_id.and_then(|id| types.get(&id));
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &volume.id)?;
        map.serialize_entry("status", volume.status.shown())?;
        map.serialize_entry("size", &volume.size)?;
        map.serialize_entry("availability_zone", &volume.availability_zone)?;
        map.serialize_entry("created_at", &time(volume.created_at))?;
        map.serialize_entry("updated_at", &optional_time(volume.updated_at))?;
        map.serialize_entry("name", &volume.name)?;
        map.serialize_entry("description", &volume.description)?;
        match (type_name, volume.volume_type_id) {
            (Some(name), _) => map.serialize_entry("volume_type", name)?,
            // A deleted type is shown by its id before 3.63, which added a key for the id.
            (None, Some(id)) if !since(63) => map.serialize_entry("volume_type", &id)?,
            (None, _) => map.serialize_entry("volume_type", &())?,
        }
        map.serialize_entry("snapshot_id", &volume.snapshot_id)?;
        map.serialize_entry("source_volid", &volume.source_volid)?;
        map.serialize_entry("metadata", &VisibleMetadata(volume))?;
        map.serialize_entry("links", &views.links.of(volume.id))?;
        map.serialize_entry("user_id", &volume.user_id)?;
        map.serialize_entry("bootable", if volume.bootable { "true" } else { "false" })?;
        map.serialize_entry("encrypted", &volume.encryption_key_id.is_some())?;
        map.serialize_entry("replication_status", &volume.replication_status)?;
        map.serialize_entry("consistencygroup_id", &())?;
        map.serialize_entry("multiattach", &volume.multiattach)?;
        map.serialize_entry("attachments", &self.attachments())?;
        if views.is_admin {
            map.serialize_entry("migration_status", &volume.shown_migration_status())?;
        }
        if since(13) {
            map.serialize_entry("group_id", &volume.group_id)?;
        }
        if since(21) && views.is_admin {
            map.serialize_entry("provider_id", &volume.provider_id)?;
        }
        if since(48) {
            // Three-valued since 3.69; "unknown" was "yes" before.
            let shared = volume
                .shared_targets
                .or(if since(69) { None } else { Some(true) });
            map.serialize_entry("shared_targets", &shared)?;
            map.serialize_entry("service_uuid", &volume.service_uuid)?;
        }
        if since(61) && views.is_admin {
            map.serialize_entry("cluster_name", &())?;
        }
        if since(63) {
            map.serialize_entry("volume_type_id", &volume.volume_type_id)?;
        }
        if let (true, Some(key)) = (since(64), volume.encryption_key_id) {
            map.serialize_entry("encryption_key_id", &key)?;
        }
        if since(65) {
            map.serialize_entry("consumes_quota", &volume.consumes_quota)?;
        }
        self.extended(&mut map)?;
        map.end()
    }
}

impl<'a> VolumeDetail<'a> {
    fn extended<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self { views, volume, .. } = *self;
        if views.extended.tenant {
            map.serialize_entry("os-vol-tenant-attr:tenant_id", &volume.project_id)?;
        }
        if views.extended.migration {
            map.serialize_entry("os-vol-mig-status-attr:migstat", &volume.shown_migration_status())?;
            map.serialize_entry("os-vol-mig-status-attr:name_id", &volume.name_id())?;
        }
        if views.extended.host {
            map.serialize_entry("os-vol-host-attr:host", &volume.host.as_ref().map(Shown))?;
        }
        if views.extended.image_metadata && !volume.image_metadata.is_empty() {
            map.serialize_entry("volume_image_metadata", &volume.image_metadata)?;
        }
        Ok(())
    }

    /// The completed attachments. Reserved and attaching ones are shown at `/attachments` only.
    fn attachments(&self) -> Vec<AttachedTo<'a>> {
        self.attachments
            .iter()
            .filter(|attachment| attachment.status == AttachmentStatus::Attached)
            .map(|attachment| AttachedTo {
                attachment,
                with_host: self.views.sees_host_names,
            })
            .collect()
    }
}

/// An entry of a volume's `attachments`.
struct AttachedTo<'a> {
    attachment: &'a Attachment,
    with_host: bool,
}

impl Serialize for AttachedTo<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let attachment = self.attachment;
        let host = attachment.attached_host.as_ref().filter(|_| self.with_host);
        let mut map = serializer.serialize_map(Some(7))?;
        map.serialize_entry("id", &attachment.volume_id)?;
        map.serialize_entry("attachment_id", &attachment.id)?;
        map.serialize_entry("volume_id", &attachment.volume_id)?;
        map.serialize_entry("server_id", &attachment.instance_uuid)?;
        map.serialize_entry("host_name", &host)?;
        map.serialize_entry("device", &attachment.mountpoint)?;
        map.serialize_entry("attached_at", &optional_time(attachment.attached_at))?;
        map.end()
    }
}

/// A volume's own metadata, overridden by the visible admin metadata.
struct VisibleMetadata<'a>(&'a Volume);

impl Serialize for VisibleMetadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let visible = |key: &str| {
            let known = VISIBLE_ADMIN_METADATA.contains(&key);
            known.then(|| self.0.admin_metadata.get_key_value(key)).flatten()
        };
        let own: &BTreeMap<String, String> = &self.0.metadata;
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in own.iter().filter(|(key, _)| visible(key).is_none()) {
            map.serialize_entry(key, value)?;
        }
        for (key, value) in VISIBLE_ADMIN_METADATA.into_iter().filter_map(visible) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}
