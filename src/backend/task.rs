//! One command being run: what its steps work with, and how they run driver verbs.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::command::BackendCommand;
use super::state::BackendState;
use super::workers::LockSet;
use crate::drivers::target::TargetDriver;
use crate::drivers::{DriverError, DriverResult, VolumeDriver, Work};
use crate::flow::{FlowReport, Observer};
use crate::messages::api::Outcome;
use crate::model::VolumeSpec;

/// The state that the steps of a command share.
pub struct Task<C: BackendCommand> {
    /// The backend.
    pub backend: Arc<BackendState>,
    /// The command, as it came.
    pub command: Arc<C>,
    /// The command's volume, with what the steps have changed of it.
    pub volume: VolumeSpec,
    /// What the steps have found out.
    pub output: C::Output,
    is_stopping: bool,
}

/// What a driver verb has at hand in its worker thread.
pub struct DriverCall<'a, C> {
    /// The backend.
    pub backend: &'a BackendState,
    /// The command.
    pub command: &'a C,
    /// The command's volume.
    pub volume: &'a VolumeSpec,
    /// The driver.
    pub driver: &'a dyn VolumeDriver,
    /// The limits of the work.
    pub work: &'a Work,
}

impl<C: BackendCommand> Task<C> {
    /// A command whose first step has not begun.
    #[must_use]
    pub fn new(backend: Arc<BackendState>, command: C) -> Self {
        Self {
            backend,
            volume: command.volume().clone(),
            command: Arc::new(command),
            output: C::Output::default(),
            is_stopping: false,
        }
    }

    /// Runs the command's flow. `None` if the manager is stopping: the operation stays in the journal, and the command is sent
    /// again.
    pub async fn run(
        mut self,
        observer: Rc<dyn Observer<DriverError>>,
    ) -> Option<FlowReport<DriverError, Outcome>> {
        let attempt = self.command.id().attempt;
        let report = C::flow().run(&mut self, attempt, observer).await;
        if self.is_stopping {
            return None;
        }
        Some(report.map(|()| self.command.outcome(self.output)))
    }

    /// Whether the driver's verbs that make, delete or revert move data.
    #[must_use]
    pub fn moves_data(&self) -> bool {
        self.backend.driver.get().moves_data()
    }

    /// Whether the manager is stopping, so that a step's failure says nothing of the storage.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// Runs a driver verb in a worker that holds these locks, within the time that is left for the command.
    ///
    /// # Errors
    /// The driver's. `Cancelled` if the manager is stopping.
    pub async fn drive<T: Send + 'static>(
        &mut self,
        locks: impl Into<LockSet>,
        verb: impl Fn(&DriverCall<'_, C>) -> DriverResult<T> + Clone + Send + 'static,
    ) -> DriverResult<T> {
        self.drive_within(self.command.remaining(), locks, verb).await
    }

    /// The same, within its own time limit.
    ///
    /// # Errors
    /// The same.
    pub async fn drive_within<T: Send + 'static>(
        &mut self,
        limit: Duration,
        locks: impl Into<LockSet>,
        verb: impl Fn(&DriverCall<'_, C>) -> DriverResult<T> + Clone + Send + 'static,
    ) -> DriverResult<T> {
        let backend = Arc::clone(&self.backend);
        let (command, volume) = (Arc::clone(&self.command), self.volume.clone());
        let driven = self
            .backend
            .drive(locks, limit, move |driver, work| {
                verb(&DriverCall {
                    backend: &backend,
                    command: &command,
                    volume: &volume,
                    driver,
                    work,
                })
            })
            .await;
        driven.map_err(|error| {
            self.is_stopping |= error.is_none();
            error.unwrap_or(DriverError::Cancelled)
        })
    }

    /// Runs a verb of the backend's target in a worker that holds the volume's lock. Does nothing where there is no target.
    ///
    /// # Errors
    /// As [`Task::drive`].
    pub async fn drive_target(
        &mut self,
        verb: impl Fn(&DriverCall<'_, C>, &dyn TargetDriver) -> DriverResult<()> + Clone + Send + 'static,
    ) -> DriverResult<()> {
        let Some(target) = self.backend.target.clone() else {
            return Ok(());
        };
        self.drive(self.volume.id, move |call| verb(call, target.as_ref()))
            .await
    }
}
