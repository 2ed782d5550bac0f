//! Handing an operation over to a control node that reaches its backend, where its owner does not: a link between two nodes may be cut
//! for long, while each of them is connected to others.

use std::rc::Rc;
use std::time::Duration;

use tracing::info;

use super::ApiActor;
use crate::messages::api::{ApiTopic, TakeOperation};
use crate::messages::volume::VolumeTopic;
use crate::model::{Context, Operation, Result};
use crate::store::catalog::Stored;
use crate::verbs::command::context_of;

/// How long others may take to answer.
const ASK: Duration = Duration::from_secs(2);

impl ApiActor {
    /// Asks the other control nodes to take over an operation whose backend cannot be reached from here; true if one has. One that has no
    /// backend yet is asked for where no backend at all can be reached.
    pub(super) async fn hand_over(&self, operation: &Operation, tries: u32) -> bool {
        let Some(own) = self.nodes.own() else {
            return false;
        };
        // A backend that restarts is back sooner than others have answered.
        let may_be_back = operation.pool.is_some() && tries == 0;
        if may_be_back || self.reaches_backend_of(operation) {
            return false;
        }
        let here = self.router.server::<ApiTopic>(&own.node);
        if !here.can_send::<TakeOperation>() {
            return false;
        }
        let question = TakeOperation {
            operation: operation.id,
        };
        let answers = here.call_others(&context_of(operation), question, ASK).await;
        let taker = answers.into_iter().find(|(_, answer)| matches!(answer, Ok(true)));
        if let Some((node, _)) = &taker {
            info!(operation = %operation.id, node, "an operation was handed over, because its backend cannot be reached from here");
            self.timers.cancel(operation.id);
        }
        taker.is_some()
    }

    fn reaches_backend_of(&self, operation: &Operation) -> bool {
        let backend = match &operation.pool {
            Some(pool) => self.router.server::<VolumeTopic>(&pool.backend.to_string()),
            None => self.router.any::<VolumeTopic>(),
        };
        self.router.reaches(backend.address())
    }

    /// Serves [`TakeOperation`]. Only its owner can give an operation away.
    pub(super) async fn take_operation(
        self: Rc<Self>,
        context: Context,
        message: TakeOperation,
    ) -> Result<bool> {
        let is_given = |operation: &Stored<Operation>| {
            operation.owner.is_some() && operation.owner.as_ref() == context.sender.as_deref()
        };
        let mut found = self.catalog.operation(message.operation).await?.filter(is_given);
        if found.is_none() {
            // The sender has committed it, which may not be shown here yet.
            self.catalog.wait_current().await?;
            found = self.catalog.operation(message.operation).await?.filter(is_given);
        }
        match found {
            Some(operation) if self.reaches_backend_of(&operation) => self.take_over(&operation).await,
            _ => Ok(false),
        }
    }
}
