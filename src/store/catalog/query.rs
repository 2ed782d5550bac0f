//! What can be asked of a list, and what the answer is.

use std::collections::BTreeMap;

use crate::model::{AttachmentId, MessageId, ProjectId, SnapshotId, Timestamp, TransferId, VolumeId};
use crate::store::StoreError;

/// Which records of a kind, in which order: `F` are their fields, `I` their id.
#[derive(Clone, Debug)]
pub struct ListQuery<F, I> {
    /// Only this project's; `None` is everybody's.
    pub project: Option<ProjectId>,
    /// Sort keys in order; empty is `created_at` descending.
    pub sort: Vec<(F, Direction)>,
    /// Filters that must all match.
    pub filters: Vec<Filter<F>>,
    /// Behind this one.
    pub marker: Option<I>,
    /// Skip so many.
    pub offset: usize,
    /// At most so many.
    pub limit: usize,
}

/// Which volumes, in which order.
pub type VolumeQuery = ListQuery<VolumeField, VolumeId>;

/// Which snapshots, in which order.
pub type SnapshotQuery = ListQuery<SnapshotField, SnapshotId>;

/// Which attachments, in which order.
pub type AttachmentQuery = ListQuery<AttachmentField, AttachmentId>;

/// Which user messages, in which order.
pub type MessageQuery = ListQuery<MessageField, MessageId>;

/// Which transfers, in which order.
pub type TransferQuery = ListQuery<TransferField, TransferId>;

impl<F, I> Default for ListQuery<F, I> {
    fn default() -> Self {
        Self {
            project: None,
            sort: Vec::new(),
            filters: Vec::new(),
            marker: None,
            offset: 0,
            limit: 0,
        }
    }
}

/// Ascending or descending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// A filter on records with these fields.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter<F> {
    /// The field's text equals one of these.
    Is(F, Vec<String>),
    /// The field's text contains this (`name~=`).
    Contains(F, String),
    /// All these metadata pairs are there.
    Metadata(BTreeMap<String, String>),
    /// All these image metadata pairs are there.
    ImageMetadata(BTreeMap<String, String>),
    /// A time compares so (`gte:…`).
    Time(TimeField, Comparison, Timestamp),
    /// Its volume matches: a snapshot has no zone and no host of its own.
    OfVolume(Box<VolumeFilter>),
    /// Nothing matches: an administrator asked for a filter that nobody knows.
    Nothing,
}

/// A filter on volumes.
pub type VolumeFilter = Filter<VolumeField>;

/// A filter on snapshots.
pub type SnapshotFilter = Filter<SnapshotField>;

/// What volumes can be sorted and filtered by (cinder: columns of `volumes`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field of the same name")]
pub enum VolumeField {
    Id,
    CreatedAt,
    UpdatedAt,
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
    ScheduledAt,
    LaunchedAt,
    ConsistencygroupId,
}

/// What snapshots can be sorted and filtered by (cinder: columns of `snapshots`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field of the same name")]
pub enum SnapshotField {
    Id,
    CreatedAt,
    UpdatedAt,
    Name,
    Description,
    Status,
    Progress,
    VolumeId,
    VolumeSize,
    VolumeTypeId,
    UserId,
    ProjectId,
    GroupSnapshotId,
    EncryptionKeyId,
    ConsumesQuota,
    CgsnapshotId,
    ScheduledAt,
}

/// What attachments can be sorted and filtered by (cinder: columns of `volume_attachment`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field of the same name")]
pub enum AttachmentField {
    Id,
    CreatedAt,
    UpdatedAt,
    VolumeId,
    InstanceUuid,
    Status,
    AttachedHost,
    AttachMode,
    Mountpoint,
    ProjectId,
    AttachedAt,
    DetachedAt,
}

/// What user messages can be sorted and filtered by (cinder: columns of `messages`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field of the same name")]
pub enum MessageField {
    Id,
    CreatedAt,
    EventId,
    ResourceType,
    ResourceUuid,
    RequestId,
    Level,
    ProjectId,
    ExpiresAt,
}

/// What transfers can be sorted and filtered by (cinder: columns of `transfers`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field of the same name")]
pub enum TransferField {
    Id,
    CreatedAt,
    VolumeId,
    Name,
    SourceProjectId,
    NoSnapshots,
    /// A column of Cinder's that is the same for all that are open.
    Same,
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

/// Part of a list or of a range. Only `next` says whether there is more: records that vanish between the scan of an index and
/// their read make a page shorter than it may be, not the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<R, C> {
    /// The records.
    pub records: Vec<R>,
    /// Behind what the next page begins; `None` once the end of the range was seen.
    pub next: Option<C>,
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
