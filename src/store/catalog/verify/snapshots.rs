//! The check of snapshots: their rows, counters and references.

use super::super::keys::{self, key};
use super::super::kinds::record_key;
use super::super::read::Walk;
use super::{Check, Finding, UsageOf};
use crate::model::quota::snapshot_deltas;
use crate::model::{Operation, Snapshot};
use crate::store::StoreError;

impl Check<'_> {
    /// Checks every snapshot, and adds it to the expected counters.
    pub(super) async fn snapshots(&mut self, expected: &mut UsageOf) -> Result<(), StoreError> {
        let mut walk = Walk::new(key(keys::SNAPSHOT).prefix(), false);
        while let Some(entries) = walk.next(self.catalog).await? {
            for snapshot in self.readable::<Snapshot>(entries).await? {
                if snapshot.consumes_quota {
                    let deltas = snapshot_deltas(snapshot.volume_size, snapshot.volume_type_id);
                    for (resource, amount) in deltas {
                        let of = (snapshot.project_id.clone(), resource);
                        expected.entry(of).or_default().in_use += amount;
                    }
                }
                self.snapshot_stands(&snapshot).await?;
            }
        }
        Ok(())
    }

    async fn snapshot_stands(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        if !self.volume_is_there(snapshot.volume_id).await? {
            self.findings.push(Finding::SnapshotWithoutVolume {
                snapshot: snapshot.id,
                volume: snapshot.volume_id,
            });
        }
        match snapshot.operation {
            Some(operation) if !self.operation_is_open(operation).await? => {
                self.findings.push(Finding::DanglingSnapshot {
                    snapshot: snapshot.id,
                    operation,
                });
            }
            None if snapshot.status.is_transient() => {
                self.findings.push(Finding::StuckSnapshot {
                    snapshot: snapshot.id,
                    status: snapshot.status,
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// Checks that the snapshot of an operation exists.
    pub(super) async fn snapshot_of_operation_is_there(
        &mut self,
        operation: &Operation,
    ) -> Result<(), StoreError> {
        let Some(snapshot) = operation.snapshot_id else {
            return Ok(());
        };
        let found = self
            .catalog
            .store
            .get(&record_key::<Snapshot>(snapshot.0))
            .await?;
        if found.is_none() {
            self.findings.push(Finding::OperationWithoutSnapshot {
                operation: operation.id,
                snapshot,
            });
        }
        Ok(())
    }
}
