//! Which of the control nodes does a task that is done once in the cluster ([`ClusterTask`]): the first that takes it, and
//! another when that one has ended.
//!
//! ```text
//!   the record names no run, or one that has ended ── commit: this run ──> held, until this run ends
//!   it names another run that goes on ── wait for a node to end ── read again
//! ```
//!
//! What the holder commits for the task requires the record as well ([`Changes::require`](crate::store::catalog::Changes::require)). On a
//! store that is not shared the only process does every task, and there is no record.

use std::time::Duration;

use tracing::{info, warn};

use super::ControlNodes;
use crate::model::{ClusterTask, NodeIncarnation, Timestamp};
use crate::store::catalog::{Catalog, Stored};
use crate::store::{CommitError, StoreError};

/// How often the record is read while another node has the task: news of nodes that ended come earlier.
const LOOK: Duration = Duration::from_secs(1);

/// A node's place among those that could do a task.
#[derive(Clone)]
pub struct TaskClaim {
    catalog: Catalog,
    nodes: ControlNodes,
    name: String,
}

/// A task that this process does.
#[derive(Clone, Debug)]
pub struct HeldTask(Option<Stored<ClusterTask>>);

impl HeldTask {
    /// The record that commits for the task require; `None` on a store that is not shared.
    pub fn record(&self) -> Option<&Stored<ClusterTask>> {
        self.0.as_ref()
    }
}

impl TaskClaim {
    /// Of the task with this name.
    pub fn new(catalog: Catalog, nodes: ControlNodes, name: impl Into<String>) -> Self {
        Self {
            catalog,
            nodes,
            name: name.into(),
        }
    }

    /// Waits until this process does the task. Never returns once the process may commit nothing any more.
    pub async fn acquire(&self) -> HeldTask {
        let Some(own) = self.nodes.own() else {
            return HeldTask(None);
        };
        let mut changes = self.nodes.changes();
        loop {
            match self.try_acquire(own).await {
                Ok(Some(held)) => return HeldTask(Some(held)),
                Ok(None) => {}
                Err(error) => {
                    warn!(task = self.name, %error, "which node does a task cannot be found out, trying again")
                }
            }
            let changed = async {
                match &mut changes {
                    Some(changes) => changes.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            // Both ways the record is read again.
            let _ = tokio::time::timeout(LOOK, changed).await;
        }
    }

    /// The run that does the task, for those who look into the service.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn owner(&self) -> Result<Option<NodeIncarnation>, StoreError> {
        let task = self.catalog.cluster_task(&self.name).await?;
        Ok(task.map(|task| task.record.owner))
    }

    async fn try_acquire(&self, own: &NodeIncarnation) -> Result<Option<Stored<ClusterTask>>, StoreError> {
        let was = self.catalog.cluster_task(&self.name).await?;
        if let Some(was) = &was {
            if was.owner == *own && was.is_running {
                return Ok(self.catalog.may_commit().await?.then(|| was.clone()));
            }
            if was.is_running && !self.catalog.has_ended(&was.owner).await? {
                return Ok(None);
            }
        }
        let now = ClusterTask {
            name: self.name.clone(),
            owner: own.clone(),
            is_running: true,
            number: was.as_ref().map_or(0, |was| was.number) + 1,
            begun_at: Timestamp::now(),
        };
        let written = write(&self.catalog, was.as_ref(), now).await?;
        if written.is_some() {
            info!(
                task = self.name,
                after = was.map(|was| was.owner.to_string()),
                "this control node does a task of the cluster from now on"
            );
        }
        Ok(written)
    }
}

/// Writes the record of a task in the place of what was read. Nothing if another node was faster, or this one may commit nothing any more.
pub(super) async fn write(
    catalog: &Catalog,
    was: Option<&Stored<ClusterTask>>,
    now: ClusterTask,
) -> Result<Option<Stored<ClusterTask>>, StoreError> {
    let mut changes = catalog.change();
    match was {
        Some(was) => changes.update(was, &now),
        None => changes.insert(&now),
    };
    match changes.commit().await {
        Ok(revision) => Ok(Some(Stored {
            record: now,
            revision,
        })),
        Err(CommitError::Conflict(_)) => Ok(None),
        Err(error) => Err(error.unexpected()),
    }
}
