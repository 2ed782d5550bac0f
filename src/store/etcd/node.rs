//! What the tasks of the engine share: the connections, the view, the node's name and health.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::EtcdOptions;
use super::batch::unsigned;
use super::client::{CallError, Client};
use super::fence::Fence;
use super::key_space::{KeySpace, Place};
use super::proto::{KeyValue, RangeRequest};
use super::view::View;
use crate::store::{Health, StoreError};

/// How long the view may lag before its watch is begun anew at another endpoint.
const LAG: Duration = Duration::from_millis(700);

/// The engine of one process.
pub(super) struct Node {
    pub(super) options: EtcdOptions,
    pub(super) client: Client,
    pub(super) space: KeySpace,
    pub(super) view: View,
    pub(super) incarnation: Uuid,
    /// The number of the last own transaction that is known to have happened.
    pub(super) number: AtomicU64,
    pub(super) health: watch::Sender<Health>,
    /// The watch is to be begun anew.
    pub(super) lagging: Notify,
}

impl Node {
    /// The node's name in keys.
    pub(super) fn name(&self) -> &str {
        &self.options.node
    }

    /// The revision of the last commit, by all nodes, at some time after the call.
    ///
    /// # Errors
    /// If etcd cannot be asked in time, or this process may not commit any more.
    pub(super) async fn last_commit(&self, deadline: Instant) -> Result<u64, StoreError> {
        let known = self.number.load(Ordering::Acquire);
        let (key, range_end) = self.space.fences();
        let range = RangeRequest {
            key,
            range_end,
            ..RangeRequest::default()
        };
        let found = self
            .client
            .range(range, deadline)
            .await
            .map_err(|error| error.of_read("asking etcd for its last commit"))?;
        self.must_be_ours(&found.kvs, known)?;
        let revisions = found.kvs.iter().map(|fence| unsigned(fence.mod_revision));
        Ok(revisions.max().unwrap_or(0))
    }

    /// Waits until the view has this revision.
    ///
    /// # Errors
    /// If it does not reach it in time.
    pub(super) async fn view_reaches(&self, revision: u64, deadline: Instant) -> Result<(), StoreError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if timeout(LAG.min(left), self.view.reached(revision)).await.is_ok() {
                return Ok(());
            }
            self.lagging.notify_one();
            if left <= LAG {
                return Err(StoreError::unavailable(format!(
                    "the view has revision {} of etcd, and did not reach {revision} in time",
                    self.view.revision()
                )));
            }
        }
    }

    /// Finds the node's fence among all fences that were read: it must be this process's, and its number not below `known`.
    ///
    /// # Errors
    /// If another process took it over, or etcd has an earlier state. Then the store is broken.
    pub(super) fn must_be_ours(&self, fences: &[KeyValue], known: u64) -> Result<(Fence, u64), StoreError> {
        let own = fences.iter().find_map(|kv| match self.space.place(&kv.key) {
            Place::Fence(node) if node == self.name().as_bytes() => {
                Some((Fence::decode(&kv.value)?, unsigned(kv.mod_revision)))
            }
            _ => None,
        });
        let why = match own {
            Some((own, _)) if own.number < known => went_back(own.number, known),
            None => went_back(0, known),
            Some((own, _)) if own.incarnation != self.incarnation => format!(
                "another process has the node name {} now: each control node needs its own node.host",
                self.name()
            ),
            Some(own) => return Ok(own),
        };
        self.becomes(Health::Broken(why.clone()));
        Err(StoreError {
            broken: true,
            ..StoreError::new(why)
        })
    }

    /// Why the store accepts no more commits, if it is broken.
    pub(super) fn broken(&self) -> Option<StoreError> {
        match &*self.health.borrow() {
            Health::Broken(why) => Some(StoreError {
                broken: true,
                ..StoreError::new(format!("the store accepts no commits since it failed: {why}"))
            }),
            Health::Well | Health::NoRoom(_) | Health::Unreachable(_) => None,
        }
    }

    /// Whether etcd is known to be out of reach.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(&*self.health.borrow(), Health::Unreachable(_))
    }

    /// Sets the health, and logs it if it has changed.
    pub(super) fn becomes(&self, health: Health) {
        self.health.send_if_modified(|was| {
            let is_another = std::mem::discriminant(was) != std::mem::discriminant(&health);
            match (&*was, &health) {
                (Health::Broken(_), _) => return false,
                _ if !is_another => {}
                (_, Health::NoRoom(why)) => tracing::error!(
                    why,
                    "etcd accepts no commits until there is space in its database: compact and defragment it, or raise its quota, \
                     then disarm its alarm; it can be read"
                ),
                (_, Health::Unreachable(why)) => {
                    tracing::error!(why, "etcd cannot be reached; what was read last can be read, changes are refused");
                }
                (_, Health::Broken(why)) => tracing::error!(why, "the store failed and accepts no more commits"),
                (_, Health::Well) => tracing::info!("etcd accepts commits again"),
            }
            *was = health;
            is_another
        });
    }

    /// Notes the failure of a call in the health.
    pub(super) fn failed(&self, error: &CallError) {
        match error {
            CallError::NoSpace(why) => self.becomes(Health::NoRoom(why.clone())),
            other => self.becomes(Health::Unreachable(other.to_string())),
        }
    }
}

/// The text for a state of etcd that is older than what this node has seen.
pub(super) fn went_back(found: u64, known: u64) -> String {
    format!(
        "etcd has an earlier state than this node has seen: transaction {found} is its last one of this node, but there was \
         {known}. Was a backup restored? Stop all control nodes, let each run `pumice store adopt`, which accepts the state of \
         etcd, start them, and compare it with the storage by `pumice fsck --running`"
    )
}
