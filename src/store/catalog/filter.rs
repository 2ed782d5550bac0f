//! Whether a volume or a snapshot matches a filter: plain functions over one record.
//!
//! Fields are compared as the text that clients see: a size in decimal, a boolean as `true` or `false`. What a record has not
//! matches nothing, as SQL's `NULL` does.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::query::{Comparison, SnapshotField, SnapshotFilter, TimeField, VolumeField, VolumeFilter};
use crate::model::host::host_matches;
use crate::model::{Snapshot, Timestamp, Volume};

/// Whether this one matches.
pub(super) fn volume_matches(filter: &VolumeFilter, volume: &Volume) -> bool {
    match filter {
        VolumeFilter::Is(VolumeField::Host, wanted) => match volume_text(VolumeField::Host, volume) {
            Some(host) => wanted.iter().any(|wanted| host_matches(&host, wanted)),
            None => false,
        },
        VolumeFilter::Is(field, wanted) => is_one_of(volume_text(*field, volume), wanted),
        VolumeFilter::Contains(field, part) => contains(volume_text(*field, volume), part),
        VolumeFilter::Metadata(pairs) => has_all(&volume.metadata, pairs),
        VolumeFilter::ImageMetadata(pairs) => has_all(&volume.image_metadata, pairs),
        VolumeFilter::Time(field, comparison, bound) => {
            let time = match field {
                TimeField::CreatedAt => Some(volume.created_at),
                TimeField::UpdatedAt => volume.updated_at,
            };
            compares(time, *comparison, *bound)
        }
        VolumeFilter::Nothing => false,
    }
}

/// Whether this one matches. What is asked of its volume is for others to look at.
pub(super) fn snapshot_matches(filter: &SnapshotFilter, snapshot: &Snapshot) -> bool {
    match filter {
        SnapshotFilter::Is(field, wanted) => is_one_of(snapshot_text(*field, snapshot), wanted),
        SnapshotFilter::Contains(field, part) => contains(snapshot_text(*field, snapshot), part),
        SnapshotFilter::Metadata(pairs) => has_all(&snapshot.metadata, pairs),
        SnapshotFilter::Time(field, comparison, bound) => {
            let time = match field {
                TimeField::CreatedAt => Some(snapshot.created_at),
                TimeField::UpdatedAt => snapshot.updated_at,
            };
            compares(time, *comparison, *bound)
        }
        SnapshotFilter::OfVolume(_) => true,
        SnapshotFilter::Nothing => false,
    }
}

fn is_one_of(text: Option<Cow<'_, str>>, wanted: &[String]) -> bool {
    text.is_some_and(|text| wanted.iter().any(|wanted| *wanted == text))
}

/// Without regard to case, as the `LIKE` of Cinder's usual database.
fn contains(text: Option<Cow<'_, str>>, part: &str) -> bool {
    text.is_some_and(|text| is_like(&text, part))
}

/// Whether a text has this part, whatever the case of its letters (`key~=part`; cinder: `LIKE '%part%'`).
#[must_use]
pub fn is_like(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

fn has_all(metadata: &BTreeMap<String, String>, pairs: &BTreeMap<String, String>) -> bool {
    pairs.iter().all(|(key, value)| metadata.get(key) == Some(value))
}

fn compares(time: Option<Timestamp>, comparison: Comparison, bound: Timestamp) -> bool {
    time.is_some_and(|time| match comparison {
        Comparison::Gt => time > bound,
        Comparison::Gte => time >= bound,
        Comparison::Eq => time == bound,
        Comparison::Neq => time != bound,
        Comparison::Lt => time < bound,
        Comparison::Lte => time <= bound,
    })
}

fn owned(value: impl ToString) -> Cow<'static, str> {
    Cow::Owned(value.to_string())
}

fn boolean(value: bool) -> Cow<'static, str> {
    Cow::Borrowed(if value { "true" } else { "false" })
}

/// The text of a field; `None` if the snapshot has none.
fn snapshot_text(field: SnapshotField, snapshot: &Snapshot) -> Option<Cow<'_, str>> {
    match field {
        SnapshotField::Id => Some(owned(snapshot.id)),
        SnapshotField::Name => snapshot.name.as_deref().map(Cow::Borrowed),
        SnapshotField::Description => snapshot.description.as_deref().map(Cow::Borrowed),
        SnapshotField::Status => Some(Cow::Borrowed(snapshot.status.as_str())),
        SnapshotField::Progress => Some(Cow::Borrowed(&snapshot.progress)),
        SnapshotField::VolumeId => Some(owned(snapshot.volume_id)),
        SnapshotField::VolumeSize => Some(owned(snapshot.volume_size)),
        SnapshotField::VolumeTypeId => snapshot.volume_type_id.map(owned),
        SnapshotField::UserId => Some(Cow::Borrowed(snapshot.user_id.as_str())),
        SnapshotField::ProjectId => Some(Cow::Borrowed(snapshot.project_id.as_str())),
        SnapshotField::GroupSnapshotId => snapshot.group_snapshot_id.map(owned),
        SnapshotField::EncryptionKeyId => snapshot.encryption_key_id.map(owned),
        SnapshotField::ConsumesQuota => Some(boolean(snapshot.consumes_quota)),
    }
}

/// The text of a field; `None` if the volume has none.
fn volume_text(field: VolumeField, volume: &Volume) -> Option<Cow<'_, str>> {
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

#[cfg(test)]
mod tests {
    use super::super::samples::{snapshot, volume};
    use super::*;
    use crate::model::BackendName;

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
            assert_eq!(volume_matches(&filter, &volume), expected, "{filter:?}");
        }
    }

    #[test]
    fn snapshots_match_by_their_own_fields() {
        let snapshot = snapshot(&volume("p", "n", 3), "Kept");
        let is = |field, text: &str| SnapshotFilter::Is(field, vec![text.to_owned()]);
        for (filter, expected) in [
            (is(SnapshotField::Name, "Kept"), true),
            (is(SnapshotField::Name, "kept"), false),
            (is(SnapshotField::VolumeSize, "3"), true),
            (is(SnapshotField::Status, "available"), true),
            (is(SnapshotField::VolumeId, &snapshot.volume_id.to_string()), true),
            (is(SnapshotField::ConsumesQuota, "false"), false),
            (is(SnapshotField::GroupSnapshotId, ""), false),
            (SnapshotFilter::Contains(SnapshotField::Name, "EPT".into()), true),
            (
                SnapshotFilter::Metadata(BTreeMap::from([("k".into(), "v".into())])),
                false,
            ),
            (
                SnapshotFilter::Time(TimeField::CreatedAt, Comparison::Eq, snapshot.created_at),
                true,
            ),
            (SnapshotFilter::Nothing, false),
        ] {
            assert_eq!(snapshot_matches(&filter, &snapshot), expected, "{filter:?}");
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
                volume_matches(&is(VolumeField::Host, &[wanted]), &volume),
                expected,
                "{wanted}"
            );
        }
    }
}
