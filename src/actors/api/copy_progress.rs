//! How much of a copy of a volume is durable, so that one that is begun again goes on from there.

use std::rc::Rc;

use super::ApiActor;
use crate::messages::api::CopyProgress;
use crate::model::{Context, Result};

impl ApiActor {
    /// Serves [`CopyProgress`].
    #[expect(clippy::unused_async, reason = "the actor's methods have one shape")]
    pub(super) async fn copy_progress(
        self: Rc<Self>,
        _context: Context,
        progress: CopyProgress,
    ) -> Result<()> {
        tracing::debug!(
            operation = %progress.command.operation,
            attempt = progress.command.attempt,
            from = %progress.from,
            offset = progress.offset,
            "a part of a copy is durable"
        );
        Ok(())
    }
}
