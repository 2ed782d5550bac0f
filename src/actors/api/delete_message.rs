//! Delete a user message.

use std::rc::Rc;

use super::ApiActor;
use super::lookup::{Unchanged, may_see, until_not_overtaken};
use crate::messages::api::DeleteMessage;
use crate::model::{Context, Error, MessageId, Result};

impl ApiActor {
    /// Serves [`DeleteMessage`].
    pub(super) async fn delete_message(
        self: Rc<Self>,
        context: Context,
        request: DeleteMessage,
    ) -> Result<()> {
        until_not_overtaken!(self.try_to_delete_message(&context, &request).await)
    }

    async fn try_to_delete_message(
        &self,
        context: &Context,
        request: &DeleteMessage,
    ) -> Result<(), Unchanged> {
        let not_found = || Error::not_found(format!("Message {} could not be found.", request.message_id));
        let id: MessageId = request.message_id.parse().map_err(|_| not_found())?;
        let found = self.deps.catalog.message(id).await?;
        let message = found
            .filter(|message| may_see(context, &message.project_id))
            .ok_or_else(not_found)?;
        let mut changes = self.deps.catalog.change();
        changes.delete_message(&message);
        changes.commit().await?;
        Ok(())
    }
}
