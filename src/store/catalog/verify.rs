//! Checks the consistency of the catalog.
//!
//! Every record is read and its index rows looked up; every index row is read and its record looked up; every counter
//! is computed again. For a catalog without concurrent commits, which could appear as faults. Memory grows with the
//! number of projects and types, not of volumes.

mod finding;
mod repair;
mod running;
mod snapshots;
mod storage;

use std::collections::{BTreeMap, BTreeSet};

use super::keys::{self, Table, key};
use super::kinds::{Kind, KindVisitor, every_kind, record_key};
use super::operations::held;
use super::quota::{Counted, usage_key};
use super::read::{Walk, stored};
use super::types::type_counter;
use super::volumes::{Total, is_in_its_project, totals_key};
use super::{Catalog, volumes};
use crate::model::quota::{Resource, Usage, volume_deltas};
use crate::model::{
    Attachment, Operation, OperationId, ProjectId, Snapshot, Volume, VolumeId, VolumeType, VolumeTypeId,
};
use crate::store::evaluate::counter_value;
use crate::store::record::Record;
use crate::store::{Change, Entry, Key, StoreError};

pub use finding::Finding;
pub use repair::{Repair, repair};
pub use running::{repair_usage, verify_running, wrong_usage};
pub use storage::{Found, expects_storage, verify_storage};

/// All inconsistencies of the catalog; empty if there are none.
///
/// # Errors
/// When the store fails, or a counter of usage is damaged. Any other damage is a finding.
pub async fn verify(catalog: &Catalog) -> Result<Vec<Finding>, StoreError> {
    Ok(Check::of(catalog).await?.findings)
}

struct Check<'a> {
    catalog: &'a Catalog,
    findings: Vec<Finding>,
    /// The repairs of findings that have only one possible repair, by their index in `findings`.
    repairs: Vec<(usize, Change)>,
}

type UsageOf = BTreeMap<(ProjectId, Resource), Usage>;

impl<'a> Check<'a> {
    fn new(catalog: &'a Catalog) -> Self {
        Self {
            catalog,
            findings: Vec::new(),
            repairs: Vec::new(),
        }
    }

    async fn of(catalog: &'a Catalog) -> Result<Self, StoreError> {
        let mut check = Self::new(catalog);
        check.tables().await?;
        check.volumes_and_usage().await?;
        every_kind(&mut Others(&mut check)).await?;
        every_kind(&mut Indexes(&mut check)).await?;
        Ok(check)
    }

    fn find(&mut self, finding: Finding, mend: Change) {
        self.repairs.push((self.findings.len(), mend));
        self.findings.push(finding);
    }

    /// Seeks from table to table, so that keys outside of all tables are found without reading all the others.
    async fn tables(&mut self) -> Result<(), StoreError> {
        let known: BTreeSet<&[u8]> = keys::ALL.iter().map(|table| table.as_slice()).collect();
        let mut after = None;
        while let Some((key, _)) = self.catalog.range(Vec::new(), after, false, 1).await?.pop() {
            let table = key.0.get(..2).unwrap_or(&key.0);
            after = Some(if known.contains(table) {
                // After all keys of this table: none has so many bytes of the highest value.
                Key([table, [0xff; 64].as_slice()].concat())
            } else {
                self.findings.push(Finding::UnknownKey { key: key.clone() });
                key
            });
        }
        Ok(())
    }

    /// Checks volumes and snapshots with their sums, and operations, whose reservations are the other part of usage.
    async fn volumes_and_usage(&mut self) -> Result<(), StoreError> {
        let types: BTreeSet<VolumeTypeId> = self
            .read_all::<VolumeType>(keys::VOLUME_TYPE)
            .await?
            .into_iter()
            .map(|kind| kind.id)
            .collect();
        let mut expected = UsageOf::new();
        let mut totals: BTreeMap<Key, i64> = BTreeMap::new();
        let mut walk = Walk::new(key(keys::VOLUME).prefix(), false);
        while let Some(entries) = walk.next(self.catalog).await? {
            let volumes: Vec<Volume> = self.readable(entries).await?;
            for volume in &volumes {
                if is_in_its_project(volume) {
                    *totals
                        .entry(totals_key(&volume.project_id, Total::Volumes))
                        .or_default() += 1;
                    *totals
                        .entry(totals_key(&volume.project_id, Total::Gib))
                        .or_default() += i64::from(volume.size);
                }
                if let Some(id) = volume.volume_type_id {
                    *totals.entry(type_counter(id)).or_default() += 1;
                    if !types.contains(&id) {
                        self.findings.push(Finding::VolumeWithoutType {
                            volume: volume.id,
                            volume_type: id,
                        });
                    }
                }
                if volume.consumes_quota {
                    for (resource, amount) in volume_deltas(volume.size, volume.volume_type_id) {
                        expected
                            .entry((volume.project_id.clone(), resource))
                            .or_default()
                            .in_use += amount;
                    }
                }
            }
            self.volumes_have_operations(&volumes).await?;
        }
        self.snapshots(&mut expected).await?;
        let mut walk = Walk::new(key(keys::OPERATION).prefix(), false);
        while let Some(entries) = walk.next(self.catalog).await? {
            for operation in self.readable::<Operation>(entries).await? {
                for (resource, amount) in &operation.reserved {
                    let usage = expected
                        .entry((operation.project_id.clone(), resource.clone()))
                        .or_default();
                    usage.reserved += held(*amount);
                }
                if let Some(volume) = operation.volume_id
                    && !self.volume_is_there(volume).await?
                {
                    self.findings.push(Finding::OperationWithoutVolume {
                        operation: operation.id,
                        volume,
                    });
                }
                self.snapshot_of_operation_is_there(&operation).await?;
            }
        }
        self.compare_usage(&expected).await?;
        self.compare_totals(totals).await
    }

    async fn volumes_have_operations(&mut self, volumes: &[Volume]) -> Result<(), StoreError> {
        for volume in volumes {
            match volume.operation {
                Some(id) => self.operation_of_volume_is_open(volume.id, id).await?,
                None if volume.status.is_transient() => {
                    self.findings.push(Finding::Stuck {
                        volume: volume.id,
                        status: volume.status,
                    });
                }
                None => {}
            }
        }
        Ok(())
    }

    async fn operation_of_volume_is_open(
        &mut self,
        volume: VolumeId,
        operation: OperationId,
    ) -> Result<(), StoreError> {
        if !self.operation_is_open(operation).await? {
            self.findings
                .push(Finding::DanglingOperation { volume, operation });
        }
        Ok(())
    }

    async fn operation_is_open(&self, id: OperationId) -> Result<bool, StoreError> {
        let found = self.catalog.store.get(&record_key::<Operation>(id.0)).await?;
        Ok(found.is_some())
    }

    /// Uses the index, so that an unreadable volume is reported once, and not again for each record that belongs to it.
    async fn volume_is_there(&self, id: VolumeId) -> Result<bool, StoreError> {
        Ok(self.catalog.store.get(&volumes::id_key(id)).await?.is_some())
    }

    async fn compare_usage(&mut self, expected: &UsageOf) -> Result<(), StoreError> {
        let found = self.catalog.all_usage().await?;
        let all: BTreeSet<_> = found.keys().chain(expected.keys()).collect();
        for of in all {
            let found = found.get(of).copied().unwrap_or_default();
            let right = expected.get(of).copied().unwrap_or_default();
            for (counted, stored, expected) in [
                (Counted::InUse, found.in_use, right.in_use),
                (Counted::Reserved, found.reserved, right.reserved),
            ] {
                if stored == expected {
                    continue;
                }
                let counter = usage_key(&of.0, &of.1, counted);
                let project = of.0.clone();
                // As shown to clients.
                let resource = Resource(self.catalog.shown(&of.1).await?);
                let finding = match counted {
                    Counted::InUse => Finding::WrongInUse {
                        project,
                        resource,
                        stored,
                        expected,
                    },
                    Counted::Reserved => Finding::WrongReserved {
                        project,
                        resource,
                        stored,
                        expected,
                    },
                };
                self.find(finding, set(counter, expected));
            }
        }
        Ok(())
    }

    async fn compare_totals(&mut self, mut expected: BTreeMap<Key, i64>) -> Result<(), StoreError> {
        for table in [keys::VOLUME_TOTALS, keys::VOLUMES_OF_TYPE] {
            let mut walk = Walk::new(key(table).prefix(), false);
            while let Some(counters) = walk.next(self.catalog).await? {
                for (counter, entry) in counters {
                    let expected = expected.remove(&counter).unwrap_or(0);
                    match counter_value(&counter, &entry.value) {
                        Ok(stored) => self.compare_total(counter, stored, expected),
                        Err(error) => self.findings.push(Finding::Unreadable {
                            key: counter,
                            why: error.what,
                        }),
                    }
                }
            }
        }
        for (counter, expected) in expected {
            self.compare_total(counter, 0, expected);
        }
        Ok(())
    }

    fn compare_total(&mut self, counter: Key, stored: i64, expected: i64) {
        if stored != expected {
            let mend = set(counter.clone(), expected);
            let finding = Finding::WrongTotal {
                counter,
                stored,
                expected,
            };
            self.find(finding, mend);
        }
    }

    /// Checks a record of a kind without counters.
    async fn belongs<K: Kind>(&mut self, record: &K) -> Result<(), StoreError> {
        let Some(volume) = record.volume() else {
            return Ok(());
        };
        if !self.volume_is_there(volume).await? {
            self.findings.push(match K::KIND {
                Attachment::KIND => Finding::AttachmentWithoutVolume { volume },
                _ => Finding::RecordWithoutVolume {
                    what: K::NAME,
                    volume,
                },
            });
        }
        match record.operation() {
            Some(id) => self.operation_of_volume_is_open(volume, id).await,
            None => Ok(()),
        }
    }

    /// Checks that the rows of an index have records.
    async fn rows_have_records<K: Kind>(&mut self, table: Table) -> Result<(), StoreError> {
        let mut walk = Walk::new(key(table).prefix(), false);
        while let Some(rows) = walk.next(self.catalog).await? {
            for (row, entry) in rows {
                let belongs = match K::record_of(&row, &entry.value) {
                    None => false,
                    Some(record) => match self.catalog.store.get(&record).await? {
                        None => false,
                        // An unreadable record was already reported.
                        Some(found) => match stored::<K>(&record, &found) {
                            Ok(found) => found.rows().contains_key(&row),
                            Err(_) => true,
                        },
                    },
                };
                if !belongs {
                    self.find(Finding::StrayRow { row: row.clone() }, Change::Delete(row));
                }
            }
        }
        Ok(())
    }

    async fn read_all<R: Record>(&mut self, table: Table) -> Result<Vec<R>, StoreError> {
        let mut walk = Walk::new(key(table).prefix(), false);
        let mut records = Vec::new();
        while let Some(entries) = walk.next(self.catalog).await? {
            let readable = |(key, entry): &(Key, Entry)| Some(stored::<R>(key, entry).ok()?.record);
            records.extend(entries.iter().filter_map(readable));
        }
        Ok(records)
    }

    /// The readable records, after a check of their rows.
    async fn readable<K: Kind>(&mut self, entries: Vec<(Key, Entry)>) -> Result<Vec<K>, StoreError> {
        let mut records = Vec::with_capacity(entries.len());
        for (key, entry) in entries {
            let record = match stored::<K>(&key, &entry) {
                Ok(found) => found.record,
                Err(error) => {
                    self.findings.push(Finding::Unreadable { key, why: error.what });
                    continue;
                }
            };
            let rows = record.rows();
            let row_keys: Vec<Key> = rows.keys().cloned().collect();
            let found = self.catalog.store.get_many(&row_keys).await?;
            for ((row, value), found) in rows.into_iter().zip(found) {
                if found.is_none_or(|entry| entry.value != value) {
                    let finding = Finding::MissingRow {
                        record: key.clone(),
                        row: row.clone(),
                    };
                    self.find(finding, Change::Put(row, value));
                }
            }
            records.push(record);
        }
        Ok(records)
    }
}

/// Reads the kinds of records without counters: the others have been read before.
struct Others<'c, 'a>(&'c mut Check<'a>);

impl KindVisitor for Others<'_, '_> {
    async fn kind<K: Kind>(&mut self) -> Result<(), StoreError> {
        if [Volume::KIND, Snapshot::KIND, Operation::KIND].contains(&K::KIND) {
            return Ok(());
        }
        for table in K::TABLES {
            let mut walk = Walk::new(key(table).prefix(), false);
            while let Some(entries) = walk.next(self.0.catalog).await? {
                for record in self.0.readable::<K>(entries).await? {
                    self.0.belongs(&record).await?;
                }
            }
        }
        Ok(())
    }
}

/// Checks that every index row has its record.
struct Indexes<'c, 'a>(&'c mut Check<'a>);

impl KindVisitor for Indexes<'_, '_> {
    async fn kind<K: Kind>(&mut self) -> Result<(), StoreError> {
        for table in K::INDEXES {
            self.0.rows_have_records::<K>(table).await?;
        }
        Ok(())
    }
}

fn set(counter: Key, to: i64) -> Change {
    Change::Put(counter, to.to_be_bytes().to_vec())
}

#[cfg(test)]
mod tests;
