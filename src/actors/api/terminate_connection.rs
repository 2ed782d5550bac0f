//! `os-terminate_connection`, and the storage half of `os-force_detach`: an initiator is let in no longer.

use std::rc::Rc;

use super::commands::holds_the_export;
use super::lookup::{Unchanged, until_not_overtaken};
use super::waiters::Listener;
use super::{ApiActor, old_connectors};
use crate::messages::api::TerminateConnection;
use crate::model::bounds::check_connector;
use crate::model::transitions::{Verb, decide};
use crate::model::{Context, Operation, OperationKind, Result, Timestamp, Volume};

impl ApiActor {
    /// Serves [`TerminateConnection`]: waits for the backend. A volume that was reserved the old way is free again then.
    pub(super) async fn terminate_connection(
        self: Rc<Self>,
        context: Context,
        request: TerminateConnection,
    ) -> Result<()> {
        if let Some(connector) = &request.connector {
            check_connector(connector)?;
        }
        let _seat = self.waiters.seat(self.options.max_waiting)?;
        let begun = until_not_overtaken!(self.try_to_terminate(&context, &request).await)?;
        if let Some((operation, volume, listener)) = begun {
            self.begin(&operation, &volume).await;
            listener.end(self.options.wait_limit).await?;
        }
        until_not_overtaken!(self.try_to_unreserve(&context, &request.volume_id).await)
    }

    /// `None` where nothing was ever exported.
    async fn try_to_terminate(
        &self,
        context: &Context,
        request: &TerminateConnection,
    ) -> Result<Option<(Operation, Volume, Listener)>, Unchanged> {
        let was = self.find_volume(context, &request.volume_id).await?;
        decide(&was, &[], Verb::TerminateConnection)?;
        let Some(pool) = was.host.clone().filter(|_| was.provider_location.is_some()) else {
            return Ok(None);
        };
        let kind = OperationKind::TerminateConnection {
            connector: request.connector.clone(),
        };
        let operation = self.new_operation(context, kind, &was, Some(pool));
        let attachments = self.plain_attachments(&was).await?;
        let mut volume = was.record.clone();
        let stays = old_connectors::others(&was, request.connector.as_ref())
            || attachments.iter().any(holds_the_export);
        if !stays && volume.operation.is_none() {
            // It takes the export with it: nobody connects until it has ended.
            volume.operation = Some(operation.id);
        }
        volume.updated_at = Some(Timestamp::now());
        let listener = self.waiters.listen(operation.id);
        let mut changes = self.deps.catalog.change();
        changes.update_volume(&was, &volume).insert_operation(&operation);
        if let Err(error) = changes.commit().await {
            drop(listener);
            self.waiters.sweep(operation.id);
            return Err(error.into());
        }
        Ok(Some((operation, volume, listener)))
    }

    async fn try_to_unreserve(&self, context: &Context, id: &str) -> Result<(), Unchanged> {
        let was = self.find_volume(context, id).await?;
        let attachments = self.plain_attachments(&was).await?;
        let mut volume = was.record.clone();
        volume.status = decide(&was, &attachments, Verb::Unreserve)?;
        self.commit_volume(&was, volume).await?;
        Ok(())
    }
}
