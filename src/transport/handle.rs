//! The typed handle: what an actor (or `web`) uses to send messages to another.

use std::marker::PhantomData;
use std::time::Duration;

use super::{Address, Router};
use crate::messages::{Call, Cast, Topic};
use crate::model::{Context, Error};

/// Why a cast or call failed. Only `Unreachable` and `Overloaded` may be retried without a check: the message was
/// certainly not handled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No actor of this address is known and connected; the message was not sent.
    #[error("{0} is unreachable")]
    Unreachable(Address),
    /// The mailbox of the actor, or the queue to its node, is full; the message was refused.
    #[error("{0} is overloaded")]
    Overloaded(Address),
    /// The message does not fit a frame.
    #[error("a message of {bytes} bytes to {to} is larger than {limit}")]
    TooLarge {
        /// The destination.
        to: Address,
        /// The size of the message.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The other side does not support this message yet.
    #[error("{to} speaks version {speaks}, the message needs {needs}")]
    UnsupportedVersion {
        /// The destination.
        to: Address,
        /// The newest version that it supports.
        speaks: u16,
        /// The version that the message needs.
        needs: u16,
    },
    /// No reply in time; the message may have been handled.
    #[error("{0} did not reply in time")]
    Timeout(Address),
    /// The other side died or the connection broke before the reply; the message may have been handled.
    #[error("{0} was lost before it replied")]
    Lost(Address),
    /// The actor refused the message with this error.
    #[error(transparent)]
    Refused(#[from] Error),
}

impl CallError {
    /// The reason as one word if the message was certainly not handled; `None` if it was or may have been.
    pub fn undelivered(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(_) => Some("unreachable"),
            Self::Overloaded(_) => Some("overloaded"),
            Self::TooLarge { .. } => Some("too large"),
            Self::UnsupportedVersion { .. } => Some("unsupported version"),
            Self::Timeout(_) | Self::Lost(_) | Self::Refused(_) => None,
        }
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused(error) => error,
            CallError::Unreachable(_)
            | CallError::Overloaded(_)
            | CallError::Timeout(_)
            | CallError::Lost(_) => {
                Self::unavailable("The service is temporarily unable to handle the request.", 1)
                    .with_operator(&error)
            }
            CallError::TooLarge { .. } | CallError::UnsupportedVersion { .. } => Self::internal(&error),
        }
    }
}

/// A handle of one actor, or of any actor of a topic, local or remote.
pub struct Handle<T: Topic> {
    router: Router,
    address: Address,
    topic: PhantomData<fn() -> T>,
}

impl<T: Topic> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self {
            router: self.router.clone(),
            address: self.address.clone(),
            topic: PhantomData,
        }
    }
}

impl<T: Topic> Handle<T> {
    pub(super) fn new(router: Router, server: Option<String>) -> Self {
        Self {
            router,
            address: Address {
                topic: T::NAME.to_owned(),
                server,
            },
            topic: PhantomData,
        }
    }

    /// Its destination.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Sends, and returns as soon as the message is accepted for delivery: it is in the actor's mailbox, but may not
    /// be handled yet.
    ///
    /// # Errors
    /// `Unreachable`, `Overloaded`, `TooLarge` or `UnsupportedVersion`: it was certainly not delivered. `Timeout` or
    /// `Lost` on the way to another node: it may have been.
    pub async fn cast<M: Cast + crate::messages::Message<To = T>>(
        &self,
        context: &Context,
        message: M,
    ) -> Result<(), CallError> {
        self.router.cast(&self.address, context, message).await
    }

    /// Whether every live actor of the topic understands a message: while nodes are upgraded one by one, a message of a newer version is for
    /// when all are, and the one before it until then (oslo.messaging: `can_send_version`).
    pub fn can_send<M: crate::messages::Message<To = T>>(&self) -> bool {
        self.router.all_understand(T::NAME, M::SINCE)
    }

    /// Sends to every live actor of the topic; returns how many accepted it.
    pub async fn fanout<M: Cast + crate::messages::Message<To = T> + Clone>(
        &self,
        context: &Context,
        message: M,
    ) -> usize {
        self.router.fanout(context, message, None).await
    }

    /// Sends to every live actor of the topic but the local one with this handle's address; returns how many accepted it.
    pub async fn fanout_to_others<M: Cast + crate::messages::Message<To = T> + Clone>(
        &self,
        context: &Context,
        message: M,
    ) -> usize {
        self.router.fanout(context, message, Some(&self.address)).await
    }

    /// Calls every live actor of the topic on other nodes at once, each for at most `within`; returns their replies with the names of
    /// their nodes.
    pub async fn call_others<M: Call + crate::messages::Message<To = T> + Clone>(
        &self,
        context: &Context,
        message: M,
        within: Duration,
    ) -> Vec<(String, Result<M::Reply, CallError>)> {
        self.router.call_others(context, message, within).await
    }

    /// Sends, and waits for the reply for at most `within`.
    ///
    /// # Errors
    /// Every [`CallError`]. Dropping the future does not stop the actor: a disconnected client has no effect.
    pub async fn call<M: Call + crate::messages::Message<To = T>>(
        &self,
        context: &Context,
        message: M,
        within: Duration,
    ) -> Result<M::Reply, CallError> {
        self.router.call(&self.address, context, message, within).await
    }
}
