//! Finds a pool for an existing volume, for migration or retype.
//!
//! The reservation on the pool is kept until the volume's copy is in that backend's reports, or the operation has ended.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Scheduler;
use super::pools::Reservation;
use crate::messages::api::Outcome;
use crate::messages::scheduler::PlaceVolume;
use crate::model::{Context, Error, StepOutcome, StepRecord, Timestamp};
use crate::transport::Serve;

/// How often to try again if no report is received.
const LOOK_AGAIN_EVERY: Duration = Duration::from_millis(500);

impl Serve<PlaceVolume> for Scheduler {
    async fn serve(self: Rc<Self>, context: Context, message: PlaceVolume) -> Result<(), Error> {
        let id = message.command;
        let Some(_working) = self.waiting.work_on(id) else {
            return Ok(());
        };
        let reservation = Reservation::Create(id.operation);
        let (since, started_at) = (Instant::now(), Timestamp::now());
        let mut reports = self.state.reports.subscribe();
        let none = loop {
            if !self.is_at(&message).await {
                return Ok(());
            }
            let none = match self.state.place(reservation, &message) {
                Ok(pool) => {
                    let step = StepRecord {
                        name: "place_volume".to_owned(),
                        attempt: id.attempt,
                        started_at,
                        finished_at: Some(Timestamp::now()),
                        outcome: StepOutcome::Done,
                    };
                    self.report(&context, id, Outcome::Placed { pool }, vec![step])
                        .await;
                    return Ok(());
                }
                Err(none) => none,
            };
            if !self.state.may_wait(since) {
                break none;
            }
            // With or without a report, try again.
            let _ = timeout_at(Instant::now() + LOOK_AGAIN_EVERY, reports.changed()).await;
        };
        self.refuse(&context, id, none.why, Vec::new()).await;
        Ok(())
    }
}

impl Scheduler {
    /// Whether the operation is still at this stage: if not, nothing is reserved for it.
    async fn is_at(&self, message: &PlaceVolume) -> bool {
        match self.state.catalog.operation(message.command.operation).await {
            Ok(operation) => operation.is_some_and(|operation| operation.attempt == message.command.attempt),
            Err(error) => {
                tracing::warn!(operation = %message.command.operation, %error, "not placed; the command will be sent again");
                false
            }
        }
    }
}
