//! Tables of lists ([`super::columns`]): filled when a list needs one, kept current, and dropped when no list needs them.
//!
//! A table is filled by a walk through the records of its scope: all projects, or one. From before the walk on, the store records the
//! keys that change ([`changed_keys`](crate::store::changed_keys)), and before each use of a table their records are read again. So a
//! list shows every change that was answered before it.
//!
//! The tables of a kind of record have one lock. It is held while changed records are read and while rows are selected, never during
//! the walk that fills a table.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::{MappedMutexGuard, MutexGuard, watch};
use tokio::time::Instant;

use super::columns::Table;
use super::keys::{key, last_id};
use super::listable::Listable;
use super::plan::path_of;
use super::read::{BATCH, Walk, sees, stored};
use super::tables::{KEPT, ListOptions, ListTables, Scope, Slot, State};
use super::{Catalog, Stored};
use crate::store::{Entry, Key, StoreError};

/// A table that is current, and locked.
pub(super) type Current<'t, R> = MappedMutexGuard<'t, Table<R>>;

impl<R: Listable> ListTables<R> {
    /// The table of a scope, current and locked. `None` if there is none, and `may_fill` is false or there can be none.
    pub(super) async fn current(
        &self,
        catalog: &Catalog,
        scope: &Scope,
        may_fill: bool,
    ) -> Result<Option<Current<'_, R>>, StoreError> {
        loop {
            let mut state = self.0.lock().await;
            if state.slots.is_empty() && !may_fill {
                return Ok(None);
            }
            state.read_changed(catalog).await?;
            match state.slots.get(scope) {
                Some(Slot::Filled { .. }) => {
                    return Ok(MutexGuard::try_map(state, |state| state.use_table(scope)).ok());
                }
                Some(Slot::TooLarge { since }) if since.elapsed() < KEPT => return Ok(None),
                Some(_) | None if !may_fill => return Ok(None),
                Some(Slot::Filling { ended, .. }) if ended.has_changed().is_ok() => {
                    let mut ended = ended.clone();
                    drop(state);
                    // An error is the end of the one that fills it.
                    let _ = ended.changed().await;
                }
                _ => {
                    let Some(filling) = state.begin_to_fill(catalog, scope) else {
                        return Ok(None);
                    };
                    drop(state);
                    self.fill(catalog, scope, &filling).await?;
                }
            }
        }
    }

    /// Fills the table of a scope, and puts it into its slot. If it is dropped before its end, so is the sender, and another list
    /// begins again.
    async fn fill(
        &self,
        catalog: &Catalog,
        scope: &Scope,
        filling: &watch::Sender<()>,
    ) -> Result<(), StoreError> {
        let most = catalog.tables.options.memory_of_one();
        let mut table = Box::new(Table::new());
        let path = path_of::<R>(scope.as_ref());
        let mut walk = Walk::new(path.prefix.clone(), false);
        while let Some(rows) = walk.next(catalog).await? {
            for (key, entry) in catalog.entries_of_rows(&path, rows).await? {
                let found: Stored<R> = stored(&key, &entry)?;
                if sees(scope.as_ref(), found.project_id()) {
                    table.fill(&found.record, &entry);
                }
            }
            if table.memory() > most {
                table.forget_records();
            }
            if table.memory() > most {
                break;
            }
        }
        table.is_filled();
        let mut state = self.0.lock().await;
        state.read_changed(catalog).await?;
        let Some(Slot::Filling { changed, ended }) = state.slots.get(scope) else {
            return Ok(());
        };
        if !ended.same_channel(&filling.subscribe()) {
            return Ok(());
        }
        let changed: Vec<Key> = changed.iter().cloned().collect();
        for keys in changed.chunks(BATCH) {
            for (key, record) in keys.iter().zip(read::<R>(catalog, keys).await?) {
                update(&mut table, scope, key, record.as_ref());
            }
        }
        state.put(scope, table, catalog.tables.options);
        Ok(())
    }

    /// Drops those that were not used for so long.
    pub(super) async fn drop_older(&self, age: Duration) {
        let mut state = self.0.lock().await;
        state.slots.retain(|_, slot| match slot {
            Slot::Filling { ended, .. } => ended.has_changed().is_ok(),
            Slot::Filled { used: at, .. } | Slot::TooLarge { since: at } => at.elapsed() < age,
        });
        state.end_if_empty();
    }
}

impl<R: Listable> ListTables<R> {
    /// About how many bytes of memory they take.
    pub(super) async fn memory(&self) -> usize {
        self.0.lock().await.memory()
    }
}

impl<R: Listable> State<R> {
    fn use_table(&mut self, scope: &Scope) -> Option<&mut Table<R>> {
        match self.slots.get_mut(scope)? {
            Slot::Filled { table, used } => {
                *used = Instant::now();
                Some(table)
            }
            Slot::Filling { .. } | Slot::TooLarge { .. } => None,
        }
    }

    /// Reserves the slot of a scope; from now on changes are recorded. `None` if the store does not record changes.
    fn begin_to_fill(&mut self, catalog: &Catalog, scope: &Scope) -> Option<watch::Sender<()>> {
        if self.changes.is_none() {
            self.changes = catalog.store.changed_keys(&key(R::TABLES[0]).prefix());
        }
        self.changes.as_ref()?;
        let (filling, ended) = watch::channel(());
        let changed = BTreeSet::new();
        self.slots.insert(scope.clone(), Slot::Filling { changed, ended });
        Some(filling)
    }

    /// Reads the records that changed, and updates all tables. What is not done when this is dropped is done by the next call.
    async fn read_changed(&mut self, catalog: &Catalog) -> Result<(), StoreError> {
        let Some(changes) = &self.changes else {
            return Ok(());
        };
        let Some(changed) = changes.take() else {
            // Any record may have changed.
            self.pending.clear();
            self.slots.clear();
            return Ok(());
        };
        for slot in self.slots.values_mut() {
            if let Slot::Filling { changed: missed, .. } = slot {
                missed.extend(changed.iter().cloned());
            }
        }
        self.pending.extend(changed);
        while !self.pending.is_empty() {
            let keys: Vec<Key> = self.pending.iter().take(BATCH).cloned().collect();
            let records = read::<R>(catalog, &keys).await?;
            for (key, record) in keys.iter().zip(records) {
                self.pending.remove(key);
                for (scope, slot) in &mut self.slots {
                    if let Slot::Filled { table, .. } = slot {
                        update(table, scope, key, record.as_ref());
                    }
                }
            }
        }
        self.slots.retain(|_, slot| match slot {
            Slot::Filled { table, .. } => !table.is_worn(),
            Slot::Filling { .. } | Slot::TooLarge { .. } => true,
        });
        self.make_room(None, catalog.tables.options.memory);
        Ok(())
    }

    /// Puts a table into its slot, and drops others, those first that were used longest ago, until all fit into so many bytes.
    fn put(&mut self, scope: &Scope, table: Box<Table<R>>, options: ListOptions) {
        let most = options.memory_of_one();
        let since = Instant::now();
        if table.memory() > most {
            tracing::info!(
                ?scope,
                most,
                "the table of a list is too large for its memory: the list walks its records"
            );
            self.slots.insert(scope.clone(), Slot::TooLarge { since });
            return;
        }
        self.slots
            .insert(scope.clone(), Slot::Filled { table, used: since });
        self.make_room(Some(scope), options.memory);
    }

    /// Drops tables until all fit into so many bytes, those first that were used longest ago, but not this one.
    fn make_room(&mut self, kept: Option<&Scope>, most: usize) {
        while self.memory() > most {
            let others = self.slots.iter().filter_map(|(other, slot)| match slot {
                Slot::Filled { used, .. } if Some(other) != kept => Some((*used, other.clone())),
                _ => None,
            });
            let Some((_, oldest)) = others.min() else {
                return;
            };
            self.slots.remove(&oldest);
        }
    }

    fn memory(&self) -> usize {
        let tables = self.slots.values().map(|slot| match slot {
            Slot::Filled { table, .. } => table.memory(),
            Slot::Filling { .. } | Slot::TooLarge { .. } => 0,
        });
        tables.sum()
    }

    fn end_if_empty(&mut self) {
        if self.slots.is_empty() {
            self.changes = None;
            self.pending = BTreeSet::new();
        }
    }
}

/// The records with these keys and their entries, in their order; `None` for deleted ones.
async fn read<R: Listable>(catalog: &Catalog, keys: &[Key]) -> Result<Vec<Option<(R, Entry)>>, StoreError> {
    let entries = catalog.store.get_many(keys).await?;
    let found = keys.iter().zip(entries);
    found
        .map(|(key, entry)| {
            let Some(entry) = entry else {
                return Ok(None);
            };
            let found = stored::<R>(key, &entry)?;
            Ok(Some((found.record, entry)))
        })
        .collect()
}

fn update<R: Listable>(table: &mut Table<R>, scope: &Scope, key: &Key, found: Option<&(R, Entry)>) {
    match found.filter(|(record, _)| record.is_listed(scope.as_ref())) {
        Some((record, entry)) => table.put(record, entry),
        None => last_id(key).into_iter().for_each(|id| table.remove(id)),
    }
}
