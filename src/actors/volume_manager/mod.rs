//! The **VolumeManager** actor: one per backend, it runs the commands that change storage.
//!
//! It has no catalog: commands contain everything that it needs, reports everything that it knows. What a command does is defined
//! by its verb ([`BackendCommand`]); this is the engine that runs it: once, however often it is received, when the driver is
//! ready, with a report at the end. Driver verbs block, so they run in worker threads; the mailbox never waits for one. State
//! that must survive a panic of the actor is in [`BackendState`].
//!
//! | module | content |
//! |---|---|
//! | `lifecycle`, `exports` | start (driver, inventory, exports), then the target daemon's health |
//! | `compare_storage` | at start: storage without a record, and records without storage |
//! | `asking` | the pauses between requests to the Api actor |
//! | `reports` | stats and heartbeat |
//! | `list_existing` | what is on the storage, for adoption |
//! | `log_levels` | the levels of the process's log |
//! | `read_volume_data` | reads of a volume by another backend that copies it |

mod asking;
mod compare_storage;
mod exports;
mod lifecycle;
mod list_existing;
mod log_levels;
mod read_volume_data;
mod reports;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::answered::DedupDecision;
use crate::backend::failure::failure;
use crate::backend::{BackendCommand, BackendState, CommandVisitor, Readiness, SpaceEffect, Task, WhenDown};
use crate::backoff::Backoff;
use crate::drivers::DriverError;
use crate::flow::{FlowReport, Observer, Unobserved};
use crate::messages::api::{ApiTopic, Failure, FailureKind, Outcome, Report};
use crate::messages::volume::{
    CancelOperation, CommandId, DescribeVolumeNode, GetLogLevels, ListExisting, ListExistingPage,
    SetLogLevels, VolumeNodeReport, VolumeTopic,
};
use crate::model::{Context, Error, StepRecord};
use crate::transport::serve::EndpointBuilder;
use crate::transport::{Actor, CallError, Handle, Router, Serve, Started};
use crate::verbs::every_command;
use crate::verbs::volume::ReadVolumeData;

/// How often a report is sent to the Api actor before it is left to the repetition of the command.
const REPORT_TRIES: u32 = 6;

/// The pause after the first report that was not accepted; each one after it is twice as long.
const FIRST_REPORT_PAUSE: Duration = Duration::from_millis(50);

/// See the module.
pub struct VolumeManager {
    state: Arc<BackendState>,
    router: Router,
    api: Handle<ApiTopic>,
    observer: Rc<dyn Observer<DriverError>>,
}

/// The endpoint of a backend's manager, ready to be started and registered.
pub fn endpoint(state: Arc<BackendState>, router: Router, bound: usize) -> EndpointBuilder<VolumeManager> {
    let server = state.backend.to_string();
    let endpoint = EndpointBuilder::new(Some(server), bound, move || {
        Rc::new(VolumeManager::new(
            state.clone(),
            router.clone(),
            Rc::new(Unobserved),
        ))
    });
    every_command(
        endpoint
            .serves::<ListExisting>()
            .serves::<ListExistingPage>()
            .serves::<ReadVolumeData>()
            .serves::<GetLogLevels>()
            .serves::<SetLogLevels>()
            .serves::<DescribeVolumeNode>()
            .serves::<CancelOperation>(),
    )
}

impl CommandVisitor for EndpointBuilder<VolumeManager> {
    fn command<C: BackendCommand>(self) -> Self {
        self.serves::<C>()
    }
}

impl VolumeManager {
    /// A manager of this backend; `observer` sees each step of its flows.
    pub fn new(state: Arc<BackendState>, router: Router, observer: Rc<dyn Observer<DriverError>>) -> Self {
        let api = router.any::<ApiTopic>();
        Self {
            state,
            router,
            api,
            observer,
        }
    }

    /// Runs a command, unless it runs already or was answered, and reports its result.
    async fn run<C: BackendCommand>(&self, context: &Context, command: C) {
        let id = command.id();
        let decision = self.state.answered().admit(id);
        match decision {
            DedupDecision::Run => {}
            DedupDecision::Ignore => return,
            DedupDecision::Repeat(report) => return self.report(context, report).await,
        }
        let _running = self.state.workers.begin_command(id);
        // Copies that were reading the volume must not see what happens to it now.
        self.state.copy_sources().close(command.volume().id);
        let ended = match self.ready(command.remaining()).await {
            Readiness::Up => {
                let router = self.router.clone();
                let task = Task::new(self.state.clone(), router, context.clone(), command);
                task.run(self.observer.clone()).await.map(|flow| ended(id, flow))
            }
            Readiness::Down(reason) if C::WHEN_DOWN == WhenDown::Refuse => Some(refused(reason)),
            Readiness::Down(_) | Readiness::Starting => None,
        };
        let Some((outcome, steps)) = ended else {
            self.state.answered().forget(id);
            return;
        };
        let report = Report {
            command: id,
            from: Some(self.state.backend.clone()),
            outcome,
            steps,
        };
        self.state.answered().record(&report);
        match C::SPACE {
            SpaceEffect::Unchanged if !is_failure(&report) => {}
            SpaceEffect::TakesPromised if !is_failure(&report) => self.state.count_allocation(),
            _ => self.state.request_stats_refresh(),
        }
        self.report(context, report).await;
    }

    /// Waits until it is known whether the driver works, at most `limit`.
    async fn ready(&self, limit: Duration) -> Readiness {
        let mut readiness = self.state.readiness.subscribe();
        let known = readiness.wait_for(|now| *now != Readiness::Starting);
        let now = match tokio::time::timeout(limit, known).await {
            Ok(Ok(now)) => now.clone(),
            Ok(Err(_)) | Err(_) => return Readiness::Starting,
        };
        match self.state.workers.hung() {
            // Another verb would wait for the hanging ones.
            Some(reason) if now == Readiness::Up => Readiness::Down(reason),
            _ => now,
        }
    }

    /// Sends a report to the Api actor. One that cannot be delivered is not lost: the command is sent again, and reported again.
    async fn report(&self, context: &Context, report: Report) {
        let mut backoff = Backoff::new(FIRST_REPORT_PAUSE, Duration::MAX);
        for _ in 0..REPORT_TRIES {
            if !self.state.workers.may_report(is_failure(&report)).await {
                // The command is sent again, to the process that then owns the storage.
                return;
            }
            match self.api.cast(context, report.clone()).await {
                Ok(()) => return,
                Err(
                    CallError::Overloaded(_)
                    | CallError::Unreachable(_)
                    | CallError::Lost(_)
                    | CallError::Timeout(_),
                ) => backoff.pause().await,
                Err(error) => {
                    tracing::error!(operation = %report.command.operation, %error, "a report cannot be sent");
                    return;
                }
            }
        }
        tracing::warn!(
            operation = %report.command.operation,
            "a report was not delivered; it will be sent again when the command is repeated"
        );
    }
}

/// The report of a flow that has ended.
fn ended(command: CommandId, flow: FlowReport<DriverError, Outcome>) -> (Outcome, Vec<StepRecord>) {
    let outcome = flow.result.unwrap_or_else(|error| {
        tracing::warn!(operation = %command.operation, attempt = command.attempt, %error, "a command failed");
        Outcome::Failed(failure(&error))
    });
    (outcome, flow.steps)
}

/// The report of a command whose driver does not work, with the reason.
fn refused(reason: String) -> (Outcome, Vec<StepRecord>) {
    let failure = Failure {
        kind: FailureKind::Backend,
        client: "Driver is not initialized at present.".to_owned(),
        operator: reason,
    };
    (Outcome::Failed(failure), Vec::new())
}

fn is_failure(report: &Report) -> bool {
    matches!(report.outcome, Outcome::Failed(_))
}

impl Actor for VolumeManager {
    type Topic = VolumeTopic;

    fn started(self: Rc<Self>, started: &Started) {
        started.spawn(lifecycle::run(self));
    }
}

impl<C: BackendCommand> Serve<C> for VolumeManager {
    async fn serve(self: Rc<Self>, context: Context, command: C) -> Result<(), Error> {
        self.run(&context, command).await;
        Ok(())
    }
}

impl Serve<DescribeVolumeNode> for VolumeManager {
    async fn serve(
        self: Rc<Self>,
        _context: Context,
        _message: DescribeVolumeNode,
    ) -> Result<VolumeNodeReport, Error> {
        Ok(VolumeNodeReport {
            node: self.router.node().to_owned(),
            incarnation: self.router.incarnation().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }
}

impl Serve<CancelOperation> for VolumeManager {
    async fn serve(self: Rc<Self>, _context: Context, message: CancelOperation) -> Result<(), Error> {
        let command = message.command;
        if self.state.workers.cancel(command) {
            tracing::info!(operation = %command.operation, attempt = command.attempt, "a command is cancelled");
        }
        Ok(())
    }
}
