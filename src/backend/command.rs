//! What a command to a backend declares (what it is about, its steps, its result), and the execution of one command: the state
//! of its steps, and how they run driver verbs. The VolumeManager runs all commands in the same way.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::state::BackendState;
use super::workers::LockSet;
use crate::drivers::targets::TargetDriver;
use crate::drivers::{DriverError, DriverResult, VolumeDriver, Work};
use crate::flow::{Flow, FlowReport, Observer};
use crate::messages::Message;
use crate::messages::api::Outcome;
use crate::messages::volume::{CommandId, VolumeTopic};
use crate::model::{Context, SnapshotId, VolumeSpec};
use crate::transport::Router;

/// A message that changes storage. It is run once, in workers, and ends with a report.
pub trait BackendCommand: Message<To = VolumeTopic, Reply = ()> {
    /// What happens to it while the driver does not work.
    const WHEN_DOWN: WhenDown;
    /// The effect of its success on the free space that the schedulers know.
    const SPACE: SpaceEffect;
    /// The result of its steps, for the outcome.
    type Output: Default;

    /// Which operation it belongs to.
    fn id(&self) -> CommandId;

    /// The volume that it is about, or whose snapshot it is about.
    fn volume(&self) -> &VolumeSpec;

    /// How much time is left for it.
    fn remaining(&self) -> Duration;

    /// The snapshot that it is about.
    fn snapshot(&self) -> Option<SnapshotId> {
        None
    }

    /// Its steps.
    fn flow() -> Flow<Task<Self>, DriverError>;

    /// What is reported after all steps have succeeded.
    fn outcome(&self, output: Self::Output) -> Outcome;
}

/// The accessors of [`BackendCommand`] for a message with the fields `command`, `volume` and `remaining_ms`.
macro_rules! command_fields {
    () => {
        fn id(&self) -> $crate::messages::volume::CommandId {
            self.command
        }

        fn volume(&self) -> &$crate::model::VolumeSpec {
            &self.volume
        }

        fn remaining(&self) -> std::time::Duration {
            std::time::Duration::from_millis(self.remaining_ms)
        }
    };
}
pub(crate) use command_fields;

/// What happens to a command while the driver does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenDown {
    /// It fails: another backend may do it.
    Refuse,
    /// It is dropped without an answer, to be sent again: only this backend can do it.
    Wait,
}

/// The effect of a command's success on the free space that the schedulers know. After a failure it is always
/// `Unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceEffect {
    /// It neither takes nor frees space.
    Unchanged,
    /// It takes the capacity that the schedulers have reserved: they count it until newer statistics of the
    /// pools are reported.
    TakesPromised,
    /// There may be more or less than they know: the pools are examined for the next report.
    Unknown,
}

/// Visits each kind of command.
pub trait CommandVisitor: Sized {
    /// Visits one.
    #[must_use]
    fn command<C: BackendCommand>(self) -> Self;
}

/// The state that the steps of a command share.
pub struct Task<C: BackendCommand> {
    /// The backend.
    pub backend: Arc<BackendState>,
    /// The router to other actors, for commands in which another backend takes part.
    pub router: Router,
    /// The context of its request.
    pub context: Context,
    /// The command, as received.
    pub command: Arc<C>,
    /// The command's volume, with the changes by the steps.
    pub volume: VolumeSpec,
    /// The result of the steps so far.
    pub output: C::Output,
    is_stopping: bool,
    has_begun: bool,
}

/// The arguments of a driver verb in its worker thread.
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
    pub fn new(backend: Arc<BackendState>, router: Router, context: Context, command: C) -> Self {
        Self {
            backend,
            router,
            context,
            volume: command.volume().clone(),
            command: Arc::new(command),
            output: C::Output::default(),
            is_stopping: false,
            has_begun: false,
        }
    }

    /// Runs the command's flow. `None` if the manager is stopping, or was cut off from all control nodes before the first driver verb: the
    /// operation stays in the journal, and the command is sent again.
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

    /// Whether the driver's verbs that create, delete or revert move data.
    pub fn moves_data(&self) -> bool {
        self.backend.driver.get().moves_data()
    }

    /// Whether the manager is stopping, so that a step's failure says nothing about the storage.
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
        let may_begin = Arc::new(AtomicBool::new(true));
        let (has_begun, refused) = (self.has_begun, Arc::clone(&may_begin));
        let driven = self
            .backend
            .drive(locks, limit, move |driver, work| {
                // Here the command has its locks and a worker, for which it may have waited for long.
                if !has_begun && !backend.lease.is_held() {
                    refused.store(false, Ordering::Release);
                    return Err(DriverError::Cancelled);
                }
                verb(&DriverCall {
                    backend: &backend,
                    command: &command,
                    volume: &volume,
                    driver,
                    work,
                })
            })
            .await;
        self.has_begun = true;
        if may_begin.load(Ordering::Acquire) {
            return self.note_if_stopping(driven);
        }
        tracing::warn!(
            backend = %self.backend.backend,
            operation = %self.command.id().operation,
            "not begun: no control node is connected; the command is sent again if its operation is still open"
        );
        self.note_if_stopping(driven.map_err(|_| None))
    }

    /// The result of a verb that a step has driven by [`BackendState::drive`] itself. Notes that the manager is stopping.
    ///
    /// # Errors
    /// As [`Task::drive`].
    pub fn note_if_stopping<T>(&mut self, driven: Result<T, Option<DriverError>>) -> DriverResult<T> {
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
