//! How an actor is written: a plain struct that serves messages.
//!
//! `impl Serve<CreateVolume> for ApiActor { async fn serve(self: Rc<Self>, …) }` is all that an actor sees of the framework. The
//! actix actor behind it (`Shell`) holds the permits, counts, catches panics, and keeps actix replaceable. Several messages are
//! handled at once, interleaving at each await: hold no invariant (and no `RefCell` borrow) across one.

use std::collections::HashMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use super::endpoint::{self, MessageHandler};
use super::shell::Tasks;
use super::stats::ActorStats;
use super::supervisor::{Supervise, Supervisor};
use super::{Address, Endpoint};
use crate::messages::{Message, Topic};
use crate::model::{Context, Error};

/// An actor.
pub trait Actor: 'static {
    /// Its topic.
    type Topic: Topic;

    /// Called once when it starts (and when it is rebuilt after a panic). Tasks spawned through `started` end with the actor.
    fn started(self: Rc<Self>, started: &Started) {
        let _ = started;
    }
}

/// Serves one kind of message.
pub trait Serve<M: Message>: Actor {
    /// Handles it. The future is polled on the actor's arbiter: nothing in it may block.
    ///
    /// Messages are started in the order of arrival; when one awaits, the next may start.
    fn serve(
        self: Rc<Self>,
        context: Context,
        message: M,
    ) -> impl Future<Output = Result<M::Reply, Error>> + 'static;
}

/// The arguments of an actor's start.
pub struct Started {
    address: Address,
    tasks: Rc<Tasks>,
}

impl Started {
    pub(super) fn new(address: Address, tasks: Rc<Tasks>) -> Self {
        Self { address, tasks }
    }

    /// The address of the actor.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Runs a task on the actor's arbiter until it ends or the actor does. A panic in it counts as the actor's own.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.tasks.spawn_own(task);
    }
}

/// Builds an endpoint for actor `A`: the messages that it serves, the bound of its mailbox, and its factory.
///
/// ```text
/// let endpoint = EndpointBuilder::new(None, 1024, move || Rc::new(ApiActor::new(control.clone())))
///     .serves::<CreateVolume>()
///     .serves::<DeleteVolume>()
///     .start();          // on the current arbiter; `.start_on(&arbiter)` for another
/// router.register(endpoint);
/// ```
pub struct EndpointBuilder<A: Actor> {
    supervisor: Arc<Supervisor<A>>,
    handlers: HashMap<&'static str, Box<dyn MessageHandler>>,
}

impl<A: Actor> EndpointBuilder<A> {
    /// `server` is the server of its address; `bound` is the most messages waiting or in work; `factory` creates the
    /// actor, also after a panic. It is called on the arbiter that the actor runs on.
    pub fn new(
        server: Option<String>,
        bound: usize,
        factory: impl Fn() -> Rc<A> + Send + Sync + 'static,
    ) -> Self {
        let address = Address {
            topic: A::Topic::NAME.to_owned(),
            server,
        };
        let stats = Arc::new(ActorStats::new(address, bound));
        Self {
            supervisor: Arc::new(Supervisor::new(factory, stats)),
            handlers: HashMap::new(),
        }
    }

    /// Adds a message that it serves.
    #[must_use]
    pub fn serves<M: Message<To = A::Topic>>(mut self) -> Self
    where
        A: Serve<M>,
    {
        if !self.handlers.contains_key(M::NAME) {
            self.handlers
                .insert(M::NAME, endpoint::handler::<A, M>(&self.supervisor));
        }
        self
    }

    /// Starts it on the current arbiter, supervised.
    pub fn start(self) -> Endpoint {
        self.supervisor.build();
        Endpoint::new(self.supervisor, self.handlers)
    }

    /// Starts it on that arbiter, supervised. Messages sent before it runs wait for it.
    pub fn start_on(self, arbiter: &actix::ArbiterHandle) -> Endpoint {
        let supervisor = Arc::clone(&self.supervisor);
        if !arbiter.spawn_fn(move || supervisor.build()) {
            self.supervisor.give_up("its arbiter is not running".to_owned());
        }
        Endpoint::new(self.supervisor, self.handlers)
    }
}
