//! Builds an actor, and rebuilds it after a panic.
//!
//! actix's own supervisor does not survive a panic, and restarts the *same* value. This one creates a new value with its
//! factory: at most [`MOST_RESTARTS`] times in [`RESTART_WINDOW`], with an increasing delay; then the actor is `failed`
//! and the node unhealthy. Messages in work at the panic are lost; messages that were not started wait for the next
//! incarnation, in order.

#![expect(
    clippy::disallowed_methods,
    reason = "the permit that the envelope holds is the bound"
)]

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::mailbox::Envelope;
use super::shell::{End, Parcel, Shell, Watch};
use super::stats::{ActorStats, State};
use super::{Actor, Serve};
use crate::messages::Message;
use crate::panic_text::panic_text;

/// How many times an actor is rebuilt within the window before it fails permanently.
pub const MOST_RESTARTS: usize = 5;
/// The window.
pub const RESTART_WINDOW: Duration = Duration::from_secs(60);
/// The wait before the first restart of a window; it doubles with each.
const FIRST_BACKOFF: Duration = Duration::from_millis(10);

/// The present incarnation.
enum Slot<A: Actor> {
    /// It runs.
    Up {
        incarnation: u64,
        address: Addr<Shell<A>>,
    },
    /// It is being built; waiting messages are bounded by their tickets.
    Waiting(Vec<Parcel<A>>),
    /// It ended permanently.
    Down,
}

/// Supervises one actor across its incarnations. Usable on any thread; builds on the actor's arbiter only.
pub(super) struct Supervisor<A: Actor> {
    factory: Box<dyn Fn() -> Rc<A> + Send + Sync>,
    stats: Arc<ActorStats>,
    slot: Mutex<Slot<A>>,
    restarts: Mutex<VecDeque<Instant>>,
}

impl<A: Actor> Supervisor<A> {
    pub(super) fn new(factory: impl Fn() -> Rc<A> + Send + Sync + 'static, stats: Arc<ActorStats>) -> Self {
        Self {
            factory: Box::new(factory),
            stats,
            slot: Mutex::new(Slot::Waiting(Vec::new())),
            restarts: Mutex::default(),
        }
    }

    pub(super) fn stats(&self) -> &Arc<ActorStats> {
        &self.stats
    }

    /// Puts a message into the mailbox of the present or the next incarnation; false if the actor ended permanently.
    pub(super) fn deliver<M: Message>(&self, envelope: Envelope<M>) -> Option<Envelope<M>>
    where
        A: Serve<M>,
    {
        match &mut *self.slot.lock() {
            // Never fails: the mailbox is bounded by the ticket in the envelope.
            Slot::Up { address, .. } => address.do_send(envelope),
            Slot::Waiting(waiting) => waiting.push(Box::new(move |next| next.do_send(envelope))),
            Slot::Down => return Some(envelope),
        }
        None
    }

    /// Builds an incarnation. Must be called on the actor's arbiter.
    pub(super) fn build(self: &Arc<Self>) {
        let built = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.factory)()));
        let actor = match built {
            Ok(actor) => actor,
            Err(panic) => {
                self.note_failure(format!("its factory panicked: {}", panic_text(&*panic)));
                Arc::clone(self).ended(Vec::new());
                return;
            }
        };
        let mut slot = self.slot.lock();
        if let Slot::Waiting(waiting) = &mut *slot {
            let incarnation = self.stats.next_incarnation();
            let address = Shell::launch(
                actor,
                Arc::clone(self) as Arc<dyn Watch<A>>,
                &self.stats,
                incarnation,
            );
            for parcel in waiting.drain(..) {
                parcel(&address);
            }
            *slot = Slot::Up { incarnation, address };
            self.stats.set_state(State::Running);
        }
    }

    /// How long to wait before the next restart; `None` if there have been too many.
    fn next_backoff(&self) -> Option<Duration> {
        let now = Instant::now();
        let mut restarts = self.restarts.lock();
        restarts.retain(|at| now - *at < RESTART_WINDOW);
        let before = restarts.len();
        if before >= MOST_RESTARTS {
            return None;
        }
        restarts.push_back(now);
        Some(FIRST_BACKOFF * (1 << before))
    }

    fn note_failure(&self, text: String) {
        tracing::error!(actor = %self.stats.address(), failure = text, "the actor panicked");
        self.stats.failed(text);
    }
}

impl<A: Actor> Watch<A> for Supervisor<A> {
    fn panicked(&self, incarnation: u64, text: String) {
        self.note_failure(text);
        let mut slot = self.slot.lock();
        if let Slot::Up {
            incarnation: present,
            address,
        } = &*slot
            && *present == incarnation
        {
            // Under the lock, so that no message is put into the old mailbox after `End`.
            address.do_send(End);
            self.stats.set_state(State::Restarting);
            *slot = Slot::Waiting(Vec::new());
        }
    }

    fn ended(self: Arc<Self>, mut held: Vec<Parcel<A>>) {
        let mut slot = self.slot.lock();
        let Slot::Waiting(waiting) = &mut *slot else {
            return;
        };
        held.append(waiting);
        *waiting = held;
        let Some(backoff) = self.next_backoff() else {
            tracing::error!(actor = %self.stats.address(), "the actor panicked too often and is not restarted");
            self.stats.set_state(State::Failed);
            let dead = std::mem::replace(&mut *slot, Slot::Down);
            drop(slot);
            // Outside the lock: dropping the tickets records their messages as undelivered.
            drop(dead);
            return;
        };
        drop(slot);
        self.stats.set_state(State::Restarting);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(backoff).await;
            self.build();
        });
    }

    fn vanished(&self, incarnation: u64) {
        let mut slot = self.slot.lock();
        if matches!(&*slot, Slot::Up { incarnation: present, .. } if *present == incarnation) {
            *slot = Slot::Down;
            self.stats.set_state(State::Stopped);
        }
    }
}

/// The supervisor as endpoints see it, independent of the actor's type.
pub(super) trait Supervise: Send + Sync {
    /// Ends the actor permanently. Messages in work or waiting are lost.
    fn stop(&self);
    /// Marks the actor as failed: it could not be started.
    fn give_up(&self, text: String);
}

impl<A: Actor> Supervise for Supervisor<A> {
    fn stop(&self) {
        let before = std::mem::replace(&mut *self.slot.lock(), Slot::Down);
        if let Slot::Up { address, .. } = &before {
            address.do_send(End);
        }
        if self.stats.state() != State::Failed {
            self.stats.set_state(State::Stopped);
        }
    }

    fn give_up(&self, text: String) {
        self.note_failure(text);
        let before = std::mem::replace(&mut *self.slot.lock(), Slot::Down);
        drop(before);
        self.stats.set_state(State::Failed);
    }
}
