//! The layout of keys in etcd, all under one prefix.
//!
//! | key | value |
//! |---|---|
//! | prefix `d` key | an entry of the store |
//! | prefix `n` node | the fence of a control node: see `fence` |
//! | prefix `f` | the format, and the id of the store |
//! | prefix `c` | written in each interval of the removal of history, with the revision then: see `compaction` |

use crate::store::Key;

const DATA: u8 = b'd';
const FENCE: u8 = b'n';
const FORMAT: u8 = b'f';
const COMPACTION: u8 = b'c';

/// The prefix of a store.
#[derive(Clone, Debug)]
pub(super) struct KeySpace {
    prefix: Vec<u8>,
}

/// What a key of etcd is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// An entry.
    Data(Key),
    /// The fence of this node.
    Fence(Vec<u8>),
    /// Another key of the engine.
    Own,
    /// Nothing that a control node writes.
    Foreign,
}

impl KeySpace {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.as_bytes().to_vec(),
        }
    }

    fn key(&self, class: u8, rest: &[u8]) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.prefix.len() + 1 + rest.len());
        key.extend_from_slice(&self.prefix);
        key.push(class);
        key.extend_from_slice(rest);
        key
    }

    pub(super) fn data(&self, key: &Key) -> Vec<u8> {
        self.key(DATA, &key.0)
    }

    pub(super) fn fence(&self, node: &str) -> Vec<u8> {
        self.key(FENCE, node.as_bytes())
    }

    pub(super) fn format(&self) -> Vec<u8> {
        self.key(FORMAT, &[])
    }

    pub(super) fn compaction(&self) -> Vec<u8> {
        self.key(COMPACTION, &[])
    }

    /// The range of all fences.
    pub(super) fn fences(&self) -> (Vec<u8>, Vec<u8>) {
        (self.key(FENCE, &[]), self.key(FENCE + 1, &[]))
    }

    /// The range of all entries.
    pub(super) fn entries(&self) -> (Vec<u8>, Vec<u8>) {
        (self.key(DATA, &[]), self.key(DATA + 1, &[]))
    }

    /// The range of all keys under the prefix.
    pub(super) fn all(&self) -> (Vec<u8>, Vec<u8>) {
        let mut end = self.prefix.clone();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                break;
            }
        }
        if end.is_empty() {
            // To the end of all keys.
            end.push(0);
        }
        (self.prefix.clone(), end)
    }

    pub(super) fn place(&self, key: &[u8]) -> Place {
        let Some((class, rest)) = key
            .strip_prefix(self.prefix.as_slice())
            .and_then(<[u8]>::split_first)
        else {
            return Place::Foreign;
        };
        match (*class, rest) {
            (DATA, rest) if !rest.is_empty() => Place::Data(Key(rest.to_vec())),
            (FENCE, rest) if !rest.is_empty() => Place::Fence(rest.to_vec()),
            (FORMAT | COMPACTION, []) => Place::Own,
            _ => Place::Foreign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_recognised_and_lies_in_the_range_of_all() {
        for prefix in ["/pumice/", "p", "a\u{7f}"] {
            let space = KeySpace::new(prefix);
            let (low, high) = space.all();
            let data = Key(vec![b'V', b'.', 0, 0xff]);
            for (key, place) in [
                (space.data(&data), Place::Data(data.clone())),
                (space.fence("a@b"), Place::Fence(b"a@b".to_vec())),
                (space.format(), Place::Own),
                (space.compaction(), Place::Own),
                ([prefix.as_bytes(), b"x"].concat(), Place::Foreign),
                (prefix.as_bytes().to_vec(), Place::Foreign),
            ] {
                assert!(low <= key && key < high, "{prefix}");
                assert_eq!(space.place(&key), place, "{prefix}");
            }
            let (low, high) = space.fences();
            assert!(low < space.fence("a") && space.fence("\u{ff}") < high);
        }
    }
}
