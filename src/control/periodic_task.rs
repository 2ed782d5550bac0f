//! A task that is done once in each interval in the cluster, such as exporting the store: by one control node at a time, in turns.
//!
//! The record of the task ([`ClusterTask`]) is taken by a commit before it is done, and given back after it. When it was done, every node waits
//! for the interval, the one that did it a little longer: so another is next, if there is one. If it failed, another tries at once. If a node
//! ends while it does it, another does it instead.
//!
//! Intervals are counted by each node from the moment at which it reads that the record has changed. On a store that is not shared there is no
//! record, and each interval is this process's turn.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{ControlNodes, cluster_tasks};
use crate::model::{ClusterTask, NodeIncarnation, Timestamp};
use crate::store::catalog::{Catalog, Stored};
use crate::store::{Revision, StoreError};

/// How often the record is read: so often in an interval,
const LOOKS: u32 = 50;
/// and after this time.
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// How much longer the node waits that has done it: a part of the interval,
const LAST_WAITS: u32 = 10;
/// at most so long.
const LONGEST_LAST_WAITS: Duration = Duration::from_secs(60);

/// See the module.
pub struct PeriodicTask {
    catalog: Catalog,
    nodes: ControlNodes,
    name: &'static str,
    every: Duration,
    /// The record as it was read last, and when it was first read so.
    known: Option<(Revision, u64)>,
    changed: Instant,
    /// Whether it was given back without having been done.
    has_failed: bool,
    /// When this process failed to do it.
    failed_here: Option<Instant>,
}

/// It is this process's turn to do the task.
#[must_use = "others wait for its end"]
pub struct Turn {
    catalog: Catalog,
    taken: Option<Stored<ClusterTask>>,
}

impl Turn {
    /// The number of the time that it is done, counted for the cluster; `None` on a store that is not shared.
    pub fn number(&self) -> Option<u64> {
        self.taken.as_ref().map(|taken| taken.number + 1)
    }
}

impl PeriodicTask {
    /// The task with this name, from now on.
    pub fn new(catalog: Catalog, nodes: ControlNodes, name: &'static str, every: Duration) -> Self {
        Self {
            catalog,
            nodes,
            name,
            every,
            known: None,
            changed: Instant::now(),
            has_failed: false,
            failed_here: None,
        }
    }

    /// Waits for the next turn of this process, and takes it.
    pub async fn turn(&mut self) -> Turn {
        let Some(own) = self.nodes.own().cloned() else {
            sleep(self.every).await;
            return self.taken(None);
        };
        loop {
            match self.try_turn(&own).await {
                Ok(Some(taken)) => return self.taken(Some(taken)),
                Ok(None) => {}
                Err(error) => {
                    warn!(task = self.name, %error, "whose turn a task is cannot be found out, trying again");
                }
            }
            sleep((self.every / LOOKS).min(LONGEST_LOOK)).await;
        }
    }

    /// Gives the task back; `is_done` if it was done.
    pub async fn end(&mut self, turn: Turn, is_done: bool) {
        self.failed_here = (!is_done).then(Instant::now);
        self.changed = Instant::now();
        let Some(taken) = turn.taken else { return };
        let now = ClusterTask {
            is_running: false,
            number: taken.number + u64::from(is_done),
            ..taken.record.clone()
        };
        let mut changes = turn.catalog.change();
        changes.update(&taken, &now);
        // If it stays taken, this process ends, or takes it again.
        if let Err(error) = changes.commit().await {
            warn!(task = self.name, %error, "a task was done, and the store does not know it");
        }
    }

    fn taken(&self, taken: Option<Stored<ClusterTask>>) -> Turn {
        Turn {
            catalog: self.catalog.clone(),
            taken,
        }
    }

    async fn try_turn(&mut self, own: &NodeIncarnation) -> Result<Option<Stored<ClusterTask>>, StoreError> {
        let was = self.catalog.cluster_task(self.name).await?;
        self.note(was.as_ref());
        let is_abandoned = match &was {
            Some(was) if was.is_running => was.owner == *own || self.catalog.has_ended(&was.owner).await?,
            _ => false,
        };
        if was.as_ref().is_some_and(|was| was.is_running) && !is_abandoned {
            return Ok(None);
        }
        let is_last = was.as_ref().is_some_and(|was| was.owner.node == own.node);
        if !is_abandoned && !self.is_due(is_last, Instant::now()) {
            return Ok(None);
        }
        let now = ClusterTask {
            name: self.name.to_owned(),
            owner: own.clone(),
            is_running: true,
            number: was.as_ref().map_or(0, |was| was.number),
            begun_at: Timestamp::now(),
        };
        cluster_tasks::write(&self.catalog, was.as_ref(), now).await
    }

    /// Notes a change of the record.
    fn note(&mut self, was: Option<&Stored<ClusterTask>>) {
        let Some(was) = was else { return };
        let known = (was.revision, was.number);
        if self.known.is_none_or(|(revision, _)| revision != was.revision) {
            let is_as_often = self.known.is_some_and(|(_, number)| number == was.number);
            self.has_failed = !was.is_running && is_as_often;
            self.known = Some(known);
            self.changed = Instant::now();
        }
    }

    fn is_due(&self, is_last: bool, now: Instant) -> bool {
        let since = now.duration_since(self.changed);
        if self
            .failed_here
            .is_some_and(|failed| now.duration_since(failed) < self.every)
        {
            return false;
        }
        let longer = match is_last {
            true => (self.every / LAST_WAITS).min(LONGEST_LAST_WAITS),
            false => Duration::ZERO,
        };
        self.has_failed || since >= self.every + longer
    }
}
