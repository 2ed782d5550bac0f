//! How an actor of ours is written: a plain struct that serves messages.
//!
//! `impl Serve<CreateVolume> for ApiActor { async fn serve(self: Rc<Self>, …) }` is all that an actor sees of the framework. The one
//! actix actor behind (`Shell`) keeps the permits, counts, catches panics, and keeps actix replaceable. Several messages are
//! handled at once, interleaving at each await: hold no invariant (and no `RefCell` borrow) across one.

use std::future::Future;
use std::rc::Rc;

use super::Endpoint;
use crate::messages::{Message, Topic};
use crate::model::{Context, Error};

/// An actor of ours.
pub trait Actor: 'static {
    /// Its topic.
    type Topic: Topic;

    /// Called once when it starts (and when it is built anew after a panic). Tasks spawned through `started` end with the actor.
    fn started(self: Rc<Self>, started: &Started) {
        let _ = started;
    }
}

/// Serves one kind of message.
pub trait Serve<M: Message>: Actor {
    /// Handles it. The future is polled on the actor's arbiter: nothing in it may block.
    fn serve(
        self: Rc<Self>,
        context: Context,
        message: M,
    ) -> impl Future<Output = Result<M::Reply, Error>> + 'static;
}

/// What an actor gets at its start.
pub struct Started {}

impl Started {
    /// Runs a task on the actor's arbiter until it ends or the actor does.
    pub fn spawn(&self, _task: impl Future<Output = ()> + 'static) {
        todo!()
    }
}

/// Builds an endpoint for actor `A`: which messages it serves, how many may wait, how it is made (and made again).
///
/// ```ignore
/// let endpoint = EndpointBuilder::new(None, 1024, move || Ok(ApiActor::new(deps.clone())))
///     .serves::<CreateVolume>()
///     .serves::<DeleteVolume>()
///     .start();          // on the current arbiter; `.start_on(&arbiter)` for another
/// router.register(endpoint);
/// ```
pub struct EndpointBuilder<A: Actor> {
    _actor: std::marker::PhantomData<fn() -> A>,
}

impl<A: Actor> EndpointBuilder<A> {
    /// `server` is its own part of the address; `bound` is how many messages may be waiting or in work; `factory` makes
    /// the actor, and makes it anew after a panic.
    pub fn new(
        _server: Option<String>,
        _bound: usize,
        _factory: impl Fn() -> Rc<A> + Send + Sync + 'static,
    ) -> Self {
        todo!()
    }

    /// It serves this message.
    #[must_use]
    pub fn serves<M: Message<To = A::Topic>>(self) -> Self
    where
        A: Serve<M>,
    {
        todo!()
    }

    /// Starts it on the current arbiter, supervised.
    #[must_use]
    pub fn start(self) -> Endpoint {
        todo!()
    }

    /// Starts it on that arbiter, supervised.
    #[must_use]
    pub fn start_on(self, _arbiter: &actix::ArbiterHandle) -> Endpoint {
        todo!()
    }
}
