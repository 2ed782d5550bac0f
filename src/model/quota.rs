//! Quota: the resources that are counted, limits, and the arithmetic of being over.
//!
//! Usage always equals the sum over the records: it is changed in the same commit as the records themselves. What is
//! here is names and plain arithmetic (cinder: `quota.py`, `quota_utils.py`; facts in `cinder/create_rules.md` 4, 5).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The largest limit and the largest sum (cinder: `MAX_INT`).
pub const MAX: i64 = 2_147_483_647;

/// Without a limit.
pub const UNLIMITED: i64 = -1;

/// A resource that is counted. Its text is Cinder's: `gigabytes`, `volumes_fast`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Resource(pub String);

impl Resource {
    /// `volumes`
    #[must_use]
    pub fn volumes() -> Self {
        Self("volumes".into())
    }

    /// `gigabytes`
    #[must_use]
    pub fn gigabytes() -> Self {
        Self("gigabytes".into())
    }

    /// `per_volume_gigabytes`: a limit on one volume's size; nothing is counted.
    #[must_use]
    pub fn per_volume_gigabytes() -> Self {
        Self("per_volume_gigabytes".into())
    }

    /// This resource, counted for one volume type by the type's **name**.
    #[must_use]
    pub fn of_type(&self, type_name: &str) -> Self {
        Self(format!("{}_{type_name}", self.0))
    }
}

/// How much of a resource a project uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// What exists.
    pub in_use: i64,
    /// What open operations will add.
    pub reserved: i64,
}

/// What a request would add (or, negative, give back), by resource.
pub type Deltas = BTreeMap<Resource, i64>;

/// What a volume of `size` GiB counts for: `volumes`, `gigabytes`, and both again for its type.
#[must_use]
pub fn volume_deltas(size: u32, type_name: Option<&str>) -> Deltas {
    let mut deltas = Deltas::from([(Resource::volumes(), 1), (Resource::gigabytes(), i64::from(size))]);
    if let Some(name) = type_name {
        deltas.insert(Resource::volumes().of_type(name), 1);
        deltas.insert(Resource::gigabytes().of_type(name), i64::from(size));
    }
    deltas
}

/// What growing a volume by `growth` GiB counts for.
#[must_use]
pub fn extend_deltas(growth: u32, type_name: Option<&str>) -> Deltas {
    let mut deltas = Deltas::from([(Resource::gigabytes(), i64::from(growth))]);
    if let Some(name) = type_name {
        deltas.insert(Resource::gigabytes().of_type(name), i64::from(growth));
    }
    deltas
}

/// Whether `delta` more would be over `limit`: a negative delta never is, `-1` is no limit.
#[must_use]
pub fn is_over(limit: i64, usage: Usage, delta: i64) -> bool {
    limit >= 0 && delta >= 0 && usage.in_use.saturating_add(usage.reserved).saturating_add(delta) > limit
}
