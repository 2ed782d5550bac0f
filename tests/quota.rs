//! Quota as the Api actor and operators see it: reserve, commit, and limits that change in between.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pumice::actors::quota::{self, Options};
use pumice::messages::quota::{
    Commit, DeleteQuotaSet, QuotaTopic, Reserve, Reserved, Rollback, UpdateQuotaClass, UpdateQuotaSet,
};
use pumice::model::quota::{Resource, extend_deltas, volume_deltas};
use pumice::model::{Context, Error, ErrorKind, ProjectId};
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

    async fn reserve(&self, request: Reserve) -> Result<Reserved, Error> {
        match self.quota.call(&Context::internal("test"), request, WITHIN).await {
            Ok(reserved) => Ok(reserved),
            Err(CallError::Refused(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    }

    fn volume(&self, size: u32, type_name: Option<&str>) -> Reserve {
        Reserve {
            project_id: self.project.clone(),
            deltas: volume_deltas(size, type_name),
            volume_size: Some(size),
        }
    }

    /// As the Api actor does: under the limits that the hold was checked against.
    async fn store(&self, request: &Reserve, reserved: &Reserved) -> Result<(), CommitError> {
        let mut changes = self.catalog.change();
        changes.add_usage(&self.project, &request.deltas);
        for (resource, limit) in &reserved.limits {
            changes.within_limit(&self.project, resource, *limit);
        }
        changes.commit().await.map(drop)
    }

    /// The whole way of one volume.
    async fn create(&self, size: u32, type_name: Option<&str>) -> Result<(), Error> {
        let request = self.volume(size, type_name);
        let reserved = self.reserve(request.clone()).await?;
        self.store(&request, &reserved)
            .await
            .expect("who was let through fits");
        self.quota
            .cast(&Context::internal("test"), Commit { id: reserved.id })
            .await
            .unwrap();
        Ok(())
    }

    async fn set(&self, limits: &[(&str, i64)]) -> Result<(), Error> {
        let limits = limits
            .iter()
            .map(|(name, limit)| (Resource((*name).to_owned()), *limit))
            .collect();
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

    async fn in_use(&self, name: &str) -> i64 {
        let usage = self.catalog.usage(&self.project).await.unwrap();
        usage
            .get(&Resource(name.to_owned()))
            .map_or(0, |usage| usage.in_use)
    }
}

fn patient() -> Options {
    Options {
        hold_patience: Duration::from_secs(60),
        ..Options::default()
    }
}

#[actix::test]
async fn a_client_over_quota_reads_cinders_words() {
    let world = World::new(Options::default()).await;
    world.create(3, Some("t2")).await.unwrap();
    let error = world.create(5000, Some("t2")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::OverQuota);
    assert_eq!(
        error.client,
        "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. Requested \
         5000G, quota is 1000G and 3G has been consumed."
    );
    world.set(&[("gigabytes_t2", 7)]).await.unwrap();
    let error = world.create(5, Some("t2")).await.unwrap_err();
    assert!(
        error
            .client
            .contains("exceeds allowed gigabytes_t2 quota. Requested 5G, quota is 7G and 3G"),
        "{error}"
    );
    world.create(5, Some("other")).await.unwrap();
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
    let growth = Reserve {
        project_id: world.project.clone(),
        deltas: extend_deltas(1, None),
        volume_size: Some(5),
    };
    assert_eq!(
        world.reserve(growth).await.unwrap_err().kind,
        ErrorKind::OverQuota
    );
    world.create(4, None).await.unwrap();
}

#[actix::test]
async fn of_many_requests_at_once_exactly_as_many_succeed_as_there_is_room_for() {
    let world = World::new(patient()).await;
    let results = join_all((0..40).map(|_| world.create(1, None))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 10);
    assert_eq!(world.in_use("volumes").await, 10);
}

#[actix::test]
async fn nobody_is_refused_for_the_sake_of_a_hold_that_comes_to_nothing() {
    let world = World::new(patient()).await;
    world.set(&[("volumes", 1)]).await.unwrap();
    let held = world.reserve(world.volume(1, None)).await.unwrap();
    let (second, ()) = tokio::join!(world.create(1, None), async {
        world
            .quota
            .cast(&Context::internal("test"), Rollback { id: held.id })
            .await
            .unwrap();
    });
    second.unwrap();
}

#[actix::test]
async fn a_hold_that_nobody_ends_runs_out() {
    let options = Options {
        reservation_expire: Duration::from_millis(50),
        ..patient()
    };
    let world = World::new(options).await;
    world.set(&[("volumes", 1)]).await.unwrap();
    world.reserve(world.volume(1, None)).await.unwrap();
    world.create(1, None).await.unwrap();
    assert_eq!(world.in_use("volumes").await, 1);
}

#[actix::test]
async fn when_holds_stay_the_stores_ceiling_decides() {
    let world = World::new(Options {
        hold_patience: Duration::ZERO,
        ..Options::default()
    })
    .await;
    world.set(&[("volumes", 1)]).await.unwrap();
    let request = world.volume(1, None);
    let first = world.reserve(request.clone()).await.unwrap();
    let second = world.reserve(request.clone()).await.unwrap();
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
    let reserved = world.reserve(world.volume(1, Some("t2"))).await.unwrap();
    assert_eq!(
        reserved.limits,
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
    let world = World::new(Options {
        limits_max_age: Duration::from_secs(3600),
        ..Options::default()
    })
    .await;
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
