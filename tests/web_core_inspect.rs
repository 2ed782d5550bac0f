//! What administrators see of actors and operations. Real HTTP over loopback.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use pumice::model::quota::Deltas;
use pumice::model::{OperationId, StepOutcome, StepRecord, Timestamp, VolumeId};
use pumice::store::catalog::Catalog;
use pumice::store::memory::MemoryStore;
use pumice::store::record::operation_v1::{OperationKind, OperationV1};
use pumice::transport::Router;
use pumice::web::auth::{Authenticator, Credentials, Principal, Scope, Strategy};
use pumice::web::fault::Fault;
use pumice::web::server::{Site, run};
use pumice::web::state::{ServerState, WebState};
use serde_json::{Value, json};

#[expect(dead_code, reason = "this file uses a part of it")]
mod web_support;
use web_support::{Answer, loopback, send};

/// `admin` and `member` of one project, `stranger` of another; and `broken`, which cannot be looked up.
struct Tokens;

#[async_trait::async_trait]
impl Authenticator for Tokens {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<Principal>, Fault> {
        let token = credentials.token;
        if token == "broken" {
            return Err(Fault::internal("the disk of hunter2 is gone"));
        }
        Ok(["admin", "member", "stranger"]
            .contains(&token)
            .then(|| Principal {
                user_id: token.into(),
                project_id: if token == "stranger" { "0b" } else { "0a" }.into(),
                roles: vec![if token == "stranger" { "member" } else { token }.to_owned()],
                is_admin: token == "admin",
                scope: Scope::Project,
            }))
    }

    fn login_uri(&self, base_url: &str) -> String {
        format!("{base_url}/identity/v3")
    }
}

struct House {
    address: SocketAddr,
    catalog: Catalog,
}

impl House {
    async fn open() -> Self {
        let catalog = Catalog::open(Arc::new(MemoryStore::default())).await.unwrap();
        let state = WebState::new(catalog.clone(), Router::new("here"));
        let site = Site {
            server: web::Data::new(ServerState::new(Strategy::Tokens(Arc::new(Tokens)))),
            state: Some(web::Data::new(state)),
            identity: None,
        };
        let (server, addresses) = run(&loopback(), site).unwrap();
        actix_web::rt::spawn(server);
        Self {
            address: addresses[0],
            catalog,
        }
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        send(self.address, "GET", path, &[("X-Auth-Token", token)], None).await
    }

    /// Journals the creation of a volume that waits for its backend.
    async fn begin(&self, volume_id: VolumeId) -> OperationId {
        let now = Timestamp::now();
        let operation = OperationV1 {
            id: OperationId::new(),
            kind: OperationKind::CreateVolume { hints: None },
            volume_id,
            project_id: "0a".into(),
            user_id: "u".into(),
            request_id: "req-1".to_owned(),
            attempt: 1,
            pool: None,
            tried: Vec::new(),
            previous_status: None,
            reserved: Deltas::new(),
            steps: vec![StepRecord {
                name: "pick_pool".to_owned(),
                attempt: 1,
                started_at: now,
                finished_at: None,
                outcome: StepOutcome::Running,
            }],
            created_at: now,
            deadline: now.plus(Duration::from_secs(3600)),
        }
        .upgrade()
        .unwrap();
        let mut changes = self.catalog.change();
        changes.insert(&operation);
        changes.commit().await.unwrap();
        operation.id
    }
}

fn ids(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let operations = body["operations"].as_array().unwrap();
    operations
        .iter()
        .map(|operation| operation["id"].as_str().unwrap().to_owned())
        .collect()
}

#[actix_web::test]
async fn only_an_administrator_looks_inside() {
    let house = House::open().await;
    for path in [
        "/inspect/actors",
        "/inspect/operations/finished",
        "/inspect/scheduler/decisions",
        "/inspect/fsck",
        "/inspect/cluster",
        "/inspect/nodes/h",
    ] {
        assert_eq!(
            send(house.address, "GET", path, &[], None).await.status,
            401,
            "{path}"
        );
        assert_eq!(house.get(path, "member").await.status, 403, "{path}");
    }
    let actors = house.get("/inspect/actors", "admin").await;
    assert_eq!(
        actors.json(),
        json!({"node": "here", "healthy": true, "actors": [], "peers": [], "undelivered": []})
    );
    assert_eq!(house.get("/inspect/operations/x", "admin").await.status, 404);
    assert_eq!(house.get("/inspect/nosuch", "admin").await.status, 404);
}

#[actix_web::test]
async fn what_is_recorded_is_checked_at_this_moment() {
    let house = House::open().await;
    assert_eq!(
        house.get("/inspect/fsck", "admin").await.json(),
        json!({"findings": []})
    );
    let volume = VolumeId::new();
    house.begin(volume).await;
    let answer = house.get("/inspect/fsck", "admin").await.json();
    let findings = answer["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0]["finding"], "operation_without_volume");
    assert!(
        findings[0]["what"]
            .as_str()
            .unwrap()
            .contains(&volume.to_string())
    );
}

#[actix_web::test]
async fn a_creating_volume_says_what_it_waits_for() {
    let house = House::open().await;
    let (mine, other) = (VolumeId::new(), VolumeId::new());
    house.begin(other).await;
    let id = house.begin(mine).await;
    let answer = house
        .get(&format!("/inspect/operations?volume_id={mine}"), "admin")
        .await;
    let body = answer.json();
    let operation = &body["operations"][0];
    assert_eq!(operation["id"], id.to_string());
    assert_eq!(
        (&operation["kind"], &operation["overdue"]),
        (&json!("create_volume"), &json!(false))
    );
    assert_eq!(operation["steps"][0]["name"], "pick_pool");
    assert_eq!(
        (
            &operation["steps"][0]["outcome"],
            &operation["steps"][0]["finished_at"]
        ),
        (&json!("running"), &Value::Null)
    );
    let one = house
        .get(&format!("/inspect/operations/{id}"), "admin")
        .await
        .json();
    assert_eq!(one["operation"]["volume_id"], mine.to_string());
}

#[actix_web::test]
async fn a_project_sees_its_own_operations_without_where_they_are_done() {
    let house = House::open().await;
    let id = house.begin(VolumeId::new()).await;
    let path = format!("/inspect/operations/{id}");
    assert_eq!(send(house.address, "GET", &path, &[], None).await.status, 401);
    for (token, seen) in [("member", true), ("stranger", false)] {
        let listed = ids(&house.get("/inspect/operations", token).await);
        assert_eq!(listed.contains(&id.to_string()), seen, "{token}");
        let one = house.get(&path, token).await;
        assert_eq!(one.status, if seen { 200 } else { 404 }, "{token}");
        assert_eq!(
            house.get("/inspect/operations/x", token).await.status,
            404,
            "{token}"
        );
        let operation = &one.json()["operation"];
        for inside in ["pool", "tried", "error"] {
            assert_eq!(operation.get(inside), None, "{token} {inside}");
        }
    }
    let whole = house.get(&path, "admin").await.json();
    assert_eq!(whole["operation"]["tried"], json!([]));
    assert_eq!(whole["operation"]["can_be_cancelled"], json!(true));
}

#[actix_web::test]
async fn operations_come_in_pages() {
    let house = House::open().await;
    let volume = VolumeId::new();
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(house.begin(volume).await.to_string());
        house.begin(VolumeId::new()).await;
    }
    let mut path = format!("/inspect/operations?limit=2&volume_id={volume}");
    let mut seen = Vec::new();
    loop {
        let answer = house.get(&path, "admin").await;
        seen.extend(ids(&answer));
        match answer.json()["operations_links"][0]["href"].as_str() {
            Some(href) => path = href.replace(&format!("http://{}", house.address), ""),
            None => break,
        }
    }
    assert_eq!(seen, all);
}

#[actix_web::test]
async fn a_token_that_cannot_be_looked_up_is_our_fault_and_says_no_more() {
    let house = House::open().await;
    let answer = house.get("/v3/volumes", "broken").await;
    assert_eq!(answer.status, 500);
    assert!(!answer.text.contains("hunter2"), "{}", answer.text);
}
