//! Pages of snapshots against a naive model: filter all, sort all, cut.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use pumice::model::*;
use pumice::store::catalog::verify::{Finding, verify};
use pumice::store::catalog::*;
use pumice::store::memory::MemoryStore;

use super::{PROJECTS, some_volume, with_tables};

const SORT_KEYS: [SnapshotField; 8] = [
    SnapshotField::CreatedAt,
    SnapshotField::UpdatedAt,
    SnapshotField::Id,
    SnapshotField::Name,
    SnapshotField::Status,
    SnapshotField::VolumeSize,
    SnapshotField::VolumeId,
    SnapshotField::ScheduledAt,
];

/// Volumes, and snapshots of them.
#[derive(Clone, Debug)]
struct Kept {
    volumes: Vec<Volume>,
    snapshots: Vec<Snapshot>,
}

fn some_snapshot() -> impl Strategy<Value = (prop::sample::Index, Snapshot)> {
    (
        (any::<prop::sample::Index>(), any::<u128>()),
        (proptest::option::of("[ab\0]{0,2}"), 1..4_u32),
        prop_oneof![Just(SnapshotStatus::Available), Just(SnapshotStatus::Error)],
        (0..6_i64, proptest::option::of(0..3_i64), any::<bool>()),
    )
        .prop_map(|((of, id), (name, size), status, (created, updated, consumes))| {
            let snapshot = Snapshot {
                id: SnapshotId(uuid::Uuid::from_u128(id)),
                volume_id: VolumeId::new(),
                project_id: PROJECTS[0].into(),
                user_id: "user".into(),
                name,
                description: None,
                volume_size: size,
                volume_type_id: None,
                status,
                progress: "100%".into(),
                metadata: BTreeMap::from([("k".to_owned(), size.to_string())]),
                provider_id: None,
                encryption_key_id: None,
                group_snapshot_id: None,
                consumes_quota: consumes,
                operation: None,
                created_at: Timestamp(created - 2),
                updated_at: updated.map(Timestamp),
            };
            (of, snapshot)
        })
}

fn some_kept() -> impl Strategy<Value = Kept> {
    (
        proptest::collection::vec(some_volume(), 1..4),
        proptest::collection::vec(some_snapshot(), 0..30),
    )
        .prop_map(|(volumes, snapshots)| {
            let of_volume = |(of, snapshot): (prop::sample::Index, Snapshot)| {
                let volume = of.get(&volumes);
                Snapshot {
                    volume_id: volume.id,
                    project_id: volume.project_id.clone(),
                    ..snapshot
                }
            };
            Kept {
                snapshots: snapshots.into_iter().map(of_volume).collect(),
                volumes,
            }
        })
}

fn some_filter() -> impl Strategy<Value = SnapshotFilter> {
    let is = |field, text: &str| SnapshotFilter::Is(field, vec![text.to_owned()]);
    prop_oneof![
        "[ab]{0,1}".prop_map(move |name| is(SnapshotField::Name, &name)),
        Just(is(SnapshotField::Status, "error")),
        Just(is(SnapshotField::VolumeSize, "2")),
        Just(is(SnapshotField::ConsumesQuota, "true")),
        Just(is(SnapshotField::ProjectId, "p2")),
        // Stands for the first volume's.
        Just(is(SnapshotField::VolumeId, "first")),
        Just(SnapshotFilter::Contains(SnapshotField::Name, "B".into())),
        Just(SnapshotFilter::Metadata(BTreeMap::from([(
            "k".into(),
            "3".into()
        )]))),
        Just(SnapshotFilter::OfVolume(Box::new(VolumeFilter::Is(
            VolumeField::Host,
            vec!["x".into()]
        )))),
    ]
}

fn some_query() -> impl Strategy<Value = SnapshotQuery> {
    let direction = prop_oneof![Just(Direction::Ascending), Just(Direction::Descending)];
    let key = (0..SORT_KEYS.len()).prop_map(|n| SORT_KEYS[n]);
    (
        proptest::option::of((0..PROJECTS.len()).prop_map(|n| PROJECTS[n].into())),
        proptest::collection::vec((key, direction), 0..3),
        proptest::collection::vec(some_filter(), 0..3),
        0..4_usize,
        1..8_usize,
    )
        .prop_map(|(project, sort, filters, offset, limit)| SnapshotQuery {
            project,
            sort,
            filters,
            marker: None,
            offset,
            limit,
        })
}

impl Kept {
    /// The naive model of a filter, in words of its own.
    fn passes(&self, filter: &SnapshotFilter, snapshot: &Snapshot) -> bool {
        match filter {
            SnapshotFilter::Is(field, words) => {
                let word = match field {
                    SnapshotField::Name => snapshot.name.clone(),
                    SnapshotField::Status => Some(snapshot.status.to_string()),
                    SnapshotField::VolumeSize => Some(snapshot.volume_size.to_string()),
                    SnapshotField::ConsumesQuota => Some(snapshot.consumes_quota.to_string()),
                    SnapshotField::ProjectId => Some(snapshot.project_id.0.clone()),
                    SnapshotField::VolumeId => Some(snapshot.volume_id.to_string()),
                    other => panic!("not made by some_filter: {other:?}"),
                };
                word.is_some_and(|word| words.contains(&word))
            }
            SnapshotFilter::Contains(_, part) => snapshot
                .name
                .as_ref()
                .is_some_and(|name| name.to_lowercase().contains(&part.to_lowercase())),
            SnapshotFilter::Metadata(pairs) => pairs
                .iter()
                .all(|pair| snapshot.metadata.iter().any(|other| pair == other)),
            SnapshotFilter::OfVolume(_) => self
                .volumes
                .iter()
                .find(|volume| volume.id == snapshot.volume_id)
                .and_then(|volume| volume.host.as_ref())
                .is_some_and(|pool| pool.backend.host == "x"),
            other => panic!("not made by some_filter: {other:?}"),
        }
    }

    /// All that match, in order.
    fn naive(&self, query: &SnapshotQuery) -> Vec<Snapshot> {
        let mut found: Vec<Snapshot> = self
            .snapshots
            .iter()
            .filter(|one| {
                query
                    .project
                    .as_ref()
                    .is_none_or(|project| one.project_id == *project)
            })
            .filter(|one| query.filters.iter().all(|filter| self.passes(filter, one)))
            .cloned()
            .collect();
        found.sort_by(|a, b| naive_order(a, b, &query.sort));
        found
    }

    async fn catalog(&self) -> Catalog {
        let catalog = Catalog::open(Arc::new(MemoryStore::default())).await.unwrap();
        let mut changes = catalog.change();
        for volume in &self.volumes {
            changes.insert(volume);
        }
        for snapshot in &self.snapshots {
            changes.insert(snapshot);
        }
        changes.commit().await.unwrap();
        catalog
    }
}

fn naive_order(a: &Snapshot, b: &Snapshot, sort: &[(SnapshotField, Direction)]) -> Ordering {
    let first = sort
        .first()
        .map_or(Direction::Descending, |(_, direction)| *direction);
    let keys = sort
        .iter()
        .copied()
        .chain([(SnapshotField::CreatedAt, first), (SnapshotField::Id, first)]);
    for (key, direction) in keys {
        let ordering = match key {
            SnapshotField::CreatedAt => a.created_at.cmp(&b.created_at),
            SnapshotField::UpdatedAt => a.updated_at.cmp(&b.updated_at),
            SnapshotField::Id => a.id.cmp(&b.id),
            SnapshotField::Name => a.name.cmp(&b.name),
            SnapshotField::Status => a.status.as_str().cmp(b.status.as_str()),
            SnapshotField::VolumeSize => a.volume_size.cmp(&b.volume_size),
            SnapshotField::VolumeId => a.volume_id.cmp(&b.volume_id),
            SnapshotField::ScheduledAt => Ordering::Equal,
            other => panic!("not among SORT_KEYS: {other:?}"),
        };
        let ordering = match direction {
            Direction::Ascending => ordering,
            Direction::Descending => ordering.reverse(),
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
    Ordering::Equal
}

fn ids(snapshots: &[Snapshot]) -> Vec<SnapshotId> {
    snapshots.iter().map(|snapshot| snapshot.id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn pages_of_snapshots_are_those_of_the_naive_model_and_cover_all_exactly_once(
        kept in some_kept(),
        queries in proptest::collection::vec(some_query(), 1..8),
    ) {
        actix::System::new().block_on(async {
            let walking = kept.catalog().await;
            let tabled = with_tables(&walking);
            for (catalog, mut query) in queries.iter().flat_map(|query| [(&walking, query.clone()), (&tabled, query.clone())]) {
                for filter in &mut query.filters {
                    if let SnapshotFilter::Is(SnapshotField::VolumeId, words) = filter {
                        *words = vec![kept.volumes[0].id.to_string()];
                    }
                }
                let expected = kept.naive(&query);
                prop_assert_eq!(catalog.total::<Snapshot>(&query).await.unwrap(), expected.len() as u64);
                let page = catalog.page::<Snapshot>(&query).await.unwrap().records;
                let cut: Vec<_> = expected.iter().skip(query.offset).take(query.limit).cloned().collect();
                prop_assert_eq!(ids(&page), ids(&cut), "{:?}", query);

                let mut query = SnapshotQuery { offset: 0, ..query };
                let mut all = Vec::new();
                loop {
                    let page = catalog.page::<Snapshot>(&query).await.unwrap().records;
                    let Some(last) = page.last() else { break };
                    query.marker = Some(last.id);
                    all.extend(page);
                    prop_assert!(all.len() <= expected.len(), "{:?} goes in circles", query);
                }
                prop_assert_eq!(all, expected, "{:?}", query);

                // Any snapshot that is seen may be a marker, whether it matches or not.
                for marker in &kept.snapshots {
                    let query = SnapshotQuery { marker: Some(marker.id), limit: 5, ..query.clone() };
                    let seen = query.project.as_ref().is_none_or(|project| marker.project_id == *project);
                    let page = catalog.page::<Snapshot>(&query).await;
                    if !seen {
                        prop_assert!(matches!(page, Err(ListError::UnknownMarker(_))));
                        continue;
                    }
                    let behind: Vec<Snapshot> = kept
                        .naive(&query)
                        .into_iter()
                        .filter(|one| naive_order(one, marker, &query.sort) == Ordering::Greater)
                        .take(5)
                        .collect();
                    prop_assert_eq!(ids(&page.unwrap().records), ids(&behind), "{:?}", query);
                }
            }
            // Usage is not kept here, which is all there may be to find.
            let findings = verify(&walking).await.unwrap();
            prop_assert!(
                findings.iter().all(|found| matches!(found, Finding::WrongInUse { .. })),
                "{:?}",
                findings
            );
            Ok(())
        })?;
    }
}
