//! Filters and sort keys of volume lists: from a query to a [`VolumeQuery`] (cinder: `api/v3/volumes.py`, `volume/api.py`).
//!
//! Until 3.30 a member's unknown filters are ignored; since 3.31 they are refused by the table of `resource_filters`.
//! Administrators may filter by every field; by what is none, they find nothing. Values are Python literals where they
//! parse as such (`status=['error','available']`, `metadata={'k':'v'}`) and plain text otherwise.

use super::query::Query;
use super::resource_filters;
use crate::model::Timestamp;
use crate::store::catalog::{Comparison, TimeField, VolumeField, VolumeFilter, VolumeSortKey};
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::schema::literal::{self, Literal};
use crate::web::schema::python;

/// The filters of a list. Paging, sorting and `with_count` have been taken out of the query.
///
/// # Errors
/// 400 for a filter that the caller may not use, or a value that is none.
pub(super) fn filters(caller: &Caller, query: &mut Query) -> Result<Vec<VolumeFilter>, Fault> {
    let version = caller.version;
    if version.at_least(31) {
        resource_filters::reject_invalid(caller, query, "volume")?;
    } else {
        for (minor, name) in [
            (4, "glance_metadata"),
            (10, "group_id"),
            (60, "created_at"),
            (60, "updated_at"),
        ] {
            if !version.at_least(minor) {
                query.take(name);
            }
        }
    }
    let allowed = |name: &str| {
        caller.context.is_admin || version.at_least(31) || resource_filters::of("volume").contains(&name)
    };
    query.bool("all_tenants")?;
    query.take("all_tenants");
    let filters = query.filters();
    // Times are looked at before the rest.
    let times = filters
        .iter()
        .filter_map(|(name, value)| Some((time_field(name)?, *name, *value)));
    let mut found = Vec::new();
    for (field, name, value) in times.filter(|(_, name, _)| allowed(name)) {
        found.extend(time_comparisons(field, name, value)?);
    }
    for (name, value) in filters {
        if allowed(name) && time_field(name).is_none() {
            found.push(filter(version.at_least(2), version.at_least(34), name, value)?);
        }
    }
    Ok(found)
}

fn filter(strict: bool, like: bool, name: &str, value: &str) -> Result<VolumeFilter, Fault> {
    if let Some(name) = name.strip_suffix('~') {
        return Ok(match field(name) {
            Some(field) if like => VolumeFilter::Contains(field, value.to_owned()),
            _ => VolumeFilter::Nothing,
        });
    }
    Ok(match name {
        "metadata" => match literal::read(value).and_then(Literal::into_text_map) {
            Some(pairs) => VolumeFilter::Metadata(pairs),
            None => VolumeFilter::Nothing,
        },
        "glance_metadata" => match literal::read(value).and_then(Literal::into_text_map) {
            Some(pairs) => VolumeFilter::ImageMetadata(pairs),
            None => VolumeFilter::Nothing,
        },
        name => match field(name) {
            None => VolumeFilter::Nothing,
            Some(field @ (VolumeField::Bootable | VolumeField::Multiattach | VolumeField::ConsumesQuota)) => {
                VolumeFilter::Is(field, vec![boolean(strict, name, value)?.to_string()])
            }
            // Raw: a name may look like a literal.
            Some(VolumeField::Name) => VolumeFilter::Is(VolumeField::Name, vec![value.to_owned()]),
            Some(field) => VolumeFilter::Is(field, values(value)),
        },
    })
}

/// One text, or several.
fn values(value: &str) -> Vec<String> {
    match literal::read(value) {
        Some(Literal::Scalar(text)) => vec![text],
        Some(Literal::List(items)) => items
            .into_iter()
            .filter_map(|item| match item {
                Literal::Scalar(text) => Some(text),
                _ => None,
            })
            .collect(),
        Some(Literal::None | Literal::Dict(_)) | None => vec![value.to_owned()],
    }
}

/// A boolean: since 3.2 one of the usual words, before that everything that is not some spelling of "false".
fn boolean(strict: bool, name: &str, value: &str) -> Result<bool, Fault> {
    if strict {
        return python::bool_from_string(value)
            .ok_or_else(|| Fault::invalid_input(format!("'{name} = {value}'")));
    }
    Ok(!["False", "false", "FALSE", ""].contains(&value))
}

fn time_field(name: &str) -> Option<TimeField> {
    match name {
        "created_at" => Some(TimeField::CreatedAt),
        "updated_at" => Some(TimeField::UpdatedAt),
        _ => None,
    }
}

/// `gte:2026-01-01T00:00:00,lt:…`
fn time_comparisons(field: TimeField, name: &str, value: &str) -> Result<Vec<VolumeFilter>, Fault> {
    value
        .split(',')
        .map(|part| {
            let (operator, time) = part.split_once(':').unwrap_or((part, part));
            let comparison = match operator {
                "gt" => Comparison::Gt,
                "gte" => Comparison::Gte,
                "eq" => Comparison::Eq,
                "neq" => Comparison::Neq,
                "lt" => Comparison::Lt,
                "lte" => Comparison::Lte,
                "" => return Err(Fault::bad_request(format!("Invalid {name} value"))),
                other => return Err(Fault::bad_request(format!("Invalid {other} operator"))),
            };
            let time =
                Timestamp::parse(time).ok_or_else(|| Fault::bad_request(format!("Invalid {time} value")))?;
            Ok(VolumeFilter::Time(field, comparison, time))
        })
        .collect()
}

fn field(name: &str) -> Option<VolumeField> {
    Some(match name {
        "id" => VolumeField::Id,
        "name" | "display_name" => VolumeField::Name,
        "description" | "display_description" => VolumeField::Description,
        "status" => VolumeField::Status,
        "size" => VolumeField::Size,
        "bootable" => VolumeField::Bootable,
        "migration_status" => VolumeField::MigrationStatus,
        "attach_status" => VolumeField::AttachStatus,
        "availability_zone" => VolumeField::AvailabilityZone,
        "group_id" => VolumeField::GroupId,
        "volume_type_id" => VolumeField::VolumeTypeId,
        "host" => VolumeField::Host,
        "user_id" => VolumeField::UserId,
        "project_id" => VolumeField::ProjectId,
        "snapshot_id" => VolumeField::SnapshotId,
        "source_volid" => VolumeField::SourceVolid,
        "consumes_quota" | "use_quota" => VolumeField::ConsumesQuota,
        "multiattach" => VolumeField::Multiattach,
        "replication_status" => VolumeField::ReplicationStatus,
        _ => return None,
    })
}

/// What volumes can be sorted by; the names of Cinder's columns and of the API are both known.
pub(super) fn sort_key(name: &str) -> Option<VolumeSortKey> {
    Some(match name {
        "created_at" => VolumeSortKey::CreatedAt,
        "updated_at" => VolumeSortKey::UpdatedAt,
        "id" => VolumeSortKey::Id,
        "name" | "display_name" => VolumeSortKey::Name,
        "size" => VolumeSortKey::Size,
        "status" => VolumeSortKey::Status,
        "volume_type_id" => VolumeSortKey::VolumeTypeId,
        "host" => VolumeSortKey::Host,
        "availability_zone" => VolumeSortKey::AvailabilityZone,
        "bootable" => VolumeSortKey::Bootable,
        "attach_status" => VolumeSortKey::AttachStatus,
        "user_id" => VolumeSortKey::UserId,
        "project_id" => VolumeSortKey::ProjectId,
        "scheduled_at" => VolumeSortKey::ScheduledAt,
        "launched_at" => VolumeSortKey::LaunchedAt,
        "migration_status" => VolumeSortKey::MigrationStatus,
        "description" | "display_description" => VolumeSortKey::Description,
        "snapshot_id" => VolumeSortKey::SnapshotId,
        "source_volid" => VolumeSortKey::SourceVolid,
        "multiattach" => VolumeSortKey::Multiattach,
        "consistencygroup_id" => VolumeSortKey::ConsistencygroupId,
        "replication_status" => VolumeSortKey::ReplicationStatus,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::web::views::tests::caller;

    fn read(minor: u16, is_admin: bool, text: &str) -> Result<Vec<VolumeFilter>, Fault> {
        filters(&caller(minor, is_admin), &mut Query::parse(text, 1000))
    }

    fn is(field: VolumeField, values: &[&str]) -> VolumeFilter {
        VolumeFilter::Is(field, values.iter().map(|value| (*value).to_owned()).collect())
    }

    #[test]
    fn values_may_be_python() {
        assert_eq!(
            read(71, false, "status=error"),
            Ok(vec![is(VolumeField::Status, &["error"])])
        );
        assert_eq!(
            read(71, false, "status=['error',%20'in-use']"),
            Ok(vec![is(VolumeField::Status, &["error", "in-use"])])
        );
        assert_eq!(
            read(71, false, "metadata={'k':'v'}"),
            Ok(vec![VolumeFilter::Metadata(BTreeMap::from([(
                "k".into(),
                "v".into()
            )]))])
        );
        assert_eq!(read(71, false, "metadata=k"), Ok(vec![VolumeFilter::Nothing]));
        assert_eq!(
            read(71, false, "name='n'"),
            Ok(vec![is(VolumeField::Name, &["'n'"])])
        );
        assert_eq!(
            read(71, false, "size=01"),
            Ok(vec![is(VolumeField::Size, &["01"])])
        );
    }

    #[test]
    fn a_member_is_told_of_foreign_filters_only_since_3_31() {
        assert_eq!(
            read(30, false, "host=h&status=error"),
            Ok(vec![is(VolumeField::Status, &["error"])])
        );
        assert_eq!(
            read(31, false, "host=h&bogus=1&all_tenants=1"),
            Err(Fault::bad_request(
                "Invalid filters host,bogus are found in query options."
            ))
        );
        assert_eq!(read(31, false, "all_tenants=1"), Ok(vec![]));
        assert_eq!(read(71, true, "bogus=1"), Ok(vec![VolumeFilter::Nothing]));
        assert_eq!(read(71, true, "host=h"), Ok(vec![is(VolumeField::Host, &["h"])]));
        assert_eq!(
            read(71, true, "name~=n"),
            Ok(vec![VolumeFilter::Contains(VolumeField::Name, "n".into())])
        );
    }

    #[test]
    fn booleans_are_strict_since_3_2() {
        assert_eq!(
            read(1, false, "bootable=maybe"),
            Ok(vec![is(VolumeField::Bootable, &["true"])])
        );
        assert_eq!(
            read(2, false, "bootable=0"),
            Ok(vec![is(VolumeField::Bootable, &["false"])])
        );
        assert_eq!(
            read(2, false, "bootable=maybe"),
            Err(Fault::bad_request("Invalid input received: 'bootable = maybe'"))
        );
    }

    #[test]
    fn times_are_compared() {
        let time = Timestamp::parse("2026-11-22T07:12:34").unwrap();
        assert_eq!(
            read(71, false, "created_at=gte:2026-11-22T07:12:34"),
            Ok(vec![VolumeFilter::Time(
                TimeField::CreatedAt,
                Comparison::Gte,
                time
            )])
        );
        for (text, message) in [
            ("created_at=zz:2026-11-22T07:12:34", "Invalid zz operator"),
            ("created_at=gt:bad", "Invalid bad value"),
            ("updated_at=gt:2026-11-22,lt", "Invalid lt value"),
        ] {
            assert_eq!(read(71, false, text), Err(Fault::bad_request(message)), "{text}");
        }
        assert_eq!(read(30, true, "created_at=bad"), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn no_filter_makes_it_panic(name in "(metadata|status|created_at|bootable|name~|[a-z~]{1,6})", value in "\\PC{0,30}", minor in 0..=71_u16, admin: bool) {
            let mut query = Query::parse(&crate::web::links::encode_query([(name.as_str(), value.as_str())]), 1000);
            let _ = filters(&caller(minor, admin), &mut query);
        }
    }
}
