//! Begins requests, and answers their clients.
//!
//! The verb decides and commits ([`Request::begin`]); it is called again after a conflict, or after an operation that had to
//! end first. The operations that it has begun are driven from here.

use std::rc::Rc;

use tokio::time::Instant;
use tracing::warn;

use super::ApiActor;
use super::waiters::Listener;
use crate::actors::permission::demand;
use crate::control::{Interrupt, TRIES, try_again};
use crate::model::idempotency::IdempotencyKey;
use crate::model::{Context, Operation, OperationId, Result, VolumeId};
use crate::verbs::{Answer, Began, BeginContext, Request, Started, Superseded};

impl ApiActor {
    /// Begins a request, and answers it. With an idempotency key, an answer that was given before is repeated; then the flag is set.
    pub(super) async fn run<R: Request>(
        self: Rc<Self>,
        context: Context,
        request: R,
        key: Option<IdempotencyKey>,
    ) -> Result<(R::Reply, bool)> {
        demand::<R>(request.level(), &context)?;
        let _seat = match request.may_wait() {
            true => Some(self.waiters.seat(self.options.max_waiting)?),
            false => None,
        };
        let give_up = Instant::now() + self.options.wait_limit;
        let mut tries = 0_u32;
        let mut at = BeginContext {
            control: &self.control,
            context: &context,
            id: OperationId::new(),
            observer: Rc::clone(&self.observer),
            superseded: Superseded::default(),
            once: None,
        };
        loop {
            if let Some(key) = &key
                && let Some(reply) = self.repeated(&request, &mut at, key).await?
            {
                return Ok((reply, true));
            }
            // Before anything is committed: the operation may have ended before this continues.
            let listener = request.may_wait().then(|| self.waiters.listen(at.id));
            let began = request.begin(&at).await;
            self.were_superseded(&at.superseded);
            match began {
                Ok(Began::Joined(operation)) => {
                    self.forget_listener(at.id, listener);
                    if let Some(answer) = self.join(&operation).await? {
                        let reply = request.reply(&at, Some(&operation), answer).await?;
                        return Ok((reply, false));
                    }
                }
                Ok(began) => {
                    let reply = self.follow(&request, &at, began, listener).await?;
                    return Ok((reply, false));
                }
                Err(interrupt) => {
                    self.forget_listener(at.id, listener);
                    match interrupt {
                        // It may have been refused because the same request was faster, as a name that is taken.
                        Interrupt::Refused(error) => {
                            return match &key {
                                Some(key) => match self.repeated(&request, &mut at, key).await? {
                                    Some(reply) => Ok((reply, true)),
                                    None => Err(error),
                                },
                                None => Err(error),
                            };
                        }
                        Interrupt::Conflict => {}
                        Interrupt::WaitFor(operation, volume) => {
                            self.wait_for(operation, volume, give_up).await?;
                            // The end of an operation is not a conflict, and the wait for it is limited.
                            tries = 0;
                        }
                    }
                }
            }
            tries += 1;
            if tries >= TRIES {
                return Err(try_again("conflicted too often with other changes"));
            }
            at.id = OperationId::new();
        }
    }

    async fn follow<R: Request>(
        &self,
        request: &R,
        at: &BeginContext<'_>,
        began: Began<R::Reply>,
        listener: Option<Listener>,
    ) -> Result<R::Reply> {
        match began {
            Began::Done(reply) => {
                self.forget_listener(at.id, listener);
                Ok(reply)
            }
            Began::Ended | Began::Joined(_) => {
                self.forget_listener(at.id, listener);
                request.reply(at, None, Ok(Answer::Done)).await
            }
            Began::Repeated(operation, reply) => {
                self.forget_listener(at.id, listener);
                self.look_soon(&operation);
                Ok(reply)
            }
            Began::Started(started, reply) => {
                self.start(*started).await;
                self.forget_listener(at.id, listener);
                Ok(reply)
            }
            Began::Awaited(started) => {
                let operation = started.operation.clone();
                self.start(*started).await;
                let answer = match listener {
                    Some(listener) => listener.end(self.options.wait_limit).await,
                    None => Ok(Answer::Done),
                };
                request.reply(at, Some(&operation), answer).await
            }
        }
    }

    /// Sends an operation's command for the first time. An error here is not final: the command is sent again
    /// from the journal.
    async fn start(&self, started: Started) {
        let Started {
            operation,
            volume,
            steps,
            known,
        } = started;
        self.begin(&operation, &volume, known).await;
        if steps.is_empty() {
            return;
        }
        match self.timers.get(operation.id) {
            Some(_) => self.finished.note_steps(operation.id, steps),
            // The backend was fast: the operation ended before this request.
            None => self.finished.amend(operation.id, steps),
        }
    }

    /// Waits for the end of an operation that another request began; `None` if it has ended already.
    pub(super) async fn join(&self, operation: &Operation) -> Result<Option<Result<Answer>>> {
        let listener = self.waiters.listen(operation.id);
        if self.catalog.operation(operation.id).await?.is_none() {
            self.forget_listener(operation.id, Some(listener));
            return Ok(None);
        }
        Ok(Some(listener.end(self.options.wait_limit).await))
    }

    /// Waits until an operation has ended. If the volume's record still refers to it then, the reference is removed.
    ///
    /// # Errors
    /// 503 if it has not ended by then: the client can retry.
    async fn wait_for(&self, operation: OperationId, volume: VolumeId, give_up: Instant) -> Result<()> {
        if Instant::now() >= give_up {
            return Err(try_again("the volume's operations have not ended in time"));
        }
        let _seat = self.waiters.seat(self.options.max_waiting.saturating_mul(2))?;
        let listener = self.waiters.listen(operation);
        if self.catalog.operation(operation).await?.is_none() {
            self.forget_listener(operation, Some(listener));
            return self.drop_name(operation, volume).await;
        }
        let left = give_up.saturating_duration_since(Instant::now());
        // Whatever the result, the volume is read again.
        match listener.end(left).await {
            Err(error) if Instant::now() >= give_up => Err(error),
            _ => Ok(()),
        }
    }

    async fn drop_name(&self, operation: OperationId, volume: VolumeId) -> Result<()> {
        let Some(volume) = self.catalog.volume(volume).await? else {
            return Ok(());
        };
        if volume.operation != Some(operation) || volume.status.is_transient() {
            return Ok(());
        }
        warn!(volume = %volume.id, %operation, "a volume refers to an operation that has ended");
        let mut released = volume.record.clone();
        released.operation = None;
        match self.commit_volume(&volume, released).await {
            Err(Interrupt::Refused(error)) => Err(error),
            _ => Ok(()),
        }
    }

    fn forget_listener(&self, id: OperationId, listener: Option<Listener>) {
        if listener.is_some() {
            drop(listener);
            self.waiters.sweep(id);
        }
    }

    /// Handles operations that another request ended in its own commit.
    pub(super) fn were_superseded(&self, superseded: &Superseded) {
        for operation in superseded.take() {
            self.was_superseded(&operation);
        }
    }
}
