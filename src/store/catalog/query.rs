//! What can be asked of a list of volumes, and what the answer is.

use std::collections::BTreeMap;

use crate::model::{ProjectId, VolumeId};
use crate::store::StoreError;

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
