//! Quota: the counted resources, limits, and their arithmetic.
//!
//! Usage always equals the sum over the records: it is changed in the same commit as the records themselves. This
//! module has names and plain arithmetic only (cinder: `quota.py`, `quota_utils.py`; facts in
//! `cinder/create_rules.md` 4, 5).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{VolumeType, VolumeTypeId};

/// The largest limit and the largest sum (cinder: `MAX_INT`).
pub const MAX: i64 = 2_147_483_647;

/// No limit.
pub const UNLIMITED: i64 = -1;

/// A counted resource. Its text is Cinder's (`gigabytes`), except that a resource of one volume type contains the type's id
/// instead of its name: `volumes_<id>` for `volumes_fast`. So renaming a type changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Resource(pub String);

impl Resource {
    /// `volumes`
    pub fn volumes() -> Self {
        Self("volumes".into())
    }

    /// `gigabytes`
    pub fn gigabytes() -> Self {
        Self("gigabytes".into())
    }

    /// `snapshots`
    pub fn snapshots() -> Self {
        Self("snapshots".into())
    }

    /// `per_volume_gigabytes`: a limit on one volume's size; nothing is counted.
    pub fn per_volume_gigabytes() -> Self {
        Self("per_volume_gigabytes".into())
    }

    /// This resource, counted for one volume type.
    pub fn of_type(&self, id: VolumeTypeId) -> Self {
        Self(format!("{}_{id}", self.0))
    }

    /// Whether it is counted for one volume type.
    pub fn is_of_a_type(&self) -> bool {
        self.kind_and_type().is_some()
    }

    /// The volume type that it is counted for.
    pub fn type_id(&self) -> Option<VolumeTypeId> {
        self.kind_and_type()?.1.parse().ok()
    }

    /// As shown to clients; `volume_type` is the type that it is counted for. A deleted type has no name.
    pub fn shown(&self, volume_type: Option<&VolumeType>) -> String {
        match (self.kind_and_type(), volume_type) {
            (Some((kind, _)), Some(found)) if self.type_id() == Some(found.id) => {
                format!("{kind}_{}", found.name)
            }
            _ => self.0.clone(),
        }
    }

    fn kind_and_type(&self) -> Option<(&str, &str)> {
        self.0.split_once('_').filter(|(kind, _)| PER_TYPE.contains(kind))
    }
}

/// Resources that are also counted for each volume type, in Cinder's order.
pub const PER_TYPE: [&str; 3] = ["volumes", "gigabytes", "snapshots"];

/// How much of a resource a project uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The amount that exists.
    pub in_use: i64,
    /// The amount that open operations will add.
    pub reserved: i64,
}

/// What a request adds (or, if negative, releases), by resource.
pub type Deltas = BTreeMap<Resource, i64>;

/// These amounts, and each again for the volume type.
fn counted<const N: usize>(amounts: [(Resource, i64); N], volume_type: Option<VolumeTypeId>) -> Deltas {
    let mut deltas = Deltas::from(amounts);
    if let Some(id) = volume_type {
        let all = deltas.clone().into_iter();
        deltas.extend(all.map(|(resource, amount)| (resource.of_type(id), amount)));
    }
    deltas
}

/// The usage of a volume of `size` GiB: `volumes`, `gigabytes`, and both again for its type.
pub fn volume_deltas(size: u32, volume_type: Option<VolumeTypeId>) -> Deltas {
    let size = (Resource::gigabytes(), i64::from(size));
    counted([(Resource::volumes(), 1), size], volume_type)
}

/// The usage of a snapshot of a volume of `size` GiB: `snapshots`, `gigabytes`, and both again for the volume's type.
pub fn snapshot_deltas(size: u32, volume_type: Option<VolumeTypeId>) -> Deltas {
    let size = (Resource::gigabytes(), i64::from(size));
    counted([(Resource::snapshots(), 1), size], volume_type)
}

/// The negated deltas, for a release.
pub fn given_back(deltas: Deltas) -> Deltas {
    deltas
        .into_iter()
        .map(|(resource, delta)| (resource, -delta))
        .collect()
}

/// The usage of an extension of a volume by `growth` GiB.
pub fn extend_deltas(growth: impl Into<i64>, volume_type: Option<VolumeTypeId>) -> Deltas {
    counted([(Resource::gigabytes(), growth.into())], volume_type)
}

/// Whether `delta` more would exceed `limit`: a negative delta never is, `-1` is no limit.
pub fn is_over(limit: i64, usage: Usage, delta: i64) -> bool {
    limit >= 0 && delta >= 0 && usage.in_use.saturating_add(usage.reserved).saturating_add(delta) > limit
}

/// Limits, by resource.
pub type Limits = BTreeMap<Resource, i64>;

/// Cinder's own limits, for what the configuration leaves out.
pub fn default_limits() -> Limits {
    let limits = [
        ("volumes", 10),
        ("snapshots", 10),
        ("gigabytes", 1000),
        ("backups", 10),
        ("backup_gigabytes", 1000),
        ("groups", 10),
    ];
    limits
        .map(|(name, limit)| (Resource(name.to_owned()), limit))
        .into()
}

/// The class whose limits override the configured ones.
pub const DEFAULT_CLASS: &str = "default";

/// The effective limit: the project's own, else class `default`'s, else the configured one.
pub fn limit_of(resource: &Resource, project: &Limits, default_class: &Limits, defaults: &Limits) -> i64 {
    let mut limits = [project, default_class, defaults].into_iter();
    limits
        .find_map(|limits| limits.get(resource).copied())
        .unwrap_or(UNLIMITED)
}

#[cfg(test)]
mod tests {
    use super::{Resource, Usage, default_limits, is_over, limit_of};
    use crate::model::VolumeTypeId;
    use std::collections::BTreeMap;

    #[test]
    fn a_projects_own_limit_stands_before_the_class_and_the_class_before_the_configuration() {
        let (volumes, defaults) = (Resource::volumes(), default_limits());
        let none = BTreeMap::new();
        let row = |limit| BTreeMap::from([(volumes.clone(), limit)]);
        assert_eq!(limit_of(&volumes, &none, &none, &defaults), 10);
        assert_eq!(limit_of(&volumes, &none, &row(12), &defaults), 12);
        assert_eq!(limit_of(&volumes, &row(0), &row(12), &defaults), 0);
        let of_a_type = volumes.of_type(VolumeTypeId::new());
        assert_eq!(limit_of(&of_a_type, &row(0), &row(12), &defaults), -1);
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
        assert!(!is_over(0, usage, -1), "a release is never refused");
        assert!(
            is_over(0, usage, 0),
            "a project that is over already gets nothing more"
        );
    }

    #[test]
    fn a_resource_of_a_type_bears_the_types_id() {
        let id = VolumeTypeId::new();
        let resource = Resource::gigabytes().of_type(id);
        assert!(resource.is_of_a_type());
        assert_eq!(resource.type_id(), Some(id));
        assert_eq!(resource.shown(None), format!("gigabytes_{id}"));
        for plain in ["volumes", "per_volume_gigabytes", "backup_gigabytes"] {
            assert!(!Resource(plain.to_owned()).is_of_a_type(), "{plain}");
        }
        let by_name = Resource("volumes_fast".to_owned());
        assert!(by_name.is_of_a_type() && by_name.type_id().is_none());
    }
}
