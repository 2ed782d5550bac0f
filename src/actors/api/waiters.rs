//! Waiters for an operation's end: requests whose answer depends on the backend.
//!
//! A waiter that is lost (its client disconnected, its time ran out) does not affect the operation. The number of
//! waiters is bounded, since each holds a place in the mailbox, which reports need, too.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::control::{try_again, try_again_in};
use crate::model::{OperationId, Result};
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

/// A listener for an operation's end.
pub(super) struct Listener(oneshot::Receiver<Result<Answer>>);

impl Waiters {
    /// A seat, which must be taken before anything is begun.
    ///
    /// # Errors
    /// 503 at once, if there are too many waiters.
    pub(super) fn seat(&self, max: usize) -> Result<Seat<'_>> {
        if self.seats_taken.get() >= max {
            return Err(try_again("too many requests wait for backends"));
        }
        self.seats_taken.set(self.seats_taken.get() + 1);
        Ok(Seat(self))
    }

    /// Begins to listen. Must be called before the operation's command is sent.
    pub(super) fn listen(&self, id: OperationId) -> Listener {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting.borrow_mut();
        let listeners = waiting.entry(id).or_default();
        listeners.retain(|listener| !listener.is_closed());
        listeners.push(sender);
        Listener(receiver)
    }

    /// Sends the answer to all listeners of this operation.
    pub(super) fn wake(&self, id: OperationId, answer: &Result<Answer>) {
        let listeners = self.waiting.borrow_mut().remove(&id).unwrap_or_default();
        for listener in listeners {
            // The listener may have been dropped.
            let _ = listener.send(answer.clone());
        }
    }

    /// Removes the dropped listeners of this operation.
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
    /// Waits for the result of the operation.
    ///
    /// # Errors
    /// The operation's failure; 503 if it has not ended in time (it continues).
    pub(super) async fn end(self, within: Duration) -> Result<Answer> {
        let late = |operator: &str| Err(try_again_in(5, operator));
        match tokio::time::timeout(within, self.0).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => late("the operation was forgotten by its actor"),
            Err(_) => late("the backend has not answered yet; the operation goes on"),
        }
    }
}
