//! Quota sets and limits as clients see them (cinder: `api/contrib/quotas.py`, `quota_classes.py`, `used_limits.py`,
//! `api/views/limits.py`).

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::model::VolumeType;
use crate::model::quota::{PER_TYPE, Resource, Usage};
use crate::web::views::shape::{Shape, field};

/// Limits by resource, in some answers with usage; and in some the project or class.
const LIMITS: Shape = Shape::Named(
    "limits",
    &Shape::Map(&Shape::OneOf(&[
        Shape::Integer,
        Shape::Text,
        Shape::Object(&[
            field("limit", Shape::Integer),
            field("in_use", Shape::Integer),
            field("reserved", Shape::Integer),
        ]),
    ])),
);

/// The limits of a project.
pub const SET: Shape = Shape::Object(&[field("quota_set", LIMITS)]);
/// The limits of a class.
pub const CLASS_SET: Shape = Shape::Object(&[field("quota_class_set", LIMITS)]);

/// The limits that dashboards show.
pub const ABSOLUTE: Shape = Shape::Object(&[field(
    "limits",
    Shape::Object(&[
        field("rate", Shape::List(&Shape::Any)),
        field("absolute", Shape::Map(&Shape::Integer)),
    ]),
)]);

/// Resources before those of the types, and after them, in Cinder's order.
const BEFORE: [&str; 6] = [
    "volumes",
    "per_volume_gigabytes",
    "snapshots",
    "gigabytes",
    "backups",
    "backup_gigabytes",
];
const AFTER: [&str; 1] = ["groups"];

/// Every resource, given these types, with its name, in Cinder's order.
pub fn resources<'t>(types: impl IntoIterator<Item = &'t VolumeType>) -> Vec<(Resource, String)> {
    let plain = |name: &&str| (Resource((*name).to_owned()), (*name).to_owned());
    let of_types = types.into_iter().flat_map(|found| {
        PER_TYPE.map(|name| {
            let resource = Resource(name.to_owned()).of_type(found.id);
            let shown = resource.shown(Some(found));
            (resource, shown)
        })
    });
    BEFORE
        .iter()
        .map(plain)
        .chain(of_types)
        .chain(AFTER.iter().map(plain))
        .collect()
}

/// A resource, its limit and its usage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The resource.
    pub resource: Resource,
    /// Its name: a resource of a type is called by the type's.
    pub name: String,
    /// The limit; -1 is unlimited.
    pub limit: i64,
    /// The usage.
    pub usage: Usage,
}

/// A quota set.
pub struct QuotaSet<'a> {
    /// Its quotas.
    pub quotas: &'a [Quota],
    /// Whether usage is shown beside each limit.
    pub with_usage: bool,
    /// The project or class, where the answer names it.
    pub id: Option<&'a str>,
}

#[derive(Serialize)]
struct Used {
    limit: i64,
    in_use: i64,
    reserved: i64,
}

impl Serialize for QuotaSet<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for Quota {
            name, limit, usage, ..
        } in self.quotas
        {
            if self.with_usage {
                let used = Used {
                    limit: *limit,
                    in_use: usage.in_use,
                    reserved: usage.reserved,
                };
                map.serialize_entry(name, &used)?;
            } else {
                map.serialize_entry(name, limit)?;
            }
        }
        if let Some(id) = self.id {
            map.serialize_entry("id", id)?;
        }
        map.end()
    }
}

/// `GET /limits`: five limits, and how much of each is used, under names of their own.
pub struct AbsoluteLimits<'a> {
    /// The quotas of the project.
    pub quotas: &'a [Quota],
    /// Whether usage is shown.
    pub with_usage: bool,
}

const MAXIMA: [(&str, &str); 5] = [
    ("maxTotalVolumes", "volumes"),
    ("maxTotalSnapshots", "snapshots"),
    ("maxTotalVolumeGigabytes", "gigabytes"),
    ("maxTotalBackups", "backups"),
    ("maxTotalBackupGigabytes", "backup_gigabytes"),
];

const TOTALS: [(&str, &str); 5] = [
    ("totalVolumesUsed", "volumes"),
    ("totalGigabytesUsed", "gigabytes"),
    ("totalSnapshotsUsed", "snapshots"),
    ("totalBackupsUsed", "backups"),
    ("totalBackupGigabytesUsed", "backup_gigabytes"),
];

impl Serialize for AbsoluteLimits<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let quota = |name: &str| self.quotas.iter().find(|quota| quota.resource.0 == name);
        let mut map = serializer.serialize_map(None)?;
        for (shown, name) in MAXIMA {
            if let Some(quota) = quota(name) {
                map.serialize_entry(shown, &quota.limit)?;
            }
        }
        for (shown, name) in TOTALS.into_iter().filter(|_| self.with_usage) {
            if let Some(quota) = quota(name) {
                map.serialize_entry(shown, &quota.usage.in_use)?;
            }
        }
        map.end()
    }
}
