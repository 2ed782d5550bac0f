//! How a request is begun, and what its client is answered.
//!
//! The verb decides and commits ([`Request::begin`]); it is asked anew when it met a conflict, or when an operation had to end
//! first. What it has begun is driven from here on.

use std::rc::Rc;

use tokio::time::Instant;
use tracing::warn;

use super::ApiActor;
use super::waiters::Listener;
use crate::actors::permission::demand;
use crate::control::{Interrupt, TRIES, store_failed, try_again};
use crate::model::{Context, Operation, OperationId, Result, VolumeId};
use crate::verbs::{Answer, Began, BeginContext, Request, Started, Superseded};

impl ApiActor {
    /// Begins what is asked for, and answers.
    pub(super) async fn run<R: Request>(self: Rc<Self>, context: Context, request: R) -> Result<R::Reply> {
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
        };
        loop {
            // Before anything is committed: the operation may have ended before this goes on.
            let listener = request.may_wait().then(|| self.waiters.listen(at.id));
            let began = request.begin(&at).await;
            self.were_superseded(&at.superseded);
            match began {
                Ok(Began::Joined(operation)) => {
                    self.forget_listener(at.id, listener);
                    if let Some(answer) = self.join(&operation).await? {
                        return request.reply(&at, Some(&operation), answer).await;
                    }
                }
                Ok(began) => return self.follow(&request, &at, began, listener).await,
                Err(interrupt) => {
                    self.forget_listener(at.id, listener);
                    match interrupt {
                        Interrupt::Refused(error) => return Err(error),
                        Interrupt::Conflict => {}
                        Interrupt::WaitFor(operation, volume) => {
                            self.wait_for(operation, volume, give_up).await?;
                            // Its end is no conflict, and it is not waited for without a limit.
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

    /// Sends an operation's command for the first time. Failing to is no failure: the journal sends it again.
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
            // A fast backend: it has ended before this request has.
            None => self.finished.amend(operation.id, steps),
        }
    }

    /// The end of an operation that another request began; `None` if it had ended already.
    async fn join(&self, operation: &Operation) -> Result<Option<Result<Answer>>> {
        let listener = self.waiters.listen(operation.id);
        let open = self.catalog.operation(operation.id).await;
        if open.map_err(|error| store_failed(&error))?.is_none() {
            self.forget_listener(operation.id, Some(listener));
            return Ok(None);
        }
        Ok(Some(listener.end(self.options.wait_limit).await))
    }

    /// Waits until an operation has ended. Should the volume's record still name it then, the name is dropped.
    ///
    /// # Errors
    /// 503 if it has not ended by then: the client comes back.
    async fn wait_for(&self, operation: OperationId, volume: VolumeId, give_up: Instant) -> Result<()> {
        if Instant::now() >= give_up {
            return Err(try_again("the volume's operations have not ended in time"));
        }
        let _seat = self.waiters.seat(self.options.max_waiting.saturating_mul(2))?;
        let listener = self.waiters.listen(operation);
        let open = self.catalog.operation(operation).await;
        if open.map_err(|error| store_failed(&error))?.is_none() {
            self.forget_listener(operation, Some(listener));
            return self.drop_name(operation, volume).await;
        }
        let left = give_up.saturating_duration_since(Instant::now());
        // However it ended, the volume is read again.
        match listener.end(left).await {
            Err(error) if Instant::now() >= give_up => Err(error),
            _ => Ok(()),
        }
    }

    async fn drop_name(&self, operation: OperationId, volume: VolumeId) -> Result<()> {
        let found = self.catalog.volume(volume).await;
        let Some(volume) = found.map_err(|error| store_failed(&error))? else {
            return Ok(());
        };
        if volume.operation != Some(operation) || volume.status.is_transient() {
            return Ok(());
        }
        warn!(volume = %volume.id, %operation, "a volume names an operation that has ended");
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

    /// Operations that another request ended in its own commit.
    pub(super) fn were_superseded(&self, superseded: &Superseded) {
        for operation in superseded.take() {
            self.was_superseded(&operation);
        }
    }
}
