//! Quota as the Api actor and operators see it: the check, the commit under its ceilings, and limits that change in between.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pumice::actors::quota::{self, Options};
use pumice::messages::quota::{
    Ceilings, CheckQuota, DeleteQuotaSet, QuotaTopic, UpdateQuotaClass, UpdateQuotaSet,
};
use pumice::model::quota::{Resource, extend_deltas, snapshot_deltas, volume_deltas};
use pumice::model::{Context, Error, ErrorKind, ProjectId, Timestamp, VolumeType, VolumeTypeId};
use pumice::store::CommitError;
use pumice::store::catalog::Catalog;
use pumice::store::memory::MemoryStore;
use pumice::transport::{CallError, Handle, Router};

const WITHIN: Duration = Duration::from_secs(10);

struct World {
    catalog: Catalog,
    quota: Handle<QuotaTopic>,
    project: ProjectId,
}

impl World {
    async fn new(options: Options) -> Self {
        let catalog = Catalog::open(Arc::new(MemoryStore::default())).await.unwrap();
        let router = Router::new("test");
        router.register(quota::endpoint(catalog.clone(), options).start());
        Self {
            catalog,
            quota: router.any(),
            project: "p".into(),
        }
    }

    async fn check(&self, request: CheckQuota) -> Result<Ceilings, Error> {
        match self.quota.call(&Context::internal("test"), request, WITHIN).await {
            Ok(ceilings) => Ok(ceilings),
            Err(CallError::Refused(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    }

    fn volume(&self, size: u32, of: Option<VolumeTypeId>) -> CheckQuota {
        CheckQuota {
            project_id: self.project.clone(),
            deltas: volume_deltas(size, of),
            volume_size: Some(size),
        }
    }

    /// As the verbs do: under the limits that the check returned.
    async fn store(&self, request: &CheckQuota, ceilings: &Ceilings) -> Result<(), CommitError> {
        let mut changes = self.catalog.change();
        changes.add_usage(&self.project, &request.deltas);
        ceilings.apply(&mut changes, &self.project, &request.deltas);
        changes.commit().await.map(drop)
    }

    /// The whole way of one volume.
    async fn create(&self, size: u32, of: Option<VolumeTypeId>) -> Result<(), Error> {
        let request = self.volume(size, of);
        let ceilings = self.check(request.clone()).await?;
        match self.store(&request, &ceilings).await {
            Err(CommitError::OverCeiling { name, .. }) => Err(Error::over_quota(name)),
            stored => {
                stored.unwrap();
                Ok(())
            }
        }
    }

    async fn set(&self, limits: &[(&str, i64)]) -> Result<(), Error> {
        let plain = |(name, limit): &(&str, i64)| (Resource((*name).to_owned()), *limit);
        self.set_all(limits.iter().map(plain).collect()).await
    }

    async fn set_all(&self, limits: Vec<(Resource, i64)>) -> Result<(), Error> {
        let message = UpdateQuotaSet {
            project_id: self.project.clone(),
            limits,
        };
        match self.quota.call(&Context::internal("test"), message, WITHIN).await {
            Err(CallError::Refused(error)) => Err(error),
            other => {
                other.unwrap();
                Ok(())
            }
        }
    }

    async fn new_type(&self, name: &str) -> VolumeType {
        let volume_type = VolumeType {
            id: VolumeTypeId::new(),
            name: name.to_owned(),
            description: None,
            is_public: true,
            extra_specs: BTreeMap::new(),
            projects: BTreeSet::new(),
            qos_specs_id: None,
            created_at: Timestamp::now(),
            updated_at: None,
        };
        let mut changes = self.catalog.change();
        changes.insert(&volume_type);
        changes.commit().await.unwrap();
        volume_type
    }

    /// Behind the actor's back, as another control node does.
    async fn rename(&self, id: VolumeTypeId, name: &str) {
        let was = self.catalog.volume_type(id).await.unwrap().unwrap();
        let mut now = was.record.clone();
        now.name = name.to_owned();
        let mut changes = self.catalog.change();
        changes.update(&was, &now);
        changes.commit().await.unwrap();
    }

    async fn in_use(&self, name: &str) -> i64 {
        let usage = self.catalog.usage(&self.project).await.unwrap();
        usage
            .get(&Resource(name.to_owned()))
            .map_or(0, |usage| usage.in_use)
    }
}

#[actix::test]
async fn a_client_over_quota_reads_cinders_words() {
    let world = World::new(Options::default()).await;
    let t2 = world.new_type("t2").await.id;
    let other = world.new_type("other").await.id;
    world.create(3, Some(t2)).await.unwrap();
    let error = world.create(5000, Some(t2)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::OverQuota);
    assert_eq!(
        error.client,
        "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. Requested \
         5000G, quota is 1000G and 3G has been consumed."
    );
    let limits = vec![(Resource::gigabytes().of_type(t2), 7)];
    world.set_all(limits).await.unwrap();
    let error = world.create(5, Some(t2)).await.unwrap_err();
    assert!(
        error
            .client
            .contains("exceeds allowed gigabytes_t2 quota. Requested 5G, quota is 7G and 3G"),
        "{error}"
    );
    world.create(5, Some(other)).await.unwrap();
    world.set(&[("volumes", 2)]).await.unwrap();
    let error = world.create(1, None).await.unwrap_err();
    assert_eq!(
        error.client,
        "VolumeLimitExceeded: Maximum number of volumes allowed (2) exceeded for quota 'volumes'."
    );
}

#[actix::test]
async fn one_volume_may_not_be_larger_than_its_own_limit() {
    let world = World::new(Options::default()).await;
    world.set(&[("per_volume_gigabytes", 4)]).await.unwrap();
    let error = world.create(5, None).await.unwrap_err();
    assert_eq!(
        error.client,
        "VolumeSizeExceedsLimit: Requested volume size 5G is larger than maximum allowed limit 4G."
    );
    let growth = CheckQuota {
        project_id: world.project.clone(),
        deltas: extend_deltas(1, None),
        volume_size: Some(5),
    };
    assert_eq!(world.check(growth).await.unwrap_err().kind, ErrorKind::OverQuota);
    world.create(4, None).await.unwrap();
}

#[actix::test]
async fn of_many_requests_at_once_exactly_as_many_succeed_as_there_is_room_for() {
    let world = World::new(Options::default()).await;
    let results = join_all((0..40).map(|_| world.create(1, None))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 10);
    assert_eq!(world.in_use("volumes").await, 10);
}

#[actix::test]
async fn of_two_that_were_checked_at_once_the_stores_ceiling_decides() {
    let world = World::new(Options::default()).await;
    world.set(&[("volumes", 1)]).await.unwrap();
    let request = world.volume(1, None);
    let first = world.check(request.clone()).await.unwrap();
    let second = world.check(request.clone()).await.unwrap();
    world.store(&request, &first).await.unwrap();
    let refused = world.store(&request, &second).await.unwrap_err();
    assert!(
        matches!(refused, CommitError::OverCeiling { ref name, limit: 1, .. } if name == "volumes"),
        "{refused}"
    );
}

#[actix::test]
async fn the_commit_is_told_only_the_limits_there_are() {
    let world = World::new(Options::default()).await;
    let ceilings = world
        .check(world.volume(1, Some(VolumeTypeId::new())))
        .await
        .unwrap();
    assert_eq!(
        ceilings.limits,
        [(Resource::gigabytes(), 1000), (Resource::volumes(), 10)]
    );
}

#[actix::test]
async fn a_limit_below_what_is_used_is_refused_and_changes_nothing() {
    let world = World::new(Options::default()).await;
    for _ in 0..8 {
        world.create(1, None).await.unwrap();
    }
    let error = world
        .set(&[("gigabytes", 900), ("volumes", 0)])
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadRequest);
    assert_eq!(
        error.client,
        "Quota volumes limit must be equal or greater than existing resources. Current usage is 8 and the requested \
         limit is 0."
    );
    assert_eq!(
        world.set(&[("volumes", -2)]).await.unwrap_err().client,
        "volumes must be >= -1"
    );
    assert_eq!(
        world.catalog.project_limits(&world.project).await.unwrap(),
        BTreeMap::new()
    );
    world.set(&[("volumes", -1)]).await.unwrap();
}

#[actix::test]
async fn changed_limits_hold_at_once_and_deleted_ones_fall_back() {
    let world = World::new(Options::default()).await;
    world.create(1, None).await.unwrap();
    let context = Context::internal("test");
    let class = UpdateQuotaClass {
        class: "default".into(),
        limits: vec![(Resource::volumes(), 1)],
    };
    world.quota.call(&context, class, WITHIN).await.unwrap();
    world.create(1, None).await.unwrap_err();
    world.set(&[("volumes", 2)]).await.unwrap();
    world.set(&[("gigabytes", 50)]).await.unwrap();
    world.create(1, None).await.unwrap();
    let delete = DeleteQuotaSet {
        project_id: world.project.clone(),
    };
    world.quota.call(&context, delete, WITHIN).await.unwrap();
    let error = world.create(1, None).await.unwrap_err();
    assert!(
        error.client.contains("(1) exceeded"),
        "the class's limit holds again: {error}"
    );
}

/// What would be refused by each of a type's three limits: a volume, growth, a snapshot.
async fn refusals(world: &World, of: VolumeTypeId) -> Vec<String> {
    let mut refused = Vec::new();
    for deltas in [
        volume_deltas(0, Some(of)),
        extend_deltas(1, Some(of)),
        snapshot_deltas(0, Some(of)),
    ] {
        let request = CheckQuota {
            project_id: world.project.clone(),
            deltas,
            volume_size: None,
        };
        refused.push(match world.check(request).await {
            Ok(_) => "room".to_owned(),
            Err(error) => error.client,
        });
    }
    refused
}

#[actix::test]
async fn a_types_limits_hold_whatever_the_type_is_called() {
    let world = World::new(Options::default()).await;
    let [one, other] = [world.new_type("one").await.id, world.new_type("other").await.id];
    let limits = [Resource::volumes(), Resource::gigabytes(), Resource::snapshots()]
        .map(|resource| (resource.of_type(one), 0));
    world.set_all(limits.to_vec()).await.unwrap();
    let full = |name: &str| {
        vec![
            format!(
                "VolumeLimitExceeded: Maximum number of volumes allowed (0) exceeded for quota 'volumes_{name}'."
            ),
            format!(
                "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes_{name} quota. \
                 Requested 1G, quota is 0G and 0G has been consumed."
            ),
            "SnapshotLimitExceeded: Maximum number of snapshots allowed (0) exceeded".to_owned(),
        ]
    };
    let room = vec!["room".to_owned(); 3];
    let must_be = async |named: &str| {
        let refused = refusals(&world, one).await;
        // Zero gigabytes more are over a limit of none, as in Cinder: gigabytes are looked at first.
        assert!(refused.iter().all(|text| text != "room"), "{refused:?}");
        assert_eq!(refused[1], full(named)[1]);
        assert_eq!(refusals(&world, other).await, room);
    };
    must_be("one").await;
    world.rename(one, "anew").await;
    must_be("anew").await;
    // Two types swap their names.
    world.rename(other, "aside").await;
    world.rename(one, "other").await;
    world.rename(other, "anew").await;
    must_be("other").await;
}

#[actix::test]
async fn limits_that_somebody_else_wrote_hold_at_once() {
    let world = World::new(Options::default()).await;
    let kind = world.new_type("kind").await.id;
    world.create(1, Some(kind)).await.unwrap();
    let of_class = [(Resource::volumes().of_type(kind), 1)];
    world
        .catalog
        .set_class_limits("default", &of_class)
        .await
        .unwrap();
    assert_eq!(
        world.create(1, Some(kind)).await.unwrap_err().client,
        "VolumeLimitExceeded: Maximum number of volumes allowed (1) exceeded for quota 'volumes_kind'."
    );
    let own = [(Resource::volumes().of_type(kind), 2)];
    world
        .catalog
        .set_project_limits(&world.project, &own)
        .await
        .unwrap();
    world.create(1, Some(kind)).await.unwrap();
    world.catalog.delete_project_limits(&world.project).await.unwrap();
    world.create(1, Some(kind)).await.unwrap_err();
}

#[actix::test]
async fn limits_of_any_number_of_types_are_set_and_those_of_gone_types_are_forgotten() {
    let world = World::new(Options::default()).await;
    let kinds: Vec<VolumeTypeId> = (0..300).map(|_| VolumeTypeId::new()).collect();
    let limits: Vec<(Resource, i64)> = kinds
        .iter()
        .flat_map(|id| {
            [Resource::volumes(), Resource::gigabytes(), Resource::snapshots()]
                .map(|resource| (resource.of_type(*id), 5))
        })
        .chain([(Resource::volumes(), 7)])
        .collect();
    world.set_all(limits.clone()).await.unwrap();
    let stored = world.catalog.project_limits(&world.project).await.unwrap();
    assert_eq!(stored, limits.into_iter().collect());
    // None of these types is there.
    assert_eq!(world.catalog.forget_quota_of_gone_types().await.unwrap(), 900);
    assert_eq!(
        world.catalog.project_limits(&world.project).await.unwrap(),
        [(Resource::volumes(), 7)].into()
    );
    assert_eq!(world.catalog.forget_quota_of_gone_types().await.unwrap(), 0);
}
