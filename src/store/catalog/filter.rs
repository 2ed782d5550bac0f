//! Whether a record matches a filter: plain functions over one record.
//!
//! Fields are compared as the text that clients see: a size in decimal, a boolean as `true` or `false`. A missing value
//! matches nothing, like SQL's `NULL`.

use std::collections::BTreeMap;

use super::listable::Listable;
use super::query::{Comparison, Filter, TimeField};
use crate::model::Timestamp;

/// Whether this record matches. Filters on its volume are evaluated elsewhere.
pub(super) fn matches<R: Listable>(filter: &Filter<R::Field>, record: &R) -> bool {
    match filter {
        Filter::Is(field, wanted) => {
            let text = record.value(*field).into_text();
            text.is_some_and(|text| R::is_one_of(*field, &text, wanted))
        }
        // Case-insensitive, like `LIKE` in Cinder's usual database.
        Filter::Contains(field, part) => {
            let text = record.value(*field).into_text();
            text.is_some_and(|text| is_like(&text, part))
        }
        Filter::Metadata(pairs) => has_all(record.metadata(), pairs),
        Filter::ImageMetadata(pairs) => has_all(record.image_metadata(), pairs),
        Filter::Time(field, comparison, bound) => {
            let time = match field {
                TimeField::CreatedAt => Some(record.created_at()),
                TimeField::UpdatedAt => record.updated_at(),
            };
            compares(time, *comparison, *bound)
        }
        Filter::OfVolume(_) => true,
        Filter::Nothing => false,
    }
}

/// Whether a text contains this part, case-insensitively (`key~=part`; cinder: `LIKE '%part%'`).
fn is_like(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

fn has_all(metadata: Option<&BTreeMap<String, String>>, pairs: &BTreeMap<String, String>) -> bool {
    metadata.is_some_and(|metadata| pairs.iter().all(|(key, value)| metadata.get(key) == Some(value)))
}

pub(super) fn compares(time: Option<Timestamp>, comparison: Comparison, bound: Timestamp) -> bool {
    time.is_some_and(|time| match comparison {
        Comparison::Gt => time > bound,
        Comparison::Gte => time >= bound,
        Comparison::Eq => time == bound,
        Comparison::Neq => time != bound,
        Comparison::Lt => time < bound,
        Comparison::Lte => time <= bound,
    })
}

#[cfg(test)]
mod tests {
    use super::super::query::{SnapshotField, SnapshotFilter, VolumeField, VolumeFilter};
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
            assert_eq!(matches(&filter, &volume), expected, "{filter:?}");
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
            assert_eq!(matches(&filter, &snapshot), expected, "{filter:?}");
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
