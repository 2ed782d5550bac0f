//! To the **Relay** actor of a control node: what one volume node asks another that it is not connected with. Its messages are with
//! their verbs ([`crate::verbs`]).

use super::topic;

topic!(
    /// The Relay actor.
    RelayTopic = "relay", versions 1..=1
);
