//! To the **Quota** actor: quota checks, and limits.
//!
//! The store is authoritative: usage changes in the same commit as the records, under the limits in the answer.

use serde::{Deserialize, Serialize};

use super::{call, topic};
use crate::model::ProjectId;
use crate::model::quota::{Deltas, Resource};

topic!(
    /// The Quota actor.
    QuotaTopic = "quota", versions 1..=2
);

/// Checks whether a project may use so much more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckQuota {
    /// The project.
    pub project_id: ProjectId,
    /// The additional usage.
    pub deltas: Deltas,
    /// The size of the volume that is created or extended, in GiB, for `per_volume_gigabytes`.
    pub volume_size: Option<u32>,
}

/// The check succeeded: the limits that the commit must check again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceilings {
    /// The limits by resource.
    pub limits: Vec<(Resource, i64)>,
}
call!(CheckQuota => QuotaTopic, "check_quota", since 2, reply Ceilings);

/// Set limits of a project; the reply is empty: they are read from the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateQuotaSet {
    /// The project.
    pub project_id: ProjectId,
    /// Limits by resource, -1 for unlimited.
    pub limits: Vec<(Resource, i64)>,
}
call!(UpdateQuotaSet => QuotaTopic, "update_quota_set", since 1, reply ());

/// Delete a project's own limits, so that the defaults apply again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteQuotaSet {
    /// The project.
    pub project_id: ProjectId,
}
call!(DeleteQuotaSet => QuotaTopic, "delete_quota_set", since 1, reply ());

/// Set limits of a quota class (class `default` is the site's default).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateQuotaClass {
    /// The class.
    pub class: String,
    /// Limits by resource.
    pub limits: Vec<(Resource, i64)>,
}
call!(UpdateQuotaClass => QuotaTopic, "update_quota_class", since 1, reply ());
