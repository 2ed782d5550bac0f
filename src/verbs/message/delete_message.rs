//! Delete a user message.

use crate::control::lookup::may_see;
use crate::model::MessageId;
use crate::verbs::prelude::*;

/// Delete a user message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteMessage {
    /// Its id, as the client wrote it.
    pub message_id: String,
}
call!(DeleteMessage => ApiTopic, "delete_message", since 1, reply ());

impl Request for DeleteMessage {
    const LEVEL: Level = Level::Member;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let not_found = || Error::not_found(format!("Message {} could not be found.", self.message_id));
        let id: MessageId = self.message_id.parse().map_err(|_| not_found())?;
        let found = at.control.catalog.message(id).await?;
        let message = found
            .filter(|message| may_see(at.context, &message.project_id))
            .ok_or_else(not_found)?;
        let mut changes = at.control.catalog.change();
        changes.delete(&message);
        changes.commit().await?;
        Ok(Began::Done(()))
    }
}
