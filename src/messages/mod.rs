//! What actors say to each other: one file per receiving actor.
//!
//! A message is a plain struct; [`Message`] says to whom it may be sent, under which name it travels, since which version
//! of its topic, and what comes back. Its bytes are bincode, so fields are never added, removed or reordered once
//! released: a changed message is a new struct with a new name (`CreateVolume2`), understood since a newer version of
//! the topic. `tests/golden` holds the bytes of each.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub mod api;
pub mod quota;
pub mod registry;
pub mod relay;
pub mod scheduler;
pub mod volume;

/// A kind of actor that can be addressed: its topic, and the versions of it that this program speaks.
pub trait Topic: Send + Sync + 'static {
    /// The name in addresses: `scheduler`, `volume`.
    const NAME: &'static str;
    /// The oldest and the newest version spoken. Two releases are accepted at any time.
    const VERSIONS: (u16, u16);
}

/// Whether the sender waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Returns as soon as the message is accepted for delivery.
    Cast,
    /// Returns the reply.
    Call,
}

/// Something that can be sent to an actor.
pub trait Message: Serialize + DeserializeOwned + Send + Sync + std::fmt::Debug + 'static {
    /// Who receives it.
    type To: Topic;
    /// What comes back; `()` for a cast.
    type Reply: Serialize + DeserializeOwned + Send + std::fmt::Debug + 'static;
    /// The verb, the same in every room.
    const NAME: &'static str;
    /// Cast or call.
    const PATTERN: Pattern;
    /// The first version of the topic that knows it.
    const SINCE: u16;
}

/// A message nobody waits for.
pub trait Cast: Message<Reply = ()> {}

/// A message that is answered.
pub trait Call: Message {}

macro_rules! topic {
    ($(#[$doc:meta])* $name:ident = $text:literal, versions $min:literal..=$max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}
        impl $crate::messages::Topic for $name {
            const NAME: &'static str = $text;
            const VERSIONS: (u16, u16) = ($min, $max);
        }
    };
}

macro_rules! cast {
    ($message:ty => $topic:ty, $name:literal, since $since:literal) => {
        impl $crate::messages::Message for $message {
            type To = $topic;
            type Reply = ();
            const NAME: &'static str = $name;
            const PATTERN: $crate::messages::Pattern = $crate::messages::Pattern::Cast;
            const SINCE: u16 = $since;
        }
        impl $crate::messages::Cast for $message {}
    };
}

macro_rules! call {
    ($message:ty => $topic:ty, $name:literal, since $since:literal, reply $reply:ty) => {
        impl $crate::messages::Message for $message {
            type To = $topic;
            type Reply = $reply;
            const NAME: &'static str = $name;
            const PATTERN: $crate::messages::Pattern = $crate::messages::Pattern::Call;
            const SINCE: u16 = $since;
        }
        impl $crate::messages::Call for $message {}
    };
}

pub(crate) use {call, cast, topic};
