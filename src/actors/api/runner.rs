//! The runner of the journal: processes each open operation when it is due.
//!
//! It keeps a time for each open operation and nothing else; the journal is authoritative. An operation is removed from memory
//! only after a read of the journal, or the commit that ended it, shows that it has ended; never because of a conflict, a store
//! error or a full disk. Three mechanisms ensure this:
//! - a timer that expires is set again at once, in case nothing else sets it;
//! - after a conflict while ending an operation, it is processed again;
//! - the journal is read again periodically, and operations without a timer get one.
//!
//! Commands are sent on a separate lane per destination: a node that is dead, or slow to accept, delays its own
//! operations only.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::ApiActor;
use super::lanes::Lanes;
use crate::model::{BackendName, Operation, OperationId, Result};
use crate::store::catalog::Stored;

/// The number of operations per read.
const PAGE: usize = 256;
/// How many are processed in one batch, and the pause after it: requests have priority, and thousands of operations
/// that become due together (after the restart of a backend or of this node) are spread over some seconds.
const BATCH: usize = 64;
const BREATH: Duration = Duration::from_millis(40);
/// How many operations of one backend (or of none yet) are processed at once. Only sending takes long, and only to a node that
/// does not answer.
const WIDTH: usize = 16;

/// The destination of an operation's command: a backend, or the scheduler.
type Destination = Option<BackendName>;

impl ApiActor {
    /// Runs as long as the actor does.
    pub(super) async fn run_operations(self: Rc<Self>) {
        while let Err(error) = self.load_operations().await {
            warn!(
                error = error.for_operator(),
                "cannot read the journal, trying again"
            );
            tokio::time::sleep(self.options.retry_initial).await;
        }
        let mut lanes: Lanes<Destination, OperationId> = Lanes::new(WIDTH);
        let mut looks: JoinSet<(Destination, OperationId)> = JoinSet::new();
        let mut not_before = Instant::now();
        loop {
            while let Some((to, id)) = lanes.take() {
                let actor = Rc::clone(&self);
                looks.spawn_local(async move {
                    actor.look_at(id).await;
                    (to, id)
                });
            }
            tokio::select! {
                biased;
                Some(looked) = looks.join_next() => match looked {
                    Ok((to, id)) => lanes.done(&to, id),
                    // A panic while processing is passed on to the actor, which is then rebuilt.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                due = self.due(not_before) => {
                    if due.len() == BATCH {
                        not_before = Instant::now() + BREATH;
                    }
                    for id in due {
                        if let Some(to) = self.destination(id).await {
                            lanes.push(to, id);
                        }
                        // A store that answers at once would block all other tasks of the arbiter.
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
    }

    /// Reads the journal when another control node has ended, for operations that it leaves, and periodically, for operations without a
    /// timer: there are none unless there is a bug.
    pub(super) async fn find_forgotten_operations(self: Rc<Self>) {
        let mut changes = self.nodes.changes();
        loop {
            let changed = async {
                match &mut changes {
                    Some(changes) => changes.changed().await.unwrap_or_default(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = changed => {}
                () = tokio::time::sleep(self.options.journal_interval) => {}
            }
            if let Err(error) = self.load_operations().await {
                warn!(error = error.for_operator(), "cannot read the journal again");
            }
        }
    }

    /// Waits for due operations and returns them.
    async fn due(&self, not_before: Instant) -> Vec<OperationId> {
        tokio::time::sleep_until(not_before).await;
        loop {
            let due = self
                .timers
                .take_due(Instant::now(), BATCH, self.options.retry_max);
            if !due.is_empty() {
                return due;
            }
            self.timers.wait().await;
        }
    }

    /// The destination of this operation's command; `None` if it has ended.
    async fn destination(&self, id: OperationId) -> Option<Destination> {
        match self.catalog.operation(id).await {
            Ok(Some(operation)) => Some(operation.record.pool.map(|pool| pool.backend)),
            Ok(None) => {
                self.is_not_in_the_journal(id);
                None
            }
            // Processed on the scheduler's lane, and retried from there.
            Err(_) => Some(None),
        }
    }

    async fn load_operations(&self) -> Result<()> {
        let (mut after, mut count) = (None, 0_usize);
        let now = Instant::now();
        // Each owner is looked up once: one that ends meanwhile is a change of its own.
        let mut owners = HashMap::new();
        loop {
            let page = self.catalog.operations(after, PAGE).await?;
            for operation in &page.records {
                let is_continued = self.drive_unless_driven(operation, now)
                    || self.take_over_if_orphan(operation, &mut owners).await?;
                count += usize::from(is_continued);
            }
            if page.next.is_none() {
                break;
            }
            after = page.next;
        }
        if count > 0 {
            info!(count, "open operations are continued");
        }
        Ok(())
    }

    /// Sets a timer for an operation of the journal if it has none; true if it had none.
    fn drive_unless_driven(&self, operation: &Stored<Operation>, now: Instant) -> bool {
        // An operation that was begun since the start has a timer already.
        if self.timers.get(operation.id).is_some() || !self.nodes.run_here(operation) {
            return false;
        }
        // The scheduler has no report of any backend yet, and would answer that there is none.
        let unplaced = operation.pool.is_none();
        let due = if unplaced {
            now + self.options.scheduling_grace
        } else {
            now
        };
        self.set_timer(operation, due, 0);
        true
    }

    /// A read of the journal shows that it has ended; the code that ended it has answered the waiters.
    pub(super) fn is_not_in_the_journal(&self, id: OperationId) {
        self.timers.cancel(id);
        self.waiters.sweep(id);
    }
}
