//! A modelled etcd: three members on the simulated network that speak gRPC with the engine of production.
//!
//! What they store is one linearizable state (`model`), so Raft is not modelled; what clients of Raft notice is: a member that is cut off from
//! the others or that lost its majority, requests that are done much later or never, replies that are lost, members that lag, history that
//! is removed while a watch is behind it, a full database. `oracle` judges each transaction.

mod grpc;
mod member;
mod model;
mod oracle;
#[path = "../../../src/store/etcd/proto.rs"]
#[expect(
    dead_code,
    reason = "the engine's messages, of which a server uses other parts"
)]
mod proto;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pumice::store::catalog::IndexRows;
use pumice::store::derived::Derivation;
use pumice::store::memory::MemoryStore;
use pumice::store::{Change, Key, Store, Transaction};
use tokio::sync::watch;

pub use member::member;
use model::{Model, Refusal};
use oracle::Oracle;
use proto::TxnRequest;

/// What all keys of the store begin with.
pub const PREFIX: &str = "/pumice/";
pub const MEMBERS: usize = 3;
pub const PORT: u16 = 2379;

pub fn member_name(at: usize) -> String {
    format!("etcd{at}")
}

/// How often each thing happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(pub BTreeMap<&'static str, u64>);

impl Counts {
    pub fn add(&mut self, what: &'static str) {
        self.add_many(what, 1);
    }

    pub fn add_many(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    pub fn add_all(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.add_many(what, *times);
        }
    }
}

/// Of a thousand requests, so many have this trouble.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// It is done, and its reply is lost.
    pub lost_reply: u32,
    /// It is refused at once.
    pub refused: u32,
    /// It takes up to `slow` until it is done, and again until it is answered.
    pub slow_per_mille: u32,
    pub slow: Duration,
}

/// One member, as the others see it.
#[derive(Default)]
pub struct Member {
    runs: Cell<bool>,
    /// Cut off from the other members.
    pub is_cut_off: Cell<bool>,
    /// How far its watches are behind.
    pub lag: Cell<Duration>,
}

/// What outlives all members.
pub struct Etcd {
    model: RefCell<Model>,
    oracle: RefCell<Oracle>,
    pub members: [Member; MEMBERS],
    pub rates: Cell<Rates>,
    pub counts: RefCell<Counts>,
    /// Woken by each revision, and by each change of the members.
    changed: watch::Sender<u64>,
}

impl Etcd {
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            model: RefCell::default(),
            oracle: RefCell::default(),
            members: Default::default(),
            rates: Cell::default(),
            counts: RefCell::default(),
            changed: watch::Sender::new(0),
        })
    }

    /// Wakes all who wait for something.
    pub fn wake(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }

    fn count(&self, what: &'static str) {
        self.counts.borrow_mut().add(what);
    }

    /// Whether a member is one of a majority.
    fn has_majority(&self, at: usize) -> bool {
        let is_well = |member: &Member| member.runs.get() && !member.is_cut_off.get();
        let well = self.members.iter().filter(|member| is_well(member)).count();
        is_well(&self.members[at]) && well > MEMBERS / 2
    }

    fn txn(&self, request: &TxnRequest) -> Result<proto::TxnResponse, Refusal> {
        let answer = self.model.borrow_mut().txn(request, now())?;
        self.oracle
            .borrow_mut()
            .look(request, answer.succeeded, &mut self.counts.borrow_mut());
        self.wake();
        Ok(answer)
    }

    /// Removes history up to the newest revision, or the newest that deleted something, as other programs may.
    pub fn compact_now(&self, at_a_deletion: bool) {
        let mut model = self.model.borrow_mut();
        let deletes = |changes: &model::Changes| changes.events.iter().any(model::is_deletion);
        let mut newest_first = model.log.iter().rev();
        let deletion = newest_first.find(|(_, changes)| at_a_deletion && deletes(changes));
        let revision = deletion.map_or(model.revision, |(revision, _)| *revision);
        if model.compact(revision, false).is_ok() {
            self.count("compactions by others");
        }
        drop(model);
        self.wake();
    }

    /// Makes the database full, or not any more.
    pub fn set_full(&self, is_full: bool) {
        self.model.borrow_mut().is_full = is_full;
    }

    pub fn revision(&self) -> u64 {
        self.model.borrow().revision.unsigned_abs()
    }

    /// All entries of the store at a revision, with those that follow from them; `None` if its history is removed.
    pub fn entries(&self, at: u64) -> Option<BTreeMap<Key, Bytes>> {
        let model = self.model.borrow();
        let at = i64::try_from(at).expect("small revisions");
        if at < model.compacted {
            return None;
        }
        let prefix = format!("{PREFIX}d").into_bytes();
        let mut entries = BTreeMap::new();
        for (key, value) in model.all(&prefix, at) {
            let key = Key(key[prefix.len()..].to_vec());
            let rows = IndexRows.derive(&key, &value).expect("records can be decoded");
            entries.extend(rows.into_iter().map(|(row, value)| (row, value.into())));
            entries.insert(key, value);
        }
        Some(entries)
    }

    /// The same, as a store.
    pub fn store(&self) -> Arc<dyn Store> {
        use futures_util::FutureExt;
        let entries = self
            .entries(self.revision())
            .expect("the newest revision is there");
        let put = |(key, value): (Key, Bytes)| Change::Put(key, value.to_vec());
        let transaction = Transaction {
            changes: entries.into_iter().map(put).collect(),
            ..Transaction::default()
        };
        let memory = MemoryStore::default();
        let made = memory
            .commit(transaction)
            .now_or_never()
            .expect("nothing to wait for");
        made.expect("it has no conditions");
        Arc::new(memory)
    }

    /// Whether an operation is open.
    pub fn has_operations(&self) -> bool {
        let prefix = format!("{PREFIX}dO.").into_bytes();
        let model = self.model.borrow();
        !model.all(&prefix, model.revision).is_empty()
    }

    pub fn faults(&self) -> Vec<String> {
        self.oracle.borrow().faults.clone()
    }
}

/// The time of the simulation, which all nodes have in common.
fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}
