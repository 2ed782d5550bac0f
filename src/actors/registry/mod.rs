//! The **Registry** actor.
