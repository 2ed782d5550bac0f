//! Lists everything on the backend, managed or not. It is a query, not a command: it changes nothing, and is answered directly.

use std::rc::Rc;
use std::time::Duration;

use super::VolumeManager;
use crate::backend::Readiness;
use crate::backend::workers::Maintenance;
use crate::control::try_again_in;
use crate::drivers::{VolumeDriver, Work};
use crate::messages::volume::{ExistingPage, ListExisting, ListExistingPage};
use crate::model::{Context, Error, Existing};
use crate::transport::Serve;

/// The time limit of listing the storage.
const LIMIT: Duration = Duration::from_secs(60);

/// The longest page: it must fit into a frame.
const MAX_PAGE: usize = 2000;

impl Serve<ListExisting> for VolumeManager {
    async fn serve(self: Rc<Self>, _context: Context, message: ListExisting) -> Result<Vec<Existing>, Error> {
        let page = self.existing(message.after, message.limit).await?;
        Ok(page.existing)
    }
}

impl Serve<ListExistingPage> for VolumeManager {
    async fn serve(
        self: Rc<Self>,
        _context: Context,
        message: ListExistingPage,
    ) -> Result<ExistingPage, Error> {
        self.existing(message.after, message.limit).await
    }
}

impl VolumeManager {
    async fn existing(&self, after: Option<String>, limit: u32) -> Result<ExistingPage, Error> {
        let unavailable = |why: String| try_again_in(5, why);
        let readiness = self.state.readiness.borrow().clone();
        match readiness {
            Readiness::Up => {}
            Readiness::Starting => return Err(unavailable("the backend is starting".to_owned())),
            Readiness::Down(reason) => return Err(unavailable(reason)),
        }
        let listing = |driver: &dyn VolumeDriver, work: &Work| driver.list_existing(work);
        let listed = self.state.drive(Maintenance::ListExisting, LIMIT, listing).await;
        let mut all = listed.map_err(|error| {
            unavailable(error.map_or_else(|| "stopping".to_owned(), |error| error.to_string()))
        })?;
        // The next page begins after a name, so the order must not depend on the driver.
        all.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        if let Some(after) = after {
            all.retain(|found| found.name > after);
        }
        let limit = usize::try_from(limit).unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
        let more = all.len() > limit;
        all.truncate(limit);
        let next = all.last().filter(|_| more).map(|last| last.name.clone());
        Ok(ExistingPage { existing: all, next })
    }
}
