//! To the **Quota** actor: hold room for a request between its check and its commit.
//!
//! The truth is in the store, where usage changes in the same commit as the records, under the same limits. A hold only
//! keeps two requests that are checked at the same time from both being promised the last free unit; it is forgotten
//! when its time runs out, so it cannot leak.

use serde::{Deserialize, Serialize};

use super::{call, cast, topic};
use crate::model::quota::{Deltas, Resource};
use crate::model::{ProjectId, ReservationId};

topic!(
    /// The Quota actor.
    QuotaTopic = "quota", versions 1..=1
);

/// Check that a project may have so much more, and hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserve {
    /// Who would use it.
    pub project_id: ProjectId,
    /// What it would add.
    pub deltas: Deltas,
    /// The size of one volume that this makes or grows, in GiB, for `per_volume_gigabytes`.
    pub volume_size: Option<u32>,
}

/// A granted hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// Names the hold.
    pub id: ReservationId,
    /// The limits it was checked against: the commit is to check them again.
    pub limits: Vec<(Resource, i64)>,
}
call!(Reserve => QuotaTopic, "reserve", since 1, reply Reserved);

/// The hold's request is in the store (its usage counts there now).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The hold.
    pub id: ReservationId,
}
cast!(Commit => QuotaTopic, "commit", since 1);

/// The hold's request came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// The hold.
    pub id: ReservationId,
}
cast!(Rollback => QuotaTopic, "rollback", since 1);

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
