//! Those who wait for an operation's end: requests that answer with what the backend said.
//!
//! A waiter that is lost (its client hung up, its time ran out) changes nothing for the operation. How many may wait is
//! bounded, since each holds a place in the mailbox that reports need to come in by.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::model::{Error, OperationId, Result};
use crate::verbs::Answer;

/// The waiters of one actor.
#[derive(Default)]
pub(super) struct Waiters {
    waiting: RefCell<HashMap<OperationId, Vec<oneshot::Sender<Result<Answer>>>>>,
    seats_taken: Cell<usize>,
}

/// The right to wait.
pub(super) struct Seat<'a>(&'a Waiters);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.seats_taken.set(self.0.seats_taken.get().saturating_sub(1));
    }
}

/// Somebody listening for an operation's end.
pub(super) struct Listener(oneshot::Receiver<Result<Answer>>);

impl Waiters {
    /// A seat, to be taken before anything is begun.
    ///
    /// # Errors
    /// 503 at once, when too many wait already.
    pub(super) fn seat(&self, max: usize) -> Result<Seat<'_>> {
        if self.seats_taken.get() >= max {
            return Err(
                Error::unavailable("The service is temporarily unable to handle the request.", 1)
                    .with_operator("too many requests wait for backends"),
            );
        }
        self.seats_taken.set(self.seats_taken.get() + 1);
        Ok(Seat(self))
    }

    /// Begins to listen. To be called before the operation's command is sent.
    pub(super) fn listen(&self, id: OperationId) -> Listener {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.borrow_mut();
        let listeners = waiting.entry(id).or_default();
        listeners.retain(|listener| !listener.is_closed());
        listeners.push(sender);
        Listener(receiver)
    }

    /// Tells all who listen for this operation.
    pub(super) fn wake(&self, id: OperationId, answer: &Result<Answer>) {
        let listeners = self.waiting.borrow_mut().remove(&id).unwrap_or_default();
        for listener in listeners {
            // One who has gone does not need the answer.
            let _ = listener.send(answer.clone());
        }
    }

    /// Forgets those who listen for it no longer.
    pub(super) fn sweep(&self, id: OperationId) {
        let mut waiting = self.waiting.borrow_mut();
        if let Some(listeners) = waiting.get_mut(&id) {
            listeners.retain(|listener| !listener.is_closed());
            if listeners.is_empty() {
                waiting.remove(&id);
            }
        }
    }
}

impl Listener {
    /// How the operation ended.
    ///
    /// # Errors
    /// The operation's failure; 503 when it has not ended in time (it goes on).
    pub(super) async fn end(self, within: Duration) -> Result<Answer> {
        let late = |operator: &str| {
            Err(
                Error::unavailable("The service is temporarily unable to handle the request.", 5)
                    .with_operator(operator),
            )
        };
        match tokio::time::timeout(within, self.0).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => late("the operation was forgotten by its actor"),
            Err(_) => late("the backend has not answered yet; the operation goes on"),
        }
    }
}
