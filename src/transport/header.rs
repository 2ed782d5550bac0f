//! The headers of frames: one type for each kind, whose bytes are fixed (`tests/golden/wire`).
//!
//! The format of a header belongs to the protocol version that was negotiated at the handshake: a change needs a new
//! protocol version, and the old format is kept as long as its version is supported.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::codec::bounded;
use super::{Address, CallError};
use crate::model::Context;

/// One run of a node: `boot` counts its starts, `random` distinguishes two starts with the same count.
///
/// Only one process at a time runs with a data folder, so of two incarnations with the same folder the later one has ended the earlier.
/// Two with different folders may run at once: two nodes that were given one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Incarnation {
    /// Counted on disk, 0 if starts are not counted.
    pub boot: u64,
    /// The upper half is the same as long as the node has the same data folder, the lower half is chosen at random at each start.
    pub random: u64,
}

/// The half of [`Incarnation::random`] that is of the data folder.
const OF_FOLDER: u64 = 0xffff_ffff_0000_0000;

impl Incarnation {
    /// A new incarnation of a node that was started so many times with the data folder of this number.
    pub fn new(boot: u64, folder: u64) -> Self {
        let of_start: u64 = crate::rng::number();
        Self {
            boot,
            random: folder & OF_FOLDER | of_start & !OF_FOLDER,
        }
    }

    /// Whether both are of one data folder.
    pub fn has_folder_of(self, other: Self) -> bool {
        (self.random ^ other.random) & OF_FOLDER == 0
    }
}

impl std::fmt::Display for Incarnation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{:016x}", self.boot, self.random)
    }
}

/// Hello and Welcome: the identity of the sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The node's name.
    pub node: String,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The largest frame that it accepts.
    pub max_frame: u32,
    /// Chosen at random for this connection; the other side's proof covers it.
    pub nonce: [u8; 32],
}

/// Welcome: the listener, and its proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The listener.
    pub identity: Identity,
    /// Its proof that it knows the secret; `None` if it has none.
    pub proof: Option<[u8; 32]>,
}

/// Proof: the dialer's proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Its proof that it knows the secret; `None` if it has none.
    pub proof: Option<[u8; 32]>,
}

/// Why a node refuses another. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// No common protocol version.
    Protocol,
    /// The other node has the name of this one, or of a third one that is connected.
    SameName,
    /// There is a connection already, which is kept.
    Duplicate,
    /// A later incarnation of that node is connected.
    Stale,
    /// The secrets differ.
    BadProof,
    /// Too many peers.
    Full,
    /// This node is shutting down.
    Leaving,
    /// Its introduction is invalid.
    Malformed,
    /// Its certificate is valid, but not for what it says or does: another name, another cluster, a role that it needs here.
    Certificate,
    /// It serves what it may not, or what another node serves.
    NotItsOwn,
}

/// Refuse: the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse {
    /// For decisions.
    pub reason: Refusal,
    /// For the log.
    pub text: String,
}

impl Refuse {
    /// A refusal with this reason.
    pub fn new(reason: Refusal, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { reason, text }
    }
}

/// Versions of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicVersions {
    /// The topic.
    pub topic: String,
    /// The oldest supported version.
    pub min: u16,
    /// The newest supported version.
    pub max: u16,
}

/// Announce: everything that a node serves; replaces its previous announcement.
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
    /// The supported versions of a topic.
    pub fn versions(&self, topic: &str) -> Option<(u16, u16)> {
        self.topics
            .iter()
            .find(|of| of.topic == topic)
            .map(|of| (of.min, of.max))
    }

    /// Whether a message to that address may be sent to this node.
    pub fn serves(&self, to: &Address) -> bool {
        self.endpoints
            .iter()
            .any(|own| own.topic == to.topic && (to.server.is_none() || own.server == to.server))
    }
}

/// Cast and Call: what is needed to deliver a message without decoding it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageHeader {
    /// Identifies it on this connection, in this direction.
    pub id: u64,
    /// The destination.
    pub to: Address,
    /// The name of the message.
    pub message: String,
    /// The version of the topic that introduced it.
    pub version: u16,
    /// Time left, in milliseconds: never a point in time, because clocks differ.
    pub remaining_ms: Option<u64>,
    /// The request context: user, request id and trace.
    pub context: Context,
}

/// A [`MessageHeader`] that is to be sent: the same bytes, without a copy of what it names.
#[derive(Debug, Serialize)]
pub(super) struct Outgoing<'m> {
    pub(super) id: u64,
    pub(super) to: &'m Address,
    pub(super) message: &'m str,
    pub(super) version: u16,
    pub(super) remaining_ms: Option<u64>,
    pub(super) context: &'m Context,
}

/// A [`MessageHeader`] that was received: the same bytes, without a copy of what is only compared.
#[derive(Debug, Deserialize)]
pub(super) struct Incoming<'m> {
    pub(super) id: u64,
    #[serde(borrow)]
    pub(super) to: Destination<'m>,
    pub(super) message: &'m str,
    pub(super) version: u16,
    pub(super) remaining_ms: Option<u64>,
    pub(super) context: Context,
}

/// An [`Address`] in a received header.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Destination<'m> {
    pub(super) topic: &'m str,
    pub(super) server: Option<&'m str>,
}

impl Destination<'_> {
    pub(super) fn to_address(self) -> Address {
        Address {
            topic: self.topic.to_owned(),
            server: self.server.map(str::to_owned),
        }
    }
}

/// Reply: the result. The payload is the reply if it is `Done`, the actor's own error if it is `Refused`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyHeader {
    /// The number of the message.
    pub id: u64,
    /// The result.
    pub status: ReplyStatus,
}

/// The result of a message. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplyStatus {
    /// Success.
    Done,
    /// The actor refused it.
    Refused,
    /// It did not reach the actor, or the actor's reply was lost.
    Failed(Failure),
}

/// A [`CallError`] on the wire; the address is known on both sides. Variants are only appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// No actor with that address.
    Unreachable,
    /// Refused by the endpoint.
    Overloaded,
    /// The reply does not fit a frame.
    TooLarge {
        /// The size of the reply.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The message is not supported there.
    UnsupportedVersion {
        /// The newest version that is supported there.
        speaks: u16,
        /// The version that the message needs.
        needs: u16,
    },
    /// Its deadline passed.
    Timeout,
    /// The actor ended before it answered.
    Lost,
}

impl Failure {
    /// The sender's error.
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

    /// A reply of so many bytes.
    pub fn too_large(bytes: usize, limit: usize) -> Self {
        let size = |bytes| u64::try_from(bytes).unwrap_or(u64::MAX);
        Self::TooLarge {
            bytes: size(bytes),
            limit: size(limit),
        }
    }

    /// The wire format of an error, except for an actor's own refusal.
    ///
    /// # Errors
    /// The actor's own error, which is sent in the payload.
    pub fn from_error(error: CallError) -> Result<Self, crate::model::Error> {
        Ok(match error {
            CallError::Unreachable(_) => Self::Unreachable,
            CallError::Overloaded(_) => Self::Overloaded,
            CallError::TooLarge { bytes, limit, .. } => Self::too_large(bytes, limit),
            CallError::UnsupportedVersion { speaks, needs, .. } => Self::UnsupportedVersion { speaks, needs },
            CallError::Timeout(_) => Self::Timeout,
            CallError::Lost(_) => Self::Lost,
            CallError::Refused(error) => return Err(error),
        })
    }
}

/// Accepted and Cancel (the number of the message), Ping and Pong (the number of the ping).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// The number.
    pub id: u64,
}

/// Goodbye: the sender leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// Why, for the log.
    pub reason: String,
}

/// Time left in milliseconds, rounded up, so that 100 µs do not become zero.
pub fn remaining_ms(within: Duration) -> u64 {
    u64::try_from(within.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::codec;

    #[test]
    fn what_is_sent_and_what_is_received_are_the_header_of_a_message() {
        for server in [None, Some("h@b".to_owned())] {
            let header = MessageHeader {
                id: 7,
                to: Address {
                    topic: "volume".to_owned(),
                    server,
                },
                message: "trial".to_owned(),
                version: 3,
                remaining_ms: Some(1500),
                context: Context::internal("test"),
            };
            let outgoing = Outgoing {
                id: header.id,
                to: &header.to,
                message: &header.message,
                version: header.version,
                remaining_ms: header.remaining_ms,
                context: &header.context,
            };
            let bytes = codec::encode(&outgoing).unwrap();
            assert_eq!(bytes, codec::encode(&header).unwrap());
            let incoming: Incoming<'_> = codec::decode(&bytes).unwrap();
            let received = MessageHeader {
                id: incoming.id,
                to: incoming.to.to_address(),
                message: incoming.message.to_owned(),
                version: incoming.version,
                remaining_ms: incoming.remaining_ms,
                context: incoming.context,
            };
            assert_eq!(received, header);
        }
    }
}
