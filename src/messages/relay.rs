//! To the **Relay** actor of a control node: requests of a volume node to another that it is not connected with. Its messages are
//! in the files of their verbs ([`crate::verbs`]).

use super::topic;

topic!(
    /// The Relay actor.
    RelayTopic = "relay", versions 1..=1
);
