//! Attachments: their rows and reads.

use super::prelude::*;
use super::query::AttachmentField;
use crate::model::{Attachment, AttachmentId, OperationId, VolumeId};
use crate::store::Scan;

impl Catalog {
    /// An attachment by id.
    pub async fn attachment(&self, id: AttachmentId) -> Result<Option<Stored<Attachment>>, StoreError> {
        self.record(&record_key::<Attachment>(id.0)).await
    }

    /// The attachments of a volume, oldest first.
    pub async fn volume_attachments(&self, id: VolumeId) -> Result<Vec<Stored<Attachment>>, StoreError> {
        self.indexed(of_volume(id)).await
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
        // A record that was deleted meanwhile is missing here, so records are assigned by their volume, not by
        // position.
        let found = self.records_of::<Attachment>(&rows.concat()).await?;
        let mut attachments = found.into_iter().peekable();
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
    record_fields!(AttachmentId, AttachmentField, project_id: ProjectId, attachments);

    const UPDATED_AT: Option<AttachmentField> = Some(AttachmentField::UpdatedAt);
    const BY_VALUE: &'static [ValueIndex<Self>] = &[ValueIndex {
        field: AttachmentField::VolumeId,
        table: keys::ATTACHMENT_BY_VOLUME,
        is_selective: true,
        has_scopes: false,
        named: |row, id| Some(row.id(id.parse().ok()?)),
        value: |row, attachment| row.id(attachment.volume_id.0),
    }];

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
}

impl Indexed for Attachment {
    fn key(&self) -> Key {
        record_key::<Self>(self.id.0)
    }
}

impl Kind for Attachment {
    const TABLES: &'static [Table] = &[keys::ATTACHMENT];
    const INDEXES: &'static [Table] = &[keys::ATTACHMENT_BY_VOLUME, keys::ATTACHMENT_BY_CREATED];

    fn rows(&self) -> Rows {
        listed_rows(self)
    }

    fn volume(&self) -> Option<VolumeId> {
        Some(self.volume_id)
    }

    fn operation(&self) -> Option<OperationId> {
        self.operation
    }
}

fn of_volume(id: VolumeId) -> Vec<u8> {
    key(keys::ATTACHMENT_BY_VOLUME).id(id.0).prefix()
}
