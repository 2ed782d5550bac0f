//! A local actor as the router sees it: bounded, counted, re-pointed when the actor is built anew.

/// A registered way to one local actor.
pub struct Endpoint {}
