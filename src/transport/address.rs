//! Address = topic + optional server, as oslo.messaging has it: `scheduler`, `volume@host-1/lvm`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The destination of a message. Without a server it is delivered to one live actor of the topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// The topic: the kind of actor.
    pub topic: String,
    /// The server, for one particular actor.
    pub server: Option<String>,
}

impl Address {
    /// Any actor of the topic.
    pub fn any(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            server: None,
        }
    }

    /// The actor with this topic and server.
    pub fn of(topic: impl Into<String>, server: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            server: Some(server.into()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Some(server) => write!(f, "{}@{server}", self.topic),
            None => f.write_str(&self.topic),
        }
    }
}
