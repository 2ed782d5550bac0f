//! Attachments: their rows and reads.

use super::changes::Indexed;
use super::keys::{self, Table, key, last_id};
use super::kinds::{Kind, Rows};
use super::listable::{FieldValue, Listable, ValueIndex, record_fields};
use super::query::AttachmentField;
use super::read::{BATCH, Walk};
use super::{Catalog, Stored};
use crate::model::{Attachment, AttachmentId, OperationId, ProjectId, Timestamp, VolumeId};
use crate::store::{Key, Scan, StoreError};

impl Catalog {
    /// An attachment by id.
    pub async fn attachment(&self, id: AttachmentId) -> Result<Option<Stored<Attachment>>, StoreError> {
        self.record(&record_key(id)).await
    }

    /// The attachments of a volume, oldest first.
    pub async fn volume_attachments(&self, id: VolumeId) -> Result<Vec<Stored<Attachment>>, StoreError> {
        let mut attachments = Vec::new();
        let mut walk = Walk::new(of_volume(id), false);
        while let Some(rows) = walk.next(self).await? {
            let keys: Vec<Key> = rows.iter().filter_map(|(row, _)| key_of_row(row)).collect();
            attachments.extend(self.records(&keys).await?);
        }
        Ok(attachments)
    }

    /// The attachments of many volumes at once, in the order of `ids`: a page of volumes needs one read, not a
    /// thousand.
    pub async fn volumes_attachments(&self, ids: &[VolumeId]) -> Result<Vec<Vec<Attachment>>, StoreError> {
        let scans = ids
            .iter()
            .map(|id| Scan {
                prefix: of_volume(*id),
                after: None,
                reverse: false,
                limit: BATCH,
            })
            .collect();
        let mut rows = self.store.scan_many(scans).await?;
        for (id, rows) in ids.iter().zip(&mut rows).filter(|(_, rows)| rows.len() >= BATCH) {
            let mut walk = Walk::new(of_volume(*id), false).behind(rows.last().map(|(row, _)| row.clone()));
            while let Some(more) = walk.next(self).await? {
                rows.extend(more);
            }
        }
        let keys: Vec<Key> = rows
            .iter()
            .flatten()
            .filter_map(|(row, _)| key_of_row(row))
            .collect();
        // A record that was deleted meanwhile is missing here, so records are assigned by their volume, not by
        // position.
        let mut attachments = self.records::<Attachment>(&keys).await?.into_iter().peekable();
        let mut of_volumes = Vec::with_capacity(ids.len());
        for id in ids {
            let mut of_this = Vec::new();
            while let Some(attachment) = attachments.next_if(|attachment| attachment.volume_id == *id) {
                of_this.push(attachment.record);
            }
            of_volumes.push(of_this);
        }
        Ok(of_volumes)
    }
}

impl Listable for Attachment {
    type Id = AttachmentId;
    type Field = AttachmentField;

    const CREATED_AT: AttachmentField = AttachmentField::CreatedAt;
    const ID: AttachmentField = AttachmentField::Id;
    const PROJECT: AttachmentField = AttachmentField::ProjectId;
    const INDEXES: &'static [ValueIndex<Self>] = &[ValueIndex {
        field: AttachmentField::VolumeId,
        is_selective: true,
        value_prefix: |_, id| Some(of_volume(id.parse().ok()?)),
        ordered: None,
    }];

    record_fields!(AttachmentId, project_id);

    fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at
    }

    fn value(&self, field: AttachmentField) -> FieldValue<'_> {
        match field {
            AttachmentField::Id => FieldValue::Id(self.id.0),
            AttachmentField::CreatedAt => FieldValue::Time(self.created_at),
            AttachmentField::UpdatedAt => FieldValue::time(self.updated_at),
            AttachmentField::VolumeId => FieldValue::Id(self.volume_id.0),
            AttachmentField::InstanceUuid => FieldValue::id(self.instance_uuid),
            AttachmentField::Status => FieldValue::Text(self.status.as_str()),
            AttachmentField::AttachedHost => FieldValue::text(self.attached_host.as_deref()),
            AttachmentField::AttachMode => FieldValue::text(self.mode.map(|mode| mode.as_str())),
            AttachmentField::Mountpoint => FieldValue::text(self.mountpoint.as_deref()),
            AttachmentField::ProjectId => FieldValue::Text(self.project_id.as_str()),
            AttachmentField::AttachedAt => FieldValue::time(self.attached_at),
            AttachmentField::DetachedAt => FieldValue::time(self.detached_at),
        }
    }

    fn created_prefix(scope: Option<&ProjectId>) -> Vec<u8> {
        key(keys::ATTACHMENT_BY_CREATED).scope(scope).prefix()
    }

    fn record_of(_: &[u8]) -> Option<fn(&Key) -> Option<Key>> {
        Some(|row| last_id(row).map(|id| record_key(AttachmentId(id))))
    }

    async fn by_id(catalog: &Catalog, ids: &[AttachmentId]) -> Result<Vec<Stored<Self>>, StoreError> {
        let keys: Vec<Key> = ids.iter().map(|id| record_key(*id)).collect();
        catalog.records(&keys).await
    }
}

impl Indexed for Attachment {
    fn key(&self) -> Key {
        record_key(self.id)
    }
}

impl Kind for Attachment {
    const TABLES: &'static [Table] = &[keys::ATTACHMENT];
    const INDEXES: &'static [Table] = &[keys::ATTACHMENT_BY_VOLUME, keys::ATTACHMENT_BY_CREATED];

    fn rows(&self) -> Rows {
        rows(self)
    }

    fn record_of(row: &Key, _value: &[u8]) -> Option<Key> {
        key_of_row(row)
    }

    fn volume(&self) -> Option<VolumeId> {
        Some(self.volume_id)
    }

    fn operation(&self) -> Option<OperationId> {
        self.operation
    }
}

pub(super) fn record_key(id: AttachmentId) -> Key {
    key(keys::ATTACHMENT).id(id.0).end()
}

/// All index rows of an attachment.
fn rows(attachment: &Attachment) -> Rows {
    let of_volume = key(keys::ATTACHMENT_BY_VOLUME).id(attachment.volume_id.0);
    [
        of_volume.time(attachment.created_at).id(attachment.id.0).end(),
        created_row(None, attachment),
        created_row(Some(&attachment.project_id), attachment),
    ]
    .into_iter()
    .map(|row| (row, Vec::new()))
    .collect()
}

fn of_volume(id: VolumeId) -> Vec<u8> {
    key(keys::ATTACHMENT_BY_VOLUME).id(id.0).prefix()
}

fn created_row(scope: Option<&ProjectId>, attachment: &Attachment) -> Key {
    key(keys::ATTACHMENT_BY_CREATED)
        .scope(scope)
        .time(attachment.created_at)
        .id(attachment.id.0)
        .end()
}

fn key_of_row(row: &Key) -> Option<Key> {
    last_id(row).map(|id| record_key(AttachmentId(id)))
}
