//! Flows: a change as a list of named steps, each with its `execute` and its `revert`.
//!
//! A flow runs its steps in order. When one fails, those that were done are reverted in the opposite order, and the flow
//! ends with the failure. A step returns only when its result is *certain*: done, or not done. Every step may be
//! executed twice, and every revert, too: a crash may happen between the action and its record.
//!
//! The journal ([`crate::model::Operation`], kept by the catalog) stores what must survive a crash. It is written where a
//! flow commits, not at every step: a step that can be done twice needs no separate record.

use std::rc::Rc;

use async_trait::async_trait;

use crate::failpoint::point;
use crate::model::{StepOutcome, StepRecord, Timestamp};

pub mod inject;
mod step;

pub use self::step::{FnStep, NoRevert, RevertedBy, step};

/// One step over a flow's state `S`, failing with `E`.
#[async_trait(?Send)]
pub trait Step<S, E> {
    /// Its name in the journal and in `/inspect/operations`.
    fn name(&self) -> &'static str;

    /// Executes the step. `Err` means that it is certainly not done.
    async fn execute(&self, state: &mut S) -> Result<(), E>;

    /// Reverts the step. Cannot fail: what cannot be reverted now is left to a journaled operation, and logged.
    async fn revert(&self, state: &mut S, cause: &E) {
        let _ = (state, cause);
    }
}

/// Is called for each step. The manager shows the current step; tests inject faults.
pub trait Observer<E> {
    /// Before a step; an error makes the step fail without being executed.
    fn before(&self, flow: &'static str, step: &'static str) -> Result<(), E> {
        let _ = (flow, step);
        Ok(())
    }

    /// After a step was executed; an error makes it count as failed (and be reverted like those before it).
    fn after(&self, flow: &'static str, step: &'static str) -> Result<(), E> {
        let _ = (flow, step);
        Ok(())
    }

    /// How often to execute each step: 1, but 2 in the tests of idempotency.
    fn times(&self) -> u32 {
        1
    }
}

/// Observes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;
impl<E> Observer<E> for Unobserved {}

/// A named list of steps.
pub struct Flow<S, E> {
    name: &'static str,
    steps: Vec<Box<dyn Step<S, E>>>,
}

/// The result of a flow, with its steps and their times.
#[derive(Debug)]
pub struct FlowReport<E, T = ()> {
    /// Each step that was begun.
    pub steps: Vec<StepRecord>,
    /// `Err` if one failed; then all completed steps have been reverted.
    pub result: Result<T, E>,
}

impl<E, T> FlowReport<E, T> {
    /// The same report with another success.
    pub fn map<U>(self, what: impl FnOnce(T) -> U) -> FlowReport<E, U> {
        FlowReport {
            steps: self.steps,
            result: self.result.map(what),
        }
    }
}

impl<S, E: std::fmt::Display> Flow<S, E> {
    /// A flow without steps.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            steps: Vec::new(),
        }
    }

    /// Appends a step.
    #[must_use]
    pub fn then(mut self, step: impl Step<S, E> + 'static) -> Self {
        self.steps.push(Box::new(step));
        self
    }

    /// The steps' names, in order.
    pub fn step_names(&self) -> Vec<&'static str> {
        self.steps.iter().map(|step| step.name()).collect()
    }

    /// Runs the flow to its end, or reverts it.
    pub async fn run(&self, state: &mut S, attempt: u32, observer: Rc<dyn Observer<E>>) -> FlowReport<E> {
        let mut records: Vec<StepRecord> = Vec::with_capacity(self.steps.len());
        for (index, step) in self.steps.iter().enumerate() {
            records.push(StepRecord {
                name: step.name().to_owned(),
                attempt,
                started_at: Timestamp::now(),
                finished_at: None,
                outcome: StepOutcome::Running,
            });
            let executed = self.execute(step.as_ref(), state, observer.as_ref()).await;
            if let Some(record) = records.last_mut() {
                record.finished_at = Some(Timestamp::now());
                record.outcome = match &executed {
                    Ok(()) => StepOutcome::Done,
                    Err((error, _)) => StepOutcome::Failed(error.to_string()),
                };
            }
            if let Err((error, was_done)) = executed {
                let done = if was_done { index + 1 } else { index };
                for step in self.steps[..done].iter().rev() {
                    self.reached("revert", step.name(), "before");
                    step.revert(state, &error).await;
                    self.reached("revert", step.name(), "after");
                }
                for record in &mut records[..done] {
                    if record.outcome == StepOutcome::Done {
                        record.outcome = StepOutcome::Reverted;
                    }
                }
                return FlowReport {
                    steps: records,
                    result: Err(error),
                };
            }
        }
        FlowReport {
            steps: records,
            result: Ok(()),
        }
    }

    fn reached(&self, what: &str, step: &str, when: &str) {
        point(|| format!("{what} {}/{step} {when}", self.name));
    }

    /// `Err` with whether the step was done nevertheless.
    async fn execute(
        &self,
        step: &dyn Step<S, E>,
        state: &mut S,
        observer: &dyn Observer<E>,
    ) -> Result<(), (E, bool)> {
        observer
            .before(self.name, step.name())
            .map_err(|error| (error, false))?;
        for _ in 0..observer.times() {
            self.reached("step", step.name(), "before");
            step.execute(state).await.map_err(|error| (error, false))?;
            self.reached("step", step.name(), "after");
        }
        observer
            .after(self.name, step.name())
            .map_err(|error| (error, true))
    }
}
