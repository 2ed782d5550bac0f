//! The **VolumeManager** actor: one per backend, it turns commands into storage.
//!
//! It has no catalog: commands carry all that it needs, reports carry all that it knows. Commands come at least once;
//! `answers` makes twice once. Driver verbs block, so they run in `worker` threads, bounded, timed and cancellable; the
//! mailbox never waits for one. What must survive a panic of the actor lives in [`Parts`], outside of it.
//!
//! | file | what |
//! |---|---|
//! | `lifecycle` | start (driver, book, exports), then stats, heartbeat and the target daemon's health |
//! | `create_volume`, `delete_volume`, … | one verb each, as a flow |
//! | `worker`, `slot`, `ledger`, `answers`, `failure` | threads, the driver, what it has, what it answered, what went wrong |

pub mod answers;
pub mod create_volume;
pub mod delete_volume;
pub mod extend_volume;
pub mod failure;
pub mod initialize_connection;
pub mod ledger;
mod lifecycle;
mod notify;
pub mod parts;
pub mod slot;
pub mod terminate_connection;
#[cfg(test)]
mod tests;
pub mod worker;

use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use self::answers::Verdict;
use self::failure::failure;
pub use self::parts::{Options, Parts, Readiness};
use crate::drivers::DriverError;
use crate::flow::{FlowReport, Observer, Unobserved};
use crate::messages::api::{ApiTopic, Failure, FailureKind, Outcome, Report};
use crate::messages::volume::{
    CommandId, CreateVolume, DeleteVolume, ExtendVolume, InitializeConnection, TerminateConnection,
    VolumeTopic,
};
use crate::model::{Context, Error};
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
    EndpointBuilder::new(Some(server), bound, move || {
        Rc::new(VolumeManager::new(
            parts.clone(),
            router.clone(),
            Rc::new(Unobserved),
        ))
    })
    .serves::<CreateVolume>()
    .serves::<DeleteVolume>()
    .serves::<ExtendVolume>()
    .serves::<InitializeConnection>()
    .serves::<TerminateConnection>()
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
        match tokio::time::timeout(limit, known).await {
            Ok(Ok(now)) => now.clone(),
            Ok(Err(_)) | Err(_) => Readiness::Starting,
        }
    }

    /// Tells the Api actor. A report that cannot be delivered is not lost: the command is sent again, and answered again.
    async fn report(&self, context: &Context, report: Report) {
        let mut pause = Duration::from_millis(50);
        for _ in 0..REPORT_TRIES {
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

impl Serve<CreateVolume> for VolumeManager {
    async fn serve(self: Rc<Self>, context: Context, message: CreateVolume) -> Result<(), Error> {
        let CreateVolume {
            command,
            volume,
            remaining_ms,
        } = message;
        self.obey(
            context,
            command,
            WhenDown::Refuse,
            remaining_ms,
            |this, limit| async move {
                let making = create_volume::Making::new(this.parts.clone(), command, volume, limit);
                create_volume::run(making, this.observer.clone()).await
            },
        )
        .await;
        Ok(())
    }
}

impl Serve<DeleteVolume> for VolumeManager {
    async fn serve(self: Rc<Self>, context: Context, message: DeleteVolume) -> Result<(), Error> {
        let DeleteVolume {
            command,
            volume,
            remaining_ms,
        } = message;
        self.obey(
            context,
            command,
            WhenDown::Wait,
            remaining_ms,
            |this, limit| async move {
                delete_volume::run(this.parts.clone(), command, volume, limit, this.observer.clone()).await
            },
        )
        .await;
        Ok(())
    }
}

impl Serve<ExtendVolume> for VolumeManager {
    async fn serve(self: Rc<Self>, context: Context, message: ExtendVolume) -> Result<(), Error> {
        let ExtendVolume {
            command,
            volume,
            new_size,
            remaining_ms,
        } = message;
        self.obey(
            context,
            command,
            WhenDown::Wait,
            remaining_ms,
            |this, limit| async move {
                let (parts, observer) = (this.parts.clone(), this.observer.clone());
                extend_volume::run(parts, volume, new_size, limit, command.attempt, observer).await
            },
        )
        .await;
        Ok(())
    }
}

impl Serve<InitializeConnection> for VolumeManager {
    async fn serve(self: Rc<Self>, context: Context, message: InitializeConnection) -> Result<(), Error> {
        let InitializeConnection {
            command,
            volume,
            connector,
            mode,
            remaining_ms,
            ..
        } = message;
        self.obey(
            context,
            command,
            WhenDown::Refuse,
            remaining_ms,
            |this, limit| async move {
                let (parts, observer) = (this.parts.clone(), this.observer.clone());
                initialize_connection::run(parts, volume, connector, mode, limit, command.attempt, observer)
                    .await
            },
        )
        .await;
        Ok(())
    }
}

impl Serve<TerminateConnection> for VolumeManager {
    async fn serve(self: Rc<Self>, context: Context, message: TerminateConnection) -> Result<(), Error> {
        let command = message.command;
        let remaining_ms = message.remaining_ms;
        self.obey(
            context,
            command,
            WhenDown::Wait,
            remaining_ms,
            |this, limit| async move {
                terminate_connection::run(this.parts.clone(), message, limit, this.observer.clone()).await
            },
        )
        .await;
        Ok(())
    }
}
