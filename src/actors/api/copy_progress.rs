//! Records how much of a volume's copy is durable, so that a restarted copy continues there.

use std::rc::Rc;

use super::ApiActor;
use crate::control::{Interrupt, retry_on_conflict};
use crate::messages::api::CopyProgress;
use crate::model::{Context, Operation, Result};
use crate::verbs::verb_of;

impl ApiActor {
    /// Serves [`CopyProgress`]. Late reports, and those of earlier commands, are dropped.
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
        if operation.attempt != progress.command.attempt || !operation.is_on(&progress.from) {
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
