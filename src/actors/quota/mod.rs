//! The **Quota** actor.
