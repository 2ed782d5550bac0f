//! Whether a volume's pool has room for its growth; if so, the room is taken at once.
//!
//! The answer is about this pool only: a volume does not move to grow. What was taken is given back when the volume is
//! seen not to be `extending` any more.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::pools::Reservation;
use super::{NO_VALID_BACKEND, Scheduler};
use crate::messages::scheduler::ValidateExtend;
use crate::model::{Context, Error};
use crate::transport::Serve;

/// How long to wait for the backend's first report, or for its host to be reachable; somebody waits for the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often to look again if no report comes.
const LOOK_AGAIN_EVERY: Duration = Duration::from_millis(500);
/// After so many seconds the client may try again.
const RETRY_AFTER: u32 = 5;

impl Serve<ValidateExtend> for Scheduler {
    async fn serve(self: Rc<Self>, _context: Context, message: ValidateExtend) -> Result<(), Error> {
        let ValidateExtend {
            pool,
            request,
            attached,
        } = message;
        let reservation = Reservation::Extend(request.volume_id);
        let mut reports = self.state.reports.subscribe();
        let since = Instant::now();
        loop {
            let none = match self.state.grow(reservation, &request, attached, &pool) {
                Ok(_) => return Ok(()),
                Err(none) => none,
            };
            if !self.state.may_wait(since) {
                return Err(Error::backend(NO_VALID_BACKEND).with_operator(none.why));
            }
            if since.elapsed() >= PATIENCE {
                return Err(Error::unavailable(
                    "The service is temporarily unable to handle the request.",
                    RETRY_AFTER,
                )
                .with_operator(none.why));
            }
            // Whether a report came or not, it is looked at again.
            let _ = timeout_at(Instant::now() + LOOK_AGAIN_EVERY, reports.changed()).await;
        }
    }
}
