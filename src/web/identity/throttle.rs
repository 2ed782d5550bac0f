//! Protection against password guessing: a number of failures is free, then one attempt per interval is allowed. A
//! user with the right password can always log in.
//!
//! ```text
//!   attempts on                                             free   then one in
//!   this name from this source                                 5        10 s
//!   this name from all sources where it never logged in       30         5 s
//! ```
//!
//! A source is an address, an IPv6 network of 64 bits, or the whole loopback network: an owner of one of its addresses has all of
//! them. Failures of a source with *other* names do not count: behind a proxy or NAT they belong to other users, and a source
//! that guesses at many names is slowed by the login queue (`password`). A source from which a user logged in before is not
//! delayed by attempts on its name from elsewhere.
//!
//! Each limit is a token bucket that refills over time: refused attempts take nothing, so continuous guessing cannot extend the
//! wait, and one attempt per interval is allowed. An attempt takes its token before the password is checked and returns it if
//! the password is right, so concurrent attempts cannot bypass the limit. Unknown names are counted the same way.
//!
//! Memory is bounded. An entry that is evicted early was not used by the thousands of attempts after it, and would have been
//! full again a few minutes later.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use sha2::{Digest, Sha256};

use super::bounded::Bounded;
use crate::model::{IpNetwork, UserId};

/// The most buckets in memory.
const REMEMBERED: usize = 16_384;

/// The most known sources of a user; the least recently used one is evicted.
const SOURCES_OF_A_USER: usize = 16;

/// How many attempts are free, and how long one takes to refill.
#[derive(Clone, Copy)]
struct Limit {
    free: u32,
    interval: Duration,
}

const BY_NAME_AND_SOURCE: Limit = Limit {
    free: 5,
    interval: Duration::from_secs(10),
};
const BY_NAME: Limit = Limit {
    free: 30,
    interval: Duration::from_secs(5),
};

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Bucket {
    NameAndSource(NameDigest, IpAddr),
    Name(NameDigest),
}

/// The digest of a name, of fixed size.
pub(super) type NameDigest = [u8; 16];

/// An attempt: a name from a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The user, by id, or an unknown name.
    pub(super) name: NameDigest,
    /// The source.
    pub(super) source: IpAddr,
    /// Whether this user logged in from this source before.
    pub(super) is_known: bool,
}

impl Attempt {
    fn buckets(&self) -> impl Iterator<Item = (Bucket, Limit)> {
        let everywhere = (Bucket::Name(self.name), BY_NAME);
        [(Bucket::NameAndSource(self.name, self.source), BY_NAME_AND_SOURCE)]
            .into_iter()
            .chain((!self.is_known).then_some(everywhere))
    }
}

/// The recent attempts.
pub struct Throttle {
    memory: Mutex<Memory>,
}

struct Memory {
    /// When each bucket will be full again.
    full_at: Bounded<Bucket, Instant>,
    /// The sources from which users logged in, the latest last.
    sources: Bounded<UserId, VecDeque<IpAddr>>,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            memory: Mutex::new(Memory {
                full_at: Bounded::new(REMEMBERED),
                sources: Bounded::new(REMEMBERED),
            }),
        }
    }
}

impl Throttle {
    /// An attempt on an existing user, or else on an unknown name.
    pub fn attempt(&self, user: Option<&UserId>, name: &str, address: IpAddr) -> Attempt {
        let source = source(address);
        let known = user.and_then(|user| {
            self.lock()
                .sources
                .get_mut(user)
                .map(|known| known.contains(&source))
        });
        // Attempts by id and by name count for the same user.
        let digest = Sha256::digest(user.map_or(name, UserId::as_str));
        let mut name = NameDigest::default();
        name.copy_from_slice(&digest[..16]);
        Attempt {
            name,
            source,
            is_known: known.unwrap_or(false),
        }
    }

    /// How long to wait before the next attempt; `None` if it is allowed now.
    pub fn wait(&self, attempt: &Attempt, now: Instant) -> Option<Duration> {
        self.lock().wait(attempt, now)
    }

    /// Takes the cost of a failure before the password is checked.
    ///
    /// # Errors
    /// How long to wait; then nothing was taken.
    pub fn take(&self, attempt: &Attempt, now: Instant) -> Result<(), Duration> {
        let mut memory = self.lock();
        match memory.wait(attempt, now) {
            Some(wait) => Err(wait),
            None => {
                memory.count(attempt, now);
                Ok(())
            }
        }
    }

    /// Counts an attempt that another control node let in.
    pub fn count(&self, attempt: &Attempt, now: Instant) {
        self.lock().count(attempt, now);
    }

    /// The password was right: returns what this attempt took. A successful login does not reset earlier failures.
    pub fn succeeded(&self, attempt: &Attempt, user: &UserId) {
        let mut memory = self.lock();
        for (bucket, limit) in attempt.buckets() {
            if let Some(at) = memory.full_at.get_mut(&bucket) {
                *at = at.checked_sub(limit.interval).unwrap_or(*at);
            }
        }
        let mut known = memory
            .sources
            .get_mut(user)
            .map(std::mem::take)
            .unwrap_or_default();
        known.retain(|source| *source != attempt.source);
        known.push_back(attempt.source);
        if known.len() > SOURCES_OF_A_USER {
            known.pop_front();
        }
        memory.sources.insert(user.clone(), known);
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock()
    }
}

impl Memory {
    fn count(&mut self, attempt: &Attempt, now: Instant) {
        for (bucket, limit) in attempt.buckets() {
            let full_at = self.full_at.get_mut(&bucket).map_or(now, |at| (*at).max(now));
            self.full_at.insert(bucket, full_at + limit.interval);
        }
    }

    fn wait(&mut self, attempt: &Attempt, now: Instant) -> Option<Duration> {
        attempt
            .buckets()
            .filter_map(|(bucket, limit)| {
                let full_at = *self.full_at.get_mut(&bucket)?;
                let missing = full_at.saturating_duration_since(now);
                // The bucket must have room for one more failure.
                let wait = missing.checked_sub(limit.interval * (limit.free - 1))?;
                Some(wait).filter(|wait| !wait.is_zero())
            })
            .max()
    }
}

/// An owner of one address has all of its source: 2^64 of IPv6, 2^24 of the loopback.
fn source(address: IpAddr) -> IpAddr {
    let address = address.to_canonical();
    match address {
        _ if address.is_loopback() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpNetwork::of(address, 64).address(),
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: &str = "10.0.0.1";
    const ELSEWHERE: &str = "10.0.0.2";

    fn ann() -> UserId {
        "ann's id".into()
    }

    fn at(throttle: &Throttle, name: &str, address: &str) -> Attempt {
        let user = (name == "ann").then(ann);
        throttle.attempt(user.as_ref(), name, address.parse().unwrap())
    }

    /// How many of these attempts are allowed, each at the next instant of `every`.
    fn admitted(
        throttle: &Throttle,
        attempts: impl Iterator<Item = Attempt>,
        from: Instant,
        every: Duration,
    ) -> usize {
        let mut now = from;
        attempts
            .filter(|attempt| {
                now += every;
                throttle.take(attempt, now).is_ok()
            })
            .count()
    }

    #[test]
    fn a_few_slips_are_free_and_then_one_try_in_ten_seconds() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for name in ["ann", "nobody"] {
            let attempt = at(&throttle, name, HERE);
            for _ in 0..5 {
                assert_eq!(throttle.wait(&attempt, now), None);
                throttle.take(&attempt, now).unwrap();
            }
            let seconds = Duration::from_secs;
            assert_eq!(throttle.take(&attempt, now), Err(seconds(10)), "{name}");
            assert_eq!(throttle.wait(&attempt, now + seconds(4)), Some(seconds(6)));
            assert_eq!(throttle.take(&attempt, now + seconds(10)), Ok(()));
            assert_eq!(throttle.take(&attempt, now + seconds(10)), Err(seconds(10)));
            assert_eq!(throttle.wait(&attempt, now + seconds(70)), None);
        }
    }

    #[test]
    fn guessing_at_other_names_locks_no_user_out() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..5000 {
            throttle
                .take(&at(&throttle, &format!("nobody{n}"), HERE), now)
                .unwrap();
        }
        assert_eq!(throttle.wait(&at(&throttle, "ann", HERE), now), None);
    }

    #[test]
    fn tries_that_are_refused_do_not_stretch_the_wait() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let attempt = at(&throttle, "ann", HERE);
        // A guess in each tenth of a second, for an hour.
        let guesses = std::iter::repeat_n(attempt, 36_000);
        let let_in = admitted(&throttle, guesses, now, Duration::from_millis(100));
        assert!((360..=366).contains(&let_in), "{let_in}");
        let later = now + Duration::from_secs(3601);
        assert!(
            throttle
                .wait(&attempt, later)
                .is_none_or(|wait| wait <= Duration::from_secs(10))
        );
    }

    #[test]
    fn a_guesser_on_many_addresses_is_slowed_and_a_user_in_a_known_place_is_not() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let home = at(&throttle, "ann", HERE);
        throttle.take(&home, now).unwrap();
        throttle.succeeded(&home, &ann());
        let guesses: Vec<Attempt> = (0..5000)
            .map(|n| at(&throttle, "ann", &format!("192.0.{}.{}", n / 250, n % 250)))
            .collect();
        let let_in = admitted(&throttle, guesses.into_iter(), now, Duration::from_millis(10));
        assert!(let_in <= 40, "{let_in} guesses in 50 s");
        let home = at(&throttle, "ann", HERE);
        assert!(home.is_known);
        assert_eq!(throttle.wait(&home, now), None);
        assert!(throttle.wait(&at(&throttle, "ann", ELSEWHERE), now).is_some());
    }

    #[test]
    fn many_at_once_are_counted_before_the_first_has_failed() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let attempt = at(&throttle, "ann", HERE);
        let let_in = (0..100).filter(|_| throttle.take(&attempt, now).is_ok()).count();
        assert_eq!(let_in, 5);
    }

    #[test]
    fn a_right_password_costs_nothing_and_pays_for_nothing() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..100 {
            let attempt = at(&throttle, "ann", HERE);
            throttle.take(&attempt, now).unwrap();
            throttle.succeeded(&attempt, &ann());
        }
        let attempt = at(&throttle, "ann", HERE);
        for _ in 0..5 {
            throttle.take(&attempt, now).unwrap();
        }
        throttle.succeeded(&attempt, &ann());
        assert!(
            throttle.take(&attempt, now).is_ok(),
            "what it took is there again"
        );
        assert!(throttle.take(&attempt, now).is_err(), "and no more");
    }

    #[test]
    fn a_source_is_all_that_one_has_with_one_address() {
        let same = |one: &str, other: &str| source(one.parse().unwrap()) == source(other.parse().unwrap());
        assert!(same("2001:db8::1:2:3:4", "2001:db8::5:6:7:8"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("127.0.0.1", "127.9.8.7"));
        assert!(same("::1", "::ffff:127.0.0.2"));
        assert!(same("::ffff:10.0.0.1", HERE));
        assert!(!same(HERE, ELSEWHERE));
    }

    #[test]
    fn memory_is_bounded_under_a_flood_of_names_and_places() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..50_000_u32 {
            let address = std::net::Ipv4Addr::from(n).to_string();
            let _ = throttle.take(&at(&throttle, &n.to_string(), &address), now);
            let attempt = at(&throttle, "ann", &address);
            throttle.succeeded(&attempt, &ann());
        }
        let mut memory = throttle.lock();
        assert!(memory.full_at.len() <= REMEMBERED);
        assert_eq!(memory.sources.len(), 1);
        assert_eq!(memory.sources.get_mut(&ann()).unwrap().len(), SOURCES_OF_A_USER);
    }

    proptest! {
        #[test]
        fn no_attempt_waits_longer_than_one_interval(tries in proptest::collection::vec((0u64..20_000, 0u8..4), 1..200)) {
            let throttle = Throttle::default();
            let mut now = Instant::now();
            for (pause, place) in tries {
                now += Duration::from_millis(pause);
                let attempt = at(&throttle, "ann", &format!("10.0.0.{place}"));
                if let Err(wait) = throttle.take(&attempt, now) {
                    prop_assert!(wait <= BY_NAME_AND_SOURCE.interval.max(BY_NAME.interval));
                    prop_assert_eq!(throttle.wait(&attempt, now + wait), None);
                }
            }
        }
    }
}
