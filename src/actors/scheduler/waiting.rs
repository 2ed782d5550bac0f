//! The requests in work, and those that wait for a pool.
//!
//! Bounded: a request beyond the bound is dropped; its command is sent again until it is reported.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::messages::volume::CommandId;
use crate::model::{Context, OperationId};
use crate::verbs::volume::ScheduleVolume;

/// See the module.
pub(super) struct Waiting {
    bound: usize,
    /// Operations and their attempts.
    working: RefCell<BTreeSet<(OperationId, u32)>>,
    parked: RefCell<BTreeMap<OperationId, (Context, ScheduleVolume, Instant)>>,
    notify: Notify,
}

/// A command is in work until this is dropped.
pub(super) struct Working<'a> {
    waiting: &'a Waiting,
    id: (OperationId, u32),
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.waiting.working.borrow_mut().remove(&self.id);
    }
}

impl Waiting {
    pub(super) fn new(bound: usize) -> Self {
        Self {
            bound,
            working: RefCell::default(),
            parked: RefCell::default(),
            notify: Notify::new(),
        }
    }

    /// `None` if it is in work already.
    pub(super) fn work_on(&self, id: CommandId) -> Option<Working<'_>> {
        let id = (id.operation, id.attempt);
        let is_new = self.working.borrow_mut().insert(id);
        is_new.then_some(Working { waiting: self, id })
    }

    pub(super) fn is_working_on(&self, operation: OperationId) -> bool {
        self.working
            .borrow()
            .range((operation, 0)..=(operation, u32::MAX))
            .next()
            .is_some()
    }

    /// Whether this command is waiting already.
    pub(super) fn has(&self, command: &ScheduleVolume) -> bool {
        let parked = self.parked.borrow();
        parked
            .get(&command.operation)
            .is_some_and(|(_, waiting, _)| waiting.attempt == command.attempt)
    }

    pub(super) fn park(&self, context: Context, command: ScheduleVolume, since: Instant) {
        let mut parked = self.parked.borrow_mut();
        if parked.len() >= self.bound && !parked.contains_key(&command.operation) {
            tracing::warn!(operation = %command.operation, "too many requests wait for a pool; this one will be sent again");
            return;
        }
        parked.insert(command.operation, (context, command, since));
        self.notify.notify_one();
    }

    /// Returns when a request was parked.
    pub(super) async fn parked(&self) {
        self.notify.notified().await;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parked.borrow().is_empty()
    }

    /// All waiting requests, the oldest first.
    pub(super) fn take_all(&self) -> Vec<(Context, ScheduleVolume, Instant)> {
        let mut all: Vec<_> = self.parked.take().into_values().collect();
        all.sort_by_key(|(_, _, since)| *since);
        all
    }
}
