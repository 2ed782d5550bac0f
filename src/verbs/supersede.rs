//! Ends open operations that a stronger request supersedes: a forced delete, an administrator's reset.
//!
//! The ends are part of the superseding commit, so a late report finds no open operation. What they held is released by
//! [`super::release`].

use super::verb_of;
use super::volume::deletion;
use crate::control::{Control, Interrupt};
use crate::model::{Operation, OperationId, Timestamp, Volume};
use crate::store::catalog::{Changes, Stored};

impl Control {
    /// Adds the ends of those of these operations that are open, and returns them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn supersede(
        &self,
        changes: &mut Changes,
        named: impl IntoIterator<Item = OperationId>,
    ) -> Result<Vec<Operation>, Interrupt> {
        let mut superseded: Vec<Operation> = Vec::new();
        for id in named {
            if superseded.iter().any(|operation| operation.id == id) {
                continue;
            }
            if let Some(open) = self.catalog.operation(id).await? {
                match self.deletion_of_copy(&open).await? {
                    Some((copy, (operation, deleting))) => {
                        changes.update(&copy, &deleting).update(&open, &operation);
                    }
                    None => {
                        changes.delete(&open);
                    }
                }
                superseded.push(open.record);
            }
        }
        Ok(superseded)
    }

    /// The hidden copy of an operation, and the changes of both: the operation continues with its deletion.
    async fn deletion_of_copy(
        &self,
        operation: &Operation,
    ) -> Result<Option<(Stored<Volume>, (Operation, Volume))>, Interrupt> {
        let copy = verb_of(operation).ok().and_then(|verb| verb.hidden_copy());
        let Some(copy) = copy else { return Ok(None) };
        let Some(copy) = self.catalog.volume(copy).await? else {
            return Ok(None);
        };
        let deletion = deletion(operation, &copy, &self.options.deadlines, Timestamp::now());
        Ok(deletion.map(|deletion| (copy, deletion)))
    }
}
