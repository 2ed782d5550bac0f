//! Quota checks of requests.
//!
//! The result is the limits that the commit checks again: usage changes in the same commit as the records, and the store refuses
//! a commit that would exceed a limit. So two concurrent requests never both get the last free unit, and nothing has to be
//! returned when a request fails.

use super::Control;
use crate::messages::quota::{Ceilings, CheckQuota};
use crate::model::quota::Deltas;
use crate::model::{Context, ProjectId, Result};
use crate::store::catalog::Changes;

impl Control {
    /// Checks whether a project may have so much more, with one volume of `volume_size` GiB, and returns the
    /// limits for the commit.
    ///
    /// # Errors
    /// 413 with Cinder's text if not.
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
    /// Adds the limits to a commit, which then fails if these additions exceed one.
    pub fn apply(&self, changes: &mut Changes, project_id: &ProjectId, deltas: &Deltas) {
        for (resource, limit) in &self.limits {
            if *limit >= 0 && deltas.contains_key(resource) {
                changes.within_limit(project_id, resource, *limit);
            }
        }
    }
}
