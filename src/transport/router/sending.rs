//! How messages leave: to a local actor, else to a peer that serves the address.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Router;
use crate::messages::{Call, Cast, Message, Pattern, Topic};
use crate::model::Context;
use crate::transport::endpoint::Arrival;
use crate::transport::frame::Kind;
use crate::transport::header::remaining_ms;
use crate::transport::mailbox::ReplyTo;
use crate::transport::peer::{Peer, outcome};
use crate::transport::{Address, CallError, Endpoint};

impl Router {
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
            self.inner
                .undelivered
                .push(to, message, &context.request_id, reason);
        }
        result
    }

    pub(in crate::transport) async fn cast<M: Cast>(
        &self,
        to: &Address,
        context: &Context,
        message: M,
    ) -> Result<(), CallError> {
        let sent = match self.local(&to.topic, to.server.as_deref()) {
            Some(endpoint) => endpoint.deliver(context, message, Arrival::now(), None),
            None => match self.inner.peers.serving(to, M::SINCE) {
                Some(peer) => send_remote(&peer, to, context, &message, peer.options.accept_timeout).await,
                None => Err(CallError::Unreachable(to.clone())),
            },
        };
        self.note(to, M::NAME, context, sent)
    }

    /// `except` is the address of a local actor that is left out.
    pub(in crate::transport) async fn fanout<M: Cast + Clone>(
        &self,
        context: &Context,
        message: M,
        except: Option<&Address>,
    ) -> usize {
        let mut accepted = 0;
        let topic = <M::To as Topic>::NAME;
        for endpoint in self.endpoints() {
            let at = endpoint.address();
            if at.topic == topic && endpoint.is_open() && except != Some(at) {
                let sent = endpoint.deliver(context, message.clone(), Arrival::now(), None);
                accepted += usize::from(self.note(at, M::NAME, context, sent).is_ok());
            }
        }
        let remote = self.actors_of_others(<M::To as Topic>::NAME);
        let sent = remote.iter().map(|(peer, at)| async {
            let sent = send_remote(peer, at, context, &message, peer.options.accept_timeout).await;
            self.note(at, M::NAME, context, sent).is_ok()
        });
        let sent = join_all(sent).await.into_iter();
        accepted + sent.filter(|accepted| *accepted).count()
    }

    /// The actors of a topic on all peers.
    fn actors_of_others(&self, topic: &str) -> Vec<(Arc<Peer>, Address)> {
        let mut found = Vec::new();
        for peer in self.inner.peers.all() {
            let announced = peer.announced();
            let of_topic = announced.endpoints.iter().filter(|at| at.topic == topic);
            found.extend(of_topic.map(|at| (Arc::clone(&peer), at.clone())));
        }
        found
    }

    pub(in crate::transport) async fn call_others<M: Call + Clone>(
        &self,
        context: &Context,
        message: M,
        within: Duration,
    ) -> Vec<(String, Result<M::Reply, CallError>)> {
        let others = self.actors_of_others(<M::To as Topic>::NAME);
        let calls = others.iter().map(|(peer, at)| async {
            let answer = send_remote(peer, at, context, &message, within).await;
            (peer.them.node.clone(), self.note(at, M::NAME, context, answer))
        });
        join_all(calls).await
    }

    /// Whether all live actors of a topic, here and on peers, support messages of that version.
    pub(in crate::transport) fn all_understand(&self, topic: &str, since: u16) -> bool {
        let here = self.endpoints();
        let of_topic = here
            .iter()
            .filter(|endpoint| endpoint.address().topic == topic && endpoint.is_open());
        let mut newest = of_topic.map(|endpoint| endpoint.versions().1);
        let peers = self.inner.peers.all();
        let mut of_peers = peers
            .iter()
            .filter_map(|peer| Some(peer.announced().versions(topic)?.1));
        newest.all(|newest| newest >= since) && of_peers.all(|newest| newest >= since)
    }

    pub(in crate::transport) async fn call<M: Call>(
        &self,
        to: &Address,
        context: &Context,
        message: M,
        within: Duration,
    ) -> Result<M::Reply, CallError> {
        let answer = match self.local(&to.topic, to.server.as_deref()) {
            Some(endpoint) => call_local(&endpoint, context, message, within).await,
            None => match self.inner.peers.serving(to, M::SINCE) {
                Some(peer) => send_remote(&peer, to, context, &message, within).await,
                None => Err(CallError::Unreachable(to.clone())),
            },
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
    let arrival = Arrival::waited_for(Instant::now(), within);
    let (reply, answer) = oneshot::channel();
    endpoint.deliver(context, message, arrival, Some(ReplyTo::Local(reply)))?;
    match tokio::time::timeout(within, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_dropped)) => Err(CallError::Lost(endpoint.address().clone())),
        Err(_elapsed) => Err(CallError::Timeout(endpoint.address().clone())),
    }
}

/// Sends it to a peer, and waits for the reply to a call, or until a cast is accepted.
async fn send_remote<M: Message>(
    peer: &Arc<Peer>,
    to: &Address,
    context: &Context,
    message: &M,
    within: Duration,
) -> Result<M::Reply, CallError> {
    let (kind, remaining_ms) = match M::PATTERN {
        Pattern::Cast => (Kind::Cast, None),
        Pattern::Call => (Kind::Call, Some(remaining_ms(within))),
    };
    let sent = peer.send(kind, to, context, message, remaining_ms)?;
    match tokio::time::timeout(within, sent.answer()).await {
        Ok(answer) => outcome(to, answer),
        Err(_elapsed) => Err(CallError::Timeout(to.clone())),
    }
}
