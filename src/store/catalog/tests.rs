//! Tests of the catalog, with the store in memory.

use std::sync::Arc;

use super::samples::{attachment, commit, insert, operation, try_to_commit, volume};
use super::*;
use crate::model::quota::{Resource, Usage, volume_deltas};
use crate::model::user_message::{Action, Detail};
use crate::model::volume::Secret;
use crate::model::{
    Attachment, BackendName, MessageId, Project, ProjectId, RevokedToken, RoleAssignment, Service, ServiceId,
    Token, TokenHash, User, UserMessage, Volume, VolumeStatus,
};
use crate::store::memory::MemoryStore;

async fn catalog() -> Catalog {
    Catalog::open(Arc::new(MemoryStore::default())).await.unwrap()
}

#[actix::test]
async fn a_new_catalog_has_the_default_type_once() {
    let store = Arc::new(MemoryStore::default());
    for _ in 0..2 {
        let catalog = Catalog::open(store.clone()).await.unwrap();
        let types = catalog.volume_types().await.unwrap();
        assert_eq!(types.len(), 1);
        assert_eq!(
            catalog.volume_type_by_name("__DEFAULT__").await.unwrap().as_ref(),
            types.first()
        );
    }
}

#[actix::test]
async fn a_volume_lives_and_dies_and_leaves_nothing() {
    let store = Arc::new(MemoryStore::default());
    let catalog = Catalog::open(store.clone()).await.unwrap();
    let empty = store.entries().len();
    let mut record = volume("p", "a", 2);
    insert(&catalog, [&record]).await;

    let was = catalog.volume(record.id).await.unwrap().unwrap();
    assert_eq!(was.record, record);
    record.status = VolumeStatus::Error;
    record.name = None;
    record.size = 5;
    record.host = Some(BackendName::new("h", "b").pool("p"));
    commit(&catalog, |changes| changes.update(&was, &record)).await;
    assert_eq!(
        catalog.volume_totals(&VolumeQuery::default()).await.unwrap(),
        (1, 5)
    );
    let backend = BackendName::new("h", "b");
    let of_backend = catalog.backend_volumes(&backend, None, 9).await.unwrap();
    assert_eq!(of_backend.records.len(), 1);

    let deleted = try_to_commit(&catalog, |changes| changes.delete(&was)).await;
    assert!(
        matches!(deleted, Err(CommitError::Conflict(_))),
        "it has changed since"
    );

    let was = catalog.volume(record.id).await.unwrap().unwrap();
    commit(&catalog, |changes| changes.delete(&was)).await;
    assert_eq!(catalog.volume(record.id).await.unwrap(), None);
    // Except for the two counters of the project.
    assert_eq!(store.entries().len(), empty + 2);
}

#[actix::test]
async fn a_quota_is_never_exceeded_by_concurrent_commits() {
    let catalog = catalog().await;
    let project = "p".into();
    let commit = |limit: i64| {
        let record = volume("p", "a", 3);
        let mut changes = catalog.change();
        changes
            .insert(&record)
            .insert(&operation(&record))
            .add_usage(&project, &volume_deltas(3, None))
            .within_limit(&project, &Resource::gigabytes(), limit);
        changes.commit()
    };
    commit(6).await.unwrap();
    commit(6).await.unwrap();
    let error = commit(6).await.unwrap_err();
    assert!(matches!(error, CommitError::OverCeiling { name, sum: 9, limit: 6 } if name == "gigabytes"));
    commit(-1).await.unwrap();
    let usage = catalog.usage(&project).await.unwrap();
    for (resource, in_use) in [(Resource::gigabytes(), 9), (Resource::volumes(), 3)] {
        let reserved = 0;
        assert_eq!(usage[&resource], Usage { in_use, reserved });
    }
    assert_eq!(
        catalog.volume_totals(&VolumeQuery::default()).await.unwrap(),
        (3, 9)
    );
}

#[actix::test]
async fn what_operations_hold_is_reserved_until_they_end() {
    let catalog = catalog().await;
    let record = volume("p", "a", 3);
    let mut entry = operation(&record);
    entry.reserved.insert(Resource::gigabytes(), 4);
    entry.reserved.insert(Resource::volumes(), -1);
    insert(&catalog, [&entry]).await;
    let reserved = async || {
        let usage = catalog.usage(&"p".into()).await.unwrap();
        usage.get(&Resource::gigabytes()).map(|usage| usage.reserved)
    };
    assert_eq!(reserved().await, Some(4));

    let was = catalog.operation(entry.id).await.unwrap().unwrap();
    entry.reserved.insert(Resource::gigabytes(), 1);
    commit(&catalog, |changes| changes.update(&was, &entry)).await;
    assert_eq!(reserved().await, Some(1));

    let was = catalog.operations(None, 10).await.unwrap().records.remove(0);
    commit(&catalog, |changes| changes.delete(&was)).await;
    assert_eq!(reserved().await, Some(0));
    assert!(catalog.operations(None, 10).await.unwrap().records.is_empty());
}

#[actix::test]
async fn attachments_of_a_page_of_volumes_come_in_its_order() {
    let catalog = catalog().await;
    let volumes: Vec<_> = (0..4).map(|_| volume("p", "a", 1)).collect();
    let held = [1, 1, 3].map(|at| attachment(&volumes[at]));
    insert(&catalog, &held).await;
    let ids: Vec<_> = volumes.iter().map(|volume| volume.id).collect();
    let found = catalog.volumes_attachments(&ids).await.unwrap();
    assert_eq!(found, [vec![], held[..2].to_vec(), vec![], held[2..].to_vec()]);
    let page = catalog
        .newest::<Attachment>(Some(&"p".into()), Some(held[2].id), 1)
        .await
        .unwrap();
    assert_eq!(
        (page.records, page.next),
        (vec![held[1].clone()], Some(held[1].id))
    );
    let foreign = catalog
        .newest::<Attachment>(Some(&"q".into()), Some(held[2].id), 1)
        .await;
    assert!(matches!(foreign, Err(ListError::UnknownMarker(_))));
}

#[actix::test]
async fn a_type_with_volumes_cannot_be_deleted_and_its_name_is_its_own() {
    let catalog = catalog().await;
    let kind = catalog.volume_types().await.unwrap().remove(0);
    let mut record = volume("p", "a", 1);
    record.volume_type_id = Some(kind.id);
    commit(&catalog, |changes| changes.require(&kind).insert(&record)).await;
    assert!(catalog.type_in_use(kind.id).await.unwrap());

    let deleted = try_to_commit(&catalog, |changes| changes.delete(&kind)).await;
    assert!(matches!(deleted.unwrap_err(), CommitError::OverCeiling { name, .. } if name == TYPE_IN_USE));

    let mut same_name = kind.record.clone();
    same_name.id = VolumeTypeId::new();
    let inserted = try_to_commit(&catalog, |changes| changes.insert(&same_name)).await;
    assert!(matches!(inserted, Err(CommitError::Conflict(_))));
}

#[actix::test]
async fn a_later_layout_is_refused_in_words() {
    let store = Arc::new(MemoryStore::default());
    let catalog = Catalog::open(store.clone()).await.unwrap();
    commit(&catalog, |changes| {
        changes.put(keys::key(keys::LAYOUT).end(), &Layout { version: 99 });
        changes
    })
    .await;
    let error = Catalog::open(store).await.err().unwrap();
    assert!(error.to_string().contains("downgraded"), "{error}");
}

#[actix::test]
async fn expired_tokens_are_found_and_no_others() {
    let catalog = catalog().await;
    let token = |n: u8, expires: i64| Token {
        hash: TokenHash([n; 32]),
        user_id: "u".into(),
        project_id: None,
        roles: Default::default(),
        issued_at: Timestamp(0),
        expires_at: Timestamp(expires),
        audit_id: uuid::Uuid::nil(),
        audit_chain: None,
        methods: Vec::new(),
    };
    insert(&catalog, &[token(1, 30), token(2, 10), token(3, 20)]).await;
    let expired = catalog.expired_tokens(Timestamp(20), 9).await.unwrap().records;
    assert_eq!(
        expired.iter().map(|token| token.hash.0[0]).collect::<Vec<_>>(),
        [2, 3]
    );
    commit(&catalog, |changes| expired.iter().fold(changes, Changes::delete)).await;
    let left = catalog.expired_tokens(Timestamp(99), 9).await.unwrap();
    assert_eq!(left.records.len(), 1);
    assert_eq!(catalog.token(&TokenHash([2; 32])).await.unwrap(), None);
    assert_eq!(verify::verify(&catalog).await.unwrap(), []);
}

#[actix::test]
async fn revoked_tokens_are_found_by_user_and_by_expiry() {
    let catalog = catalog().await;
    let token = |user: &str, n: u128, expires: i64| RevokedToken {
        user_id: user.into(),
        audit_id: uuid::Uuid::from_u128(n),
        expires_at: Timestamp(expires),
    };
    let revoked = [token("u", 1, 30), token("u", 2, 10), token("u\0v", 3, 20)];
    insert(&catalog, &revoked).await;
    let again = try_to_commit(&catalog, |changes| changes.insert(&revoked[0])).await;
    assert!(matches!(again, Err(CommitError::Conflict(_))));

    let of_user = catalog.revoked_tokens(&"u".into(), 9).await.unwrap();
    assert_eq!(of_user.len(), 2);
    let is_revoked = async |user: &str, n| {
        let subject = TokenSubject {
            user: &user.into(),
            project: None,
            credential: None,
            audit_id: uuid::Uuid::from_u128(n),
        };
        catalog.token_state(subject).await.unwrap().is_revoked
    };
    assert!(is_revoked("u", 1).await && !is_revoked("v", 1).await && !is_revoked("u", 9).await);

    assert_eq!(verify::verify(&catalog).await.unwrap(), []);
    let expired = catalog.expired_revocations(Timestamp(20), 9).await.unwrap();
    assert_eq!(expired.next, None);
    let expired = expired.records;
    let numbers = expired.iter().map(|token| token.audit_id.as_u128());
    assert_eq!(numbers.collect::<Vec<_>>(), [2, 3]);
    commit(&catalog, |changes| expired.iter().fold(changes, Changes::delete)).await;
    assert_eq!(verify::verify(&catalog).await.unwrap(), []);
    assert!(is_revoked("u", 1).await && !is_revoked("u", 2).await);
}

#[actix::test]
async fn messages_are_listed_newest_first_and_forgotten_when_they_expire() {
    let catalog = catalog().await;
    let message = |project: &str, expires: i64| UserMessage {
        id: MessageId::new(),
        project_id: project.into(),
        request_id: "req-1".to_owned(),
        resource_type: "VOLUME".to_owned(),
        resource_uuid: None,
        action: Action::ExtendVolume,
        detail: Detail::UnknownError,
        cause: None,
        created_at: samples::tick(),
        expires_at: Timestamp(expires),
    };
    let written = [message("p", 10), message("q", 30), message("p", 20)];
    insert(&catalog, &written).await;
    let newest = async |project: Option<&ProjectId>, marker| {
        let page = catalog.newest::<UserMessage>(project, marker, 9).await;
        page.unwrap().records
    };
    let own = newest(Some(&"p".into()), None).await;
    assert_eq!(own, [written[2].clone(), written[0].clone()]);
    let behind = newest(None, Some(written[1].id)).await;
    assert_eq!(behind, [written[0].clone()]);
    let expired = catalog.expired_messages(Timestamp(20), 9).await.unwrap().records;
    assert_eq!(
        expired.iter().map(|message| message.id).collect::<Vec<_>>(),
        [written[0].id, written[2].id]
    );
    commit(&catalog, |changes| expired.iter().fold(changes, Changes::delete)).await;
    assert_eq!(newest(None, None).await, [written[1].clone()]);
    assert_eq!(verify::verify(&catalog).await.unwrap(), []);
}

#[actix::test]
async fn users_projects_roles_limits_and_services_are_kept_by_their_names() {
    let catalog = catalog().await;
    let user = User {
        id: "u".into(),
        name: "admin".to_owned(),
        password_hash: Secret::new("$argon2id$"),
        domain: "default".to_owned(),
        default_project: None,
        enabled: true,
        attributes: Default::default(),
    };
    let project = Project {
        id: "p".into(),
        name: "admin".to_owned(),
        domain: "default".to_owned(),
        enabled: true,
        description: String::new(),
        tags: Default::default(),
        attributes: Default::default(),
        token_generation: 0,
    };
    let roles = of_user("u", "p");
    let service = Service {
        id: ServiceId::new(),
        binary: "cinder-volume".to_owned(),
        host: "h@b".to_owned(),
        availability_zone: "nova".to_owned(),
        disabled: false,
        disabled_reason: None,
        frozen: false,
        created_at: samples::tick(),
        updated_at: None,
    };
    let limits = [(Resource::volumes(), 3)].into();
    let mut changes = catalog.change();
    changes
        .insert(&user)
        .insert(&project)
        .insert(&roles)
        .put_service(&service);
    changes.put_project_limits(&"p".into(), &limits);
    changes.commit().await.unwrap();
    let of_class = [(Resource::volumes(), 3)];
    catalog.set_class_limits("default", &of_class).await.unwrap();
    let found = catalog.identity_record_named::<User>("default", "admin").await;
    assert_eq!(found.unwrap().unwrap().record, user);
    let found = catalog.identity_record_named::<Project>("default", "admin").await;
    assert_eq!(found.unwrap().unwrap().record, project);
    let elsewhere = catalog.identity_record_named::<User>("other", "admin").await;
    assert!(elsewhere.unwrap().is_none());
    assert_eq!(catalog.roles_of(&"u".into()).await.unwrap()[0].record, roles);
    assert_eq!(catalog.project_limits(&"p".into()).await.unwrap(), limits);
    assert_eq!(catalog.class_limits("default").await.unwrap(), limits);
    let of_others = catalog.project_limits(&"default".into()).await.unwrap();
    assert!(of_others.is_empty());

    let disabled = Service {
        disabled: true,
        ..service
    };
    commit(&catalog, |changes| changes.put_service(&disabled)).await;
    catalog.delete_project_limits(&"p".into()).await.unwrap();
    assert!(catalog.project_limits(&"p".into()).await.unwrap().is_empty());
    assert_eq!(catalog.class_limits("default").await.unwrap(), limits);
    let services = catalog.services().await.unwrap().into_iter();
    assert_eq!(services.map(|found| found.record).collect::<Vec<_>>(), [disabled]);
    assert_eq!(verify::verify(&catalog).await.unwrap(), []);
}

#[actix::test]
async fn a_record_without_measure_fails_its_commit_and_no_other() {
    let catalog = catalog().await;
    let mut record = volume("p", "a", 1);
    record.metadata = (0..400).map(|n| (format!("{n:0255}"), "v".repeat(255))).collect();
    let inserted = try_to_commit(&catalog, |changes| changes.insert(&record)).await;
    let Err(CommitError::Store(error)) = inserted else {
        panic!("it was kept")
    };
    assert!(error.to_string().contains("over"), "{error}");
    assert_eq!(catalog.volume(record.id).await.unwrap(), None);
}

#[actix::test]
async fn others_work_while_a_page_of_large_records_is_decoded() {
    use std::cell::Cell;
    use std::rc::Rc;
    let catalog = catalog().await;
    let backend = BackendName::new("h", "b");
    for _ in 0..40 {
        let mut large = volume("p", "n", 1);
        large.description = Some("d".repeat(60 * 1024));
        large.host = Some(backend.pool("p"));
        insert(&catalog, [&large]).await;
    }
    let turns = Rc::new(Cell::new(0));
    let other = {
        let turns = Rc::clone(&turns);
        tokio::task::spawn_local(async move {
            loop {
                turns.set(turns.get() + 1);
                tokio::task::yield_now().await;
            }
        })
    };
    let page = catalog.backend_volumes(&backend, None, 100).await;
    assert_eq!(page.unwrap().records.len(), 40);
    other.abort();
    // 2,400 KiB are read, in stretches of 512.
    assert!(turns.get() >= 4, "{} turns", turns.get());
}

#[actix::test]
async fn storage_that_two_volumes_exchange_is_found_by_its_name() {
    let catalog = catalog().await;
    let backends = [BackendName::new("h", "one"), BackendName::new("h", "two")];
    let (mut volume, mut copy) = (volume("p", "v", 1), volume("p", "v", 1));
    volume.host = Some(backends[0].pool("p"));
    copy.host = Some(backends[1].pool("p"));
    copy.set_copy_of(volume.id);
    commit(&catalog, |changes| {
        changes
            .insert(&volume)
            .insert(&copy)
            .add_usage(&volume.project_id, &volume_deltas(1, volume.volume_type_id))
            .add_usage(&volume.project_id, &volume_deltas(1, copy.volume_type_id))
    })
    .await;
    let was = catalog.volume(volume.id).await.unwrap().unwrap();
    let copy_was = catalog.volume(copy.id).await.unwrap().unwrap();
    std::mem::swap(&mut volume.host, &mut copy.host);
    volume.set_storage_id(copy.id);
    copy.set_storage_id(volume.id);
    commit(&catalog, |changes| {
        changes.update(&was, &volume).update(&copy_was, &copy)
    })
    .await;
    assert_eq!(verify::verify(&catalog).await.unwrap(), []);
    for (project, count) in [(None, 2), (Some(volume.project_id.clone()), 1)] {
        let query = VolumeQuery {
            project,
            limit: 9,
            ..VolumeQuery::default()
        };
        let listed = catalog.page::<Volume>(&query).await.unwrap().records;
        assert_eq!(
            listed.len(),
            count,
            "a hidden copy is in the list of all projects only"
        );
    }
    let names = [volume.id, copy.id].map(crate::model::StorageName::Volume);
    let expected = [
        (&backends[0], names[0], copy.id),
        (&backends[1], names[1], volume.id),
    ];
    for (backend, name, owner) in expected {
        let known = catalog.names_on_backend(backend, &names).await.unwrap();
        assert_eq!(known.into_iter().collect::<Vec<_>>(), [(name, owner.0)]);
        let all = catalog.backend_volumes(backend, None, 9).await.unwrap().records;
        assert_eq!(all.iter().map(|found| found.id).collect::<Vec<_>>(), [owner]);
    }
}

fn of_user(user: &str, project: &str) -> RoleAssignment {
    RoleAssignment {
        user_id: user.into(),
        project_id: project.into(),
        roles: ["r".into()].into(),
        token_generation: 0,
    }
}

#[actix::test]
async fn what_belongs_to_a_deleted_project_is_deleted_in_bounded_commits_and_goes_on_after_a_crash() {
    let catalog = catalog().await;
    let mut changes = catalog.change();
    for user in 0..30 {
        changes.insert(&of_user(&format!("u{user}"), "p"));
    }
    changes.insert(&of_user("u1", "q"));
    changes.commit().await.unwrap();
    let of = crate::model::IdentityKey::Project("p".into());
    let left = async || catalog.roles_in_project(&"p".into()).await.unwrap().len();

    let mut changes = catalog.change();
    catalog.delete_dependents(&mut changes, &of).await.unwrap();
    changes.commit().await.unwrap();
    // Here a process may end; another one finds what is left.
    assert_eq!(left().await, 22);
    assert_eq!(catalog.clean_up_identity().await.unwrap(), 1);
    assert_eq!(left().await, 0);
    assert_eq!(catalog.clean_up_identity().await.unwrap(), 0);
    assert_eq!(catalog.role_assignments().await.unwrap().len(), 1);
    assert_eq!(verify::verify(&catalog).await.unwrap(), []);
}

#[actix::test]
async fn identity_of_an_earlier_layout_is_found_by_its_names_afterwards() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let catalog = Catalog::open(Arc::clone(&store)).await.unwrap();
    let user = crate::model::identity::samples::user();
    let mut changes = catalog.change();
    changes.put(user.key(), &user);
    let assignment = of_user("u", "p");
    changes.put(assignment.key(), &assignment);
    changes.put(keys::key(keys::LAYOUT).end(), &Layout { version: 2 });
    changes.commit().await.unwrap();
    for _ in 0..2 {
        let catalog = Catalog::open(Arc::clone(&store)).await.unwrap();
        let found = catalog
            .identity_record_named::<User>("default", "admin")
            .await
            .unwrap();
        assert_eq!(found.unwrap().record, user);
        assert_eq!(catalog.roles_in_project(&"p".into()).await.unwrap().len(), 1);
        assert_eq!(verify::verify(&catalog).await.unwrap(), []);
    }
}
