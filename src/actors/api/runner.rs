//! The runner of the journal: looks at each open operation when its time has come.
//!
//! It keeps a time for each open operation and nothing else; the journal is the truth. An operation leaves its memory only when
//! a read of the journal, or the commit that ended it, says that it has ended: a conflict, a store that fails or a full disk say
//! nothing of the kind. Three things see to that:
//! - a timer that rings is set anew at once, for the case that nobody sets it meanwhile;
//! - whoever is to end an operation and meets a conflict has it looked at again;
//! - the journal is read again from time to time, and what has no timer gets one.
//!
//! Commands are sent to each destination on a lane of its own: a node that is dead, or slow to accept, delays its own
//! operations and no others.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::ApiActor;
use super::lanes::Lanes;
use crate::control::store_failed;
use crate::model::{BackendName, Operation, OperationId, Result};
use crate::store::catalog::Stored;

/// How many operations are loaded at once.
const PAGE: usize = 256;
/// How many are looked at in one go, and the pause after so many: requests come first, and thousands of operations that
/// become due together (a backend that is back, a restart) are spread over some seconds.
const BATCH: usize = 64;
const BREATH: Duration = Duration::from_millis(40);
/// How many operations of one backend (or of none yet) are looked at at once. Only sending takes long there, and only to a node
/// that does not answer.
const WIDTH: usize = 16;

/// Where an operation's command goes: a backend, or the scheduler.
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
                    // A panic of a look is the actor's, which is built anew.
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
                        // A store that answers at once would keep everybody else from the arbiter.
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
    }

    /// Reads the journal again and again, for operations that have no timer. There are none unless something went wrong.
    pub(super) async fn find_forgotten_operations(self: Rc<Self>) {
        loop {
            tokio::time::sleep(self.options.journal_interval).await;
            if let Err(error) = self.load_operations().await {
                warn!(error = error.for_operator(), "cannot read the journal again");
            }
        }
    }

    /// Operations whose time has come, as soon as there are any.
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

    /// Where this operation's command goes; `None` if it has ended.
    async fn destination(&self, id: OperationId) -> Option<Destination> {
        match self.catalog.operation(id).await {
            Ok(Some(operation)) => Some(operation.record.pool.map(|pool| pool.backend)),
            Ok(None) => {
                self.is_not_in_the_journal(id);
                None
            }
            // Looked at on the scheduler's lane, and tried again from there.
            Err(_) => Some(None),
        }
    }

    async fn load_operations(&self) -> Result<()> {
        let (mut after, mut count) = (None, 0_usize);
        let now = Instant::now();
        loop {
            let page = self.catalog.operations(after, PAGE).await;
            let page = page.map_err(|error| store_failed(&error))?;
            for operation in &page.records {
                count += usize::from(self.drive_if_nobody_does(operation, now));
            }
            if page.next.is_none() {
                break;
            }
            after = page.next;
        }
        if count > 0 {
            info!(count, "open operations go on");
        }
        Ok(())
    }

    /// Gives an operation of the journal a timer if it has none; whether it had none.
    fn drive_if_nobody_does(&self, operation: &Stored<Operation>, now: Instant) -> bool {
        // One that was begun since the start is known already.
        if self.timers.get(operation.id).is_some() {
            return false;
        }
        // The scheduler has heard of no backend yet, and would say that there is none.
        let unplaced = operation.pool.is_none();
        let due = if unplaced {
            now + self.options.scheduling_grace
        } else {
            now
        };
        self.set_timer(operation, due, 0);
        true
    }

    /// A read of the journal says that it has ended; whoever ended it has told those who wait.
    pub(super) fn is_not_in_the_journal(&self, id: OperationId) {
        self.timers.cancel(id);
        self.waiters.sweep(id);
    }
}
