//! The typed catalog: records, their indexes and the counters of quota, on top of any [`Store`].
//!
//! Reads go through the parts (`catalog.volumes()`, …). Every change is a [`Changes`]: it collects records and counters, and
//! commits them together. A record that was read is a [`Stored`]; writing it back fails if it has changed since.
//!
//! Reads are not one snapshot: a list reads an index, then records. Records that are deleted or no longer match
//! meanwhile are left out; no record is listed twice in one page.
//!
//! Whatever returns a [`StoreError`] does so when the store fails, or when it holds what cannot be decoded. A function says `# Errors`
//! only if something else can go wrong, too.
//!
//! | file | content |
//! |---|---|
//! | `keys` | the layout of keys |
//! | `kinds` | the tables of each kind of record and its index rows |
//! | `index_rows` | index rows as a function of their records, for engines that do not store them |
//! | `read` | reads of records and ranges |
//! | `changes` | the changes of a commit |
//! | `query`, `filter`, `order`, `plan`, `list` | lists: query, filters, order, choice of index, pages |
//! | `tables`, `list_tables`, `columns` | tables of lists in memory, for what no index answers |
//! | `listable` | the properties of a kind of record for its lists |
//! | `prelude` | what the files of the kinds of records are written with |
//! | `volume_list`, `snapshot_list` | the same of volumes and snapshots |
//! | `outbox` | notifications that wait for their sinks |
//! | `volumes`, `attachments`, … | one file for each kind of record: its rows, its reads, its changes |
//! | `upgrade` | upgrades of the layout of keys |
//! | `versions` | which versions of records are read |
//! | [`verify`] | the consistency check |

mod attachments;
mod changes;
mod columns;
mod control_nodes;
mod filter;
mod former_tokens;
mod idempotency;
mod identity;
mod identity_cleanup;
mod index_rows;
mod keys;
mod kinds;
mod list;
mod list_tables;
mod listable;
mod messages;
mod operations;
mod order;
mod outbox;
mod plan;
mod prelude;
mod qos_specs;
mod query;
mod quota;
mod read;
mod role_assignments;
mod services;
mod snapshot_list;
mod snapshots;
mod tables;
mod tokens;
mod transfers;
mod types;
mod upgrade;
pub mod verify;
mod versions;
mod volume_list;
mod volumes;

#[cfg(test)]
mod list_tables_tests;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod vanishing_tests;

use std::ops::Deref;
use std::sync::{Arc, Weak};

use super::record::Layout;
use super::report::StoreReport;
use super::{CommitError, Condition, Revision, Store, StoreError, Transaction};
use crate::model::volume_type::DEFAULT_TYPE_NAME;
use crate::model::{Timestamp, VolumeType, VolumeTypeId};

pub use changes::{Changes, Indexed};
pub use control_nodes::Fence;
pub use identity::IdentityKind;
pub use index_rows::IndexRows;
pub use list::rows_at_most;
pub use listable::{FieldValue, Listable, QueryOf, ValueIndex};
pub use outbox::{Outbox, Pending, Position, SinkQueue};
pub use query::{
    AttachmentField, Comparison, Direction, Filter, ListError, ListQuery, MessageField, Page, SnapshotField,
    SnapshotFilter, SnapshotQuery, TimeField, TransferField, VolumeField, VolumeFilter, VolumeQuery,
};
pub use tables::{ListOptions, ListTables, Tables};
pub use tokens::{TokenState, TokenSubject};
pub use types::TYPE_IN_USE;
pub use versions::versions_read;

/// The version of the layout of keys. Incremented when `keys` changes in a way that needs rewriting.
const LAYOUT_VERSION: u32 = 3;

/// A record that was read, and the revision that wrote it.
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
    /// The outbox of notifications, if there is a sink.
    outbox: Option<Arc<Outbox>>,
    tables: Arc<Tables>,
    /// What each commit requires, if other control nodes share the store.
    fence: Option<Fence>,
}

impl Catalog {
    /// A catalog in this store. Creates the default type if there are no types, and upgrades an earlier layout.
    ///
    /// # Errors
    /// If the store fails, or has a newer layout than this program supports.
    pub async fn open(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let catalog = Self {
            store,
            outbox: None,
            tables: Arc::default(),
            fence: None,
        };
        let layout_key = keys::key(keys::LAYOUT).end();
        match catalog.record::<Layout>(&layout_key).await? {
            Some(layout) if layout.version > LAYOUT_VERSION => {
                return Err(StoreError::new(format!(
                    "the catalog is laid out as version {}, but this program knows versions up to \
                     {LAYOUT_VERSION}: was it downgraded?",
                    layout.version
                )));
            }
            Some(layout) if layout.version == LAYOUT_VERSION => {}
            Some(layout) => {
                if layout.version < 2 {
                    catalog.name_quota_by_type_ids().await?;
                }
                catalog.index_identity().await?;
                let mut changes = catalog.change();
                changes.put(layout_key, &layout_now());
                first_of_two(changes.commit().await)?;
            }
            None => {
                let mut changes = catalog.change();
                changes.condition(Condition::Absent(layout_key.clone()));
                changes.put(layout_key, &layout_now());
                first_of_two(changes.commit().await)?;
            }
        }
        if catalog.volume_types().await?.is_empty() {
            let mut changes = catalog.change();
            changes.insert(&default_type());
            first_of_two(changes.commit().await)?;
        }
        Ok(catalog)
    }

    /// Sets the bounds of tables of lists. Those that were filled before are dropped.
    #[must_use]
    pub fn with_lists(self, options: ListOptions) -> Self {
        Self {
            tables: Arc::new(Tables::with(options)),
            ..self
        }
    }

    /// The tables of lists.
    pub fn tables(&self) -> Weak<Tables> {
        Arc::downgrade(&self.tables)
    }

    /// About how many bytes of memory the tables of lists take.
    pub async fn memory_of_tables(&self) -> usize {
        self.tables.memory().await
    }

    /// Begins a set of changes.
    pub fn change(&self) -> Changes {
        Changes::new(self.clone())
    }

    /// Waits until everything that could be read at the time of the call is durable. Called before read data is shown
    /// to others.
    ///
    /// # Errors
    /// The store failed before.
    pub async fn wait_durable(&self) -> Result<(), StoreError> {
        self.store.wait_durable().await
    }

    /// Waits until reads show everything that was committed before the call, also by other control nodes.
    ///
    /// # Errors
    /// The servers of the store cannot be reached in time; reads show an earlier state then.
    pub async fn wait_current(&self) -> Result<(), StoreError> {
        self.store.wait_current().await
    }

    /// The revision of the last commit that reads show, in a store that several nodes share; `None` otherwise.
    pub fn shown_revision(&self) -> Option<u64> {
        self.is_shared().then(|| self.store.shown_revision().0)
    }

    /// The state of the engine and of its servers, for operators.
    pub async fn store_report(&self) -> StoreReport {
        self.store.report().await
    }

    /// Checks that the store accepts commits, with an empty commit that is made durable like any other. For health
    /// checks.
    pub async fn probe(&self) -> Result<Revision, StoreError> {
        match self.store.commit(Transaction::default()).await {
            Ok(revision) => Ok(revision),
            Err(CommitError::Store(error)) => Err(error),
            Err(other) => Err(StoreError::new("an empty commit was refused").caused_by(other)),
        }
    }

    /// Bytes on disk, if the engine knows.
    pub async fn size_on_disk(&self) -> Result<Option<u64>, StoreError> {
        self.store.size_on_disk().await
    }
}

fn layout_now() -> Layout {
    Layout {
        version: LAYOUT_VERSION,
    }
}

/// Two nodes may open a new catalog at once: the second finds it initialised.
fn first_of_two(result: Result<Revision, CommitError>) -> Result<(), StoreError> {
    match result {
        Ok(_) | Err(CommitError::Conflict(_) | CommitError::OverCeiling { .. }) => Ok(()),
        Err(CommitError::Store(error)) => Err(error),
    }
}

fn default_type() -> VolumeType {
    VolumeType {
        id: VolumeTypeId::new(),
        name: DEFAULT_TYPE_NAME.to_owned(),
        description: Some("Default Volume Type".to_owned()),
        is_public: true,
        extra_specs: Default::default(),
        projects: Default::default(),
        qos_specs_id: None,
        created_at: Timestamp::now(),
        updated_at: None,
    }
}

#[cfg(test)]
mod tests;
