//! Filters and sort keys of snapshot lists: from a query to a [`SnapshotQuery`](crate::store::catalog::SnapshotQuery)
//! (cinder: `api/v3/snapshots.py`, `db/api.py` `_process_snaps_filters`).
//!
//! Until 3.30 a member's unknown filters are ignored; since 3.31 they are refused by the table of `resource_filters`.
//! Administrators may filter by every field; by what is none, they find nothing. Values are plain text, but for metadata.

use super::query::Query;
use super::resource_filters;
use crate::model::Timestamp;
use crate::store::catalog::{
    Comparison, SnapshotField, SnapshotFilter, SnapshotSortKey, TimeField, VolumeField, VolumeFilter,
};
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::microversion::Microversion;
use crate::web::schema::literal::{self, Literal};
use crate::web::schema::python;

/// What a member may filter by before 3.31.
const OLD_FILTERS: [&str; 4] = ["status", "volume_id", "name", "metadata"];

/// The filters of a list. Paging, sorting and `with_count` have been taken out of the query.
///
/// # Errors
/// 400 for a filter that the caller may not use, or a value that is none.
pub(super) fn filters(caller: &Caller, query: &mut Query) -> Result<Vec<SnapshotFilter>, Fault> {
    let version = caller.version;
    if version.at_least(31) {
        resource_filters::reject_invalid(caller, query, "snapshot")?;
    } else if !version.at_least(22) {
        query.take("metadata");
    }
    query.take("all_tenants");
    let allowed = |name: &str| caller.context.is_admin || version.at_least(31) || OLD_FILTERS.contains(&name);
    query
        .filters()
        .into_iter()
        .filter(|(name, _)| allowed(name))
        .map(|(name, value)| filter(version.at_least(34), name, value))
        .collect()
}

fn filter(like: bool, name: &str, value: &str) -> Result<SnapshotFilter, Fault> {
    if let Some(name) = name.strip_suffix('~') {
        return Ok(match field(name) {
            Some(field) if like => SnapshotFilter::Contains(field, value.to_owned()),
            _ => SnapshotFilter::Nothing,
        });
    }
    let text = || vec![value.to_owned()];
    Ok(match name {
        "metadata" => match literal::read(value).and_then(Literal::into_text_map) {
            Some(pairs) => SnapshotFilter::Metadata(pairs),
            None => SnapshotFilter::Nothing,
        },
        "availability_zone" => {
            SnapshotFilter::OfVolume(VolumeFilter::Is(VolumeField::AvailabilityZone, text()))
        }
        "host" => SnapshotFilter::OfVolume(VolumeFilter::Is(VolumeField::Host, text())),
        "created_at" => moment(TimeField::CreatedAt, value),
        "updated_at" => moment(TimeField::UpdatedAt, value),
        name => match field(name) {
            None => SnapshotFilter::Nothing,
            Some(SnapshotField::ConsumesQuota) => {
                let consumes = python::bool_from_string(value).ok_or_else(|| {
                    Fault::bad_request(format!("Value '{value}' for 'use_quota' is not a boolean."))
                })?;
                SnapshotFilter::Is(SnapshotField::ConsumesQuota, vec![consumes.to_string()])
            }
            Some(field) => SnapshotFilter::Is(field, text()),
        },
    })
}

/// Exactly then: only volumes are compared by time.
fn moment(field: TimeField, value: &str) -> SnapshotFilter {
    match Timestamp::parse(value) {
        Some(time) => SnapshotFilter::Time(field, Comparison::Eq, time),
        None => SnapshotFilter::Nothing,
    }
}

fn field(name: &str) -> Option<SnapshotField> {
    Some(match name {
        "id" => SnapshotField::Id,
        "name" | "display_name" => SnapshotField::Name,
        "description" | "display_description" => SnapshotField::Description,
        "status" => SnapshotField::Status,
        "progress" => SnapshotField::Progress,
        "volume_id" => SnapshotField::VolumeId,
        "volume_size" => SnapshotField::VolumeSize,
        "volume_type_id" => SnapshotField::VolumeTypeId,
        "user_id" => SnapshotField::UserId,
        "project_id" => SnapshotField::ProjectId,
        "group_snapshot_id" => SnapshotField::GroupSnapshotId,
        "encryption_key_id" => SnapshotField::EncryptionKeyId,
        "consumes_quota" | "use_quota" => SnapshotField::ConsumesQuota,
        _ => return None,
    })
}

/// What snapshots can be sorted by: Cinder's columns, and since 3.30 `name` for `display_name`.
pub(super) fn sort_key(version: Microversion, name: &str) -> Option<SnapshotSortKey> {
    Some(match name {
        "created_at" => SnapshotSortKey::CreatedAt,
        "updated_at" => SnapshotSortKey::UpdatedAt,
        "id" => SnapshotSortKey::Id,
        "name" if version.at_least(30) => SnapshotSortKey::Name,
        "display_name" => SnapshotSortKey::Name,
        "display_description" => SnapshotSortKey::Description,
        "status" => SnapshotSortKey::Status,
        "progress" => SnapshotSortKey::Progress,
        "volume_id" => SnapshotSortKey::VolumeId,
        "volume_size" => SnapshotSortKey::VolumeSize,
        "volume_type_id" => SnapshotSortKey::VolumeTypeId,
        "user_id" => SnapshotSortKey::UserId,
        "project_id" => SnapshotSortKey::ProjectId,
        "group_snapshot_id" => SnapshotSortKey::GroupSnapshotId,
        "cgsnapshot_id" => SnapshotSortKey::CgsnapshotId,
        "use_quota" => SnapshotSortKey::ConsumesQuota,
        "scheduled_at" => SnapshotSortKey::ScheduledAt,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::web::views::tests::caller;

    fn read(minor: u16, is_admin: bool, text: &str) -> Result<Vec<SnapshotFilter>, Fault> {
        filters(&caller(minor, is_admin), &mut Query::parse(text, 1000))
    }

    fn is(field: SnapshotField, value: &str) -> SnapshotFilter {
        SnapshotFilter::Is(field, vec![value.to_owned()])
    }

    #[test]
    fn values_are_plain_text_but_metadata_is_python() {
        assert_eq!(
            read(71, false, "status=['error']&volume_id=v&name=n"),
            Ok(vec![
                is(SnapshotField::Status, "['error']"),
                is(SnapshotField::VolumeId, "v"),
                is(SnapshotField::Name, "n")
            ])
        );
        let pairs = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        assert_eq!(
            read(22, false, "metadata={'k':'v'}"),
            Ok(vec![SnapshotFilter::Metadata(pairs)])
        );
        assert_eq!(
            read(21, true, "metadata={'k':'v'}"),
            Ok(vec![]),
            "it came with 3.22"
        );
        assert_eq!(read(71, true, "metadata=k"), Ok(vec![SnapshotFilter::Nothing]));
    }

    #[test]
    fn a_member_is_told_of_foreign_filters_only_since_3_31() {
        assert_eq!(
            read(30, false, "user_id=u&all_tenants=1&status=error"),
            Ok(vec![is(SnapshotField::Status, "error")])
        );
        assert_eq!(
            read(31, false, "user_id=u&all_tenants=1"),
            Err(Fault::bad_request(
                "Invalid filters user_id are found in query options."
            ))
        );
        assert_eq!(
            read(71, true, "user_id=u&bogus=1"),
            Ok(vec![is(SnapshotField::UserId, "u"), SnapshotFilter::Nothing])
        );
        assert_eq!(
            read(71, false, "availability_zone=nova"),
            Ok(vec![SnapshotFilter::OfVolume(VolumeFilter::Is(
                VolumeField::AvailabilityZone,
                vec!["nova".into()]
            ))])
        );
        assert_eq!(
            read(71, true, "name~=n"),
            Ok(vec![SnapshotFilter::Contains(SnapshotField::Name, "n".into())])
        );
        assert_eq!(read(33, true, "name~=n"), Ok(vec![SnapshotFilter::Nothing]));
    }

    #[test]
    fn quota_is_a_boolean_and_a_time_is_exact() {
        assert_eq!(
            read(71, false, "consumes_quota=Yes"),
            Ok(vec![is(SnapshotField::ConsumesQuota, "true")])
        );
        assert_eq!(
            read(71, false, "consumes_quota=maybe"),
            Err(Fault::bad_request(
                "Value 'maybe' for 'use_quota' is not a boolean."
            ))
        );
        let time = Timestamp::parse("2026-11-22T07:12:34").unwrap();
        assert_eq!(
            read(
                71,
                true,
                "created_at=2026-11-22T07:12:34&updated_at=gt:2026-11-22"
            ),
            Ok(vec![
                SnapshotFilter::Time(TimeField::CreatedAt, Comparison::Eq, time),
                SnapshotFilter::Nothing
            ])
        );
    }

    #[test]
    fn names_sort_since_3_30() {
        assert_eq!(sort_key(Microversion(29), "name"), None);
        assert_eq!(sort_key(Microversion(30), "name"), Some(SnapshotSortKey::Name));
        assert_eq!(
            sort_key(Microversion(0), "display_name"),
            Some(SnapshotSortKey::Name)
        );
        assert_eq!(sort_key(Microversion(71), "size"), None);
    }

    proptest! {
        #[test]
        fn no_filter_makes_it_panic(name in "(metadata|status|created_at|consumes_quota|name~|[a-z~]{1,6})", value in "\\PC{0,30}", minor in 0..=71_u16, admin: bool) {
            let mut query = Query::parse(&crate::web::links::encode_query([(name.as_str(), value.as_str())]), 1000);
            let _ = filters(&caller(minor, admin), &mut query);
        }
    }
}
