//! Reads of records and ranges.

use std::borrow::Borrow;

use uuid::Uuid;

use super::keys::{TIME_BYTES, Table, bytes_time, key};
use super::kinds::{Kind, record_key};
use super::query::Page;
use super::{Catalog, Stored};
use crate::model::{ProjectId, Timestamp};
use crate::store::record::{Record, decode};
use crate::store::{Entry, Key, Scan, StoreError};

/// The number of entries per read in a walk: enough to amortise the call, few enough for the memory.
pub(super) const BATCH: usize = 1024;

impl Catalog {
    /// The record with this key.
    pub(super) async fn record<R: Record>(&self, key: &Key) -> Result<Option<Stored<R>>, StoreError> {
        self.store
            .get(key)
            .await?
            .map(|entry| stored(key, &entry))
            .transpose()
    }

    /// The records with these keys, in their order; deleted ones are left out.
    pub(super) async fn records<R: Record>(&self, keys: &[Key]) -> Result<Vec<Stored<R>>, StoreError> {
        let entries = self.store.get_many(keys).await?;
        let found = keys.iter().zip(entries);
        decoded(found.filter_map(|(key, entry)| Some((key, entry?))).collect()).await
    }

    /// Up to `limit` entries after `after`.
    pub(super) async fn range(
        &self,
        prefix: Vec<u8>,
        after: Option<Key>,
        reverse: bool,
        limit: usize,
    ) -> Result<Vec<(Key, Entry)>, StoreError> {
        self.store
            .scan(Scan {
                prefix,
                after,
                reverse,
                limit,
            })
            .await
    }

    /// The records of these index rows, in their order; deleted ones are left out.
    pub(super) async fn records_of<K: Kind>(
        &self,
        rows: &[(Key, Entry)],
    ) -> Result<Vec<Stored<K>>, StoreError> {
        let keys: Vec<Key> = rows
            .iter()
            .filter_map(|(row, entry)| K::record_of(row, &entry.value))
            .collect();
        self.records(&keys).await
    }

    /// The records of all index rows with this prefix, in their order.
    pub(super) async fn indexed<K: Kind>(&self, prefix: Vec<u8>) -> Result<Vec<Stored<K>>, StoreError> {
        let mut walk = Walk::new(prefix, false);
        let mut records = Vec::new();
        while let Some(rows) = walk.next(self).await? {
            records.extend(self.records_of(&rows).await?);
        }
        Ok(records)
    }

    /// Up to `limit` records in a table that is ordered by id, after `after`.
    pub(super) async fn page_by_id<K: Kind, I>(
        &self,
        after: Option<Uuid>,
        limit: usize,
        id: fn(&K) -> I,
    ) -> Result<Page<Stored<K>, I>, StoreError> {
        let table = key(K::TABLES[0]).prefix();
        let entries = self
            .range(table, after.map(record_key::<K>), false, limit)
            .await?;
        let is_full = entries.len() >= limit;
        let records: Vec<Stored<K>> = decoded(entries).await?;
        let next = records.last().filter(|_| is_full).map(|last| id(&last.record));
        Ok(Page { records, next })
    }

    /// Expired records by their index, the longest expired first, of up to `limit` rows.
    pub(super) async fn expired<K: Kind>(
        &self,
        index: Table,
        now: Timestamp,
        limit: usize,
    ) -> Result<Page<Stored<K>, Timestamp>, StoreError> {
        let rows = self.range(key(index).prefix(), None, false, limit).await?;
        let (times, keys): (Vec<Timestamp>, Vec<Key>) = rows
            .iter()
            .filter_map(|(row, entry)| {
                let expiry = bytes_time(row.0.get(2..2 + TIME_BYTES)?)?;
                Some((expiry, K::record_of(row, &entry.value)?))
            })
            .take_while(|(expiry, _)| *expiry <= now)
            .unzip();
        Ok(Page {
            records: self.records(&keys).await?,
            next: times.last().copied().filter(|_| times.len() >= limit),
        })
    }

    /// All records with this prefix. For small tables.
    pub(super) async fn all<R: Record>(&self, prefix: Vec<u8>) -> Result<Vec<Stored<R>>, StoreError> {
        let mut walk = Walk::new(prefix, false);
        let mut records = Vec::new();
        while let Some(entries) = walk.next(self).await? {
            records.extend(decoded(entries).await?);
        }
        Ok(records)
    }
}

/// Decodes an entry; the error contains its key.
pub(super) fn stored<R: Record>(key: &Key, entry: &Entry) -> Result<Stored<R>, StoreError> {
    match decode(&entry.value) {
        Ok(record) => Ok(Stored {
            record,
            revision: entry.revision,
        }),
        Err(error) => Err(StoreError::new(format!("{error} at {key:?}")).caused_by(error)),
    }
}

/// How many bytes of records are decoded before yielding to other tasks of the thread: some milliseconds of work.
const AT_A_STRETCH: usize = 512 * 1024;

/// Decodes a page of entries, and yields in between if it is large.
pub(super) async fn decoded<R: Record, K: Borrow<Key>>(
    entries: Vec<(K, Entry)>,
) -> Result<Vec<Stored<R>>, StoreError> {
    let mut records = Vec::with_capacity(entries.len());
    let mut bytes = 0_usize;
    for (key, entry) in entries {
        bytes += entry.value.len();
        if bytes > AT_A_STRETCH {
            bytes = entry.value.len();
            tokio::task::yield_now().await;
        }
        records.push(stored(key.borrow(), &entry)?);
    }
    Ok(records)
}

/// Whether a caller with `scope` (`None`: all projects) may see records of `project`.
pub(super) fn sees(scope: Option<&ProjectId>, project: &ProjectId) -> bool {
    scope.is_none_or(|scope| scope == project)
}

/// Walks a range in batches, with no more than one batch in memory.
pub(super) struct Walk {
    prefix: Vec<u8>,
    after: Option<Key>,
    reverse: bool,
    batch: usize,
    ended: bool,
}

impl Walk {
    pub(super) fn new(prefix: Vec<u8>, reverse: bool) -> Self {
        Self {
            prefix,
            after: None,
            reverse,
            batch: BATCH,
            ended: false,
        }
    }

    pub(super) fn behind(mut self, after: Option<Key>) -> Self {
        self.after = after;
        self
    }

    /// Sets the size of the first batch, if few entries may be enough; it doubles with each batch.
    pub(super) fn beginning_with(mut self, batch: usize) -> Self {
        self.batch = batch.clamp(1, BATCH);
        self
    }

    /// The next batch; `None` at the end.
    pub(super) async fn next(&mut self, catalog: &Catalog) -> Result<Option<Vec<(Key, Entry)>>, StoreError> {
        self.next_few(catalog, BATCH).await
    }

    /// The next batch, with at most `most` entries; `None` at the end, and if `most` is 0.
    pub(super) async fn next_few(
        &mut self,
        catalog: &Catalog,
        most: usize,
    ) -> Result<Option<Vec<(Key, Entry)>>, StoreError> {
        let batch = self.batch.min(most);
        if self.ended || batch == 0 {
            return Ok(None);
        }
        if self.after.is_some() {
            // A long walk yields to other tasks, and can be cancelled there.
            tokio::task::yield_now().await;
        }
        let entries = catalog
            .range(self.prefix.clone(), self.after.clone(), self.reverse, batch)
            .await?;
        self.ended = entries.len() < batch;
        self.batch = (self.batch * 2).min(BATCH);
        self.after = entries.last().map(|(key, _)| key.clone());
        Ok((!entries.is_empty()).then_some(entries))
    }
}
