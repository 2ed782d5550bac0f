//! Queries of lists, and their pages.

use std::collections::BTreeMap;

use strum::VariantArray;

use crate::model::{ProjectId, SnapshotId, Timestamp, VolumeId};
use crate::store::StoreError;

/// A query of a list: `F` is the type of fields, `I` of ids.
#[derive(Clone, Debug)]
pub struct ListQuery<F, I> {
    /// The project; `None` for all.
    pub project: Option<ProjectId>,
    /// Sort keys in order; empty is `created_at` descending.
    pub sort: Vec<(F, Direction)>,
    /// Filters that must all match.
    pub filters: Vec<Filter<F>>,
    /// The record after which the page begins.
    pub marker: Option<I>,
    /// The number of records to skip.
    pub offset: usize,
    /// The most records of the page.
    pub limit: usize,
}

/// A query of volumes.
pub type VolumeQuery = ListQuery<VolumeField, VolumeId>;

/// A query of snapshots.
pub type SnapshotQuery = ListQuery<SnapshotField, SnapshotId>;

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
    /// All these metadata pairs exist.
    Metadata(BTreeMap<String, String>),
    /// All these image metadata pairs exist.
    ImageMetadata(BTreeMap<String, String>),
    /// A comparison of a time (`gte:…`).
    Time(TimeField, Comparison, Timestamp),
    /// Its volume matches: a snapshot itself has no zone and no host.
    OfVolume(Box<VolumeFilter>),
    /// Nothing matches: an administrator used an unknown filter.
    Nothing,
}

/// A filter on volumes.
pub type VolumeFilter = Filter<VolumeField>;

/// A filter on snapshots.
pub type SnapshotFilter = Filter<SnapshotField>;

/// The fields to sort and filter volumes by (cinder: columns of `volumes`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
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

/// The fields to sort and filter snapshots by (cinder: columns of `snapshots`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
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

/// The fields to sort and filter attachments by (cinder: columns of `volume_attachment`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
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

/// The fields to sort and filter user messages by (cinder: columns of `messages`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
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

/// The fields to sort and filter transfers by (cinder: columns of `transfers`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
#[expect(missing_docs, reason = "each is the field of the same name")]
pub enum TransferField {
    Id,
    CreatedAt,
    VolumeId,
    Name,
    SourceProjectId,
    NoSnapshots,
    /// A column of Cinder's with the same value for all open transfers.
    Same,
}

/// Times that can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the field of the same name")]
pub enum TimeField {
    CreatedAt,
    UpdatedAt,
}

/// The comparison (`gt`, `gte`, `eq`, `neq`, `lt`, `lte`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Cinder's")]
pub enum Comparison {
    Gt,
    Gte,
    Eq,
    Neq,
    Lt,
    Lte,
}

/// Part of a list or of a range. Only `next` says whether there is more: records that are deleted between the scan of
/// an index and their read make a page shorter, but not the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<R, C> {
    /// The records.
    pub records: Vec<R>,
    /// The position after which the next page begins; `None` at the end of the range.
    pub next: Option<C>,
}

/// Why a list cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The marker is no record that the caller may see.
    #[error("marker {0} is unknown")]
    UnknownMarker(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
