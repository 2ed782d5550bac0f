//! The journal: open operations, and the quota that they reserve.

use uuid::Uuid;

use super::prelude::*;
use super::quota::{Counted, usage_key};
use crate::model::quota::Deltas;
use crate::model::{Operation, OperationId};

impl Catalog {
    /// A journal entry by id.
    pub async fn operation(&self, id: OperationId) -> Result<Option<Stored<Operation>>, StoreError> {
        self.record(&record_key::<Operation>(id.0)).await
    }

    /// Open operations by id (so oldest first), after `after`.
    pub async fn operations(
        &self,
        after: Option<OperationId>,
        limit: usize,
    ) -> Result<Page<Stored<Operation>, OperationId>, StoreError> {
        self.page_by_id(after.map(|id| id.0), limit, |operation: &Operation| operation.id)
            .await
    }

    /// Whether a volume is being created from this volume or snapshot.
    pub async fn is_being_copied(&self, source: Uuid) -> Result<bool, StoreError> {
        let of_source = key(keys::OPERATION_BY_SOURCE).id(source).prefix();
        Ok(!self.range(of_source, None, false, 1).await?.is_empty())
    }
}

impl Indexed for Operation {
    fn key(&self) -> Key {
        record_key::<Self>(self.id.0)
    }

    /// The quota that it reserves is added to `reserved`.
    fn count(was: Option<&Self>, now: Option<&Self>, changes: &mut Changes) {
        if let Some(operation) = was.or(now) {
            changes.of(&operation.verb);
        }
        if let (Some(was), Some(now)) = (was, now)
            && was.project_id == now.project_id
            && was.reserved == now.reserved
        {
            return;
        }
        // Added before it is subtracted, so that the counter never falls below the reservations of others.
        now.inspect(|now| hold(changes, &now.project_id, &now.reserved, 1));
        was.inspect(|was| hold(changes, &was.project_id, &was.reserved, -1));
    }
}

fn hold(changes: &mut Changes, project: &ProjectId, reserved: &Deltas, sign: i64) {
    for (resource, amount) in reserved {
        changes.add(
            usage_key(project, resource, Counted::Reserved),
            sign * held(*amount),
        );
    }
}

/// The reservation for a delta: only growth is reserved (cinder: `quota_reserve` adds positive deltas only).
pub(super) fn held(amount: i64) -> i64 {
    amount.max(0)
}

impl Kind for Operation {
    const TABLES: &'static [Table] = &[keys::OPERATION];
    const INDEXES: &'static [Table] = &[keys::OPERATION_BY_SOURCE];

    fn rows(&self) -> Rows {
        let of_source = |source| key(keys::OPERATION_BY_SOURCE).id(source).id(self.id.0).end();
        let row = self.copied_from.map(of_source);
        row.into_iter().map(|row| (row, Vec::new())).collect()
    }
}
