//! Keystone's answers, for a limited time: by the hash of the token, so that no token is kept.
//!
//! Valid and invalid tokens are counted apart, so that a flood of invalid ones does not push out the valid ones. When there are too
//! many of a kind, the oldest answer is dropped.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::token::ValidToken;
use crate::model::Timestamp;

/// How long it is remembered that a token is invalid: a token that Keystone does not know yet must soon be asked for again.
pub(super) const INVALID: Duration = Duration::from_secs(5);

/// How many invalid tokens are remembered.
const INVALID_SIZE: usize = 10_000;

/// A token, and whether it may be expired: Keystone's answers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    hash: [u8; 32],
    allow_expired: bool,
}

impl Key {
    pub(super) fn of(token: &str, allow_expired: bool) -> Self {
        Self {
            hash: Sha256::digest(token).into(),
            allow_expired,
        }
    }
}

/// What Keystone says of a token; `None` if it is invalid.
pub(super) type Validity = Option<Arc<ValidToken>>;

/// The answers.
pub(super) struct TokenCache {
    time: Duration,
    shelves: Mutex<Shelves>,
}

struct Shelves {
    valid: Shelf<Arc<ValidToken>>,
    invalid: Shelf<()>,
}

impl TokenCache {
    /// A cache of so many valid tokens, each for so long.
    pub(super) fn new(size: usize, time: Duration) -> Self {
        Self {
            time,
            shelves: Mutex::new(Shelves {
                valid: Shelf::new(size),
                invalid: Shelf::new(INVALID_SIZE),
            }),
        }
    }

    /// The answer, if there is one that holds at that time.
    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<Validity> {
        let shelves = self.shelves.lock();
        if let Some(token) = shelves.valid.get(key, now) {
            return Some(Some(Arc::clone(token)));
        }
        shelves.invalid.get(key, now).map(|()| None)
    }

    /// Keeps the answer to a question that was asked at that time. It is `now`.
    pub(super) fn put(&self, key: Key, validity: &Validity, asked_at: Instant, now: Instant) {
        let mut shelves = self.shelves.lock();
        shelves.valid.remove(&key);
        shelves.invalid.remove(&key);
        match validity {
            Some(token) => {
                let left = token.expires_at.since(Timestamp::now());
                // One that is accepted although it has expired is asked for again as any other.
                let time = if left.is_zero() {
                    self.time
                } else {
                    self.time.min(left)
                };
                shelves.valid.insert(key, Arc::clone(token), asked_at + time, now);
            }
            None => shelves
                .invalid
                .insert(key, (), asked_at + INVALID.min(self.time), now),
        }
    }
}

/// Answers of a kind, in the order in which they were put there.
struct Shelf<V> {
    size: usize,
    entries: BTreeMap<Key, Entry<V>>,
    /// Keys with the number of their entry: if that is another one, the entry was replaced.
    order: VecDeque<(u64, Key)>,
    last: u64,
}

struct Entry<V> {
    value: V,
    until: Instant,
    number: u64,
}

impl<V> Shelf<V> {
    fn new(size: usize) -> Self {
        Self {
            size,
            entries: BTreeMap::new(),
            order: VecDeque::new(),
            last: 0,
        }
    }

    fn get(&self, key: &Key, now: Instant) -> Option<&V> {
        let entry = self.entries.get(key).filter(|entry| entry.until > now)?;
        Some(&entry.value)
    }

    fn remove(&mut self, key: &Key) {
        self.entries.remove(key);
    }

    fn insert(&mut self, key: Key, value: V, until: Instant, now: Instant) {
        self.last += 1;
        let number = self.last;
        self.entries.insert(key, Entry { value, until, number });
        self.order.push_back((number, key));
        while let Some((number, key)) = self.order.front() {
            let entry = self.entries.get(key).filter(|entry| entry.number == *number);
            match entry {
                Some(entry) if self.entries.len() <= self.size && entry.until > now => break,
                Some(_) => {
                    self.entries.remove(key);
                }
                None => {}
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(seconds: u64) -> Validity {
        Some(Arc::new(ValidToken {
            expires_at: Timestamp::now().plus(Duration::from_secs(seconds)),
            ..ValidToken::sample()
        }))
    }

    #[test]
    fn an_answer_holds_for_the_time_of_the_cache_and_no_longer_than_the_token() {
        let cache = TokenCache::new(10, Duration::from_secs(300));
        let keys = ["long", "short", "invalid"].map(|text| Key::of(text, false));
        let now = Instant::now();
        cache.put(keys[0], &token(86_400), now, now);
        cache.put(keys[1], &token(20), now, now);
        cache.put(keys[2], &None, now, now);
        let known = |seconds| {
            let then = now + Duration::from_secs(seconds);
            keys.map(|key| cache.get(&key, then).map(|answer| answer.is_some()))
        };
        assert_eq!(known(0), [Some(true), Some(true), Some(false)]);
        assert_eq!(cache.get(&Key::of("long", true), now), None);
        assert_eq!(known(5), [Some(true), Some(true), None]);
        assert_eq!(known(20), [Some(true), None, None]);
        assert_eq!(known(299), [Some(true), None, None]);
        assert_eq!(known(300), [None, None, None]);
    }

    #[test]
    fn the_time_counts_from_the_question_and_not_from_the_answer() {
        let cache = TokenCache::new(10, Duration::from_secs(60));
        let (key, asked_at) = (Key::of("t", false), Instant::now());
        cache.put(key, &token(900), asked_at, asked_at + Duration::from_secs(9));
        let is_known = |seconds| cache.get(&key, asked_at + Duration::from_secs(seconds)).is_some();
        assert_eq!((is_known(59), is_known(60)), (true, false));
    }

    #[test]
    fn the_oldest_answers_give_way_and_invalid_tokens_do_not_push_out_valid_ones() {
        let cache = TokenCache::new(3, Duration::from_secs(300));
        let now = Instant::now();
        let key = |number: usize| Key::of(&number.to_string(), false);
        for number in 0..5 {
            cache.put(key(number), &token(900), now, now);
            cache.put(key(number), &token(900), now, now);
        }
        for number in 100..(101 + INVALID_SIZE) {
            cache.put(key(number), &None, now, now);
        }
        let shelves = cache.shelves.lock();
        assert_eq!(
            (shelves.valid.entries.len(), shelves.invalid.entries.len()),
            (3, INVALID_SIZE)
        );
        assert!(shelves.valid.order.len() <= 7, "{}", shelves.valid.order.len());
        drop(shelves);
        let known: Vec<bool> = (0..5)
            .map(|number| cache.get(&key(number), now).is_some())
            .collect();
        assert_eq!(known, [false, false, true, true, true]);
    }

    #[test]
    fn an_answer_that_is_replaced_again_and_again_takes_no_more_room() {
        let cache = TokenCache::new(3, Duration::from_secs(300));
        let now = Instant::now();
        for seconds in 0..10_000 {
            let then = now + Duration::from_secs(seconds);
            cache.put(Key::of("first", false), &token(900), then, then);
        }
        assert!(cache.shelves.lock().valid.order.len() < 400);
    }

    #[test]
    fn without_a_time_nothing_is_kept() {
        let cache = TokenCache::new(3, Duration::ZERO);
        let now = Instant::now();
        cache.put(Key::of("t", false), &token(900), now, now);
        cache.put(Key::of("u", false), &None, now, now);
        assert_eq!(cache.get(&Key::of("t", false), now), None);
        assert_eq!(cache.get(&Key::of("u", false), now), None);
    }
}
