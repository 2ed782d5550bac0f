//! The order of password checks: a few run at once, and waiting logins are served round-robin.
//!
//! A check takes tens of milliseconds of a core, so a client that sends thousands of logins would delay all others. Waiting
//! logins are therefore in a queue per name, the queues in a ring per source, and the sources in a ring:
//!
//! ```text
//!   known places:   user ── name ── logins        one check for each ring in turn,
//!   new places:     source ─┬ name ── logins      within it for each group,
//!                           └ name ── logins      within it for each name
//! ```
//!
//! A user in a place where it logged in before is a group of its own, and these groups get every second check: neither a flood of
//! another user nor one of invented names from many places delays it. Queues are bounded; a login whose queue is full is refused at
//! once.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::password_error::PasswordError;
use super::throttle::{Attempt, NameDigest};

/// The most waiting logins of one name.
const WAITING_BY_NAME: usize = 32;
/// The most waiting logins of one group.
const WAITING_BY_GROUP: usize = 256;
/// The most waiting logins of each ring.
const WAITING: usize = 4096;
/// How long a login may wait.
const PATIENCE: Duration = Duration::from_secs(15);

/// A ring of queues: each is served once per round.
#[derive(Debug)]
struct Ring<K, L> {
    lines: VecDeque<(K, L)>,
}

impl<K, L> Default for Ring<K, L> {
    fn default() -> Self {
        Self {
            lines: VecDeque::new(),
        }
    }
}

impl<K: PartialEq, L: Default> Ring<K, L> {
    /// The queue of this key; a new one is appended to the round.
    fn line(&mut self, key: K) -> &mut L {
        let place = self.lines.iter().position(|(known, _)| *known == key);
        let place = place.unwrap_or_else(|| {
            self.lines.push_back((key, L::default()));
            self.lines.len() - 1
        });
        &mut self.lines[place].1
    }

    /// Serves the next queue; it moves to the end of the round unless it is empty then.
    fn serve<T>(&mut self, take: impl FnOnce(&mut L) -> Option<T>, is_empty: fn(&L) -> bool) -> Option<T> {
        let (key, mut line) = self.lines.pop_front()?;
        let taken = take(&mut line);
        if !is_empty(&line) {
            self.lines.push_back((key, line));
        }
        taken
    }
}

type Waiter = oneshot::Sender<LoginPermit>;
type Line = VecDeque<Waiter>;

/// The logins of one group.
#[derive(Debug, Default)]
struct Group {
    names: Ring<NameDigest, Line>,
    waiting: usize,
}

impl Group {
    fn next(&mut self) -> Option<Waiter> {
        let waiter = self.names.serve(VecDeque::pop_front, VecDeque::is_empty)?;
        self.waiting -= 1;
        Some(waiter)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GroupKey {
    User(NameDigest),
    Source(IpAddr),
}

/// The groups of one kind of place.
#[derive(Debug, Default)]
struct Lines {
    groups: Ring<GroupKey, Group>,
    waiting: usize,
}

impl Lines {
    fn add(&mut self, attempt: &Attempt, waiter: Waiter) -> Result<(), PasswordError> {
        let key = match attempt.is_known {
            true => GroupKey::User(attempt.name),
            false => GroupKey::Source(attempt.source),
        };
        let is_full = self.waiting >= WAITING;
        let group = self.groups.line(key);
        let line = group.names.line(attempt.name);
        // Logins that were given up are removed first.
        let before = line.len();
        line.retain(|waiter| !waiter.is_closed());
        let gone = before - line.len();
        group.waiting -= gone;
        self.waiting -= gone;
        if is_full || line.len() >= WAITING_BY_NAME || group.waiting >= WAITING_BY_GROUP {
            self.groups.lines.retain_mut(|(_, group)| {
                group.names.lines.retain(|(_, line)| !line.is_empty());
                !group.names.lines.is_empty()
            });
            return Err(PasswordError::Busy);
        }
        line.push_back(waiter);
        group.waiting += 1;
        self.waiting += 1;
        Ok(())
    }

    fn next(&mut self) -> Option<Waiter> {
        let waiter = self.groups.serve(Group::next, |group| group.waiting == 0)?;
        self.waiting -= 1;
        Some(waiter)
    }
}

#[derive(Debug)]
struct State {
    free: usize,
    known: Lines,
    new: Lines,
    /// Whether the ring of known places has the next check.
    known_is_next: bool,
}

impl State {
    fn next(&mut self) -> Option<Waiter> {
        self.known_is_next = !self.known_is_next;
        match self.known_is_next {
            true => self.known.next().or_else(|| self.new.next()),
            false => self.new.next().or_else(|| self.known.next()),
        }
    }
}

/// The queue of password checks. Clones share it.
#[derive(Clone, Debug)]
pub struct LoginQueue {
    state: Arc<Mutex<State>>,
    patience: Duration,
}

impl LoginQueue {
    /// A queue that allows so many checks at once.
    pub fn new(at_once: usize) -> Self {
        let state = State {
            free: at_once.max(1),
            known: Lines::default(),
            new: Lines::default(),
            known_is_next: false,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            patience: PATIENCE,
        }
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// `Busy` at once if too many logins of the name or group are waiting, or after the timeout.
    pub async fn permit(&self, attempt: &Attempt) -> Result<LoginPermit, PasswordError> {
        let waiting = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                return Ok(LoginPermit(Some(self.clone())));
            }
            let (waiter, waiting) = oneshot::channel();
            let lines = match attempt.is_known {
                true => &mut state.known,
                false => &mut state.new,
            };
            lines.add(attempt, waiter)?;
            waiting
        };
        match tokio::time::timeout(self.patience, waiting).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(PasswordError::Busy),
        }
    }

    /// Passes a returned permit to the next login.
    fn pass_on(&self) {
        loop {
            let mut state = self.lock();
            let Some(waiter) = state.next() else {
                state.free += 1;
                return;
            };
            drop(state);
            match waiter.send(LoginPermit(Some(self.clone()))) {
                Ok(()) => return,
                // The login was given up: the permit comes back, and must not be passed on twice.
                Err(mut permit) => permit.0 = None,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// The right to check one password; passed on when it is dropped.
#[derive(Debug)]
pub struct LoginPermit(Option<LoginQueue>);

impl Drop for LoginPermit {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;

    fn attempt(name: u8, source: u8, is_known: bool) -> Attempt {
        Attempt {
            name: [name; 16],
            source: Ipv4Addr::new(10, 0, 0, source).into(),
            is_known,
        }
    }

    type Login<'a> = BoxFuture<'a, Result<LoginPermit, PasswordError>>;

    /// Enqueues a login.
    fn login<'a>(queue: &'a LoginQueue, attempt: &'a Attempt) -> Login<'a> {
        let mut login = queue.permit(attempt).boxed();
        match login.as_mut().now_or_never() {
            None => login,
            Some(done) => std::future::ready(done).boxed(),
        }
    }

    /// How many logins are served before this login has its own.
    fn permits_before(mut login: Login<'_>, mut running: LoginPermit, others: &mut [Login<'_>]) -> usize {
        for passed in 0.. {
            if login.as_mut().now_or_never().is_some() {
                return passed;
            }
            drop(running);
            if login.as_mut().now_or_never().is_some() {
                return passed;
            }
            running = others
                .iter_mut()
                .find_map(|other| other.as_mut().now_or_never()?.ok())
                .expect("somebody has the permit");
        }
        unreachable!("it returns")
    }

    #[actix_web::test]
    async fn a_flood_of_one_user_keeps_no_other_waiting() {
        for is_known in [true, false] {
            let queue = LoginQueue::new(1);
            let (reader, admin) = (attempt(1, 1, is_known), attempt(2, 1, false));
            let running = login(&queue, &reader).await.unwrap();
            let mut flood: Vec<Login<'_>> = (0..1500).map(|_| login(&queue, &reader)).collect();
            let refused = flood.iter_mut().filter_map(|login| login.as_mut().now_or_never());
            assert_eq!(refused.filter(Result::is_err).count(), 1500 - WAITING_BY_NAME);
            let mut flood: Vec<Login<'_>> = flood.into_iter().take(WAITING_BY_NAME).collect();
            let before = permits_before(login(&queue, &admin), running, &mut flood);
            assert!(before <= 1, "{before} went before the administrator");
        }
    }

    #[actix_web::test]
    async fn a_flood_of_names_from_many_places_does_not_delay_known_places() {
        let queue = LoginQueue::new(1);
        let guesses: Vec<Attempt> = (0..200)
            .flat_map(|name| (0..10).map(move |source| attempt(name, source, false)))
            .collect();
        let mut guesses = guesses.iter().map(|guess| login(&queue, guess));
        let running = guesses.next().unwrap().await.unwrap();
        let mut guesses: Vec<Login<'_>> = guesses.collect();
        let ann = attempt(255, 1, true);
        assert!(permits_before(login(&queue, &ann), running, &mut guesses) <= 1);
    }

    #[actix_web::test]
    async fn a_login_that_is_given_up_leaves_nothing_in_the_queue() {
        let queue = LoginQueue {
            patience: Duration::from_millis(1),
            ..LoginQueue::new(2)
        };
        let ann = attempt(1, 1, true);
        let held = [
            queue.permit(&ann).await.unwrap(),
            queue.permit(&ann).await.unwrap(),
        ];
        assert!(
            matches!(queue.permit(&ann).await, Err(PasswordError::Busy)),
            "patience ends"
        );
        for _ in 0..WAITING_BY_NAME * 3 {
            let waiting = login(&queue, &ann);
            drop(waiting);
        }
        let mut waiting = login(&queue, &ann);
        drop(held);
        let permit = waiting.as_mut().now_or_never().expect("a permit is free");
        drop(permit.unwrap());
        let state = queue.lock();
        assert_eq!((state.free, state.known.waiting, state.new.waiting), (2, 0, 0));
        assert!(state.known.groups.lines.is_empty());
    }
}
