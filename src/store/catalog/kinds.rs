//! What each kind of record says of itself to whoever goes through all that is stored: where its records are, which index rows
//! they ask for, and to which record an index row leads. The check of the catalog ([`super::verify`]) knows kinds by this alone.
//!
//! A new kind implements [`Kind`] in its own file, and has a line in [`every_kind`].

use std::collections::BTreeMap;

use super::keys::{self, Table};
use crate::model::{
    Attachment, Operation, OperationId, Project, RevokedToken, RoleAssignment, Service, Snapshot, Token,
    TokenGeneration, TokenKeys, Transfer, TypeEncryption, User, UserMessage, Volume, VolumeId, VolumeType,
};
use crate::store::record::{Layout, Limit, Record};
use crate::store::{Key, StoreError};

/// Rows of indexes: where they are and what they hold.
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

    /// The key of the record that an index row leads to; `None` if the row is damaged.
    fn record_of(row: &Key, value: &[u8]) -> Option<Key> {
        let _ = (row, value);
        None
    }

    /// The volume that a record belongs to, and must not outlive.
    fn volume(&self) -> Option<VolumeId> {
        None
    }

    /// The operation that a record names, which must be open.
    fn operation(&self) -> Option<OperationId> {
        None
    }
}

/// Is shown each kind of record.
pub(super) trait KindVisitor {
    /// One of them.
    ///
    /// # Errors
    /// Whatever ends the walk through all kinds.
    async fn kind<K: Kind>(&mut self) -> Result<(), StoreError>;
}

/// Shows every kind of record that is stored.
///
/// # Errors
/// The first that the visitor returns.
pub(super) async fn every_kind(visitor: &mut impl KindVisitor) -> Result<(), StoreError> {
    visitor.kind::<Volume>().await?;
    visitor.kind::<Attachment>().await?;
    visitor.kind::<Snapshot>().await?;
    visitor.kind::<Operation>().await?;
    visitor.kind::<VolumeType>().await?;
    visitor.kind::<TypeEncryption>().await?;
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
    visitor.kind::<RoleAssignment>().await?;
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
    TokenKeys: TOKEN_KEYS;
    TokenGeneration: TOKEN_GENERATION;
    Limit: PROJECT_LIMIT CLASS_LIMIT;
    Service: SERVICE;
    User: USER;
    Project: PROJECT;
    RoleAssignment: ROLES;
    Layout: LAYOUT;
}
