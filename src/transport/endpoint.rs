//! A local actor as the router sees it: bounded, counted, and redirected when the actor is rebuilt.
//!
//! An endpoint has a handler for each message its actor serves. A handler first checks, counts and reserves a place in
//! the mailbox; a message that it refuses was certainly not handled.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::header::Incoming;
use super::mailbox::{Envelope, ReplyTo, Ticket};
use super::peer::Peer;
use super::stats::{ActorReport, ActorStats, MessageStats, State};
use super::supervisor::{Supervise, Supervisor};
use super::undelivered::RecentUndelivered;
use super::{Actor, Address, CallError, Serve, codec};
use crate::messages::{Message, Pattern, Topic};
use crate::model::{Context, Error};

/// The registered entry of one local actor. Cheap to clone; the actor lives until [`Endpoint::shutdown`].
#[derive(Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

struct Inner {
    stats: Arc<ActorStats>,
    versions: (u16, u16),
    handlers: HashMap<&'static str, Box<dyn MessageHandler>>,
    supervisor: Arc<dyn Supervise>,
}

impl Endpoint {
    pub(super) fn new<A: Actor>(
        supervisor: Arc<Supervisor<A>>,
        handlers: HashMap<&'static str, Box<dyn MessageHandler>>,
    ) -> Self {
        let inner = Inner {
            stats: Arc::clone(supervisor.stats()),
            versions: crate::raised::topic(A::Topic::NAME, A::Topic::VERSIONS),
            handlers,
            supervisor,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Its address.
    pub fn address(&self) -> &Address {
        self.inner.stats.address()
    }

    /// The versions of its topic that it supports.
    pub fn versions(&self) -> (u16, u16) {
        self.inner.versions
    }

    /// The state of its actor.
    pub fn state(&self) -> State {
        self.inner.stats.state()
    }

    /// Messages waiting or in work.
    pub fn depth(&self) -> usize {
        self.inner.stats.depth()
    }

    /// A report of its work. Never waits for the actor.
    pub fn report(&self, node: &str) -> ActorReport {
        self.inner.stats.report(node)
    }

    /// Refuses further messages, waits at most `within` until all accepted ones are handled, and ends the actor. True
    /// if no message was lost.
    pub async fn shutdown(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        if self.inner.stats.state() != State::Failed {
            self.inner.stats.set_state(State::Stopped);
        }
        let drained = self.drained(until).await;
        self.inner.supervisor.stop();
        // Tasks are dropped by their arbiter a moment later. This has a separate grace period, since `within`
        // may have passed.
        let grace = Instant::now() + END_GRACE;
        let gone = self
            .inner
            .stats
            .wait_until(grace, |stats| !stats.is_living())
            .await;
        if !gone {
            tracing::warn!(actor = %self.address(), "the actor did not end in time");
        }
        drained
    }

    /// Waits until the mailbox is empty and nothing is in work; false if `until` passed before.
    pub(super) async fn drained(&self, until: Instant) -> bool {
        self.inner
            .stats
            .wait_until(until, |stats| stats.depth() == 0)
            .await
    }

    pub(super) fn remember_undelivered_in(&self, undelivered: &Arc<RecentUndelivered>) {
        // If it is registered twice, the first registration is kept.
        let _ = self.inner.stats.undelivered.set(Arc::clone(undelivered));
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state(), State::Failed | State::Stopped)
    }

    /// Accepts a message from this process.
    pub(super) fn deliver<M: Message>(
        &self,
        context: &Context,
        message: M,
        arrival: Arrival,
        reply: Option<ReplyTo<M::Reply>>,
    ) -> Result<(), CallError> {
        let handler = self
            .inner
            .handlers
            .get(M::NAME)
            .and_then(|handler| handler.as_any().downcast_ref::<TypedHandler<M>>());
        match handler {
            Some(handler) => {
                let context = Context {
                    sender: None,
                    ..context.clone()
                };
                handler.enter(self, context, message, arrival, || reply)
            }
            None => Err(self.unknown(M::SINCE)),
        }
    }

    /// Accepts a message that a peer sent in a frame of that pattern. A call is answered when it is handled; an error is for the
    /// caller of this function to send.
    pub(super) fn deliver_bytes(
        &self,
        header: Incoming<'_>,
        pattern: Pattern,
        payload: &[u8],
        arrival: Arrival,
        sender: &Arc<Peer>,
    ) -> Result<(), CallError> {
        match self.inner.handlers.get(header.message) {
            Some(handler) if handler.pattern() == pattern => {
                handler.enter_bytes(self, header, payload, arrival, sender)
            }
            Some(_) => {
                let text = format!("{} did not come as what it is, cast or call", header.message);
                Err(CallError::Refused(Error::internal(text)))
            }
            None => Err(self.unknown(header.version)),
        }
    }

    fn unknown(&self, needs: u16) -> CallError {
        CallError::UnsupportedVersion {
            to: self.address().clone(),
            speaks: self.inner.versions.1,
            needs,
        }
    }
}

/// When a message came, and when its sender stops waiting (`None` for a cast).
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) at: Instant,
    pub(super) deadline: Option<Instant>,
}

impl Arrival {
    /// Now, of a message whose result is not waited for.
    pub(super) fn now() -> Self {
        Self {
            at: Instant::now(),
            deadline: None,
        }
    }

    /// Of a message whose sender waits for so long; for ever, if that is beyond what the clock can say.
    pub(super) fn waited_for(at: Instant, within: Duration) -> Self {
        Self {
            at,
            deadline: at.checked_add(within),
        }
    }
}

/// How long a stopped actor's tasks may take to be dropped.
const END_GRACE: Duration = Duration::from_secs(1);

/// The handler of one kind of message.
pub(super) trait MessageHandler: Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn pattern(&self) -> Pattern;
    fn enter_bytes(
        &self,
        endpoint: &Endpoint,
        header: Incoming<'_>,
        payload: &[u8],
        arrival: Arrival,
        sender: &Arc<Peer>,
    ) -> Result<(), CallError>;
}

/// Returns the message if the actor has ended.
type Deliver<M> = Box<dyn Fn(Envelope<M>) -> Option<Envelope<M>> + Send + Sync>;

struct TypedHandler<M: Message> {
    stats: Arc<MessageStats>,
    deliver: Deliver<M>,
}

/// A handler that delivers `M` to the supervisor's actor.
pub(super) fn handler<A: Serve<M>, M: Message<To = A::Topic>>(
    supervisor: &Arc<Supervisor<A>>,
) -> Box<dyn MessageHandler> {
    let stats = supervisor.stats().add_message(M::NAME);
    let supervisor = Arc::clone(supervisor);
    Box::new(TypedHandler::<M> {
        stats,
        deliver: Box::new(move |envelope| supervisor.deliver(envelope)),
    })
}

impl<M: Message> TypedHandler<M> {
    fn enter(
        &self,
        endpoint: &Endpoint,
        context: Context,
        message: M,
        arrival: Arrival,
        reply: impl FnOnce() -> Option<ReplyTo<M::Reply>>,
    ) -> Result<(), CallError> {
        let unreachable = || CallError::Unreachable(endpoint.address().clone());
        if !endpoint.is_open() {
            MessageStats::add(&self.stats.refused);
            return Err(unreachable());
        }
        let ticket = Ticket::take(
            &endpoint.inner.stats,
            &self.stats,
            M::NAME,
            &context.request_id,
            arrival.at,
        )
        .ok_or_else(|| CallError::Overloaded(endpoint.address().clone()))?;
        let refused = (self.deliver)(Envelope {
            context,
            message,
            ticket,
            deadline: arrival.deadline,
            reply: reply(),
        });
        // It may have gone down after the check.
        let Some(envelope) = refused else {
            return Ok(());
        };
        envelope.ticket.refused();
        match envelope.reply {
            Some(reply) => {
                reply.send(Err(unreachable()));
                Ok(())
            }
            None => Err(unreachable()),
        }
    }
}

impl<M: Message> MessageHandler for TypedHandler<M> {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn pattern(&self) -> Pattern {
        M::PATTERN
    }

    fn enter_bytes(
        &self,
        endpoint: &Endpoint,
        header: Incoming<'_>,
        payload: &[u8],
        arrival: Arrival,
        sender: &Arc<Peer>,
    ) -> Result<(), CallError> {
        let refused = |error| {
            MessageStats::add(&self.stats.refused);
            CallError::Refused(error)
        };
        let message = codec::decode::<M>(payload)
            .map_err(|error| refused(Error::internal(format!("unreadable {}: {error}", M::NAME))))?;
        sender.rights().check_backend(&message).map_err(refused)?;
        let reply = || match M::PATTERN {
            Pattern::Cast => None,
            Pattern::Call => sender.owe(header.id).map(ReplyTo::Peer),
        };
        self.enter(endpoint, header.context, message, arrival, reply)
    }
}
