//! The **Scheduler** actor: places volumes on pools, and keeps the pools' state.
//!
//! Decisions are separate from actions: [`pick`], [`filters`] and [`weighers`] are pure functions of [`pools`]; the flow in
//! [`schedule_volume`] records a choice and sends the command to the backend; the actor here handles messages, and holds
//! requests that may find a pool soon: right after a start, when backends have not reported yet, and while a host is
//! unreachable.
//!
//! Commands are delivered at least once. A command that is in work or waiting already is not begun again.

pub mod capacity;
pub mod filters;
pub mod over_subscription;
pub mod pick;
mod place_volume;
pub mod pool_state;
pub mod pools;
mod reservations;
mod restore;
pub mod schedule_volume;
mod state;
mod validate_extend;
pub mod verdicts;
mod waiting;
pub mod weighers;

#[cfg(test)]
pub(crate) mod testing;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use self::pools::Reservation;
use self::schedule_volume::{Scheduling, SchedulingError, flow};
pub use self::state::{Options, SchedulerState};
use self::waiting::Waiting;
use crate::flow::{Observer, Unobserved};
use crate::messages::api::{ApiTopic, Failure, FailureKind, Outcome, Report};
use crate::messages::scheduler::{
    GetPools, PlaceVolume, PoolView, SchedulerTopic, UpdateServiceCapabilities, ValidateExtend,
};
use crate::messages::volume::CommandId;
use crate::model::{BackendName, Context, Error, OperationId, StepRecord, VolumeStatus};
use crate::store::StoreError;
use crate::transport::serve::EndpointBuilder;
use crate::transport::{Actor, CallError, Serve, Started};
use crate::verbs::volume::ScheduleVolume;

/// The client's text if no pool passes (cinder: `NoValidBackend`).
pub const NO_VALID_BACKEND: &str = "No valid backend was found. No weighed backends available";

/// How often waiting requests are retried if no report is received.
const LOOK_AGAIN_EVERY: Duration = Duration::from_secs(1);
/// How many pools one run tries.
const RUNS: usize = 16;
/// After so many consecutive reads of the catalog the task yields.
const LOOKS_AT_ONCE: usize = 64;
/// The age below which a reservation is kept although its volume is not `extending` yet.
const YOUNG_RESERVATION: Duration = Duration::from_secs(5);

/// See the module.
pub struct Scheduler {
    state: Arc<SchedulerState>,
    waiting: Waiting,
    observer: Rc<dyn Observer<SchedulingError>>,
}

/// The endpoint, ready to be started and registered.
pub fn endpoint(state: Arc<SchedulerState>) -> EndpointBuilder<Scheduler> {
    EndpointBuilder::new(None, state.options.mailbox_bound, move || {
        Rc::new(Scheduler {
            waiting: Waiting::new(state.options.waiting_bound),
            state: Arc::clone(&state),
            observer: Rc::new(Unobserved),
        })
    })
    .serves::<ScheduleVolume>()
    .serves::<PlaceVolume>()
    .serves::<ValidateExtend>()
    .serves::<UpdateServiceCapabilities>()
    .serves::<GetPools>()
}

impl Scheduler {
    /// Places a volume, or lets it wait, or reports that it cannot be placed. `since` is when it was first received.
    async fn place(&self, context: Context, command: ScheduleVolume, since: Instant) {
        let id = CommandId {
            operation: command.operation,
            attempt: command.attempt,
        };
        let Some(_working) = self.waiting.work_on(id) else {
            tracing::debug!(operation = %id.operation, attempt = id.attempt, "already in work");
            return;
        };
        let volume = command.request.volume_id;
        let mut state = Scheduling::new(Arc::clone(&self.state), context, command);
        for _ in 0..RUNS {
            let run = flow()
                .run(&mut state, id.attempt, Rc::clone(&self.observer))
                .await;
            match run.result {
                Ok(()) => return,
                Err(error @ SchedulingError::Superseded(_)) => {
                    tracing::debug!(%volume, operation = %id.operation, %error, "nothing to schedule");
                    return;
                }
                Err(error @ SchedulingError::Store(_)) => {
                    tracing::error!(%volume, operation = %id.operation, %error, "not scheduled; the command will be sent again");
                    return;
                }
                // A retry would fail, too.
                Err(SchedulingError::TooLarge(why)) => {
                    tracing::error!(%volume, operation = %id.operation, why, "not scheduled");
                    let (context, _) = state.into_command();
                    let failure = Failure {
                        kind: FailureKind::Request,
                        client: "The volume's record has no room for its place.".to_owned(),
                        operator: why,
                    };
                    self.report(&context, id, Outcome::Failed(failure), run.steps)
                        .await;
                    return;
                }
                Err(SchedulingError::Undeliverable { pool, error }) => {
                    tracing::warn!(%volume, %pool, %error, "the command could not be sent to the backend");
                    self.note_undeliverable(&pool.backend, &error);
                    if state.was_placed() {
                        // The backend may have received it earlier. The placement is kept; the command is sent again.
                        return;
                    }
                    if !matches!(error, CallError::Unreachable(_)) {
                        state.exclude(pool, error.to_string());
                    }
                }
                Err(SchedulingError::Excluded { pool, why }) => state.exclude(pool, why),
                Err(SchedulingError::NoValidBackend(why)) => {
                    let (context, command) = state.into_command();
                    if self.state.may_wait(since) {
                        tracing::debug!(%volume, why, "waiting for a pool");
                        self.waiting.park(context, command, since);
                    } else {
                        self.refuse(&context, id, why, run.steps).await;
                    }
                    return;
                }
            }
        }
        tracing::warn!(%volume, operation = %id.operation, "the command could not be sent to any backend; it will be sent again");
    }

    fn note_undeliverable(&self, backend: &BackendName, error: &CallError) {
        if matches!(error, CallError::Unreachable(_)) {
            self.state
                .pools()
                .leave_out(backend, Instant::now() + self.state.options.leave_out_for);
        }
    }

    async fn refuse(&self, context: &Context, command: CommandId, why: String, steps: Vec<StepRecord>) {
        tracing::warn!(operation = %command.operation, attempt = command.attempt, why, "no valid backend");
        let failure = Failure {
            kind: FailureKind::NoValidBackend,
            client: NO_VALID_BACKEND.to_owned(),
            operator: why,
        };
        self.report(context, command, Outcome::Failed(failure), steps)
            .await;
    }

    async fn report(&self, context: &Context, command: CommandId, outcome: Outcome, steps: Vec<StepRecord>) {
        let report = Report {
            command,
            from: None,
            outcome,
            steps,
        };
        if let Err(error) = self.state.router.any::<ApiTopic>().cast(context, report).await {
            tracing::warn!(operation = %command.operation, %error, "report not delivered; the command will be sent again");
        }
    }

    /// The reservations on a backend whose operations have ended: its next report includes their results.
    async fn settled(&self, backend: &BackendName) -> Vec<Reservation> {
        let reservations = self.state.pools().reservations_on(backend);
        let mut settled = Vec::new();
        for (index, (reservation, taken_at)) in reservations.into_iter().enumerate() {
            if index % LOOKS_AT_ONCE == LOOKS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            let has_ended = match reservation {
                Reservation::Create(operation) if self.waiting.is_working_on(operation) => Ok(false),
                Reservation::Create(operation) => self.is_settled(operation, backend, taken_at).await,
                Reservation::Extend(_) if taken_at.elapsed() < YOUNG_RESERVATION => Ok(false),
                Reservation::Extend(volume) => {
                    let volume = self.state.catalog.volume(volume).await;
                    volume.map(|stored| stored.is_none_or(|volume| volume.status != VolumeStatus::Extending))
                }
            };
            match has_ended {
                Ok(true) => settled.push(reservation),
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%backend, %error, "reservations could not be checked; they are kept")
                }
            }
        }
        settled
    }

    /// Whether an operation needs no more capacity on this backend than its reports include.
    async fn is_settled(
        &self,
        id: OperationId,
        backend: &BackendName,
        taken_at: Instant,
    ) -> Result<bool, StoreError> {
        let Some(operation) = self.state.catalog.operation(id).await? else {
            return Ok(true);
        };
        if operation.pool.is_none() {
            // Its placement may not be recorded yet.
            return Ok(taken_at.elapsed() >= YOUNG_RESERVATION);
        }
        let promise = restore::promise(&self.state, &operation).await?;
        Ok(promise.is_none_or(|(_, pool, _)| pool.backend != *backend))
    }

    /// Runs once per process: the state survives a panic of the actor.
    async fn restore(&self) {
        while !self.state.restored.load(Ordering::Acquire) {
            match restore::restore(&self.state).await {
                Ok(promises) => {
                    tracing::info!(promises, "reservations of open operations are restored");
                    self.state.restored.store(true, Ordering::Release);
                }
                Err(error) => {
                    tracing::error!(%error, "reservations of open operations could not be read; trying again");
                    tokio::time::sleep(LOOK_AGAIN_EVERY).await;
                }
            }
        }
    }

    /// Retries waiting requests, at each report and periodically.
    async fn tend_the_waiting(&self) {
        let mut reports = self.state.reports.subscribe();
        loop {
            tokio::select! {
                biased;
                _ = reports.changed() => {}
                () = tokio::time::sleep(LOOK_AGAIN_EVERY), if !self.waiting.is_empty() => {}
                () = self.waiting.parked() => continue,
            }
            for (context, command, since) in self.waiting.take_all() {
                self.place(context, command, since).await;
            }
        }
    }
}

impl Actor for Scheduler {
    type Topic = SchedulerTopic;

    fn started(self: Rc<Self>, started: &Started) {
        started.spawn(async move {
            self.restore().await;
            self.tend_the_waiting().await;
        });
    }
}

impl Serve<ScheduleVolume> for Scheduler {
    async fn serve(self: Rc<Self>, context: Context, message: ScheduleVolume) -> Result<(), Error> {
        if !self.waiting.has(&message) {
            self.place(context, message, Instant::now()).await;
        }
        Ok(())
    }
}

impl Serve<UpdateServiceCapabilities> for Scheduler {
    async fn serve(
        self: Rc<Self>,
        _context: Context,
        message: UpdateServiceCapabilities,
    ) -> Result<(), Error> {
        if self.state.hear_again(&message.stats) {
            return Ok(());
        }
        let backend = message.stats.backend.clone();
        let settled = self.settled(&backend).await;
        if !self.state.accept(message.stats, &settled) {
            tracing::debug!(%backend, "a report was dropped: it is older than the known one");
        }
        Ok(())
    }
}

impl Serve<GetPools> for Scheduler {
    async fn serve(self: Rc<Self>, _context: Context, _message: GetPools) -> Result<Vec<PoolView>, Error> {
        Ok(self.state.pool_views())
    }
}
