//! The throttle of failed logins, shared by the control nodes of a cluster: each tells the others of its attempts, and counts theirs as
//! its own.
//!
//! The long-term rate of guesses is that of one node. For the time that a message takes, each node lets in what its own count allows: of
//! the free attempts at most their number for each node, after which the wait is longer in proportion.

use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::throttle::{Attempt, Throttle};
use crate::control::login_attempts::CountsAttempts;
use crate::messages::logins::{AttemptStage, LoginAttempted, LoginsTopic};
use crate::model::{Context, UserId};
use crate::transport::Handle;
use crate::{rng, tasks};

/// See the module.
pub struct SharedThrottle {
    throttle: Throttle,
    /// The random number of this process.
    number: u64,
    /// The Logins actors of all nodes.
    others: OnceLock<Handle<LoginsTopic>>,
}

impl Default for SharedThrottle {
    fn default() -> Self {
        Self {
            throttle: Throttle::default(),
            number: rng::number(),
            others: OnceLock::new(),
        }
    }
}

impl SharedThrottle {
    /// Tells these actors of attempts from now on.
    pub fn share_with(&self, others: Handle<LoginsTopic>) {
        // Set once, before requests are served.
        let _ = self.others.set(others);
    }

    /// See [`Throttle::attempt`].
    pub fn attempt(&self, user: Option<&UserId>, name: &str, address: IpAddr) -> Attempt {
        self.throttle.attempt(user, name, address)
    }

    /// See [`Throttle::wait`].
    pub fn wait(&self, attempt: &Attempt, now: Instant) -> Option<Duration> {
        self.throttle.wait(attempt, now)
    }

    /// See [`Throttle::take`].
    ///
    /// # Errors
    /// How long to wait.
    pub fn take(&self, attempt: &Attempt, now: Instant) -> Result<(), Duration> {
        self.throttle.take(attempt, now)?;
        self.tell(attempt, AttemptStage::Begun);
        Ok(())
    }

    /// See [`Throttle::succeeded`].
    pub fn succeeded(&self, attempt: &Attempt, user: &UserId) {
        self.throttle.succeeded(attempt, user);
        self.tell(attempt, AttemptStage::Succeeded(user.clone()));
    }

    /// No login waits for the others.
    fn tell(&self, attempt: &Attempt, stage: AttemptStage) {
        let Some(others) = self.others.get().cloned() else {
            return;
        };
        let attempted = LoginAttempted {
            at: self.number,
            name: attempt.name,
            source: attempt.source,
            is_known: attempt.is_known,
            stage,
        };
        tasks::spawn(async move { others.fanout(&Context::internal("logins"), attempted).await });
    }
}

impl CountsAttempts for SharedThrottle {
    fn count_attempt(&self, attempted: LoginAttempted) {
        if attempted.at == self.number {
            return;
        }
        let attempt = Attempt {
            name: attempted.name,
            source: attempted.source,
            is_known: attempted.is_known,
        };
        match &attempted.stage {
            AttemptStage::Begun => self.throttle.count(&attempt, Instant::now()),
            AttemptStage::Succeeded(user) => self.throttle.succeeded(&attempt, user),
        }
    }
}
