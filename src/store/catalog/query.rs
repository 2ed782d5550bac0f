//! What can be asked of a list of volumes or snapshots, and what the answer is.

use std::collections::BTreeMap;

use crate::model::{ProjectId, SnapshotId, VolumeId};
use crate::store::StoreError;

/// Which records of a kind, in which order: `K` is what they can be sorted by, `F` what they can be filtered by, `I` their id.
#[derive(Clone, Debug)]
pub struct ListQuery<K, F, I> {
    /// Only this project's; `None` is everybody's.
    pub project: Option<ProjectId>,
    /// Sort keys in order; empty is `created_at` descending.
    pub sort: Vec<(K, Direction)>,
    /// Filters that must all match.
    pub filters: Vec<F>,
    /// Behind this one.
    pub marker: Option<I>,
    /// Skip so many.
    pub offset: usize,
    /// At most so many.
    pub limit: usize,
}

/// Which volumes, in which order.
pub type VolumeQuery = ListQuery<VolumeSortKey, VolumeFilter, VolumeId>;

/// Which snapshots, in which order.
pub type SnapshotQuery = ListQuery<SnapshotSortKey, SnapshotFilter, SnapshotId>;

impl<K, F, I> Default for ListQuery<K, F, I> {
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

/// What snapshots can be sorted by (cinder: columns of `snapshots`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field of the same name")]
pub enum SnapshotSortKey {
    CreatedAt,
    UpdatedAt,
    Id,
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
    CgsnapshotId,
    ConsumesQuota,
    ScheduledAt,
}

/// A filter on snapshots.
#[derive(Clone, Debug, PartialEq)]
pub enum SnapshotFilter {
    /// The field's text equals one of these.
    Is(SnapshotField, Vec<String>),
    /// The field's text contains this (`name~=`).
    Contains(SnapshotField, String),
    /// All these metadata pairs are there.
    Metadata(BTreeMap<String, String>),
    /// A time compares so.
    Time(TimeField, Comparison, crate::model::Timestamp),
    /// Its volume matches: a snapshot has no zone and no host of its own.
    OfVolume(VolumeFilter),
    /// Nothing matches: an administrator asked for a filter that nobody knows.
    Nothing,
}

/// What snapshots can be filtered by, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field of the same name")]
pub enum SnapshotField {
    Id,
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
