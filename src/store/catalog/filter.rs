//! Whether a volume matches a filter: plain functions over one record.
//!
//! Fields are compared as the text that clients see: a size in decimal, a boolean as `true` or `false`. What a volume has not
//! matches nothing, as SQL's `NULL` does.

use std::borrow::Cow;

use super::query::{Comparison, TimeField, VolumeField, VolumeFilter};
use crate::model::Volume;

/// Whether all of them match.
pub(super) fn matches_all(filters: &[VolumeFilter], volume: &Volume) -> bool {
    filters.iter().all(|filter| matches(filter, volume))
}

/// Whether this one matches.
pub(super) fn matches(filter: &VolumeFilter, volume: &Volume) -> bool {
    match filter {
        VolumeFilter::Is(VolumeField::Host, wanted) => match field_text(VolumeField::Host, volume) {
            Some(host) => wanted.iter().any(|wanted| host_is(&host, wanted)),
            None => false,
        },
        VolumeFilter::Is(field, wanted) => {
            field_text(*field, volume).is_some_and(|text| wanted.iter().any(|wanted| *wanted == text))
        }
        // Without regard to case, as the `LIKE` of Cinder's usual database.
        VolumeFilter::Contains(field, part) => {
            field_text(*field, volume).is_some_and(|text| text.to_lowercase().contains(&part.to_lowercase()))
        }
        VolumeFilter::Metadata(pairs) => pairs
            .iter()
            .all(|(key, value)| volume.metadata.get(key) == Some(value)),
        VolumeFilter::ImageMetadata(pairs) => pairs
            .iter()
            .all(|(key, value)| volume.image_metadata.get(key) == Some(value)),
        VolumeFilter::Time(field, comparison, bound) => {
            let time = match field {
                TimeField::CreatedAt => Some(volume.created_at),
                TimeField::UpdatedAt => volume.updated_at,
            };
            time.is_some_and(|time| match comparison {
                Comparison::Gt => time > *bound,
                Comparison::Gte => time >= *bound,
                Comparison::Eq => time == *bound,
                Comparison::Neq => time != *bound,
                Comparison::Lt => time < *bound,
                Comparison::Lte => time <= *bound,
            })
        }
        VolumeFilter::Nothing => false,
    }
}

/// The text of a field; `None` if the volume has none.
pub(super) fn field_text(field: VolumeField, volume: &Volume) -> Option<Cow<'_, str>> {
    fn owned(value: impl ToString) -> Cow<'static, str> {
        Cow::Owned(value.to_string())
    }
    fn boolean(value: bool) -> Cow<'static, str> {
        Cow::Borrowed(if value { "true" } else { "false" })
    }
    match field {
        VolumeField::Id => Some(owned(volume.id)),
        VolumeField::Name => volume.name.as_deref().map(Cow::Borrowed),
        VolumeField::Description => volume.description.as_deref().map(Cow::Borrowed),
        VolumeField::Status => Some(Cow::Borrowed(volume.status.shown())),
        VolumeField::Size => Some(owned(volume.size)),
        VolumeField::Bootable => Some(boolean(volume.bootable)),
        VolumeField::MigrationStatus => volume
            .migration_status
            .map(|status| Cow::Borrowed(status.as_str())),
        VolumeField::AttachStatus => Some(Cow::Borrowed(volume.attach_status.as_str())),
        VolumeField::AvailabilityZone => Some(Cow::Borrowed(&volume.availability_zone)),
        VolumeField::GroupId => volume.group_id.map(owned),
        VolumeField::VolumeTypeId => volume.volume_type_id.map(owned),
        VolumeField::Host => volume.host.as_ref().map(owned),
        VolumeField::UserId => Some(Cow::Borrowed(volume.user_id.as_str())),
        VolumeField::ProjectId => Some(Cow::Borrowed(volume.project_id.as_str())),
        VolumeField::SnapshotId => volume.snapshot_id.map(owned),
        VolumeField::SourceVolid => volume.source_volid.map(owned),
        VolumeField::ConsumesQuota => Some(boolean(volume.consumes_quota)),
        VolumeField::Multiattach => Some(boolean(volume.multiattach)),
        VolumeField::ReplicationStatus => volume.replication_status.as_deref().map(Cow::Borrowed),
    }
}

/// Whether `host` (`h@b#p`) is the wanted pool, on the wanted backend, or on the wanted machine: as much of it counts as was
/// given (cinder: `db/sqlalchemy/api.py`, `_filter_host`).
fn host_is(host: &str, wanted: &str) -> bool {
    match host.strip_prefix(wanted) {
        Some("") => true,
        Some(rest) if wanted.contains('#') => rest.is_empty(),
        Some(rest) if wanted.contains('@') => rest.starts_with('#'),
        Some(rest) => rest.starts_with('#') || rest.starts_with('@'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::samples::volume;
    use super::*;
    use crate::model::{BackendName, Timestamp};

    fn is(field: VolumeField, wanted: &[&str]) -> VolumeFilter {
        VolumeFilter::Is(field, wanted.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn fields_match_as_the_text_that_clients_see() {
        let mut volume = volume("p", "Data", 3);
        volume.bootable = true;
        for (filter, expected) in [
            (is(VolumeField::Size, &["3"]), true),
            (is(VolumeField::Size, &["03"]), false),
            (is(VolumeField::Bootable, &["true"]), true),
            (is(VolumeField::Name, &["x", "Data"]), true),
            (is(VolumeField::Name, &["data"]), false),
            (is(VolumeField::Description, &[""]), false),
            (VolumeFilter::Contains(VolumeField::Name, "aT".into()), true),
            (
                VolumeFilter::Contains(VolumeField::Description, String::new()),
                false,
            ),
            (VolumeFilter::Metadata(BTreeMap::new()), true),
            (
                VolumeFilter::Metadata(BTreeMap::from([("k".into(), "v".into())])),
                false,
            ),
            (
                VolumeFilter::Time(TimeField::CreatedAt, Comparison::Lte, volume.created_at),
                true,
            ),
            (
                VolumeFilter::Time(TimeField::UpdatedAt, Comparison::Neq, Timestamp(0)),
                false,
            ),
            (VolumeFilter::Nothing, false),
        ] {
            assert_eq!(matches(&filter, &volume), expected, "{filter:?}");
        }
    }

    #[test]
    fn a_host_is_found_by_its_machine_its_backend_or_its_pool() {
        let mut volume = volume("p", "n", 1);
        volume.host = Some(BackendName::new("node", "lvm").pool("fast"));
        for (wanted, expected) in [
            ("node", true),
            ("node@lvm", true),
            ("node@lvm#fast", true),
            ("nod", false),
            ("node@lv", false),
            ("node@lvm#fas", false),
            ("node@lvm#faster", false),
        ] {
            assert_eq!(
                matches(&is(VolumeField::Host, &[wanted]), &volume),
                expected,
                "{wanted}"
            );
        }
    }
}
