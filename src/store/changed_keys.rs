//! Keys that changed, recorded for what is derived from the entries and kept in memory.
//!
//! An engine holds `Subscriptions` and notes the keys of each commit there: **after** reads show its changes, and **before** the
//! commit is answered. So a reader that takes the recorded keys and then reads their entries has seen everything that was answered
//! before.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::Key;

/// The most keys that are recorded between two reads of them. About 100 bytes each.
const MOST: usize = 32_768;

/// The subscribers of an engine.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Mutex<Vec<Weak<ChangedKeys>>>);

impl Subscriptions {
    /// Records the keys with this prefix that change from now on, until the result is dropped.
    pub(super) fn subscribe(&self, prefix: &[u8]) -> Arc<ChangedKeys> {
        let subscriber = Arc::new(ChangedKeys {
            prefix: prefix.to_vec(),
            keys: Mutex::new(Some(BTreeSet::new())),
        });
        self.0.lock().push(Arc::downgrade(&subscriber));
        subscriber
    }

    /// Records these keys for the subscribers to their prefixes.
    pub(super) fn note<'k>(&self, keys: impl Iterator<Item = &'k Key> + Clone) {
        self.0.lock().retain(|subscriber| match subscriber.upgrade() {
            Some(subscriber) => {
                subscriber.note(keys.clone());
                true
            }
            None => false,
        });
    }
}

impl Subscriptions {
    /// Any key may have changed.
    pub(super) fn all_changed(&self) {
        for subscriber in self.0.lock().iter().filter_map(Weak::upgrade) {
            *subscriber.keys.lock() = None;
        }
    }
}

/// The keys with one prefix that changed.
#[derive(Debug)]
pub struct ChangedKeys {
    prefix: Vec<u8>,
    /// `None` if there were too many.
    keys: Mutex<Option<BTreeSet<Key>>>,
}

impl ChangedKeys {
    /// Takes the keys that were recorded since the last call, in order; `None` if there were too many to record, and any key may
    /// have changed.
    pub fn take(&self) -> Option<BTreeSet<Key>> {
        self.keys.lock().replace(BTreeSet::new())
    }

    fn note<'k>(&self, changed: impl Iterator<Item = &'k Key>) {
        let mut recorded = self.keys.lock();
        let Some(keys) = recorded.as_mut() else {
            return;
        };
        keys.extend(changed.filter(|key| key.0.starts_with(&self.prefix)).cloned());
        if keys.len() > MOST {
            *recorded = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<Key> {
        names.iter().map(|name| Key(name.as_bytes().to_vec())).collect()
    }

    #[test]
    fn each_subscriber_takes_the_keys_of_its_prefix_once() {
        let subscriptions = Subscriptions::default();
        let (of_a, of_b) = (subscriptions.subscribe(b"a"), subscriptions.subscribe(b"b"));
        subscriptions.note(keys(&["a1", "b1", "c1"]).iter());
        subscriptions.note(keys(&["a1", "a2"]).iter());
        assert_eq!(of_a.take(), Some(keys(&["a1", "a2"]).into_iter().collect()));
        assert_eq!(of_a.take(), Some(BTreeSet::new()));
        drop(of_a);
        subscriptions.note(keys(&["a3"]).iter());
        assert_eq!(subscriptions.0.lock().len(), 1);
        assert_eq!(of_b.take(), Some(keys(&["b1"]).into_iter().collect()));
    }

    #[test]
    fn too_many_keys_are_said_to_be_lost_and_then_recorded_again() {
        let subscriptions = Subscriptions::default();
        let subscriber = subscriptions.subscribe(b"");
        let numbered = |count: usize| (0..count).map(|number| Key(number.to_be_bytes().to_vec()));
        subscriptions.note(numbered(MOST + 1).collect::<Vec<_>>().iter());
        subscriptions.note(keys(&["a"]).iter());
        assert_eq!(subscriber.take(), None);
        subscriptions.note(keys(&["b"]).iter());
        assert_eq!(subscriber.take(), Some(keys(&["b"]).into_iter().collect()));
    }
}
