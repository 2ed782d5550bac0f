//! Pages of volumes against a naive model: filter all, sort all, cut.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "store_lists/snapshots.rs"]
mod snapshots;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use pumice::model::*;
use pumice::store::catalog::verify::verify;
use pumice::store::catalog::*;
use pumice::store::memory::MemoryStore;

const PROJECTS: [&str; 2] = ["p", "p2"];
const SORT_KEYS: [VolumeField; 17] = [
    VolumeField::CreatedAt,
    VolumeField::UpdatedAt,
    VolumeField::Id,
    VolumeField::Name,
    VolumeField::Size,
    VolumeField::Status,
    VolumeField::Host,
    VolumeField::Bootable,
    VolumeField::ProjectId,
    VolumeField::MigrationStatus,
    VolumeField::Description,
    VolumeField::AvailabilityZone,
    VolumeField::SnapshotId,
    VolumeField::Multiattach,
    VolumeField::LaunchedAt,
    VolumeField::GroupId,
    VolumeField::ConsistencygroupId,
];

fn some_volume() -> impl Strategy<Value = Volume> {
    (
        (0..PROJECTS.len(), proptest::option::of("[ab\0]{0,2}"), 1..4_u32),
        prop_oneof![
            Just(VolumeStatus::Available),
            Just(VolumeStatus::InUse),
            Just(VolumeStatus::Error),
            Just(VolumeStatus::ErrorManaging),
        ],
        // Few moments, so that many were made at the same.
        (
            0..6_i64,
            proptest::option::of(0..3_i64),
            any::<bool>(),
            proptest::option::of("[xy]"),
        ),
        (
            any::<u128>(),
            proptest::option::of("[aÄ]{0,2}"),
            proptest::option::of(0..3_u128),
            -1..1_i64,
        ),
    )
        .prop_map(
            |(
                (project, name, size),
                status,
                (created, updated, bootable, host),
                (id, text, other, launched),
            )| Volume {
                id: VolumeId(uuid::Uuid::from_u128(id)),
                project_id: PROJECTS[project].into(),
                user_id: "user".into(),
                name,
                description: text.clone(),
                size,
                status,
                previous_status: None,
                attach_status: AttachStatus::Detached,
                migration_status: bootable.then_some(MigrationStatus::None),
                volume_type_id: None,
                availability_zone: text.unwrap_or_default(),
                host: host.map(|host| BackendName::new(host, "b").pool("p")),
                placed: false,
                metadata: BTreeMap::from([
                    ("k".to_owned(), size.to_string()),
                    (size.to_string(), "v".to_owned()),
                ]),
                admin_metadata: BTreeMap::new(),
                image_metadata: other
                    .map(|other| ("os".to_owned(), other.to_string()))
                    .into_iter()
                    .collect(),
                snapshot_id: other.map(|other| SnapshotId(uuid::Uuid::from_u128(other << 100))),
                source_volid: None,
                group_id: other.map(uuid::Uuid::from_u128),
                bootable,
                multiattach: !bootable,
                encryption_key_id: None,
                replication_status: None,
                consumes_quota: true,
                provider_location: None,
                provider_auth: None,
                provider_id: None,
                service_uuid: None,
                shared_targets: None,
                operation: None,
                created_at: Timestamp(created - 2),
                updated_at: updated.map(Timestamp),
                scheduled_at: None,
                launched_at: Some(Timestamp(launched)),
            },
        )
}

fn some_filter() -> impl Strategy<Value = VolumeFilter> {
    fn is(field: VolumeField, values: &[&str]) -> VolumeFilter {
        VolumeFilter::Is(field, values.iter().map(|value| (*value).to_owned()).collect())
    }
    prop_oneof![
        "[ab]{0,1}".prop_map(|name| VolumeFilter::Is(VolumeField::Name, vec![name])),
        prop_oneof![
            Just("available"),
            Just("in-use"),
            Just("error"),
            Just("error_managing"),
            Just("what")
        ]
        .prop_map(|status| is(VolumeField::Status, &[status])),
        Just(is(VolumeField::Status, &["available", "error"])),
        prop_oneof![Just("1"), Just("2"), Just("02"), Just("x")]
            .prop_map(|size| is(VolumeField::Size, &[size])),
        Just(is(VolumeField::Bootable, &["true"])),
        Just(is(VolumeField::ProjectId, &["p2"])),
        Just(is(VolumeField::Host, &["x"])),
        Just(is(
            VolumeField::SnapshotId,
            &["00000000-0000-0000-0000-000000000000", "none"]
        )),
        "[aBä]{0,1}".prop_map(|part| VolumeFilter::Contains(VolumeField::Name, part)),
        "[AÄä]{0,2}".prop_map(|part| VolumeFilter::Contains(VolumeField::Description, part)),
        prop_oneof![Just("2"), Just("7"), Just("-0000-")]
            .prop_map(|part| VolumeFilter::Contains(VolumeField::Id, part.into())),
        Just(VolumeFilter::Contains(VolumeField::Status, "Err".into())),
        Just(VolumeFilter::Metadata(BTreeMap::from([("k".into(), "3".into())]))),
        (1..4_u32, "[vw]").prop_map(|(size, value)| VolumeFilter::Metadata(BTreeMap::from([
            ("k".into(), size.to_string()),
            (size.to_string(), value),
        ]))),
        Just(VolumeFilter::Metadata(BTreeMap::new())),
        Just(VolumeFilter::ImageMetadata(BTreeMap::from([(
            "os".into(),
            "1".into()
        )]))),
        (any::<bool>(), comparison(), -2..4_i64).prop_map(|(updated, comparison, bound)| {
            let field = if updated {
                TimeField::UpdatedAt
            } else {
                TimeField::CreatedAt
            };
            VolumeFilter::Time(field, comparison, Timestamp(bound))
        }),
    ]
}

fn comparison() -> impl Strategy<Value = Comparison> {
    prop_oneof![
        Just(Comparison::Gt),
        Just(Comparison::Gte),
        Just(Comparison::Eq),
        Just(Comparison::Neq),
        Just(Comparison::Lt),
        Just(Comparison::Lte),
    ]
}

fn some_query() -> impl Strategy<Value = VolumeQuery> {
    let direction = prop_oneof![Just(Direction::Ascending), Just(Direction::Descending)];
    let key = (0..SORT_KEYS.len()).prop_map(|n| SORT_KEYS[n]);
    (
        proptest::option::of((0..PROJECTS.len()).prop_map(|n| PROJECTS[n].into())),
        proptest::collection::vec((key, direction), 0..3),
        proptest::collection::vec(some_filter(), 0..3),
        0..4_usize,
        1..8_usize,
    )
        .prop_map(|(project, sort, filters, offset, limit)| VolumeQuery {
            project,
            sort,
            filters,
            marker: None,
            offset,
            limit,
        })
}

/// The naive model of a filter, in words of its own.
fn passes(filter: &VolumeFilter, volume: &Volume) -> bool {
    match filter {
        VolumeFilter::Is(VolumeField::Name, names) => {
            volume.name.as_ref().is_some_and(|name| names.contains(name))
        }
        VolumeFilter::Is(VolumeField::Status, words) => {
            words.iter().any(|word| word == volume.status.shown())
        }
        VolumeFilter::Is(VolumeField::Size, sizes) => sizes.contains(&volume.size.to_string()),
        VolumeFilter::Is(VolumeField::Bootable, words) => words.contains(&volume.bootable.to_string()),
        VolumeFilter::Is(VolumeField::ProjectId, ids) => ids.contains(&volume.project_id.0),
        VolumeFilter::Is(VolumeField::Host, hosts) => volume
            .host
            .as_ref()
            .is_some_and(|pool| hosts.contains(&pool.backend.host)),
        VolumeFilter::Is(VolumeField::SnapshotId, ids) => {
            volume.snapshot_id.is_some_and(|id| ids.contains(&id.to_string()))
        }
        VolumeFilter::Contains(field, part) => {
            let text = match field {
                VolumeField::Name => volume.name.clone(),
                VolumeField::Description => volume.description.clone(),
                VolumeField::Id => Some(volume.id.to_string()),
                VolumeField::Status => Some(volume.status.shown().to_owned()),
                other => panic!("not made by some_filter: {other:?}"),
            };
            text.is_some_and(|text| text.to_lowercase().contains(&part.to_lowercase()))
        }
        VolumeFilter::Metadata(pairs) => pairs
            .iter()
            .all(|pair| volume.metadata.iter().any(|other| pair == other)),
        VolumeFilter::ImageMetadata(pairs) => pairs
            .iter()
            .all(|pair| volume.image_metadata.iter().any(|other| pair == other)),
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
        other => panic!("not made by some_filter: {other:?}"),
    }
}

fn naive_order(a: &Volume, b: &Volume, sort: &[(VolumeField, Direction)]) -> Ordering {
    let first = sort
        .first()
        .map_or(Direction::Descending, |(_, direction)| *direction);
    let keys = sort
        .iter()
        .copied()
        .chain([(VolumeField::CreatedAt, first), (VolumeField::Id, first)]);
    for (key, direction) in keys {
        let ordering = match key {
            VolumeField::CreatedAt => a.created_at.cmp(&b.created_at),
            VolumeField::UpdatedAt => a.updated_at.cmp(&b.updated_at),
            VolumeField::Id => a.id.cmp(&b.id),
            VolumeField::Name => a.name.cmp(&b.name),
            VolumeField::Size => a.size.cmp(&b.size),
            VolumeField::Status => a.status.shown().cmp(b.status.shown()),
            VolumeField::Host => {
                let text = |volume: &Volume| volume.host.as_ref().map(ToString::to_string);
                text(a).cmp(&text(b))
            }
            VolumeField::Bootable => a.bootable.cmp(&b.bootable),
            VolumeField::ProjectId => a.project_id.cmp(&b.project_id),
            VolumeField::MigrationStatus => {
                let text = |volume: &Volume| volume.migration_status.map(|status| status.as_str());
                text(a).cmp(&text(b))
            }
            VolumeField::Description => a.description.cmp(&b.description),
            VolumeField::AvailabilityZone => a.availability_zone.cmp(&b.availability_zone),
            VolumeField::SnapshotId => a.snapshot_id.cmp(&b.snapshot_id),
            VolumeField::GroupId => a.group_id.cmp(&b.group_id),
            VolumeField::Multiattach => a.multiattach.cmp(&b.multiattach),
            VolumeField::LaunchedAt => a.launched_at.cmp(&b.launched_at),
            VolumeField::ConsistencygroupId => Ordering::Equal,
            other => panic!("not among SORT_KEYS: {other:?}"),
        };
        let ordering = if direction == Direction::Descending {
            ordering.reverse()
        } else {
            ordering
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
    Ordering::Equal
}

/// All that match, in order.
fn naive(volumes: &[Volume], query: &VolumeQuery) -> Vec<Volume> {
    let mut found: Vec<Volume> = volumes
        .iter()
        .filter(|volume| {
            query
                .project
                .as_ref()
                .is_none_or(|project| volume.project_id == *project)
        })
        .filter(|volume| query.filters.iter().all(|filter| passes(filter, volume)))
        .cloned()
        .collect();
    found.sort_by(|a, b| naive_order(a, b, &query.sort));
    found
}

async fn filled(volumes: &[Volume]) -> Catalog {
    let catalog = Catalog::open(Arc::new(MemoryStore::default())).await.unwrap();
    for volume in volumes {
        let mut changes = catalog.change();
        changes.insert(volume);
        changes.commit().await.unwrap();
    }
    catalog
}

/// The same catalog, which answers from tables what no index answers at once.
fn with_tables(catalog: &Catalog) -> Catalog {
    catalog.clone().with_lists(ListOptions {
        skipped_rows: 0,
        ..ListOptions::default()
    })
}

fn ids(volumes: &[Volume]) -> Vec<VolumeId> {
    volumes.iter().map(|volume| volume.id).collect()
}

/// Adds a volume, changes one, or deletes it.
async fn change_one(
    catalog: &Catalog,
    kept: &mut Vec<Volume>,
    index: prop::sample::Index,
    now: Option<Volume>,
    is_new: bool,
) {
    let mut changes = catalog.change();
    match (now, kept.is_empty()) {
        (Some(now), _) if is_new => {
            changes.insert(&now);
            kept.push(now);
        }
        (_, true) => {}
        (now, false) => {
            let at = index.index(kept.len());
            let was = catalog.volume(kept[at].id).await.unwrap().unwrap();
            match now {
                None => {
                    changes.delete(&was);
                    kept.swap_remove(at);
                }
                Some(now) => {
                    let now = Volume {
                        id: was.id,
                        created_at: was.created_at,
                        ..now
                    };
                    changes.update(&was, &now);
                    kept[at] = now;
                }
            }
        }
    }
    changes.commit().await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn pages_are_those_of_the_naive_model_and_cover_all_exactly_once(
        volumes in proptest::collection::vec(some_volume(), 0..40),
        queries in proptest::collection::vec(some_query(), 1..8),
    ) {
        actix::System::new().block_on(async {
            let walking = filled(&volumes).await;
            let tabled = with_tables(&walking);
            for (catalog, query) in queries.iter().flat_map(|query| [(&walking, query.clone()), (&tabled, query.clone())]) {
                let expected = naive(&volumes, &query);
                let gib: u64 = expected.iter().map(|volume| u64::from(volume.size)).sum();
                prop_assert_eq!(catalog.volume_totals(&query).await.unwrap(), (expected.len() as u64, gib));
                prop_assert_eq!(catalog.total::<Volume>(&query).await.unwrap(), expected.len() as u64);

                let page = catalog.page::<Volume>(&query).await.unwrap().records;
                let cut: Vec<_> = expected.iter().skip(query.offset).take(query.limit).cloned().collect();
                prop_assert_eq!(ids(&page), ids(&cut), "{:?}", query);

                let mut query = VolumeQuery { offset: 0, ..query };
                let mut all = Vec::new();
                loop {
                    let page = catalog.page::<Volume>(&query).await.unwrap().records;
                    let Some(last) = page.last() else { break };
                    query.marker = Some(last.id);
                    all.extend(page);
                    prop_assert!(all.len() <= expected.len(), "{:?} goes in circles", query);
                }
                prop_assert_eq!(all, expected, "{:?}", query);

                // Any volume that is seen may be a marker, whether it matches or not.
                for marker in volumes.iter().filter(|v| query.project.as_ref().is_none_or(|p| v.project_id == *p)) {
                    let query = VolumeQuery { marker: Some(marker.id), limit: 5, ..query.clone() };
                    let behind: Vec<Volume> = naive(&volumes, &query)
                        .into_iter()
                        .filter(|volume| naive_order(volume, marker, &query.sort) == Ordering::Greater)
                        .take(5)
                        .collect();
                    prop_assert_eq!(ids(&catalog.page::<Volume>(&query).await.unwrap().records), ids(&behind), "{:?}", query);
                }
            }
            prop_assert_eq!(walking.memory_of_tables().await, 0);
            Ok(())
        })?;
    }

    #[test]
    fn tables_show_each_change_that_was_committed_before(
        volumes in proptest::collection::vec(some_volume(), 1..20),
        steps in proptest::collection::vec(
            (
                proptest::collection::vec(
                    (any::<prop::sample::Index>(), proptest::option::of(some_volume()), any::<bool>()),
                    0..6,
                ),
                proptest::collection::vec(some_query(), 1..4),
            ),
            1..8,
        ),
    ) {
        actix::System::new().block_on(async {
            let catalog = with_tables(&filled(&volumes).await);
            let mut kept = volumes;
            for (changed, queries) in steps {
                for (index, now, is_new) in changed {
                    change_one(&catalog, &mut kept, index, now, is_new).await;
                }
                for mut query in queries {
                    let expected = naive(&kept, &query);
                    prop_assert_eq!(catalog.total::<Volume>(&query).await.unwrap(), expected.len() as u64);
                    let cut: Vec<_> = expected.iter().skip(query.offset).take(query.limit).cloned().collect();
                    prop_assert_eq!(&catalog.page::<Volume>(&query).await.unwrap().records, &cut, "{:?}", query);
                    let Some(marker) = kept.iter().find(|v| query.project.as_ref().is_none_or(|p| v.project_id == *p)) else {
                        continue;
                    };
                    query.marker = Some(marker.id);
                    let behind = expected.iter().filter(|v| naive_order(v, marker, &query.sort) == Ordering::Greater);
                    let cut: Vec<_> = behind.skip(query.offset).take(query.limit).cloned().collect();
                    prop_assert_eq!(&catalog.page::<Volume>(&query).await.unwrap().records, &cut, "{:?}", query);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn whatever_changes_indexes_and_counters_follow(
        volumes in proptest::collection::vec(some_volume(), 1..12),
        changed in proptest::collection::vec((any::<prop::sample::Index>(), proptest::option::of(some_volume())), 0..20),
    ) {
        actix::System::new().block_on(async {
            let catalog = filled(&volumes).await;
            let mut kept = volumes;
            for (index, now) in changed {
                if kept.is_empty() {
                    break;
                }
                let at = index.index(kept.len());
                let was = catalog.volume(kept[at].id).await.unwrap().unwrap();
                prop_assert_eq!(&was.record, &kept[at]);
                let mut changes = catalog.change();
                match now {
                    None => {
                        changes.delete(&was);
                        kept.swap_remove(at);
                    }
                    Some(now) => {
                        let now = Volume { id: was.id, created_at: was.created_at, ..now };
                        changes.update(&was, &now);
                        kept[at] = now;
                    }
                }
                changes.commit().await.unwrap();
            }
            // Usage is not kept here, which is all there may be to find.
            let findings = verify(&catalog).await.unwrap();
            prop_assert!(
                findings.iter().all(|found| matches!(found, verify::Finding::WrongInUse { .. })),
                "{:?}",
                findings
            );
            let query = VolumeQuery { limit: 100, ..VolumeQuery::default() };
            prop_assert_eq!(catalog.page::<Volume>(&query).await.unwrap().records, naive(&kept, &query));
            Ok(())
        })?;
    }
}

#[actix::test]
async fn a_marker_that_is_unknown_or_of_another_project_is_told() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut volume = some_volume().new_tree(&mut runner).unwrap().current();
    volume.project_id = "p".into();
    let catalog = filled(std::slice::from_ref(&volume)).await;
    let ask = |project: Option<&str>, marker| VolumeQuery {
        project: project.map(Into::into),
        marker: Some(marker),
        limit: 1,
        ..VolumeQuery::default()
    };
    for (query, known) in [
        (ask(Some("p"), volume.id), true),
        (ask(None, volume.id), true),
        (ask(Some("q"), volume.id), false),
        (ask(None, VolumeId::new()), false),
    ] {
        match catalog.page::<Volume>(&query).await {
            Ok(page) => assert!(known && page.records.is_empty(), "{query:?}"),
            Err(error) => assert!(
                !known && matches!(error, ListError::UnknownMarker(_)),
                "{query:?} {error}"
            ),
        }
    }
}
