//! Messages between actors: one file per receiving actor.
//!
//! A message is a plain struct; [`Message`] defines its receiver, its name on the wire, the version of the topic that
//! introduced it, and its reply. Its bytes are bincode, so fields are never added, removed or reordered once released: a
//! changed message is a new struct with a new name (`CreateVolume2`), supported since a newer version of the topic.
//! `tests/golden` holds the bytes of each.

use serde::Serialize;
use serde::de::DeserializeOwned;

pub mod api;
pub mod logins;
pub mod notifier;
pub mod quota;
pub mod registry;
pub mod relay;
pub mod scheduler;
pub mod senders;
pub mod volume;

/// A kind of actor that can be addressed: its topic, and its supported versions.
pub trait Topic: Send + Sync + 'static {
    /// The name in addresses: `scheduler`, `volume`.
    const NAME: &'static str;
    /// The oldest and the newest supported version. Two releases are supported at any time.
    const VERSIONS: (u16, u16);
}

/// Whether the sender waits for a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Returns as soon as the message is accepted for delivery.
    Cast,
    /// Returns the reply.
    Call,
}

/// A message to an actor.
pub trait Message: Serialize + DeserializeOwned + Send + Sync + std::fmt::Debug + 'static {
    /// The receiver.
    type To: Topic;
    /// The reply; `()` for a cast.
    type Reply: Serialize + DeserializeOwned + Send + std::fmt::Debug + 'static;
    /// The name, the same in every module.
    const NAME: &'static str;
    /// Cast or call.
    const PATTERN: Pattern;
    /// The version of the topic that introduced it.
    const SINCE: u16;
}

/// A message without a reply.
pub trait Cast: Message<Reply = ()> {}

/// A message with a reply.
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
