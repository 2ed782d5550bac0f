//! Who is where: local endpoints, and peers with what they serve.

use std::time::Duration;

use super::{Address, CallError, Endpoint, Handle};
use crate::messages::{Call, Cast, Topic};
use crate::model::Context;

/// The node's table of endpoints and peers. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Router {}

impl Router {
    /// A router for a node of that name, without endpoints or peers.
    #[must_use]
    pub fn new(_node: &str) -> Self {
        todo!()
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

    /// Makes a local actor reachable.
    pub fn register(&self, _endpoint: Endpoint) {
        todo!()
    }

    pub(super) async fn cast<M: Cast>(
        &self,
        _to: &Address,
        _context: &Context,
        _message: M,
    ) -> Result<(), CallError> {
        todo!()
    }

    pub(super) async fn fanout<M: Cast + Clone>(&self, _context: &Context, _message: M) -> usize {
        todo!()
    }

    pub(super) async fn call<M: Call>(
        &self,
        _to: &Address,
        _context: &Context,
        _message: M,
        _within: Duration,
    ) -> Result<M::Reply, CallError> {
        todo!()
    }
}
