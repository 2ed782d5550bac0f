//! Commits that are merged into one transaction of etcd.
//!
//! Each is evaluated over the view and what those before it write. Every key of the view that decided anything is compared in the
//! transaction with the revision that the view has: so if it succeeds, each decision was right at that moment.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::fence::Fence;
use super::key_space::KeySpace;
use super::proto::{Compare, RangeRequest, Request, RequestOp, TxnRequest};
use super::view::View;
use crate::store::derived::Derivation;
use crate::store::evaluate::evaluate;
use crate::store::{
    Ceiling, CommitError, Condition, Entry, Key, MAX_OPERATIONS, Revision, StoreError, Transaction,
};

/// The most bytes of a transaction (etcd: `--max-request-bytes`, 1.5 MiB by default), with room for its encoding.
const MAX_BYTES: usize = 1_400_000;

/// About how many bytes the encoding adds to a comparison or an operation.
const OVERHEAD: usize = 24;

/// The revision of what a batch writes, until it is known. No caller can have read it.
const PENDING: Revision = Revision(u64::MAX);

/// The commits of a transaction that is being built.
#[derive(Default)]
pub(super) struct Batch {
    /// The keys of the view that were read, and the revisions that wrote them; 0 if they do not exist.
    read: BTreeMap<Key, u64>,
    written: BTreeMap<Key, Option<Vec<u8>>>,
    bytes: usize,
    commits: usize,
}

/// What became of a commit.
pub(super) enum Added {
    /// It is a part of the transaction.
    Yes,
    /// It does not fit into this transaction.
    Full,
    /// A condition or a ceiling does not hold, or it cannot be made at all.
    Refused(CommitError),
}

impl Batch {
    /// Whether nothing was added yet.
    pub(super) fn is_empty(&self) -> bool {
        self.commits == 0
    }

    /// Adds a commit, if its conditions and ceilings hold.
    pub(super) fn add(&mut self, view: &View, transaction: &Transaction) -> Added {
        let mut read = BTreeMap::new();
        let derivation = view.derivation();
        if let Err(error) = must_not_depend_on_derived(derivation, transaction) {
            return Added::Refused(error.into());
        }
        let evaluated = evaluate(transaction, |key| {
            if let Some(value) = self.written.get(key) {
                let entry = |value: &Vec<u8>| Entry {
                    value: Bytes::copy_from_slice(value),
                    revision: PENDING,
                };
                return Ok(value.as_ref().map(entry));
            }
            let found = view.get(key);
            read.insert(key.clone(), found.as_ref().map_or(0, |entry| entry.revision.0));
            Ok(found)
        });
        let mut writes = match evaluated {
            Ok(writes) => writes,
            Err(error) => return Added::Refused(error),
        };
        writes.retain(|key, _| !derivation.is_derived(key));
        read.retain(|key, _| !self.read.contains_key(key));
        let bytes: usize = read.keys().map(|key| key.0.len() + OVERHEAD).sum::<usize>()
            + writes
                .iter()
                .map(|(key, value)| key.0.len() + value.as_ref().map_or(0, Vec::len) + OVERHEAD)
                .sum::<usize>();
        let new = writes
            .keys()
            .filter(|key| !self.written.contains_key(*key))
            .count();
        let comparisons = self.read.len() + read.len();
        let operations = self.written.len() + new;
        if comparisons.max(operations) > MAX_OPERATIONS || self.bytes + bytes > MAX_BYTES {
            return match self.is_empty() {
                true => Added::Refused(too_large(comparisons, operations, bytes).into()),
                false => Added::Full,
            };
        }
        self.read.extend(read);
        self.written.extend(writes);
        self.bytes += bytes;
        self.commits += 1;
        Added::Yes
    }

    /// The transaction, which also writes the node's fence. If it fails, it returns all fences.
    pub(super) fn transaction(&self, space: &KeySpace, node: &str, fence: Fence, last: u64) -> TxnRequest {
        let mut request = fenced(space, node, fence, last);
        let read = self.read.iter();
        request
            .compare
            .extend(read.map(|(key, revision)| Compare::unchanged(space.data(key), signed(*revision))));
        let written = self.written.iter();
        request.success.extend(written.map(|(key, value)| match value {
            Some(value) => RequestOp::put(space.data(key), value.clone()),
            None => RequestOp::delete(space.data(key)),
        }));
        request
    }
}

/// A transaction that only writes a node's fence, if it was written last by this revision. If it fails, it returns all fences.
pub(super) fn fenced(space: &KeySpace, node: &str, fence: Fence, last: u64) -> TxnRequest {
    let key = space.fence(node);
    let (low, high) = space.fences();
    let fences = RangeRequest {
        key: low,
        range_end: high,
        ..RangeRequest::default()
    };
    TxnRequest {
        compare: vec![Compare::unchanged(key.clone(), signed(last))],
        success: vec![RequestOp::put(key, fence.encode())],
        failure: vec![RequestOp {
            request: Some(Request::Range(fences)),
        }],
    }
}

/// A revision as etcd's messages have it.
pub(super) fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

/// A revision of etcd's messages.
pub(super) fn unsigned(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

fn too_large(comparisons: usize, operations: usize, bytes: usize) -> StoreError {
    StoreError::too_large(format!(
        "a commit with {comparisons} conditions, {operations} changes and {bytes} bytes, over etcd's limits of \
         {MAX_OPERATIONS}, {MAX_OPERATIONS} and {MAX_BYTES}"
    ))
}

/// Derived keys are not in etcd, so nothing can be compared with them.
fn must_not_depend_on_derived(
    derivation: &dyn Derivation,
    transaction: &Transaction,
) -> Result<(), StoreError> {
    let conditions = transaction.conditions.iter().map(|condition| match condition {
        Condition::Absent(key) | Condition::Unchanged(key, _) => key,
    });
    let counters = transaction
        .ceilings
        .iter()
        .flat_map(|Ceiling { keys, .. }| keys.iter());
    match conditions.chain(counters).find(|key| derivation.is_derived(key)) {
        Some(key) => Err(StoreError::new(format!(
            "a commit has a condition on {key:?}, which is derived"
        ))),
        None => Ok(()),
    }
}
