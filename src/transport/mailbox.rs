//! The envelope of a message, and the ticket that counts it.
//!
//! actix bounds each `Addr`, not each actor: a new clone of the address bypasses its limit, and web handlers clone it. So
//! the bound is implemented here. A [`Ticket`] is a place in the mailbox: taken by the endpoint, returned when it is
//! dropped, which is when the handler ends, when it panics, or when the message is dropped with a dead actor. It counts
//! which of these happened.

use std::rc::Rc;
use std::sync::Arc;

use futures_util::FutureExt;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Instrument;

use super::peer::OwedAnswer;
use super::stats::{ActorStats, Begun, MessageStats};
use super::{CallError, Serve};
use crate::messages::{Message, Pattern};
use crate::model::{Context, ErrorKind};
use crate::panic_text::panic_text;

/// A place in a mailbox, and the record of the result of its message.
pub(super) struct Ticket {
    actor: Arc<ActorStats>,
    message: Arc<MessageStats>,
    name: &'static str,
    request_id: Arc<str>,
    taken_at: Instant,
    begun: Option<(Instant, u64)>,
    settled: bool,
}

impl Ticket {
    /// Takes a place at this time; `None` if the mailbox is full.
    pub(super) fn take(
        actor: &Arc<ActorStats>,
        message: &Arc<MessageStats>,
        name: &'static str,
        request_id: &str,
        now: Instant,
    ) -> Option<Self> {
        if !actor.enter() {
            MessageStats::add(&message.refused);
            return None;
        }
        MessageStats::add(&message.accepted);
        Some(Self {
            actor: Arc::clone(actor),
            message: Arc::clone(message),
            name,
            request_id: Arc::from(request_id),
            taken_at: now,
            begun: None,
            settled: false,
        })
    }

    fn begin(&mut self, now: Instant) {
        self.message
            .queue_time
            .observe(now.saturating_duration_since(self.taken_at));
        let work = Begun {
            message: self.name,
            request_id: Arc::clone(&self.request_id),
            at: now,
        };
        self.begun = Some((now, self.actor.begin_work(work)));
        tracing::trace!(actor = %self.actor.address(), message = self.name, request_id = &*self.request_id, "begins");
    }

    fn expired(mut self) {
        self.settled = true;
        MessageStats::add(&self.message.expired);
        tracing::warn!(actor = %self.actor.address(), message = self.name, request_id = &*self.request_id,
            waited = ?self.taken_at.elapsed(), "dropped a message whose deadline had passed");
        self.note("expired");
    }

    fn handled(mut self, well: bool) {
        self.settled = true;
        MessageStats::add(&self.message.handled);
        if !well {
            MessageStats::add(&self.message.failed);
        }
    }

    fn panicked(mut self) {
        self.settled = true;
        MessageStats::add(&self.message.panicked);
        self.note("panicked");
    }

    /// The actor ended before the message reached its mailbox: it counts as refused.
    pub(super) fn refused(mut self) {
        self.settled = true;
        MessageStats::add(&self.message.refused);
    }

    fn note(&self, reason: &str) {
        if let Some(undelivered) = self.actor.undelivered.get() {
            undelivered.push(self.actor.address(), self.name, &self.request_id, reason);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some((since, work)) = self.begun {
            self.message.handler_time.observe(since.elapsed());
            self.actor.end_work(work);
        }
        if !self.settled {
            MessageStats::add(&self.message.lost);
            tracing::warn!(actor = %self.actor.address(), message = self.name, request_id = &*self.request_id,
                begun = self.begun.is_some(), "lost a message with its actor");
            self.note("lost");
        }
        self.actor.leave();
    }
}

/// Receives the answer to a call. If it is dropped unanswered, the caller gets `Lost`.
pub(super) enum ReplyTo<R> {
    /// A caller in this process.
    Local(oneshot::Sender<Result<R, CallError>>),
    /// A peer.
    Peer(OwedAnswer),
}

impl<R: Serialize> ReplyTo<R> {
    pub(super) fn send(self, result: Result<R, CallError>) {
        match self {
            // The caller may have stopped waiting.
            Self::Local(caller) => drop(caller.send(result)),
            Self::Peer(owed) => owed.send(result),
        }
    }
}

/// A message in a mailbox.
pub(super) struct Envelope<M: Message> {
    pub(super) context: Context,
    pub(super) message: M,
    pub(super) ticket: Ticket,
    /// When its sender stops waiting; `None` for a cast.
    pub(super) deadline: Option<Instant>,
    /// `None` for a cast whose result is not awaited.
    pub(super) reply: Option<ReplyTo<M::Reply>>,
}

impl<M: Message> actix::Message for Envelope<M> {
    type Result = ();
}

impl<M: Message> Envelope<M> {
    /// Handles the message, unless its deadline has passed, and answers.
    ///
    /// # Errors
    /// The text of the handler's panic, after which the actor must not be used any more.
    pub(super) async fn open<A: Serve<M>>(self, actor: Rc<A>) -> Result<(), String> {
        let Self {
            context,
            message,
            mut ticket,
            deadline,
            reply,
        } = self;
        let now = Instant::now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            let address = ticket.actor.address().clone();
            ticket.expired();
            if let Some(reply) = reply {
                reply.send(Err(CallError::Timeout(address)));
            }
            return Ok(());
        }
        let span = tracing::info_span!("serve", actor = %ticket.actor.address(), message = M::NAME, request_id = context.request_id);
        ticket.begin(now);
        // The call of `serve` itself may panic too, so it happens inside the caught future.
        let work = async move { actor.serve(context, message).await };
        match std::panic::AssertUnwindSafe(work)
            .catch_unwind()
            .instrument(span.clone())
            .await
        {
            Ok(result) => {
                if M::PATTERN == Pattern::Cast
                    && let Err(error) = &result
                {
                    let _entered = span.enter();
                    let words = error.for_operator();
                    // An error without a text for the operator is a state that was already logged (the disk is full): it
                    // would be logged again at each attempt.
                    if matches!(error.kind, ErrorKind::Unavailable { .. }) && error.operator.is_none() {
                        tracing::debug!(error = words, "a cast failed");
                    } else {
                        tracing::warn!(error = words, "a cast failed");
                    }
                }
                // The place is returned before the caller gets the answer, so that the caller can use it again at once.
                ticket.handled(result.is_ok());
                if let Some(reply) = reply {
                    reply.send(result.map_err(CallError::Refused));
                }
                Ok(())
            }
            Err(panic) => {
                ticket.panicked();
                Err(format!("{} panicked: {}", M::NAME, panic_text(&*panic)))
            }
        }
    }
}
