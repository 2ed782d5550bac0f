//! A backend was (re)started: commands that were sent to it may be lost, so they are sent again at once.

use std::rc::Rc;

use tracing::info;

use super::ApiActor;
use crate::messages::api::BackendStarted;
use crate::model::{Context, Result};

/// The number of operations per read.
const BATCH: usize = 256;

impl ApiActor {
    /// Serves [`BackendStarted`].
    pub(super) async fn backend_started(
        self: Rc<Self>,
        _context: Context,
        message: BackendStarted,
    ) -> Result<()> {
        let (mut after, mut count) = (None, 0_usize);
        loop {
            let page = self.catalog.operations(after, BATCH).await?;
            for operation in &page.records {
                if operation.is_on(&message.backend) && self.nodes.run_here(operation) {
                    self.look_soon(operation);
                    count += 1;
                }
            }
            if page.next.is_none() {
                break;
            }
            after = page.next;
        }
        info!(backend = %message.backend, count, "a backend was started, its operations are sent again");
        Ok(())
    }
}
