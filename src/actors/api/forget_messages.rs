//! User messages are kept for thirty days (cinder: `message_ttl`, `message_reap_interval`); older ones are deleted
//! periodically.

use std::rc::Rc;
use std::time::Duration;

use super::ApiActor;
use crate::control::Interrupt;
use crate::model::Timestamp;

/// How often expired messages are looked for.
const EVERY: Duration = Duration::from_secs(3600);
/// The most deletions per commit.
const BATCH: usize = 100;

impl ApiActor {
    /// Runs as long as the actor does.
    pub(super) async fn forget_messages(self: Rc<Self>) {
        loop {
            match self.forget_some_messages().await {
                Ok(More::AtOnce) => tokio::task::yield_now().await,
                Ok(More::Later) => tokio::time::sleep(EVERY).await,
                Err(error) => {
                    tracing::warn!(?error, "cannot delete old user messages; trying again later");
                    tokio::time::sleep(EVERY).await;
                }
            }
        }
    }

    /// Deletes limits and counters of deleted volume types: at the start, and then as often as messages. Runs as long as
    /// the actor does.
    pub(super) async fn forget_quota_of_gone_types(self: Rc<Self>) {
        loop {
            match self.catalog.forget_quota_of_gone_types().await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "limits and counters of deleted volume types are deleted"),
                Err(error) => {
                    tracing::warn!(%error, "cannot delete the limits of deleted volume types; trying again later")
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn forget_some_messages(&self) -> Result<More, Interrupt> {
        let expired = self.catalog.expired_messages(Timestamp::now(), BATCH).await?;
        let more = match expired.next {
            Some(_) => More::AtOnce,
            None => More::Later,
        };
        if expired.records.is_empty() {
            return Ok(more);
        }
        let mut changes = self.catalog.change();
        for message in &expired.records {
            changes.delete(message);
        }
        match changes.commit().await.map_err(Interrupt::from) {
            Ok(_) => Ok(more),
            // The owner deleted one of them meanwhile: the others are read again.
            Err(Interrupt::Conflict) => Ok(More::AtOnce),
            Err(refused) => Err(refused),
        }
    }
}

/// Whether there may be more to delete now.
enum More {
    AtOnce,
    Later,
}
