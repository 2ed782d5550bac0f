//! User messages are kept for thirty days (cinder: `message_ttl`, `message_reap_interval`); what is older is forgotten, now
//! and then.

use std::rc::Rc;
use std::time::Duration;

use super::ApiActor;
use crate::control::Interrupt;
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
                Ok(More::AtOnce) => tokio::task::yield_now().await,
                Ok(More::Later) => tokio::time::sleep(EVERY).await,
                Err(error) => {
                    tracing::warn!(?error, "old user messages are not forgotten yet");
                    tokio::time::sleep(EVERY).await;
                }
            }
        }
    }

    /// Forgets limits and counters of volume types that are gone: at the start, and then as often as messages. Runs as long as
    /// the actor does.
    pub(super) async fn forget_quota_of_gone_types(self: Rc<Self>) {
        loop {
            match self.catalog.forget_quota_of_gone_types().await {
                Ok(0) => {}
                Ok(count) => tracing::info!(
                    count,
                    "limits and counters of volume types that are gone are forgotten"
                ),
                Err(error) => {
                    tracing::warn!(%error, "limits of volume types that are gone are not forgotten yet")
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
            // Its owner was faster with one of them: the others are read again.
            Err(Interrupt::Conflict) => Ok(More::AtOnce),
            Err(refused) => Err(refused),
        }
    }
}

/// Whether there may be more to forget now.
enum More {
    AtOnce,
    Later,
}
