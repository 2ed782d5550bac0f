//! User messages are kept for thirty days (cinder: `message_ttl`, `message_reap_interval`); what is older is forgotten, now
//! and then.

use std::rc::Rc;
use std::time::Duration;

use super::ApiActor;
use super::lookup::Unchanged;
use crate::model::Timestamp;

/// How often to look.
const EVERY: Duration = Duration::from_secs(3600);
/// How many are forgotten in one commit.
const BATCH: usize = 100;

impl ApiActor {
    /// Runs as long as the actor does.
    pub(super) async fn forget_messages(self: Rc<Self>) {
        loop {
            match self.forget_some_messages().await {
                // More may be due.
                Ok(BATCH) => tokio::task::yield_now().await,
                Ok(_) => tokio::time::sleep(EVERY).await,
                Err(error) => {
                    tracing::warn!(?error, "old user messages are not forgotten yet");
                    tokio::time::sleep(EVERY).await;
                }
            }
        }
    }

    async fn forget_some_messages(&self) -> Result<usize, Unchanged> {
        let expired = self
            .deps
            .catalog
            .expired_messages(Timestamp::now(), BATCH)
            .await?;
        if expired.is_empty() {
            return Ok(0);
        }
        let mut changes = self.deps.catalog.change();
        for message in &expired {
            changes.delete_message(message);
        }
        match changes.commit().await.map_err(Unchanged::from) {
            Ok(_) => Ok(expired.len()),
            // Its owner was faster with one of them: the rest goes next time.
            Err(Unchanged::Overtaken) => Ok(0),
            Err(refused) => Err(refused),
        }
    }
}
