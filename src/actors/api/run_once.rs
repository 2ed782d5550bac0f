//! Requests with an idempotency key: the reply of a request is stored in the commit that begins it
//! ([`BeginContext::answer`](crate::verbs::BeginContext::answer)), and is given to each repeat, until `web` has stored the answer that
//! it has made of it. From then on `web` repeats that by itself.

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use super::ApiActor;
use crate::control::Interrupt;
use crate::messages::api::{KeepAnswer, RanOnce, RunOnce};
use crate::model::idempotency::{IdempotencyKey, IdempotentRequest};
use crate::model::{Context, Error, Result, Timestamp};
use crate::store::record::{decode_part, size_of};
use crate::store::{CommitError, MAX_VALUE};
use crate::transport::codec;
use crate::verbs::request::Once;
use crate::verbs::{BeginContext, Request, RequestVisitor, every_request};

/// How often keys to forget are looked for.
const EVERY: Duration = Duration::from_secs(600);
/// The most deletions per commit.
const BATCH: usize = 100;
/// The most keys over the bound that are found in one walk through all of them.
const OVER_AT_ONCE: usize = 1000;

type Runs = fn(Rc<ApiActor>, Context, RunOnce) -> Pin<Box<dyn Future<Output = Result<RanOnce>>>>;

/// Finds the request by the name of its message.
struct Named<'a> {
    name: &'a str,
    found: Option<Runs>,
}

impl RequestVisitor for Named<'_> {
    fn request<R: Request>(&mut self) {
        if R::NAME == self.name {
            self.found = Some(|actor, context, once| {
                Box::pin(async move {
                    let unreadable =
                        |error: codec::CodecError| Error::internal(format!("{}: {error}", R::NAME));
                    let request: R = codec::decode(&once.message).map_err(unreadable)?;
                    let (reply, is_repeated) = actor.run(context, request, Some(once.key)).await?;
                    let reply = codec::encode(&reply).map_err(unreadable)?;
                    Ok(RanOnce { reply, is_repeated })
                })
            });
        }
    }
}

impl ApiActor {
    /// Runs the request in the message, or repeats its answer.
    pub(super) async fn run_once(self: Rc<Self>, context: Context, message: RunOnce) -> Result<RanOnce> {
        let mut named = Named {
            name: &message.request,
            found: None,
        };
        every_request(&mut named);
        let run = named
            .found
            .ok_or_else(|| Error::internal(format!("there is no request {}", message.request)))?;
        run(self, context, message).await
    }

    /// The reply of an earlier request with this key. Without one, the key is prepared for the commit of this request.
    ///
    /// # Errors
    /// 422 if the key was used for another request; what the earlier request failed with if the client waited for its end.
    pub(super) async fn repeated<R: Request>(
        &self,
        request: &R,
        at: &mut BeginContext<'_>,
        key: &IdempotencyKey,
    ) -> Result<Option<R::Reply>> {
        let name = key.name(&at.context.user_id);
        let was = self
            .catalog
            .idempotent_request(&at.context.project_id, &name)
            .await?;
        let now = Timestamp::now();
        let Some(first) = was.as_ref().filter(|first| first.expires_at > now) else {
            at.once = Some(Once {
                key: key.clone(),
                request: R::NAME,
                expires_at: now.plus(self.options.idempotency_ttl),
                expired: was,
            });
            return Ok(None);
        };
        if first.fingerprint != key.fingerprint || first.request != R::NAME {
            return Err(Error::key_of_another_request());
        }
        if let Some(id) = first.operation
            && let Some(operation) = self.catalog.operation(id).await?
            && let Some(answer) = self.join(&operation).await?
        {
            return request.reply(at, Some(&operation), answer).await.map(Some);
        }
        let reply = decode_part(&first.reply)
            .map_err(|error| Error::internal(format!("the reply of {}: {error}", R::NAME)))?;
        request.repeat(at, key, reply).await.map(Some)
    }

    /// Stores the answer of a request.
    pub(super) async fn keep_answer(self: Rc<Self>, context: Context, message: KeepAnswer) -> Result<()> {
        let name = message.key.name(&context.user_id);
        let Some(was) = self
            .catalog
            .idempotent_request(&context.project_id, &name)
            .await?
        else {
            return Ok(());
        };
        if was.answer.is_some() || was.fingerprint != message.key.fingerprint {
            return Ok(());
        }
        let now = IdempotentRequest {
            answer: Some(message.answer),
            operation: None,
            ..was.record.clone()
        };
        // Then a repeat is answered by the reply alone.
        if size_of(&now) > MAX_VALUE {
            return Ok(());
        }
        let mut changes = self.catalog.change();
        changes.update(&was, &now);
        match changes.commit().await {
            // A repeat that was as fast has stored its own.
            Ok(_) | Err(CommitError::Conflict(_)) => Ok(()),
            Err(error) => Err(error.for_client("storing an answer")),
        }
    }

    /// Deletes expired keys, and those of projects that have too many. Runs as long as the actor does.
    pub(super) async fn forget_idempotency_keys(self: Rc<Self>) {
        loop {
            match self.forget_some_keys().await {
                Ok(true) => tokio::task::yield_now().await,
                Ok(false) => tokio::time::sleep(EVERY).await,
                Err(error) => {
                    tracing::warn!(?error, "cannot delete old idempotency keys; trying again later");
                    tokio::time::sleep(EVERY).await;
                }
            }
        }
    }

    /// Whether there may be more.
    async fn forget_some_keys(&self) -> Result<bool, Interrupt> {
        let mut old = self
            .catalog
            .expired_idempotent_requests(Timestamp::now(), BATCH)
            .await?
            .records;
        if old.is_empty() {
            let bound = self.options.idempotency_keys_per_project;
            old = self.catalog.idempotent_requests_over(bound, OVER_AT_ONCE).await?;
        }
        for some in old.chunks(BATCH) {
            let mut changes = self.catalog.change();
            for request in some {
                changes.delete(request);
            }
            match changes.commit().await.map_err(Interrupt::from) {
                Ok(_) | Err(Interrupt::Conflict) => {}
                Err(refused) => return Err(refused),
            }
        }
        Ok(!old.is_empty())
    }
}
