//! To the **Quota** actor: whether a project may have more, and its limits.
//!
//! The truth is in the store, where usage changes in the same commit as the records, under the limits that the answer tells.

use serde::{Deserialize, Serialize};

use super::{call, topic};
use crate::model::ProjectId;
use crate::model::quota::{Deltas, Resource};

topic!(
    /// The Quota actor.
    QuotaTopic = "quota", versions 1..=2
);

/// Whether a project may have so much more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckQuota {
    /// Who would use it.
    pub project_id: ProjectId,
    /// What it would add.
    pub deltas: Deltas,
    /// The size of one volume that this makes or grows, in GiB, for `per_volume_gigabytes`.
    pub volume_size: Option<u32>,
}

/// It may: these are the limits that the commit is to check again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceilings {
    /// By resource.
    pub limits: Vec<(Resource, i64)>,
}
call!(CheckQuota => QuotaTopic, "check_quota", since 2, reply Ceilings);

/// Set limits of a project; the reply is nothing: the reader reads them from the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateQuotaSet {
    /// Whose.
    pub project_id: ProjectId,
    /// Limits by resource, -1 for none.
    pub limits: Vec<(Resource, i64)>,
}
call!(UpdateQuotaSet => QuotaTopic, "update_quota_set", since 1, reply ());

/// Drop a project's own limits, so that the defaults hold again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteQuotaSet {
    /// Whose.
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
