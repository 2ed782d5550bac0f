//! The description of each kind of record for code that walks the whole store: its tables, the index rows of a record,
//! and the record of an index row. The check of the catalog ([`super::verify`]) uses kinds only through this.
//!
//! A new kind implements [`Kind`] in its own file, and is listed in [`every_kind`].

use std::collections::BTreeMap;

use uuid::Uuid;

use super::keys::{self, Table, key, last_id};
use crate::model::control_node::{ControlNode, ControlNodeAbilities, ControlNodeBeat, RecordVersions};
use crate::model::idempotency::IdempotentRequest;
use crate::model::{
    ApplicationCredential, Attachment, ClusterTask, Notification, Operation, OperationId, PendingCleanup,
    Project, ProjectDefaultType, QosSpecs, RevokedToken, Role, RoleAssignment, Service, Snapshot, Token,
    TokenGeneration, TokenKeys, Transfer, TypeEncryption, User, UserMessage, Volume, VolumeId, VolumeType,
};
use crate::store::record::{Layout, Limit, Record};
use crate::store::{Key, StoreError};

/// Rows of indexes: keys and values.
pub(super) type Rows = BTreeMap<Key, Vec<u8>>;

/// A kind of record in the catalog.
pub trait Kind: Record {
    /// The tables of its records.
    const TABLES: &'static [Table];
    /// The tables of its index rows.
    const INDEXES: &'static [Table] = &[];

    /// The index rows of a record.
    fn rows(&self) -> Rows {
        Rows::new()
    }

    /// The key of the record of an index row; `None` if the row is damaged. Most rows end with the record's id, which is
    /// the record's key.
    fn record_of(row: &Key, value: &[u8]) -> Option<Key> {
        let _ = value;
        last_id(row).map(record_key::<Self>)
    }

    /// The volume that a record belongs to; the record must not exist without it.
    fn volume(&self) -> Option<VolumeId> {
        None
    }

    /// The operation that a record refers to, which must be open.
    fn operation(&self) -> Option<OperationId> {
        None
    }
}

/// The key of a record in a table that is ordered by id.
pub(super) fn record_key<K: Kind>(id: Uuid) -> Key {
    key(K::TABLES[0]).id(id).end()
}

/// Visits each kind of record.
pub(super) trait KindVisitor {
    /// Visits one kind.
    ///
    /// # Errors
    /// Ends the walk through all kinds.
    async fn kind<K: Kind>(&mut self) -> Result<(), StoreError>;
}

/// Visits every kind of record.
///
/// # Errors
/// The first error of the visitor.
pub(super) async fn every_kind(visitor: &mut impl KindVisitor) -> Result<(), StoreError> {
    visitor.kind::<Volume>().await?;
    visitor.kind::<Attachment>().await?;
    visitor.kind::<Snapshot>().await?;
    visitor.kind::<Operation>().await?;
    visitor.kind::<Notification>().await?;
    visitor.kind::<VolumeType>().await?;
    visitor.kind::<TypeEncryption>().await?;
    visitor.kind::<ProjectDefaultType>().await?;
    visitor.kind::<QosSpecs>().await?;
    visitor.kind::<UserMessage>().await?;
    visitor.kind::<Transfer>().await?;
    visitor.kind::<Token>().await?;
    visitor.kind::<TokenKeys>().await?;
    visitor.kind::<TokenGeneration>().await?;
    visitor.kind::<RevokedToken>().await?;
    visitor.kind::<Limit>().await?;
    visitor.kind::<Service>().await?;
    visitor.kind::<User>().await?;
    visitor.kind::<Project>().await?;
    visitor.kind::<Role>().await?;
    visitor.kind::<ApplicationCredential>().await?;
    visitor.kind::<RoleAssignment>().await?;
    visitor.kind::<PendingCleanup>().await?;
    visitor.kind::<IdempotentRequest>().await?;
    visitor.kind::<ControlNode>().await?;
    visitor.kind::<ControlNodeBeat>().await?;
    visitor.kind::<ControlNodeAbilities>().await?;
    visitor.kind::<ClusterTask>().await?;
    visitor.kind::<RecordVersions>().await?;
    visitor.kind::<Layout>().await
}

macro_rules! without_index {
    ($($kind:ty: $($table:ident)+;)+) => {
        $(impl Kind for $kind {
            const TABLES: &'static [Table] = &[$(keys::$table),+];
        })+
    };
}

without_index! {
    TypeEncryption: TYPE_ENCRYPTION;
    ProjectDefaultType: PROJECT_DEFAULT_TYPE;
    Notification: NOTIFICATION;
    TokenKeys: TOKEN_KEYS;
    TokenGeneration: TOKEN_GENERATION;
    Limit: PROJECT_LIMIT CLASS_LIMIT;
    Service: SERVICE;
    PendingCleanup: PENDING_CLEANUP;
    ControlNode: CONTROL_NODE;
    ControlNodeBeat: CONTROL_NODE_BEAT;
    ControlNodeAbilities: CONTROL_NODE_ABILITIES;
    ClusterTask: CLUSTER_TASK;
    RecordVersions: RECORD_VERSIONS;
    Layout: LAYOUT;
}
