//! The **VolumeManager** actor: one per backend, it turns commands into storage.
//!
//! It has no catalog: commands carry all that it needs, reports carry all that it knows. Commands come at least once;
//! `answers` makes twice once. Driver verbs block, so they run in `worker` threads, bounded, timed and cancellable; the
//! mailbox never waits for one. What must survive a panic of the actor lives in [`Parts`], outside of it.
//!
//! | file | what |
//! |---|---|
//! | `lifecycle`, `exports` | start (driver, book, exports), then the target daemon's health |
//! | `reports` | stats and heartbeat |
//! | `create_volume`, `delete_volume`, … | one verb each, as a flow |
//! | `task`, `worker`, `slot`, `ledger`, `answers`, `failure` | one command, threads, the driver, what it has, what it answered, what went wrong |

pub mod answers;
mod compare_storage;
pub mod create_snapshot;
pub mod create_volume;
pub mod delete_snapshot;
pub mod delete_volume;
mod exports;
pub mod extend_volume;
pub mod failure;
pub mod initialize_connection;
pub mod ledger;
mod lifecycle;
mod list_existing;
pub mod manage_snapshot;
pub mod manage_volume;
mod notify;
pub mod parts;
mod reports;
pub mod revert_to_snapshot;
pub mod slot;
pub mod task;
pub mod terminate_connection;
#[cfg(test)]
mod tests;
pub mod unmanage_volume;
pub mod worker;

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use self::answers::Verdict;
use self::failure::failure;
pub use self::parts::{Options, Parts, Readiness};
use self::task::Task;
use crate::drivers::DriverError;
use crate::flow::{FlowReport, Observer, Unobserved};
use crate::messages::api::{ApiTopic, Failure, FailureKind, Outcome, Report};
use crate::messages::volume::{
    CancelOperation, CommandId, CreateSnapshot, CreateVolume, DeleteSnapshot, DeleteVolume,
    DeleteVolumeCascade, ExtendVolume, InitializeConnection, ListExisting, ListExistingPage, ManageSnapshot,
    ManageVolume, RevertToSnapshot, TerminateConnection, UnmanageSnapshot, UnmanageVolume, VolumeTopic,
};
use crate::model::{Context, Error, VolumeSpec};
use crate::transport::serve::EndpointBuilder;
use crate::transport::{Actor, CallError, Handle, Router, Serve, Started};

/// How long a report is offered to the Api actor before it is left to the command's repetition.
const REPORT_TRIES: u32 = 6;

/// See the module.
pub struct VolumeManager {
    parts: Arc<Parts>,
    router: Router,
    api: Handle<ApiTopic>,
    observer: Rc<dyn Observer<DriverError>>,
}

/// The endpoint of a backend's manager, ready to be started and registered.
#[must_use]
pub fn endpoint(parts: Arc<Parts>, router: Router, bound: usize) -> EndpointBuilder<VolumeManager> {
    let server = parts.backend.to_string();
    let endpoint = EndpointBuilder::new(Some(server), bound, move || {
        Rc::new(VolumeManager::new(
            parts.clone(),
            router.clone(),
            Rc::new(Unobserved),
        ))
    });
    commands(
        endpoint
            .serves::<ListExisting>()
            .serves::<ListExistingPage>()
            .serves::<CancelOperation>(),
    )
}

impl VolumeManager {
    /// A manager over these parts; `observer` sees each step of its flows.
    #[must_use]
    pub fn new(parts: Arc<Parts>, router: Router, observer: Rc<dyn Observer<DriverError>>) -> Self {
        let api = router.any::<ApiTopic>();
        Self {
            parts,
            router,
            api,
            observer,
        }
    }

    fn task<A>(&self, command: CommandId, volume: VolumeSpec, about: A, limit: Duration) -> Task<A> {
        Task::new(self.parts.clone(), command, volume, about, limit)
    }

    /// Obeys one command: once, in a worker, with a report at the end.
    async fn obey<F>(
        self: Rc<Self>,
        context: Context,
        command: CommandId,
        when_down: WhenDown,
        remaining_ms: u64,
        run: impl FnOnce(Rc<Self>, Duration) -> F,
    ) where
        F: Future<Output = Option<FlowReport<DriverError, Outcome>>>,
    {
        let verdict = self.parts.answers().judge(command);
        match verdict {
            Verdict::Begin => {}
            Verdict::Ignore => return,
            Verdict::Again(report) => return self.report(&context, report).await,
        }
        let _obeying = self.parts.workers.obeying(command);
        let limit = Duration::from_millis(remaining_ms);
        let report = match self.ready(limit).await {
            Readiness::Up => {
                let flow = run(Rc::clone(&self), limit).await;
                flow.map(|flow| self.report_of(command, flow))
            }
            Readiness::Down(reason) if when_down == WhenDown::Refuse => Some(Report {
                command,
                from: Some(self.parts.backend.clone()),
                outcome: Outcome::Failed(Failure {
                    kind: FailureKind::Backend,
                    client: "Driver is not initialized at present.".to_owned(),
                    operator: reason,
                }),
                steps: Vec::new(),
            }),
            Readiness::Down(_) | Readiness::Starting => None,
        };
        match report {
            Some(report) => {
                self.parts.answers().answered(&report);
                match room_after(&report.outcome) {
                    Room::AsPromised => {}
                    Room::Made => self.parts.has_made(),
                    Room::Unknown => self.parts.want_look(),
                }
                self.report(&context, report).await;
            }
            None => self.parts.answers().dropped(command),
        }
    }

    fn report_of(&self, command: CommandId, flow: FlowReport<DriverError, Outcome>) -> Report {
        let outcome = flow.result.unwrap_or_else(|error| {
            tracing::warn!(operation = %command.operation, attempt = command.attempt, %error, "a command failed");
            Outcome::Failed(failure(&error))
        });
        Report {
            command,
            from: Some(self.parts.backend.clone()),
            outcome,
            steps: flow.steps,
        }
    }

    /// Waits until it is known whether the driver works, for at most `limit`.
    async fn ready(&self, limit: Duration) -> Readiness {
        let mut readiness = self.parts.readiness.subscribe();
        let known = readiness.wait_for(|now| *now != Readiness::Starting);
        let now = match tokio::time::timeout(limit, known).await {
            Ok(Ok(now)) => now.clone(),
            Ok(Err(_)) | Err(_) => return Readiness::Starting,
        };
        match self.parts.workers.hung() {
            // Another verb would only wait for those that hang.
            Some(reason) if now == Readiness::Up => Readiness::Down(reason),
            _ => now,
        }
    }

    /// Tells the Api actor. A report that cannot be delivered is not lost: the command is sent again, and answered again.
    async fn report(&self, context: &Context, report: Report) {
        let mut pause = Duration::from_millis(50);
        let is_failure = matches!(report.outcome, Outcome::Failed(_));
        for _ in 0..REPORT_TRIES {
            if !self.parts.workers.may_report(is_failure).await {
                // The command is sent again, to whoever owns the storage then.
                return;
            }
            match self.api.cast(context, report.clone()).await {
                Ok(()) => return,
                Err(
                    CallError::Overloaded(_)
                    | CallError::Unreachable(_)
                    | CallError::Lost(_)
                    | CallError::Timeout(_),
                ) => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Err(error) => {
                    tracing::error!(operation = %report.command.operation, %error, "a report cannot be sent");
                    return;
                }
            }
        }
        tracing::warn!(
            operation = %report.command.operation,
            "a report was not delivered; it will be given again when the command is repeated"
        );
    }
}

/// What the schedulers know of a backend's room after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// Nothing took any.
    AsPromised,
    /// What they promised was taken: they count it, until they hear of a look at the pools.
    Made,
    /// There may be more or less than they know.
    Unknown,
}

fn room_after(outcome: &Outcome) -> Room {
    match outcome {
        Outcome::Connected { .. } | Outcome::Disconnected { .. } => Room::AsPromised,
        Outcome::Created { .. } | Outcome::Extended => Room::Made,
        _ => Room::Unknown,
    }
}

/// What to do with a command while the driver does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WhenDown {
    /// Refuse it: another backend may do it.
    Refuse,
    /// Let it pass: it is sent again, and only this backend can do it.
    Wait,
}

impl Actor for VolumeManager {
    type Topic = VolumeTopic;

    fn started(self: Rc<Self>, started: &Started) {
        started.spawn(lifecycle::run(self));
    }
}

impl Serve<CancelOperation> for VolumeManager {
    async fn serve(self: Rc<Self>, _context: Context, message: CancelOperation) -> Result<(), Error> {
        let command = message.command;
        if self.parts.workers.cancel(command) {
            tracing::info!(operation = %command.operation, attempt = command.attempt, "a command is cancelled");
        }
        Ok(())
    }
}

/// Serves each command by running its flow: once, in a worker, with a report at the end.
macro_rules! obeys {
    ($($message:ident, $when_down:ident: |$this:ident, $command:ident, $limit:ident| $run:expr;)+) => {
        $(impl Serve<$message> for VolumeManager {
            async fn serve(self: Rc<Self>, context: Context, $command: $message) -> Result<(), Error> {
                let (id, remaining_ms) = ($command.command, $command.remaining_ms);
                let run = |$this: Rc<Self>, $limit: Duration| async move { $run.await };
                self.obey(context, id, WhenDown::$when_down, remaining_ms, run).await;
                Ok(())
            }
        })+

        fn commands(endpoint: EndpointBuilder<VolumeManager>) -> EndpointBuilder<VolumeManager> {
            endpoint$(.serves::<$message>())+
        }
    };
}

obeys! {
    CreateVolume, Refuse: |this, command, limit| {
        let making = create_volume::Making::new(this.parts.clone(), command.command, command.volume, limit);
        create_volume::run(making, this.observer.clone())
    };
    DeleteVolume, Wait: |this, command, limit| delete_volume::run(
        this.parts.clone(),
        command.command,
        command.volume,
        Vec::new(),
        limit,
        this.observer.clone(),
    );
    DeleteVolumeCascade, Wait: |this, command, limit| delete_volume::run(
        this.parts.clone(),
        command.command,
        command.volume,
        command.snapshots,
        limit,
        this.observer.clone(),
    );
    ExtendVolume, Wait: |this, command, limit| extend_volume::run(
        this.parts.clone(),
        command.volume,
        command.new_size,
        limit,
        command.command.attempt,
        this.observer.clone(),
    );
    InitializeConnection, Refuse: |this, command, limit| {
        let connection = initialize_connection::Connection::new(command.connector, command.mode);
        this.task(command.command, command.volume, connection, limit)
            .run(initialize_connection::flow(), this.observer.clone(), |task| task.about.outcome())
    };
    TerminateConnection, Wait: |this, command, limit| terminate_connection::run(
        this.parts.clone(),
        command,
        limit,
        this.observer.clone(),
    );
    CreateSnapshot, Refuse: |this, command, limit| this
        .task(command.command, command.volume, command.snapshot_id, limit)
        .run(create_snapshot::flow(), this.observer.clone(), |_| Outcome::SnapshotCreated { provider_id: None });
    DeleteSnapshot, Wait: |this, command, limit| this
        .task(command.command, command.volume, command.snapshot_id, limit)
        .run(delete_snapshot::flow(), this.observer.clone(), |_| Outcome::SnapshotDeleted);
    RevertToSnapshot, Wait: |this, command, limit| this
        .task(command.command, command.volume, (command.snapshot_id, command.size), limit)
        .run(revert_to_snapshot::flow(), this.observer.clone(), |_| Outcome::Reverted);
    ManageVolume, Refuse: |this, command, limit| this
        .task(command.command, command.volume, command.reference, limit)
        .run(manage_volume::flow(), this.observer.clone(), |task| Outcome::Managed {
            size: task.managed.size,
            provider_id: task.managed.provider_id,
        });
    UnmanageVolume, Wait: |this, command, limit| this
        .task(command.command, command.volume, (), limit)
        .run(unmanage_volume::flow(), this.observer.clone(), |_| Outcome::Unmanaged);
    ManageSnapshot, Refuse: |this, command, limit| this
        .task(command.command, command.volume, (command.snapshot_id, command.reference), limit)
        .run(manage_snapshot::flow(), this.observer.clone(), |task| Outcome::SnapshotManaged {
            size: task.managed.size,
            provider_id: task.managed.provider_id,
        });
    UnmanageSnapshot, Wait: |this, command, limit| this
        .task(command.command, command.volume, command.snapshot_id, limit)
        .run(manage_snapshot::unmanage_flow(), this.observer.clone(), |_| Outcome::SnapshotUnmanaged);
}
