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

    /// `snapshots`
    #[must_use]
    pub fn snapshots() -> Self {
        Self("snapshots".into())
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

/// What a snapshot of a volume of `size` GiB counts for: `snapshots`, `gigabytes`, and both again for the volume's type.
#[must_use]
pub fn snapshot_deltas(size: u32, type_name: Option<&str>) -> Deltas {
    let mut deltas = Deltas::from([
        (Resource::snapshots(), 1),
        (Resource::gigabytes(), i64::from(size)),
    ]);
    if let Some(name) = type_name {
        deltas.insert(Resource::snapshots().of_type(name), 1);
        deltas.insert(Resource::gigabytes().of_type(name), i64::from(size));
    }
    deltas
}

/// What giving it back counts for.
#[must_use]
pub fn given_back(deltas: Deltas) -> Deltas {
    deltas
        .into_iter()
        .map(|(resource, delta)| (resource, -delta))
        .collect()
}

/// What growing a volume by `growth` GiB counts for.
#[must_use]
pub fn extend_deltas(growth: impl Into<i64>, type_name: Option<&str>) -> Deltas {
    let growth = growth.into();
    let mut deltas = Deltas::from([(Resource::gigabytes(), growth)]);
    if let Some(name) = type_name {
        deltas.insert(Resource::gigabytes().of_type(name), growth);
    }
    deltas
}

/// Whether `delta` more would be over `limit`: a negative delta never is, `-1` is no limit.
#[must_use]
pub fn is_over(limit: i64, usage: Usage, delta: i64) -> bool {
    limit >= 0 && delta >= 0 && usage.in_use.saturating_add(usage.reserved).saturating_add(delta) > limit
}

/// The configured defaults (`[quota]`): what holds where neither the project nor class `default` says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// `volumes`
    pub volumes: i64,
    /// `snapshots`
    pub snapshots: i64,
    /// `gigabytes`
    pub gigabytes: i64,
    /// `backups`
    pub backups: i64,
    /// `backup_gigabytes`
    pub backup_gigabytes: i64,
    /// `groups`
    pub groups: i64,
    /// `per_volume_gigabytes`
    pub per_volume_gigabytes: i64,
}

impl Default for Defaults {
    /// Cinder's own.
    fn default() -> Self {
        Self {
            volumes: 10,
            snapshots: 10,
            gigabytes: 1000,
            backups: 10,
            backup_gigabytes: 1000,
            groups: 10,
            per_volume_gigabytes: UNLIMITED,
        }
    }
}

impl Defaults {
    /// The default of a resource; a resource counted for one type has none.
    #[must_use]
    pub fn of(&self, resource: &Resource) -> i64 {
        match resource.0.as_str() {
            "volumes" => self.volumes,
            "snapshots" => self.snapshots,
            "gigabytes" => self.gigabytes,
            "backups" => self.backups,
            "backup_gigabytes" => self.backup_gigabytes,
            "groups" => self.groups,
            "per_volume_gigabytes" => self.per_volume_gigabytes,
            _ => UNLIMITED,
        }
    }
}

/// The class whose limits stand before the configured ones.
pub const DEFAULT_CLASS: &str = "default";

/// The limit that holds: the project's own, else class `default`'s, else the configured one.
#[must_use]
pub fn limit_of(
    resource: &Resource,
    project: &BTreeMap<Resource, i64>,
    default_class: &BTreeMap<Resource, i64>,
    defaults: &Defaults,
) -> i64 {
    let own = project.get(resource).or_else(|| default_class.get(resource));
    own.copied().unwrap_or_else(|| defaults.of(resource))
}

/// Every resource there is when these types are, in the order in which Cinder lists them.
pub fn resources<'a>(type_names: impl IntoIterator<Item = &'a str>) -> Vec<Resource> {
    let plain = |name: &str| Resource(name.to_owned());
    let mut all: Vec<Resource> = [
        "volumes",
        "per_volume_gigabytes",
        "snapshots",
        "gigabytes",
        "backups",
        "backup_gigabytes",
    ]
    .map(plain)
    .to_vec();
    for name in type_names {
        all.extend(["volumes", "gigabytes", "snapshots"].map(|kind| plain(kind).of_type(name)));
    }
    all.push(plain("groups"));
    all
}

#[cfg(test)]
mod tests {
    use super::{Defaults, Resource, Usage, is_over, limit_of, resources};
    use std::collections::BTreeMap;

    #[test]
    fn a_projects_own_limit_stands_before_the_class_and_the_class_before_the_configuration() {
        let (volumes, defaults) = (Resource::volumes(), Defaults::default());
        let none = BTreeMap::new();
        let row = |limit| BTreeMap::from([(volumes.clone(), limit)]);
        assert_eq!(limit_of(&volumes, &none, &none, &defaults), 10);
        assert_eq!(limit_of(&volumes, &none, &row(12), &defaults), 12);
        assert_eq!(limit_of(&volumes, &row(0), &row(12), &defaults), 0);
        assert_eq!(
            limit_of(&volumes.of_type("fast"), &row(0), &row(12), &defaults),
            -1
        );
    }

    #[test]
    fn over_is_what_cinder_calls_over() {
        let usage = Usage {
            in_use: 8,
            reserved: 1,
        };
        assert!(!is_over(10, usage, 1));
        assert!(is_over(10, usage, 2));
        assert!(!is_over(-1, usage, i64::MAX));
        assert!(!is_over(0, usage, -1), "giving back is never refused");
        assert!(
            is_over(0, usage, 0),
            "a project that is over already gets nothing more"
        );
    }

    #[test]
    fn resources_are_listed_in_cinders_order() {
        let names: Vec<String> = resources(["t2"]).into_iter().map(|resource| resource.0).collect();
        assert_eq!(
            names,
            [
                "volumes",
                "per_volume_gigabytes",
                "snapshots",
                "gigabytes",
                "backups",
                "backup_gigabytes",
                "volumes_t2",
                "gigabytes_t2",
                "snapshots_t2",
                "groups"
            ]
        );
    }
}
