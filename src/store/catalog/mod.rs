//! The typed catalog: records, their indexes and the counters of quota, on top of any [`Store`].
//!
//! Reads go through the parts (`catalog.volumes()`, …). Every change is a [`Changes`]: it collects records and counters, and
//! commits them together. A record that was read is a [`Stored`]; writing it back demands that nobody changed it since.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use super::{CommitError, Revision, Store, StoreError};
use crate::model::quota::{Resource, Usage};
use crate::model::user_message::UserMessage;
use crate::model::{
    Attachment, AttachmentId, BackendName, MessageId, Operation, OperationId, ProjectId, Service, Volume,
    VolumeId, VolumeType, VolumeTypeId,
};

/// A record as it was read, and when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored<R> {
    /// The record.
    pub record: R,
    /// The commit that wrote it.
    pub revision: Revision,
}

impl<R> Deref for Stored<R> {
    type Target = R;
    fn deref(&self) -> &R {
        &self.record
    }
}

/// The catalog. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    store: Arc<dyn Store>,
}

/// Which volumes, in which order.
#[derive(Clone, Debug, Default)]
pub struct VolumeQuery {
    /// Only this project's; `None` is everybody's.
    pub project: Option<ProjectId>,
    /// Sort keys in order; empty is `created_at` descending.
    pub sort: Vec<(VolumeSortKey, Direction)>,
    /// Filters that must all match.
    pub filters: Vec<VolumeFilter>,
    /// Behind this volume.
    pub marker: Option<VolumeId>,
    /// Skip so many.
    pub offset: usize,
    /// At most so many.
    pub limit: usize,
}

/// Ascending or descending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// What volumes can be sorted by (cinder: columns of `volumes`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field of the same name")]
pub enum VolumeSortKey {
    CreatedAt,
    UpdatedAt,
    Id,
    Name,
    Size,
    Status,
    VolumeTypeId,
    Host,
    AvailabilityZone,
    Bootable,
    AttachStatus,
    UserId,
    ProjectId,
    ScheduledAt,
    LaunchedAt,
    MigrationStatus,
    Description,
    SnapshotId,
    SourceVolid,
    Multiattach,
    ConsistencygroupId,
    ReplicationStatus,
}

/// A filter on volumes.
#[derive(Clone, Debug, PartialEq)]
pub enum VolumeFilter {
    /// The field's text equals one of these.
    Is(VolumeField, Vec<String>),
    /// The field's text contains this (`name~=`).
    Contains(VolumeField, String),
    /// All these metadata pairs are there.
    Metadata(BTreeMap<String, String>),
    /// All these image metadata pairs are there.
    ImageMetadata(BTreeMap<String, String>),
    /// A time compares so (`gte:…`).
    Time(TimeField, Comparison, crate::model::Timestamp),
    /// Nothing matches: an administrator asked for a filter that nobody knows.
    Nothing,
}

/// What volumes can be filtered by, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field of the same name")]
pub enum VolumeField {
    Id,
    Name,
    Description,
    Status,
    Size,
    Bootable,
    MigrationStatus,
    AttachStatus,
    AvailabilityZone,
    GroupId,
    VolumeTypeId,
    Host,
    UserId,
    ProjectId,
    SnapshotId,
    SourceVolid,
    ConsumesQuota,
    Multiattach,
    ReplicationStatus,
}

/// Times that can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field of the same name")]
pub enum TimeField {
    CreatedAt,
    UpdatedAt,
}

/// How to compare (`gt`, `gte`, `eq`, `neq`, `lt`, `lte`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are Cinder's and say what they mean")]
pub enum Comparison {
    Gt,
    Gte,
    Eq,
    Neq,
    Lt,
    Lte,
}

/// Part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<R> {
    /// The records.
    pub records: Vec<R>,
    /// How many there are in all, when it was asked for.
    pub total: Option<u64>,
}

/// Why a list cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The marker names nothing that the caller may see.
    #[error("marker {0} is unknown")]
    UnknownMarker(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Changes that are committed together.
///
/// Each method returns `self`'s borrow for chaining; nothing happens before [`Changes::commit`].
pub struct Changes {
    _catalog: Catalog,
}

impl Catalog {
    /// A catalog in this store. Makes the default type if there is none.
    ///
    /// # Errors
    /// When the store fails, or holds records newer than this program knows.
    pub async fn open(_store: Arc<dyn Store>) -> Result<Self, StoreError> {
        todo!()
    }

    /// Begins a set of changes.
    #[must_use]
    pub fn change(&self) -> Changes {
        todo!()
    }

    /// A volume by id.
    pub async fn volume(&self, _id: VolumeId) -> Result<Option<Stored<Volume>>, StoreError> {
        todo!()
    }

    /// A page of volumes, by index.
    pub async fn volumes(&self, _query: &VolumeQuery) -> Result<Page<Volume>, ListError> {
        todo!()
    }

    /// How many volumes match, and their sizes' sum in GiB (`count`, `volume-summary`).
    pub async fn volume_totals(&self, _query: &VolumeQuery) -> Result<(u64, u64), StoreError> {
        todo!()
    }

    /// The volumes of one backend, by id, behind `after`.
    pub async fn backend_volumes(
        &self,
        _backend: &BackendName,
        _after: Option<VolumeId>,
        _limit: usize,
    ) -> Result<Vec<Stored<Volume>>, StoreError> {
        todo!()
    }

    /// Whether any volume is of this type.
    pub async fn type_in_use(&self, _id: VolumeTypeId) -> Result<bool, StoreError> {
        todo!()
    }

    /// An attachment by id.
    pub async fn attachment(&self, _id: AttachmentId) -> Result<Option<Stored<Attachment>>, StoreError> {
        todo!()
    }

    /// The attachments of a volume, oldest first.
    pub async fn volume_attachments(&self, _id: VolumeId) -> Result<Vec<Stored<Attachment>>, StoreError> {
        todo!()
    }

    /// The attachments of many volumes at once, in the order of `ids`: a page of volumes needs one scan, not a thousand.
    pub async fn volumes_attachments(&self, _ids: &[VolumeId]) -> Result<Vec<Vec<Attachment>>, StoreError> {
        todo!()
    }

    /// Attachments of a project (`None`: of all), newest first, behind `marker`.
    pub async fn attachments(
        &self,
        _project: Option<&ProjectId>,
        _marker: Option<AttachmentId>,
        _limit: usize,
    ) -> Result<Vec<Attachment>, ListError> {
        todo!()
    }

    /// A type by id.
    pub async fn volume_type(&self, _id: VolumeTypeId) -> Result<Option<Stored<VolumeType>>, StoreError> {
        todo!()
    }

    /// A type by name.
    pub async fn volume_type_by_name(&self, _name: &str) -> Result<Option<Stored<VolumeType>>, StoreError> {
        todo!()
    }

    /// All types, newest first. There are few.
    pub async fn volume_types(&self) -> Result<Vec<Stored<VolumeType>>, StoreError> {
        todo!()
    }

    /// A journal entry by id.
    pub async fn operation(&self, _id: OperationId) -> Result<Option<Stored<Operation>>, StoreError> {
        todo!()
    }

    /// Open operations by id (so, oldest first), behind `after`.
    pub async fn operations(
        &self,
        _after: Option<OperationId>,
        _limit: usize,
    ) -> Result<Vec<Stored<Operation>>, StoreError> {
        todo!()
    }

    /// What a project uses, by resource. Resources it never used are missing.
    pub async fn usage(&self, _project: &ProjectId) -> Result<BTreeMap<Resource, Usage>, StoreError> {
        todo!()
    }

    /// A project's own limits; empty when it has none.
    pub async fn project_limits(&self, _project: &ProjectId) -> Result<BTreeMap<Resource, i64>, StoreError> {
        todo!()
    }

    /// A quota class's limits; empty when it has none.
    pub async fn class_limits(&self, _class: &str) -> Result<BTreeMap<Resource, i64>, StoreError> {
        todo!()
    }

    /// All services that were ever seen.
    pub async fn services(&self) -> Result<Vec<Stored<Service>>, StoreError> {
        todo!()
    }

    /// User messages of a project (`None`: of all), newest first, behind `marker`.
    pub async fn messages(
        &self,
        _project: Option<&ProjectId>,
        _marker: Option<MessageId>,
        _limit: usize,
    ) -> Result<Vec<UserMessage>, ListError> {
        todo!()
    }

    /// A user message by id.
    pub async fn message(&self, _id: MessageId) -> Result<Option<Stored<UserMessage>>, StoreError> {
        todo!()
    }
}

impl Changes {
    /// A new volume; a conflict if its id is taken.
    pub fn insert_volume(&mut self, _volume: &Volume) -> &mut Self {
        todo!()
    }

    /// A volume as it is to be now; a conflict if it changed since it was read.
    pub fn update_volume(&mut self, _was: &Stored<Volume>, _now: &Volume) -> &mut Self {
        todo!()
    }

    /// Without this volume; a conflict if it changed since it was read.
    pub fn delete_volume(&mut self, _was: &Stored<Volume>) -> &mut Self {
        todo!()
    }

    /// A new attachment.
    pub fn insert_attachment(&mut self, _attachment: &Attachment) -> &mut Self {
        todo!()
    }

    /// An attachment as it is to be now.
    pub fn update_attachment(&mut self, _was: &Stored<Attachment>, _now: &Attachment) -> &mut Self {
        todo!()
    }

    /// Without this attachment.
    pub fn delete_attachment(&mut self, _was: &Stored<Attachment>) -> &mut Self {
        todo!()
    }

    /// A new type; a conflict if its id or name is taken.
    pub fn insert_volume_type(&mut self, _volume_type: &VolumeType) -> &mut Self {
        todo!()
    }

    /// A type as it is to be now; a conflict if the new name is taken.
    pub fn update_volume_type(&mut self, _was: &Stored<VolumeType>, _now: &VolumeType) -> &mut Self {
        todo!()
    }

    /// Without this type.
    pub fn delete_volume_type(&mut self, _was: &Stored<VolumeType>) -> &mut Self {
        todo!()
    }

    /// A new journal entry; what it holds of the quota is added to `reserved`.
    pub fn insert_operation(&mut self, _operation: &Operation) -> &mut Self {
        todo!()
    }

    /// A journal entry as it is to be now; `reserved` follows the difference.
    pub fn update_operation(&mut self, _was: &Stored<Operation>, _now: &Operation) -> &mut Self {
        todo!()
    }

    /// The operation has ended: without its entry, and without what it held.
    pub fn end_operation(&mut self, _was: &Stored<Operation>) -> &mut Self {
        todo!()
    }

    /// Adds to (or takes from) what a project has in use. Called where records of that worth come or go.
    pub fn add_usage(&mut self, _project: &ProjectId, _deltas: &crate::model::quota::Deltas) -> &mut Self {
        todo!()
    }

    /// The commit fails with `OverCeiling` (named by the resource) if `in_use + reserved` would be over the limit.
    pub fn within_limit(&mut self, _project: &ProjectId, _resource: &Resource, _limit: i64) -> &mut Self {
        todo!()
    }

    /// A project's own limits, all of them.
    pub fn put_project_limits(
        &mut self,
        _project: &ProjectId,
        _limits: &BTreeMap<Resource, i64>,
    ) -> &mut Self {
        todo!()
    }

    /// A quota class's limits, all of them.
    pub fn put_class_limits(&mut self, _class: &str, _limits: &BTreeMap<Resource, i64>) -> &mut Self {
        todo!()
    }

    /// A service as it is to be now (new or known).
    pub fn put_service(&mut self, _service: &Service) -> &mut Self {
        todo!()
    }

    /// A new user message.
    pub fn insert_message(&mut self, _message: &UserMessage) -> &mut Self {
        todo!()
    }

    /// Without this message.
    pub fn delete_message(&mut self, _was: &Stored<UserMessage>) -> &mut Self {
        todo!()
    }

    /// Makes all of it durable at once, or nothing of it.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when something changed since it was read, `OverCeiling` when a limit would be exceeded.
    pub async fn commit(self) -> Result<Revision, CommitError> {
        todo!()
    }
}
