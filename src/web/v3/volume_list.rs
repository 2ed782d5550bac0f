//! `GET /volumes`, `/volumes/detail` and `/volumes/summary` (cinder: `api/v3/volumes.py`, `volume/api.py`).
//!
//! Values of filters are Python literals where they parse as such (`status=['error','available']`, `metadata={'k':'v'}`) and plain
//! text otherwise.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::list::{self, FieldName, Filters, ListedPage, Listing, own_project};
use super::prelude::*;
use super::query::{Paging, Sorting};
use super::resource_filters;
use crate::model::{AttachStatus, Attachment, Timestamp, Volume, VolumeId};
use crate::store::catalog::{Catalog, Comparison, Filter, TimeField, VolumeField, VolumeQuery};
use crate::web::routes::answers::{Parameter, query};
use crate::web::schema::literal::{self, Literal};
use crate::web::schema::python;
use crate::web::views::shape::{Shape, field};
use crate::web::views::volume;
use crate::web::views::volume::{VolumeViews, type_names};

pub(super) const SUMMARY: Shape = Shape::Object(&[field(
    "volume-summary",
    Shape::Object(&[
        field("total_count", Shape::Integer),
        field("total_size", Shape::Integer),
        field("metadata", Shape::Map(&Shape::List(&Shape::Text))).since(36),
    ]),
)]);

pub(super) const ALL_TENANTS: &[Parameter] = &[query("all_tenants", Shape::Boolean)];

pub(super) enum Volumes {}

impl Listing for Volumes {
    type Record = Volume;

    const RESOURCE: Option<&'static str> = Some("volume");
    const LINKS: Option<&'static str> = Some("volumes_links");
    const COUNTS: bool = true;
    const NAME: &'static str = "volumes";
    const SUMMARY: Shape = volume::SUMMARY;
    const DETAIL: Shape = volume::DETAIL;
    const PARAMETERS: &'static [Parameter] = &[
        query("all_tenants", Shape::Boolean),
        query("metadata", Shape::Text),
        query("glance_metadata", Shape::Text).since(4),
        query("group_id", Shape::Text).since(10),
        query("created_at", Shape::Text).since(60),
        query("updated_at", Shape::Text).since(60),
    ];
    /// Both the names of Cinder's columns and those of the API are accepted.
    const FIELDS: &'static [FieldName<VolumeField>] = &[
        FieldName::both("id", VolumeField::Id),
        FieldName::both("name", VolumeField::Name),
        FieldName::both("display_name", VolumeField::Name),
        FieldName::both("description", VolumeField::Description),
        FieldName::both("display_description", VolumeField::Description),
        FieldName::both("status", VolumeField::Status),
        FieldName::both("size", VolumeField::Size),
        FieldName::both("bootable", VolumeField::Bootable),
        FieldName::both("migration_status", VolumeField::MigrationStatus),
        FieldName::both("attach_status", VolumeField::AttachStatus),
        FieldName::both("availability_zone", VolumeField::AvailabilityZone),
        FieldName::filter("group_id", VolumeField::GroupId),
        FieldName::both("volume_type_id", VolumeField::VolumeTypeId),
        FieldName::both("host", VolumeField::Host),
        FieldName::both("user_id", VolumeField::UserId),
        FieldName::both("project_id", VolumeField::ProjectId),
        FieldName::both("snapshot_id", VolumeField::SnapshotId),
        FieldName::both("source_volid", VolumeField::SourceVolid),
        FieldName::filter("consumes_quota", VolumeField::ConsumesQuota),
        FieldName::filter("use_quota", VolumeField::ConsumesQuota),
        FieldName::both("multiattach", VolumeField::Multiattach),
        FieldName::both("replication_status", VolumeField::ReplicationStatus),
        FieldName::sort("created_at", VolumeField::CreatedAt),
        FieldName::sort("updated_at", VolumeField::UpdatedAt),
        FieldName::sort("scheduled_at", VolumeField::ScheduledAt),
        FieldName::sort("launched_at", VolumeField::LaunchedAt),
        FieldName::sort("consistencygroup_id", VolumeField::ConsistencygroupId),
    ];

    fn not_found(id: &str) -> Fault {
        Fault::not_found(format!("Volume {id} could not be found."))
    }

    fn path(detail: bool) -> &'static str {
        if detail { "volumes/detail" } else { "volumes" }
    }

    fn take_part(_: &Caller, query: &mut Query) -> Result<(Paging, Sorting), Fault> {
        Ok((query.take_paging()?, query.take_sorting()?))
    }

    fn is_of_all(caller: &Caller, query: &mut Query) -> Result<bool, Fault> {
        Ok(caller.context.is_admin && query.bool("all_tenants")?)
    }

    fn take_others(caller: &Caller, query: &mut Query) -> Result<(), Fault> {
        let version = caller.version;
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
        query.bool("all_tenants")?;
        query.take("all_tenants");
        Ok(())
    }

    fn is_allowed(_: &Caller, name: &str) -> bool {
        resource_filters::of("volume").contains(&name)
    }

    fn comes_first(name: &str) -> bool {
        time_field(name).is_some()
    }

    fn filter(caller: &Caller, name: &str, value: &str) -> Result<Filters<Self>, Fault> {
        if let Some(field) = time_field(name) {
            return time_comparisons(field, name, value);
        }
        Ok(vec![match (name, Self::field(name)) {
            ("metadata", _) => list::pairs(value, Filter::Metadata),
            ("glance_metadata", _) => list::pairs(value, Filter::ImageMetadata),
            (_, None) => Filter::Nothing,
            (
                _,
                Some(field @ (VolumeField::Bootable | VolumeField::Multiattach | VolumeField::ConsumesQuota)),
            ) => {
                let strict = caller.version.at_least(2);
                Filter::Is(field, vec![boolean(strict, name, value)?.to_string()])
            }
            // Plain text: a name may look like a literal.
            (_, Some(VolumeField::Name)) => Filter::Is(VolumeField::Name, vec![value.to_owned()]),
            (_, Some(field)) => Filter::Is(field, values(value)),
        }])
    }

    async fn view(
        catalog: &Catalog,
        caller: &Caller,
        page: ListedPage<Volume>,
        detail: bool,
    ) -> Result<Json, Fault> {
        let views = VolumeViews::extended(caller);
        let (volumes, frame) = page.into_parts();
        if !detail {
            return frame.around("volumes", volumes.iter().map(|volume| views.summary(volume)));
        }
        let types = catalog.volume_types().await?;
        let types = type_names(types.iter().map(|stored| &stored.record));
        let attachments = attachments(catalog, &volumes).await?;
        let items = volumes.iter().zip(&attachments);
        frame.around(
            "volumes",
            items.map(|(volume, attached)| views.detail(volume, &types, attached)),
        )
    }
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

/// A boolean: since 3.2 one of the usual texts; before that everything is true except variants of "false".
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
fn time_comparisons(field: TimeField, name: &str, value: &str) -> Result<Filters<Volumes>, Fault> {
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
            Ok(Filter::Time(field, comparison, time))
        })
        .collect()
}

/// The attachments of each volume. Only volumes with attachments are looked up: most of a long list has none.
async fn attachments(catalog: &Catalog, volumes: &[Volume]) -> Result<Vec<Vec<Attachment>>, Fault> {
    let attached: Vec<usize> = volumes
        .iter()
        .enumerate()
        .filter(|(_, volume)| volume.attach_status != AttachStatus::Detached)
        .map(|(at, _)| at)
        .collect();
    let mut of_volumes = vec![Vec::new(); volumes.len()];
    if attached.is_empty() {
        return Ok(of_volumes);
    }
    let ids: Vec<VolumeId> = attached.iter().map(|at| volumes[*at].id).collect();
    for (at, of_this) in attached.into_iter().zip(catalog.volumes_attachments(&ids).await?) {
        of_volumes[at] = of_this;
    }
    Ok(of_volumes)
}

#[derive(Serialize)]
struct Summary {
    total_count: u64,
    total_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<BTreeMap<String, Vec<String>>>,
}

pub(super) async fn summary(caller: Caller, state: State, offload: Offload, query: Query) -> HandlerResult {
    let all_tenants = query.bool("all_tenants")? && caller.context.is_admin;
    let wanted = VolumeQuery {
        project: own_project(&caller, all_tenants),
        ..VolumeQuery::default()
    };
    let with_metadata = caller.version.at_least(36);
    // The totals of one project are read from two counters.
    let rows = (!with_metadata && !all_tenants).then_some(2);
    let read = move || async move {
        let (total_count, total_size) = state.catalog.volume_totals(&wanted).await?;
        let metadata = match with_metadata {
            true => Some(distinct_metadata(&state.catalog, &wanted).await?),
            false => None,
        };
        Json::of(&Named(
            "volume-summary",
            Summary {
                total_count,
                total_size,
                metadata,
            },
        ))
    };
    Ok(offload.run(rows, read).await?.answer(StatusCode::OK))
}

/// Every metadata key of these volumes, with its different values.
async fn distinct_metadata(
    catalog: &Catalog,
    query: &VolumeQuery,
) -> Result<BTreeMap<String, Vec<String>>, Fault> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut seen: HashSet<(String, String)> = HashSet::new();
    let note = |volume: &Volume| {
        for (key, value) in &volume.metadata {
            if seen.insert((key.clone(), value.clone())) {
                found.entry(key.clone()).or_default().push(value.clone());
            }
        }
    };
    catalog.each_that_matches::<Volume>(query, note).await?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::catalog::VolumeFilter;
    use crate::web::views::tests::caller;

    fn read(minor: u16, is_admin: bool, text: &str) -> Result<Vec<VolumeFilter>, Fault> {
        list::filters::<Volumes>(&caller(minor, is_admin), &mut Query::parse(text, 1000))
    }

    fn is(field: VolumeField, values: &[&str]) -> VolumeFilter {
        VolumeFilter::Is(field, values.iter().map(|value| (*value).to_owned()).collect())
    }

    #[test]
    fn values_may_be_python() {
        let pair = BTreeMap::from([("k".into(), "v".into())]);
        for (query, expected) in [
            ("status=error", is(VolumeField::Status, &["error"])),
            (
                "status=['error',%20'in-use']",
                is(VolumeField::Status, &["error", "in-use"]),
            ),
            ("metadata={'k':'v'}", VolumeFilter::Metadata(pair)),
            ("metadata=k", VolumeFilter::Nothing),
            ("name='n'", is(VolumeField::Name, &["'n'"])),
            ("size=01", is(VolumeField::Size, &["01"])),
        ] {
            assert_eq!(read(71, false, query), Ok(vec![expected]), "{query}");
        }
    }

    #[test]
    fn filters_that_a_member_may_not_use_are_refused_only_since_3_31() {
        let refusal = Fault::bad_request("Invalid filters host,bogus are found in query options.");
        let contains = VolumeFilter::Contains(VolumeField::Name, "n".into());
        for (minor, is_admin, query, expected) in [
            (
                30,
                false,
                "host=h&status=error",
                Ok(vec![is(VolumeField::Status, &["error"])]),
            ),
            (31, false, "host=h&bogus=1&all_tenants=1", Err(refusal)),
            (31, false, "all_tenants=1", Ok(vec![])),
            (71, true, "bogus=1", Ok(vec![VolumeFilter::Nothing])),
            (71, true, "host=h", Ok(vec![is(VolumeField::Host, &["h"])])),
            (71, true, "name~=n", Ok(vec![contains])),
        ] {
            assert_eq!(read(minor, is_admin, query), expected, "3.{minor}: {query}");
        }
    }

    #[test]
    fn booleans_are_strict_since_3_2() {
        let refusal = Fault::bad_request("Invalid input received: 'bootable = maybe'");
        for (minor, query, expected) in [
            (
                1,
                "bootable=maybe",
                Ok(vec![is(VolumeField::Bootable, &["true"])]),
            ),
            (2, "bootable=0", Ok(vec![is(VolumeField::Bootable, &["false"])])),
            (2, "bootable=maybe", Err(refusal)),
        ] {
            assert_eq!(read(minor, false, query), expected, "3.{minor}: {query}");
        }
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
            let _ = list::filters::<Volumes>(&caller(minor, admin), &mut query);
        }
    }
}
