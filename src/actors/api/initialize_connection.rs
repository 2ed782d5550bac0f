//! `os-initialize_connection`: export, and say how to connect. The old way, which leaves no attachment.

use std::rc::Rc;
use tokio::time::Instant;

use super::bounds::check_volume;
use super::lookup::{Unchanged, store_failed, until_not_overtaken};
use super::verdict::Answer;
use super::waiters::Listener;
use super::{ApiActor, old_connectors};
use crate::messages::api::InitializeConnection;
use crate::model::bounds::check_connector;
use crate::model::transitions::{Verb, decide, must_have_storage};
use crate::model::{ConnectionInfo, Context, Error, Operation, OperationKind, Result, Timestamp, Volume};
use crate::store::catalog::Stored;

impl ApiActor {
    /// Serves [`InitializeConnection`]: waits for the backend.
    pub(super) async fn initialize_connection(
        self: Rc<Self>,
        context: Context,
        request: InitializeConnection,
    ) -> Result<ConnectionInfo> {
        check_connector(&request.connector)?;
        let _seat = self.waiters.seat(self.options.max_waiting)?;
        let (operation, volume, listener) =
            until_not_overtaken!(self.try_to_initialize(&context, &request).await)?;
        self.begin(&operation, &volume).await;
        match listener.end(self.options.wait_limit).await? {
            Answer::Connected(connection_info) => Ok(*connection_info),
            Answer::Done => Err(Error::internal("connected, but to what?")),
        }
    }

    async fn try_to_initialize(
        &self,
        context: &Context,
        request: &InitializeConnection,
    ) -> Result<(Operation, Volume, Listener), Unchanged> {
        let was = self.settled_volume(context, &request.volume_id).await?;
        decide(&was, &[], Verb::InitializeConnection)?;
        must_have_storage(&was)?;
        let kind = OperationKind::InitializeConnection {
            connector: request.connector.clone(),
        };
        let operation = self.new_operation(context, kind, &was, was.host.clone());
        let mut volume = was.record.clone();
        // Noted before it is so: whoever would take the export away at this moment is overtaken, and sees it then.
        old_connectors::note(&mut volume, &request.connector);
        check_volume(&was, &volume)?;
        volume.updated_at = Some(Timestamp::now());
        let listener = self.waiters.listen(operation.id);
        let mut changes = self.deps.catalog.change();
        changes.update_volume(&was, &volume).insert_operation(&operation);
        if let Err(error) = changes.commit().await {
            drop(listener);
            self.waiters.sweep(operation.id);
            return Err(error.into());
        }
        Ok((operation, volume, listener))
    }

    /// The volume that a client names, once nobody is taking its export away: whoever connected meanwhile would be cut off.
    pub(super) async fn settled_volume(&self, context: &Context, id: &str) -> Result<Stored<Volume>> {
        let give_up = Instant::now() + self.options.wait_limit;
        loop {
            let volume = self.find_volume(context, id).await?;
            let Some(operation) = volume.operation.filter(|_| !volume.status.is_transient()) else {
                return Ok(volume);
            };
            let _seat = self.waiters.seat(self.options.max_waiting.saturating_mul(2))?;
            let listener = self.waiters.listen(operation);
            let open = self.deps.catalog.operation(operation).await;
            if open.map_err(|error| store_failed(&error))?.is_none() {
                return self.forget_operation(context, id).await;
            }
            let left = give_up.saturating_duration_since(Instant::now());
            // However it ended, the volume is read again; if it has not ended in time, the client comes back.
            match listener.end(left).await {
                Err(error) if Instant::now() >= give_up => return Err(error),
                _ => {}
            }
        }
    }

    /// Reads a volume whose operation has just ended; should the record still name it, the name is dropped.
    async fn forget_operation(&self, context: &Context, id: &str) -> Result<Stored<Volume>> {
        let volume = self.find_volume(context, id).await?;
        match volume.operation {
            Some(operation) if !volume.status.is_transient() => {
                let open = self.deps.catalog.operation(operation).await;
                if open.map_err(|error| store_failed(&error))?.is_some() {
                    return Err(Error::unavailable(
                        "The service is temporarily unable to handle the request.",
                        1,
                    ));
                }
                let mut settled = volume.record.clone();
                settled.operation = None;
                let dropped: Result<_> = match self.commit_volume(&volume, settled).await {
                    Ok(_) | Err(Unchanged::Overtaken) => Ok(()),
                    Err(Unchanged::Refused(error)) => Err(error),
                };
                dropped?;
                self.find_volume(context, id).await
            }
            _ => Ok(volume),
        }
    }
}
