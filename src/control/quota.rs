//! Asking whether a project may have more.
//!
//! The answer is the limits that the commit checks again: usage changes in the same commit as the records, and a commit that
//! would exceed a limit is refused by the store. So two requests that are checked at the same time are never both given the last
//! free unit, and nothing has to be given back when a request comes to nothing.

use super::Control;
use crate::messages::quota::{Ceilings, CheckQuota};
use crate::model::quota::Deltas;
use crate::model::{Context, ProjectId, Result};
use crate::store::catalog::Changes;

impl Control {
    /// The limits under which a project may have so much more, of which one volume is of `volume_size` GiB.
    ///
    /// # Errors
    /// 413 in Cinder's words if it may not.
    pub async fn check_quota(
        &self,
        context: &Context,
        project_id: &ProjectId,
        deltas: &Deltas,
        volume_size: Option<u32>,
    ) -> Result<Ceilings> {
        let question = CheckQuota {
            project_id: project_id.clone(),
            deltas: deltas.clone(),
            volume_size,
        };
        let limit = self.options.call_timeout;
        Ok(self.quota.call(context, question, limit).await?)
    }
}

impl Ceilings {
    /// Has the commit refused if it would take the project over one of them, where it adds these.
    pub fn apply(&self, changes: &mut Changes, project_id: &ProjectId, deltas: &Deltas) {
        for (resource, limit) in &self.limits {
            if *limit >= 0 && deltas.contains_key(resource) {
                changes.within_limit(project_id, resource, *limit);
            }
        }
    }
}
