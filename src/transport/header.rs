//! The headers of frames: one type for each kind, whose bytes are settled (`tests/golden/wire`).
//!
//! A header's form belongs to the protocol version that was agreed on at the handshake: to change one is a new protocol
//! version, and the old form is kept for as long as it is spoken.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::codec::bounded;
use super::{Address, CallError};
use crate::model::Context;

/// A node through one life: `boot` counts its starts, `random` tells two starts with the same count apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// Counted on disk, 0 if nobody counts.
    pub boot: u64,
    /// Drawn at each start.
    pub random: u64,
}

impl Incarnation {
    /// A new life of a node that was started so many times.
    #[must_use]
    pub fn new(boot: u64) -> Self {
        Self {
            boot,
            random: crate::rng::number(),
        }
    }
}

impl std::fmt::Display for Incarnation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{:016x}", self.boot, self.random)
    }
}

/// Hello and Welcome: who speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The node's name.
    pub node: String,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// The largest frame it takes.
    pub max_frame: u32,
    /// Drawn for this connection, for the other to prove itself by.
    pub nonce: [u8; 32],
}

/// Welcome: the listener, and its proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The listener.
    pub identity: Identity,
    /// That it knows the secret; `None` if it has none.
    pub proof: Option<[u8; 32]>,
}

/// Proof: the dialer's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// That it knows the secret; `None` if it has none.
    pub proof: Option<[u8; 32]>,
}

/// Why one node will not have another. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// No protocol version in common.
    Protocol,
    /// The other has the same name as this one.
    SameName,
    /// There is a connection already, and that one stays.
    Duplicate,
    /// A later life of that node is connected.
    Stale,
    /// The secret is not the same.
    BadProof,
    /// Too many peers.
    Full,
    /// This node is shutting down.
    Leaving,
    /// What it says of itself cannot be.
    Malformed,
}

/// Refuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    /// For deciding.
    pub reason: Refusal,
    /// For the log.
    pub text: String,
}

/// Versions of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicVersions {
    /// The topic.
    pub topic: String,
    /// The oldest that is understood.
    pub min: u16,
    /// The newest.
    pub max: u16,
}

/// Announce: all that a node serves; replaces what it announced before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Its actors.
    #[serde(with = "bounded")]
    pub endpoints: Vec<Address>,
    /// What they speak, by topic.
    #[serde(with = "bounded")]
    pub topics: Vec<TopicVersions>,
}

impl Announcement {
    /// The versions it speaks of a topic.
    #[must_use]
    pub fn versions(&self, topic: &str) -> Option<(u16, u16)> {
        self.topics
            .iter()
            .find(|of| of.topic == topic)
            .map(|of| (of.min, of.max))
    }

    /// Whether a message to that address may go there.
    #[must_use]
    pub fn serves(&self, to: &Address) -> bool {
        self.endpoints
            .iter()
            .any(|own| own.topic == to.topic && (to.server.is_none() || own.server == to.server))
    }
}

/// Cast and Call: what is needed to deliver a message without looking into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageHeader {
    /// Names it on this connection, in this direction.
    pub id: u64,
    /// To whom.
    pub to: Address,
    /// Its name.
    pub message: String,
    /// The version of the topic that first knew it.
    pub version: u16,
    /// Time left, in milliseconds: never a point in time, for clocks differ.
    pub remaining_ms: Option<u64>,
    /// On whose behalf, under which request id and trace.
    pub context: Context,
}

/// Reply: how it ended. The payload is the reply if it is `Done`, the actor's own error if it is `Refused`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyHeader {
    /// Of which message.
    pub id: u64,
    /// How it ended.
    pub status: ReplyStatus,
}

/// How a message ended. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplyStatus {
    /// Well.
    Done,
    /// The actor said no.
    Refused,
    /// It did not get to the actor, or not out of it.
    Failed(Failure),
}

/// A [`CallError`] on the wire; the address is known on both sides. Variants are only ever appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// Nobody there by that address.
    Unreachable,
    /// Refused by the endpoint.
    Overloaded,
    /// The reply does not fit a frame.
    TooLarge {
        /// Its size.
        bytes: u64,
        /// What fits.
        limit: u64,
    },
    /// The message is not known there.
    UnsupportedVersion {
        /// What is spoken there.
        speaks: u16,
        /// What the message needs.
        needs: u16,
    },
    /// Its time was over.
    Timeout,
    /// The actor ended before it answered.
    Lost,
}

impl Failure {
    /// As the sender is told.
    #[must_use]
    pub fn into_error(self, to: &Address) -> CallError {
        let to = to.clone();
        let size = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        match self {
            Self::Unreachable => CallError::Unreachable(to),
            Self::Overloaded => CallError::Overloaded(to),
            Self::TooLarge { bytes, limit } => CallError::TooLarge {
                to,
                bytes: size(bytes),
                limit: size(limit),
            },
            Self::UnsupportedVersion { speaks, needs } => CallError::UnsupportedVersion { to, speaks, needs },
            Self::Timeout => CallError::Timeout(to),
            Self::Lost => CallError::Lost(to),
        }
    }

    /// As the wire has it; an actor's own refusal is none of these and comes back.
    ///
    /// # Errors
    /// The actor's own error, which goes into the payload.
    pub fn from_error(error: CallError) -> Result<Self, crate::model::Error> {
        let size = |bytes| u64::try_from(bytes).unwrap_or(u64::MAX);
        Ok(match error {
            CallError::Unreachable(_) => Self::Unreachable,
            CallError::Overloaded(_) => Self::Overloaded,
            CallError::TooLarge { bytes, limit, .. } => Self::TooLarge {
                bytes: size(bytes),
                limit: size(limit),
            },
            CallError::UnsupportedVersion { speaks, needs, .. } => Self::UnsupportedVersion { speaks, needs },
            CallError::Timeout(_) => Self::Timeout,
            CallError::Lost(_) => Self::Lost,
            CallError::Refused(error) => return Err(error),
        })
    }
}

/// Accepted and Cancel (of which message), Ping and Pong (which ping).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// The number.
    pub id: u64,
}

/// Goodbye.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// Why, for the log.
    pub reason: String,
}

/// Time left in milliseconds, rounded up: who waits 100 µs more is not to be told zero.
#[must_use]
pub fn remaining_ms(within: Duration) -> u64 {
    u64::try_from(within.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
