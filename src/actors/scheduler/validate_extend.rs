//! Checks whether a volume's pool has capacity for its growth, and reserves it at once.
//!
//! The answer is about this pool only: a volume is not moved for an extension. The reservation is released when the
//! volume is found not to be `extending` any more.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::pools::Reservation;
use super::{NO_VALID_BACKEND, Scheduler};
use crate::control::try_again_in;
use crate::messages::scheduler::ValidateExtend;
use crate::model::{Context, Error};
use crate::transport::Serve;

/// How long to wait for the backend's first report, or for its host to be reachable, while the caller waits for the
/// answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often to try again if no report is received.
const LOOK_AGAIN_EVERY: Duration = Duration::from_millis(500);
/// `Retry-After` for the client, in seconds.
const RETRY_AFTER: u32 = 5;

impl Serve<ValidateExtend> for Scheduler {
    async fn serve(self: Rc<Self>, _context: Context, message: ValidateExtend) -> Result<(), Error> {
        let reservation = Reservation::Extend(message.request.volume_id);
        let mut reports = self.state.reports.subscribe();
        let since = Instant::now();
        loop {
            let Err(none) = self.state.grow(reservation, &message) else {
                return Ok(());
            };
            if !self.state.may_wait(since) {
                return Err(Error::backend(NO_VALID_BACKEND).with_operator(none.why));
            }
            if since.elapsed() >= PATIENCE {
                return Err(try_again_in(RETRY_AFTER, none.why));
            }
            // With or without a report, try again.
            let _ = timeout_at(Instant::now() + LOOK_AGAIN_EVERY, reports.changed()).await;
        }
    }
}
