//! The verbs: what can be done to a resource.

pub mod on_backend;
