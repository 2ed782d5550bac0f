//! Who is where: local endpoints, and peers with what they serve.
//!
//! Reads (each send) take a shared lock for the time of one look-up; writes (an actor registers) are rare. What is local
//! goes before what is remote: with one control node, nothing travels that need not.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::stats::{ActorReport, State};
use super::undelivered::{Ring, Undelivered};
use super::{Address, CallError, Endpoint, Handle};
use crate::messages::{Call, Cast, Message, Topic};
use crate::model::Context;

/// The node's table of endpoints and peers. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Router {
    inner: Arc<Inner>,
}

struct Inner {
    node: String,
    endpoints: RwLock<HashMap<String, Vec<Endpoint>>>,
    ring: Arc<Ring>,
    /// Spreads casts without a server over a topic's actors.
    turn: AtomicUsize,
}

impl Router {
    /// A router for a node of that name, without endpoints or peers.
    #[must_use]
    pub fn new(node: &str) -> Self {
        Self {
            inner: Arc::new(Inner {
                node: node.to_owned(),
                endpoints: RwLock::default(),
                ring: Arc::default(),
                turn: AtomicUsize::new(0),
            }),
        }
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.inner.node
    }

    /// A handle to any actor of the topic.
    #[must_use]
    pub fn any<T: Topic>(&self) -> Handle<T> {
        Handle::new(self.clone(), None)
    }

    /// A handle to one actor of the topic.
    #[must_use]
    pub fn server<T: Topic>(&self, server: &str) -> Handle<T> {
        Handle::new(self.clone(), Some(server.to_owned()))
    }

    /// Makes a local actor reachable. One that was registered under the same address before is so no longer.
    pub fn register(&self, endpoint: Endpoint) {
        endpoint.remember_undelivered_in(&self.inner.ring);
        let mut endpoints = self
            .inner
            .endpoints
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let of_topic = endpoints.entry(endpoint.address().topic.clone()).or_default();
        of_topic.retain(|other| other.address() != endpoint.address());
        of_topic.push(endpoint);
    }

    /// All local actors, sorted by address.
    #[must_use]
    pub fn actors(&self) -> Vec<ActorReport> {
        let mut reports: Vec<_> = self
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.report(&self.inner.node))
            .collect();
        reports.sort_by(|a, b| a.address.cmp(&b.address));
        reports
    }

    /// The last messages that were not handled, the oldest first.
    #[must_use]
    pub fn undelivered(&self) -> Vec<Undelivered> {
        self.inner.ring.lines()
    }

    /// Whether no local actor was given up.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.endpoints()
            .iter()
            .all(|endpoint| endpoint.state() != State::Failed)
    }

    /// Waits for at most `within` until the local actors have handled what they have, then ends them. True if nothing
    /// was lost by it.
    pub async fn shutdown(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        let endpoints = self.endpoints();
        // First with open doors, for what is in work may need to ask a neighbour.
        let drained = join_all(endpoints.iter().map(|endpoint| endpoint.drained(until))).await;
        let ended = join_all(
            endpoints
                .iter()
                .map(|endpoint| endpoint.shutdown(until.saturating_duration_since(Instant::now()))),
        )
        .await;
        drained.into_iter().chain(ended).all(|well| well)
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let endpoints = self
            .inner
            .endpoints
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        endpoints.values().flatten().cloned().collect()
    }

    /// The local actor that a message to this address goes to.
    fn local(&self, to: &Address) -> Option<Endpoint> {
        let endpoints = self
            .inner
            .endpoints
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let of_topic = endpoints.get(&to.topic)?;
        if to.server.is_some() {
            return of_topic.iter().find(|endpoint| endpoint.address() == to).cloned();
        }
        let open: Vec<_> = of_topic.iter().filter(|endpoint| endpoint.is_open()).collect();
        let turn = self.inner.turn.fetch_add(1, Ordering::Relaxed);
        open.get(turn.checked_rem(open.len())?).copied().cloned()
    }

    fn note<T>(
        &self,
        to: &Address,
        message: &str,
        context: &Context,
        result: Result<T, CallError>,
    ) -> Result<T, CallError> {
        if let Err(error) = &result
            && let Some(reason) = error.undelivered()
        {
            self.inner.ring.push(to, message, &context.request_id, reason);
        }
        result
    }

    pub(super) async fn cast<M: Cast>(
        &self,
        to: &Address,
        context: &Context,
        message: M,
    ) -> Result<(), CallError> {
        let sent = match self.local(to) {
            Some(endpoint) => endpoint.deliver(context, message, None, None),
            None => Err(CallError::Unreachable(to.clone())),
        };
        self.note(to, M::NAME, context, sent)
    }

    pub(super) async fn fanout<M: Cast + Clone>(&self, context: &Context, message: M) -> usize {
        let topic = <M::To as Topic>::NAME;
        let mut accepted = 0;
        for endpoint in self.endpoints() {
            if endpoint.address().topic == topic && endpoint.is_open() {
                let sent = endpoint.deliver(context, message.clone(), None, None);
                accepted += usize::from(self.note(endpoint.address(), M::NAME, context, sent).is_ok());
            }
        }
        accepted
    }

    pub(super) async fn call<M: Call>(
        &self,
        to: &Address,
        context: &Context,
        message: M,
        within: Duration,
    ) -> Result<M::Reply, CallError> {
        let answer = match self.local(to) {
            Some(endpoint) => call_local(&endpoint, context, message, within).await,
            None => Err(CallError::Unreachable(to.clone())),
        };
        self.note(to, M::NAME, context, answer)
    }
}

async fn call_local<M: Message>(
    endpoint: &Endpoint,
    context: &Context,
    message: M,
    within: Duration,
) -> Result<M::Reply, CallError> {
    let deadline = Instant::now().checked_add(within);
    let (reply, answer) = oneshot::channel();
    endpoint.deliver(context, message, deadline, Some(reply))?;
    match tokio::time::timeout(within, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_dropped)) => Err(CallError::Lost(endpoint.address().clone())),
        Err(_elapsed) => Err(CallError::Timeout(endpoint.address().clone())),
    }
}
