//! The engine of several control nodes. etcd has the truth; each node has a view of it in memory, which serves its reads.
//!
//! ```text
//! commit ──> writer: merges what waits, evaluates it over the view ──transaction──> etcd
//!              └ answers once the view has it                                          │
//! get, scan <── view: all entries, and the index rows that follow from them <──watch──┘
//! wait_current ──> one question for all who wait: the last commit of all nodes; then until the view has it
//! ```
//!
//! | what happens | what becomes of it |
//! |---|---|
//! | another node changes what a commit read | etcd compares revisions and refuses; it is evaluated again on a newer view |
//! | a reply is lost | the fence shows whether the transaction happened, or excludes it (`fence`) |
//! | the majority is lost | reads go on from the view; commits are refused after `timeout` ([`Health::Unreachable`]) |
//! | etcd's database is full | reads go on; commits are refused ([`Health::NoRoom`]) |
//! | the view falls behind a compaction, or events are lost | it is loaded anew; readers have the earlier state until then |
//! | a backup is restored, or the node's name is used twice | [`Health::Broken`], with the way out in its text |
//!
//! Only what cannot be computed is stored in etcd: no index rows ([`Derivation`]).
//!
//! All of it runs on one thread of its own, so that neither slow handlers of actors nor large answers hold each other up.

mod batch;
mod client;
mod compaction;
mod currency;
mod fence;
mod key_space;
mod load;
mod node;
mod open;
mod position;
mod proto;
mod report;
mod runtime;
mod stats;
mod view;
mod watch;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use super::changed_keys::ChangedKeys;
use super::derived::Derivation;
use super::report::StoreReport;
use super::{CommitError, Entry, Health, Key, Revision, Scan, Sink, Store, StoreError, Transaction};
use crate::tasks;
use node::Node;
use open::{Opened, Purpose};
use position::Position;
use runtime::Running;
pub use stats::CommitStats;
use writer::{Pending, Writer};

/// How often the node's position is written to its file, and the size of the database is asked for.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// How often a full etcd is tried.
const TRY_FULL: Duration = Duration::from_secs(5);

/// How many may wait for a current view.
const QUESTIONS: usize = 4096;

/// The number of entries per read of a dump.
const DUMPED_AT_ONCE: usize = 1024;

/// The longest attempt of one call at one endpoint.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(2);

/// Options of the engine.
#[derive(Clone, Debug)]
pub struct EtcdOptions {
    /// `http://host:port` or `https://host:port` of members, all of one cluster.
    pub endpoints: Vec<String>,
    /// What all keys begin with. Nothing else may use it.
    pub prefix: String,
    /// The name of the control node, which no other may have.
    pub node: String,
    /// PEM certificates that those of members are checked with; those of the system if not given.
    pub ca_file: Option<PathBuf>,
    /// The PEM files of the node's own certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Name and password.
    pub user: Option<(String, String)>,
    /// How long a commit or a current read may take.
    pub timeout: Duration,
    /// How often history is removed; zero: never.
    pub compact_interval: Duration,
    /// How many commits may wait; further ones wait to be queued.
    pub queue: usize,
    /// The file in which the node remembers its position.
    pub position: Option<PathBuf>,
}

impl Default for EtcdOptions {
    fn default() -> Self {
        Self {
            endpoints: vec!["http://127.0.0.1:2379".to_owned()],
            prefix: "/pumice/".to_owned(),
            node: "pumice".to_owned(),
            ca_file: None,
            certificate: None,
            user: None,
            timeout: Duration::from_secs(10),
            compact_interval: Duration::from_secs(60),
            queue: 1024,
            position: None,
        }
    }
}

impl EtcdOptions {
    /// How long one call at one endpoint may take.
    fn attempt(&self) -> Duration {
        (self.timeout / 4).min(LONGEST_ATTEMPT)
    }
}

/// A store in etcd. Dropping it waits for the commits that were accepted.
pub struct EtcdStore {
    node: Arc<Node>,
    /// Of the store in etcd.
    id: Uuid,
    // `None` only while it is being dropped: the thread ends when its senders are dropped.
    requests: Option<mpsc::Sender<Pending>>,
    questions: Option<mpsc::Sender<currency::Waiting>>,
    running: Running,
    stats: Arc<CommitStats>,
    size: Arc<AtomicU64>,
    /// Held during a dump: the view records changed keys for one dump at a time.
    dumping: tokio::sync::Mutex<()>,
}

impl EtcdStore {
    /// Opens or creates the store. An earlier process of the same node cannot commit any more from then on.
    ///
    /// # Errors
    /// If etcd cannot be reached in time or refuses, if it has not the state that this node knows, and if options are wrong.
    pub async fn open(options: EtcdOptions, derivation: Arc<dyn Derivation>) -> Result<Self, StoreError> {
        Self::open_for(Purpose::Use, options, derivation).await
    }

    /// Opens a store to restore it: there must be none yet, except one whose restore did not complete, which is emptied. No node
    /// can open it before [`EtcdStore::restored`].
    ///
    /// # Errors
    /// As [`EtcdStore::open`], and if there is a store.
    pub async fn open_to_restore(
        options: EtcdOptions,
        derivation: Arc<dyn Derivation>,
    ) -> Result<Self, StoreError> {
        Self::open_for(Purpose::Restore, options, derivation).await
    }

    /// Marks a restored store as complete.
    ///
    /// # Errors
    /// If etcd cannot be reached in time.
    pub async fn restored(&self) -> Result<(), StoreError> {
        open::complete(&self.node, self.id).await
    }

    async fn open_for(
        purpose: Purpose,
        options: EtcdOptions,
        derivation: Arc<dyn Derivation>,
    ) -> Result<Self, StoreError> {
        let (requests, queue) = mpsc::channel(options.queue.max(1));
        let (questions, asked) = mpsc::channel(QUESTIONS);
        let stats = Arc::new(CommitStats::default());
        let size = Arc::new(AtomicU64::new(0));
        let (answer, opened) = oneshot::channel();
        let probes = requests.downgrade();
        let (counted, measured) = (Arc::clone(&stats), Arc::clone(&size));
        let engine = async move || {
            let Opened {
                node,
                position,
                fence,
            } = match open::open(options, derivation, purpose).await {
                Ok(opened) => opened,
                Err(error) => {
                    let _ = answer.send(Err(error));
                    return;
                }
            };
            if answer.send(Ok((Arc::clone(&node), position.store))).is_err() {
                return;
            }
            tasks::spawn(watch::follow(Arc::clone(&node)));
            tasks::spawn(compaction::run(Arc::clone(&node)));
            tasks::spawn(currency::answer(Arc::clone(&node), asked));
            tasks::spawn(try_when_full(Arc::clone(&node), probes));
            tasks::spawn(keep_house(Arc::clone(&node), position.clone(), measured));
            Writer::new(Arc::clone(&node), queue, fence, counted).run().await;
            remember(&node, &position);
        };
        let running = Running::start(engine)?;
        let ended = || StoreError::new("the tasks of etcd ended early");
        let (node, id) = opened.await.map_err(|_| ended())??;
        Ok(Self {
            node,
            id,
            requests: Some(requests),
            questions: Some(questions),
            running,
            stats,
            size,
            dumping: tokio::sync::Mutex::default(),
        })
    }

    /// Accepts the state of etcd for this node, after a backup was restored: what the node remembers of the former state is
    /// replaced. Returns a description of what was accepted. For a stopped node.
    ///
    /// # Errors
    /// If etcd cannot be reached, or the position cannot be written.
    pub async fn adopt(options: &EtcdOptions) -> Result<String, StoreError> {
        let accepted = open::adopt(options).await?;
        Ok(format!(
            "store {} of the cluster {:x}, up to transaction {} of {}",
            accepted.store, accepted.cluster, accepted.number, accepted.node
        ))
    }

    /// Statistics of commits.
    pub fn stats(&self) -> &CommitStats {
        &self.stats
    }

    /// The current health, and its changes.
    pub fn health(&self) -> tokio::sync::watch::Receiver<Health> {
        self.node.health.subscribe()
    }

    fn gone() -> StoreError {
        StoreError::new("the store is closed")
    }
}

impl Drop for EtcdStore {
    fn drop(&mut self) {
        drop(self.requests.take());
        drop(self.questions.take());
        self.running.join();
    }
}

#[async_trait]
impl Store for EtcdStore {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        Ok(self.node.view.get(key))
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Entry>>, StoreError> {
        Ok(self.node.view.get_many(keys))
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<(Key, Entry)>, StoreError> {
        Ok(self.node.view.scan(&scan))
    }

    async fn scan_many(&self, scans: Vec<Scan>) -> Result<Vec<Vec<(Key, Entry)>>, StoreError> {
        Ok(self.node.view.scan_many(&scans))
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, CommitError> {
        if let Some(broken) = self.node.broken() {
            return Err(broken.into());
        }
        let (answer, answered) = oneshot::channel();
        // Those who ask an etcd that is known to be away need not wait long for it.
        let patience = match self.node.is_unreachable() {
            true => 2 * self.node.options.attempt(),
            false => self.node.options.timeout,
        };
        let pending = Pending {
            transaction,
            answer,
            deadline: Instant::now() + patience,
            is_judged_on_current_view: false,
        };
        let requests = self.requests.as_ref().ok_or_else(Self::gone)?;
        requests.send(pending).await.map_err(|_| Self::gone())?;
        answered.await.unwrap_or_else(|_| {
            let mut error = StoreError::new("the store's writer ended before it answered");
            error.maybe_done = true;
            Err(error.into())
        })
    }

    async fn wait_current(&self) -> Result<(), StoreError> {
        if self.node.is_unreachable() {
            return Err(StoreError::unavailable("etcd cannot be reached"));
        }
        let (answer, answered) = oneshot::channel();
        let questions = self.questions.as_ref().ok_or_else(Self::gone)?;
        questions.send(answer).await.map_err(|_| Self::gone())?;
        answered.await.map_err(|_| Self::gone())?
    }

    fn shown_revision(&self) -> Revision {
        Revision(self.node.view.revision())
    }

    fn changed_keys(&self, prefix: &[u8]) -> Option<Arc<ChangedKeys>> {
        Some(self.node.view.changed_keys(prefix))
    }

    async fn dump(&self, sink: &mut Sink<'_>) -> Result<Revision, StoreError> {
        let _alone = self.dumping.lock().await;
        let begun = self.node.view.begin_dump();
        let mut after = None;
        loop {
            let page = self.node.view.scan(&Scan {
                prefix: Vec::new(),
                after,
                reverse: false,
                limit: DUMPED_AT_ONCE,
            });
            after = page.last().map(|(key, _)| key.clone());
            let is_last = page.len() < DUMPED_AT_ONCE;
            for (key, entry) in page {
                sink(key, Some(entry))?;
            }
            if is_last {
                break;
            }
            tokio::task::yield_now().await;
        }
        let (revision, changed) = self.node.view.end_dump(begun)?;
        for (key, entry) in changed {
            sink(key, entry)?;
        }
        Ok(revision)
    }

    async fn report(&self) -> StoreReport {
        report::report(&self.node).await
    }

    async fn size_on_disk(&self) -> Result<Option<u64>, StoreError> {
        Ok(Some(self.size.load(Ordering::Relaxed)).filter(|size| *size > 0))
    }
}

/// Writes the node's position to its file.
fn remember(node: &Node, position: &Position) {
    let Some(path) = &node.options.position else {
        return;
    };
    let position = Position {
        number: node.number.load(Ordering::Acquire),
        ..position.clone()
    };
    if let Err(error) = position.write(path) {
        tracing::warn!(%error, "the node's position in etcd could not be written");
    }
}

/// Writes the position of the node now and then, and asks for the size of the database.
async fn keep_house(node: Arc<Node>, position: Position, size: Arc<AtomicU64>) {
    let mut written = position.number;
    loop {
        if let Ok(status) = node.client.status(node.client.preferred()).await {
            size.store(batch::unsigned(status.db_size), Ordering::Relaxed);
        }
        tokio::time::sleep(HOUSEKEEPING).await;
        let number = node.number.load(Ordering::Acquire);
        if number != written {
            remember(&node, &position);
            written = number;
        }
    }
}

/// Tries an empty commit now and then while etcd is full, to notice when it is not any more.
async fn try_when_full(node: Arc<Node>, requests: mpsc::WeakSender<Pending>) {
    loop {
        tokio::time::sleep(TRY_FULL).await;
        if !matches!(&*node.health.borrow(), Health::NoRoom(_)) {
            continue;
        }
        let Some(requests) = requests.upgrade() else {
            return;
        };
        let (answer, _) = oneshot::channel();
        let pending = Pending {
            transaction: Transaction::default(),
            answer,
            deadline: Instant::now() + node.options.timeout,
            is_judged_on_current_view: false,
        };
        let _ = requests.try_send(pending);
    }
}
