//! The typed handle: what an actor (or `web`) holds to talk to another.

use std::marker::PhantomData;
use std::time::Duration;

use super::{Address, Router};
use crate::messages::{Call, Cast, Topic};
use crate::model::{Context, Error};

/// Why a cast or call came to nothing. Only `Unreachable` and `Overloaded` may be tried again blindly: the message surely
/// was not handled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody by that address is known and connected; it never left.
    #[error("{0} is unreachable")]
    Unreachable(Address),
    /// Its mailbox, or the way to it, is full; it was refused by the endpoint.
    #[error("{0} is overloaded")]
    Overloaded(Address),
    /// It does not fit a frame.
    #[error("a message of {bytes} bytes to {to} is larger than {limit}")]
    TooLarge {
        /// To whom.
        to: Address,
        /// Its size.
        bytes: usize,
        /// What fits.
        limit: usize,
    },
    /// The other side does not know this message yet.
    #[error("{to} speaks version {speaks}, the message needs {needs}")]
    UnsupportedVersion {
        /// To whom.
        to: Address,
        /// What it speaks.
        speaks: u16,
        /// What is needed.
        needs: u16,
    },
    /// No reply in time; it may have happened.
    #[error("{0} did not reply in time")]
    Timeout(Address),
    /// The other side died or the connection broke before the reply; it may have happened.
    #[error("{0} was lost before it replied")]
    Lost(Address),
    /// The actor's own answer: no.
    #[error(transparent)]
    Refused(#[from] Error),
}

impl CallError {
    /// In one word, why the message surely was not handled; `None` if it was or may have been.
    #[must_use]
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

/// A way to one actor, or to any of a topic, here or elsewhere.
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

    /// Where it leads.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Sends, and returns as soon as the message is accepted for delivery: it is in the actor's mailbox, nothing more.
    ///
    /// # Errors
    /// `Unreachable`, `Overloaded`, `TooLarge` or `UnsupportedVersion`: it surely was not delivered. `Timeout` or `Lost`,
    /// on the way to another node: it may have been.
    pub async fn cast<M: Cast + crate::messages::Message<To = T>>(
        &self,
        context: &Context,
        message: M,
    ) -> Result<(), CallError> {
        self.router.cast(&self.address, context, message).await
    }

    /// Sends to every live actor of the topic; how many accepted it.
    pub async fn fanout<M: Cast + crate::messages::Message<To = T> + Clone>(
        &self,
        context: &Context,
        message: M,
    ) -> usize {
        self.router.fanout(context, message).await
    }

    /// Sends, and waits for the reply for at most `within`.
    ///
    /// # Errors
    /// Every [`CallError`]. Dropping the future does not stop the actor: a client that hangs up decides nothing.
    pub async fn call<M: Call + crate::messages::Message<To = T>>(
        &self,
        context: &Context,
        message: M,
        within: Duration,
    ) -> Result<M::Reply, CallError> {
        self.router.call(&self.address, context, message, within).await
    }
}
