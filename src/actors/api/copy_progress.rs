//! How much of a copy of a volume is durable, so that one that is begun again goes on from there.

use std::rc::Rc;

use super::ApiActor;
use crate::control::{Interrupt, retry_on_conflict};
use crate::messages::api::CopyProgress;
use crate::model::{Context, Operation, Result};
use crate::verbs::verb_of;

impl ApiActor {
    /// Serves [`CopyProgress`]. What comes late, or of an earlier command, is dropped.
    pub(super) async fn copy_progress(
        self: Rc<Self>,
        _context: Context,
        progress: CopyProgress,
    ) -> Result<()> {
        retry_on_conflict!(self.try_copy_progress(&progress).await)
    }

    async fn try_copy_progress(&self, progress: &CopyProgress) -> Result<(), Interrupt> {
        let Some(operation) = self.catalog.operation(progress.command.operation).await? else {
            return Ok(());
        };
        let is_its_backend = |operation: &Operation| {
            let pool = operation.pool.as_ref();
            pool.is_some_and(|pool| pool.backend == progress.from)
        };
        if operation.attempt != progress.command.attempt || !is_its_backend(&operation) {
            return Ok(());
        }
        let Some(entry) = verb_of(&operation)?.progressed(progress.offset) else {
            return Ok(());
        };
        let further = Operation {
            entry,
            ..operation.record.clone()
        };
        let mut changes = self.catalog.change();
        changes.update(&operation, &further);
        changes.commit().await?;
        Ok(())
    }
}
