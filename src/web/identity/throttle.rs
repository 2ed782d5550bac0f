//! Against guessing: after a few failures, the next try has to wait, longer each time.
//!
//! Counted by user name and peer together, so that a stranger cannot lock a user out from elsewhere, and by peer alone,
//! so that trying one password on many names does not go on for long either. Names that do not exist count the same.
//! Memory is bounded; to be forgotten, one must let thousands of others fail.

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::bounded::Bounded;

/// Failures of a user from a peer that cost nothing.
const FREE_BY_USER: u32 = 5;
/// Failures of a peer that cost nothing.
const FREE_BY_PEER: u32 = 50;
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(60);
/// After so long without a failure, all is forgotten.
const FORGIVEN_AFTER: Duration = Duration::from_secs(900);
/// How many are remembered.
const REMEMBERED: usize = 8192;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    User([u8; 16], IpAddr),
    Peer(IpAddr),
}

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

/// The memory of failures.
pub struct Throttle {
    failures: Mutex<Bounded<Who, Failures>>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            failures: Mutex::new(Bounded::new(REMEMBERED)),
        }
    }
}

impl Throttle {
    /// How long this user from this peer has to wait before its next try; `None` if it may try now.
    #[must_use]
    pub fn wait(&self, user: &str, peer: IpAddr, now: Instant) -> Option<Duration> {
        let mut failures = self.lock();
        keys(user, peer)
            .into_iter()
            .filter_map(|(who, free)| {
                let known = failures.get_mut(&who)?;
                let pause = pause(known.count, free);
                let passed = now.saturating_duration_since(known.last);
                pause.checked_sub(passed).filter(|left| !left.is_zero())
            })
            .max()
    }

    /// A try failed.
    pub fn failed(&self, user: &str, peer: IpAddr, now: Instant) {
        let mut failures = self.lock();
        for (who, _) in keys(user, peer) {
            match failures.get_mut(&who) {
                Some(known) if now.saturating_duration_since(known.last) < FORGIVEN_AFTER => {
                    *known = Failures {
                        count: known.count.saturating_add(1),
                        last: now,
                    };
                }
                _ => failures.insert(who, Failures { count: 1, last: now }),
            }
        }
    }

    /// A try succeeded: the user is forgiven from this peer. The peer itself is not, or one good login would pay for
    /// many bad ones.
    pub fn succeeded(&self, user: &str, peer: IpAddr) {
        self.lock().remove(&keys(user, peer)[0].0);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Bounded<Who, Failures>> {
        self.failures
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn keys(user: &str, peer: IpAddr) -> [(Who, u32); 2] {
    let peer = network(peer);
    let digest = Sha256::digest(user.as_bytes());
    let mut name = [0; 16];
    name.copy_from_slice(&digest[..16]);
    [
        (Who::User(name, peer), FREE_BY_USER),
        (Who::Peer(peer), FREE_BY_PEER),
    ]
}

/// Who has one IPv6 address has 2^64 of them.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::from((u128::from(address) & !u128::from(u64::MAX)).to_be_bytes()),
        v4 => v4,
    }
}

/// How long to wait after so many failures.
fn pause(failures: u32, free: u32) -> Duration {
    match failures.checked_sub(free) {
        None => Duration::ZERO,
        Some(over) => Duration::from_secs(1u64.checked_shl(over).unwrap_or(u64::MAX)).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn a_few_slips_are_free_and_then_each_costs_more() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..4 {
            throttle.failed("u", HERE, now);
            assert_eq!(throttle.wait("u", HERE, now), None);
        }
        throttle.failed("u", HERE, now);
        assert_eq!(throttle.wait("u", HERE, now), Some(Duration::from_secs(1)));
        assert_eq!(throttle.wait("u", HERE, now + Duration::from_secs(1)), None);
        throttle.failed("u", HERE, now);
        assert_eq!(throttle.wait("u", HERE, now), Some(Duration::from_secs(2)));
        assert_eq!(
            throttle.wait("u", ELSEWHERE, now),
            None,
            "nobody is locked out from elsewhere"
        );
        throttle.succeeded("u", HERE);
        assert_eq!(throttle.wait("u", HERE, now), None);
    }

    #[test]
    fn one_password_on_many_names_does_not_go_on_for_long() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..50 {
            throttle.failed(&format!("user{n}"), HERE, now);
        }
        assert!(throttle.wait("somebody else", HERE, now).is_some());
    }

    #[test]
    fn what_is_long_ago_is_forgiven() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..20 {
            throttle.failed("u", HERE, now);
        }
        let later = now + FORGIVEN_AFTER;
        throttle.failed("u", HERE, later);
        assert_eq!(throttle.wait("u", HERE, later), None);
    }

    #[test]
    fn a_whole_ipv6_network_is_one_peer() {
        let (one, other) = ("fe80::1:2:3:4".parse().unwrap(), "fe80::5:6:7:8".parse().unwrap());
        assert_eq!(network(one), network(other));
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), HERE);
    }

    proptest! {
        #[test]
        fn waiting_is_never_longer_than_the_longest(failures: u32, free in 0u32..100) {
            prop_assert!(pause(failures, free) <= LONGEST);
        }
    }
}
