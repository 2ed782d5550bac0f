//! List existing: what lies on the backend, ours or not. A question, not a command: it changes nothing, and is answered at once.

use std::rc::Rc;
use std::time::Duration;

use super::VolumeManager;
use super::parts::Readiness;
use super::worker::Claim;
use crate::messages::volume::ListExisting;
use crate::model::{Context, Error, Existing};
use crate::transport::Serve;

/// How long the storage may take to say what it has.
const LIMIT: Duration = Duration::from_secs(60);

/// The longest page: it must fit a frame.
const MAX_PAGE: usize = 2000;

impl Serve<ListExisting> for VolumeManager {
    async fn serve(self: Rc<Self>, _context: Context, message: ListExisting) -> Result<Vec<Existing>, Error> {
        let unavailable = |why: String| {
            Error::unavailable("The service is temporarily unable to handle the request.", 5)
                .with_operator(why)
        };
        let readiness = self.parts.readiness.borrow().clone();
        match readiness {
            Readiness::Up => {}
            Readiness::Starting => return Err(unavailable("the backend is starting".to_owned())),
            Readiness::Down(reason) => return Err(unavailable(reason)),
        }
        let listed = self
            .parts
            .drive(Claim::housekeeping(), LIMIT, |driver, work| {
                driver.list_existing(work)
            })
            .await;
        let mut all = listed.map_err(|error| {
            unavailable(error.map_or_else(|| "stopping".to_owned(), |error| error.to_string()))
        })?;
        if let Some(after) = &message.after {
            all.retain(|found| found.name > *after);
        }
        let limit = usize::try_from(message.limit).unwrap_or(MAX_PAGE);
        all.truncate(limit.clamp(1, MAX_PAGE));
        Ok(all)
    }
}
