//! Address = topic + optional server, as oslo.messaging has it: `scheduler`, `volume@host-1/lvm`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a message goes. Without a server it goes to one live actor of the topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// The topic: which kind of actor.
    pub topic: String,
    /// Which one of them.
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

    /// That one.
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
