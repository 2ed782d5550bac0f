//! `GET /snapshots` and `/snapshots/detail` (cinder: `api/v3/snapshots.py`, `db/api.py` `_process_snaps_filters`).
//!
//! Values of filters are plain text, except for metadata.

use super::list::{self, FieldName, Filters, ListedPage, Listing};
use super::prelude::*;
use crate::model::{Snapshot, Timestamp};
use crate::store::catalog::{Catalog, Comparison, Filter, SnapshotField, TimeField, VolumeField};
use crate::web::routes::answers::{Parameter, query};
use crate::web::schema::python;
use crate::web::views::shape::Shape;
use crate::web::views::snapshot;
use crate::web::views::snapshot::{SnapshotSummary, SnapshotViews};

pub(super) enum Snapshots {}

impl Listing for Snapshots {
    type Record = Snapshot;

    const RESOURCE: Option<&'static str> = Some("snapshot");
    const LINKS: Option<&'static str> = Some("snapshots_links");
    const COUNTS: bool = true;
    const NAME: &'static str = "snapshots";
    const SUMMARY: Shape = snapshot::SUMMARY;
    const DETAIL: Shape = snapshot::DETAIL;
    const PARAMETERS: &'static [Parameter] = &[
        query("all_tenants", Shape::Boolean),
        query("metadata", Shape::Text).since(22),
        query("availability_zone", Shape::Text),
        query("host", Shape::Text),
        query("created_at", Shape::Text),
        query("updated_at", Shape::Text),
    ];
    /// Sort keys are Cinder's columns, and since 3.30 `name` for `display_name`.
    const FIELDS: &'static [FieldName<SnapshotField>] = &[
        FieldName::both("id", SnapshotField::Id),
        FieldName::both("name", SnapshotField::Name).sorts_since(30),
        FieldName::both("display_name", SnapshotField::Name),
        FieldName::filter("description", SnapshotField::Description),
        FieldName::both("display_description", SnapshotField::Description),
        FieldName::both("status", SnapshotField::Status),
        FieldName::both("progress", SnapshotField::Progress),
        FieldName::both("volume_id", SnapshotField::VolumeId),
        FieldName::both("volume_size", SnapshotField::VolumeSize),
        FieldName::both("volume_type_id", SnapshotField::VolumeTypeId),
        FieldName::both("user_id", SnapshotField::UserId),
        FieldName::both("project_id", SnapshotField::ProjectId),
        FieldName::both("group_snapshot_id", SnapshotField::GroupSnapshotId),
        FieldName::filter("encryption_key_id", SnapshotField::EncryptionKeyId),
        FieldName::filter("consumes_quota", SnapshotField::ConsumesQuota),
        FieldName::both("use_quota", SnapshotField::ConsumesQuota),
        FieldName::sort("created_at", SnapshotField::CreatedAt),
        FieldName::sort("updated_at", SnapshotField::UpdatedAt),
        FieldName::sort("cgsnapshot_id", SnapshotField::CgsnapshotId),
        FieldName::sort("scheduled_at", SnapshotField::ScheduledAt),
    ];

    fn not_found(id: &str) -> Fault {
        Fault::not_found(format!("Snapshot {id} could not be found."))
    }

    fn path(detail: bool) -> &'static str {
        if detail { "snapshots/detail" } else { "snapshots" }
    }

    /// Unlike with volumes, an invalid boolean is false.
    fn is_of_all(caller: &Caller, query: &mut Query) -> Result<bool, Fault> {
        let all_tenants = query.get("all_tenants").and_then(python::bool_from_string);
        Ok(caller.context.is_admin && all_tenants == Some(true))
    }

    fn take_others(caller: &Caller, query: &mut Query) -> Result<(), Fault> {
        if !caller.version.at_least(22) {
            query.take("metadata");
        }
        query.take("all_tenants");
        Ok(())
    }

    fn is_allowed(_: &Caller, name: &str) -> bool {
        ["status", "volume_id", "name", "metadata"].contains(&name)
    }

    fn filter(_: &Caller, name: &str, value: &str) -> Result<Filters<Self>, Fault> {
        let text = || vec![value.to_owned()];
        let of_volume = |field| Filter::OfVolume(Box::new(Filter::Is(field, text())));
        Ok(vec![match (name, Self::field(name)) {
            ("metadata", _) => list::pairs(value, Filter::Metadata),
            ("availability_zone", _) => of_volume(VolumeField::AvailabilityZone),
            ("host", _) => of_volume(VolumeField::Host),
            ("created_at", _) => moment(TimeField::CreatedAt, value),
            ("updated_at", _) => moment(TimeField::UpdatedAt, value),
            (_, None) => Filter::Nothing,
            (_, Some(field @ SnapshotField::ConsumesQuota)) => {
                let consumes = python::bool_from_string(value).ok_or_else(|| {
                    Fault::bad_request(format!("Value '{value}' for 'use_quota' is not a boolean."))
                })?;
                Filter::Is(field, vec![consumes.to_string()])
            }
            (_, Some(field)) => Filter::Is(field, text()),
        }])
    }

    async fn view(
        _: &Catalog,
        caller: &Caller,
        page: ListedPage<Snapshot>,
        detail: bool,
    ) -> Result<Json, Fault> {
        let views = SnapshotViews::extended(caller);
        let (snapshots, frame) = page.into_parts();
        match detail {
            true => frame.around(
                "snapshots",
                snapshots.iter().map(|snapshot| views.detail(snapshot)),
            ),
            false => frame.around("snapshots", snapshots.iter().map(SnapshotSummary)),
        }
    }
}

/// Equality: only lists of volumes compare times.
fn moment(field: TimeField, value: &str) -> Filter<SnapshotField> {
    match Timestamp::parse(value) {
        Some(time) => Filter::Time(field, Comparison::Eq, time),
        None => Filter::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::store::catalog::SnapshotFilter;
    use crate::web::microversion::Microversion;
    use crate::web::views::tests::caller;

    fn read(minor: u16, is_admin: bool, text: &str) -> Result<Vec<SnapshotFilter>, Fault> {
        list::filters::<Snapshots>(&caller(minor, is_admin), &mut Query::parse(text, 1000))
    }

    fn is(field: SnapshotField, value: &str) -> SnapshotFilter {
        SnapshotFilter::Is(field, vec![value.to_owned()])
    }

    #[test]
    fn values_are_plain_text_but_metadata_is_python() {
        let plain = vec![
            is(SnapshotField::Status, "['error']"),
            is(SnapshotField::VolumeId, "v"),
            is(SnapshotField::Name, "n"),
        ];
        let pairs = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        for (minor, is_admin, query, expected) in [
            (71, false, "status=['error']&volume_id=v&name=n", plain),
            (
                22,
                false,
                "metadata={'k':'v'}",
                vec![SnapshotFilter::Metadata(pairs)],
            ),
            // It was added in 3.22.
            (21, true, "metadata={'k':'v'}", vec![]),
            (71, true, "metadata=k", vec![SnapshotFilter::Nothing]),
        ] {
            assert_eq!(read(minor, is_admin, query), Ok(expected), "3.{minor}: {query}");
        }
    }

    #[test]
    fn filters_that_a_member_may_not_use_are_refused_only_since_3_31() {
        let refusal = Fault::bad_request("Invalid filters user_id are found in query options.");
        let zone = Filter::Is(VolumeField::AvailabilityZone, vec!["nova".into()]);
        let by_user = is(SnapshotField::UserId, "u");
        let contains = SnapshotFilter::Contains(SnapshotField::Name, "n".into());
        for (minor, is_admin, query, expected) in [
            (
                30,
                false,
                "user_id=u&all_tenants=1&status=error",
                Ok(vec![is(SnapshotField::Status, "error")]),
            ),
            (31, false, "user_id=u&all_tenants=1", Err(refusal)),
            (
                71,
                true,
                "user_id=u&bogus=1",
                Ok(vec![by_user, SnapshotFilter::Nothing]),
            ),
            (
                71,
                false,
                "availability_zone=nova",
                Ok(vec![SnapshotFilter::OfVolume(Box::new(zone))]),
            ),
            (71, true, "name~=n", Ok(vec![contains])),
            (33, true, "name~=n", Ok(vec![SnapshotFilter::Nothing])),
        ] {
            assert_eq!(read(minor, is_admin, query), expected, "3.{minor}: {query}");
        }
    }

    #[test]
    fn quota_is_a_boolean_and_a_time_is_exact() {
        let refusal = Fault::bad_request("Value 'maybe' for 'use_quota' is not a boolean.");
        let time = Timestamp::parse("2026-11-22T07:12:34").unwrap();
        let at = SnapshotFilter::Time(TimeField::CreatedAt, Comparison::Eq, time);
        let times = "created_at=2026-11-22T07:12:34&updated_at=gt:2026-11-22";
        for (is_admin, query, expected) in [
            (
                false,
                "consumes_quota=Yes",
                Ok(vec![is(SnapshotField::ConsumesQuota, "true")]),
            ),
            (false, "consumes_quota=maybe", Err(refusal)),
            (true, times, Ok(vec![at, SnapshotFilter::Nothing])),
        ] {
            assert_eq!(read(71, is_admin, query), expected, "{query}");
        }
    }

    #[test]
    fn names_sort_since_3_30() {
        for (minor, key, expected) in [
            (29, "name", None),
            (30, "name", Some(SnapshotField::Name)),
            (0, "display_name", Some(SnapshotField::Name)),
            (71, "size", None),
        ] {
            assert_eq!(
                Snapshots::sort_key(Microversion(minor), key),
                expected,
                "3.{minor}: {key}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_filter_makes_it_panic(name in "(metadata|status|created_at|consumes_quota|name~|[a-z~]{1,6})", value in "\\PC{0,30}", minor in 0..=71_u16, admin: bool) {
            let mut query = Query::parse(&crate::web::links::encode_query([(name.as_str(), value.as_str())]), 1000);
            let _ = list::filters::<Snapshots>(&caller(minor, admin), &mut query);
        }
    }
}
