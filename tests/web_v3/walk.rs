//! Every route there is, taken from the table that is mounted, called by those whom its rule does not allow.

use std::collections::BTreeSet;

use pumice::model::OperationId;
use pumice::web::policy::{Level, Rule};
use pumice::web::routes::{Access, RouteInfo};
use pumice::web::server;
use serde_json::{Value, json};

use crate::api::{House, OTHER_PROJECT, PROJECT};
use crate::web_support::{Answer, send};

/// What there is to look at and to lose.
struct Things {
    volume: String,
    snapshot: String,
    attachment: String,
    volume_type: String,
    message: String,
    transfer: String,
    operation: OperationId,
}

impl Things {
    async fn make(house: &House) -> Self {
        let volume = house.resting_volume("available").await;
        let held = house.resting_volume("available").await;
        let made = house
            .post("/snapshots", json!({"snapshot": {"volume_id": held}}))
            .send()
            .await
            .json();
        let attached = house.resting_volume("available").await;
        let attachment = house
            .post("/attachments", json!({"attachment": {"volume_uuid": attached}}))
            .send()
            .await
            .json();
        let volume_type = house
            .post(
                "/types",
                json!({"volume_type": {"name": "t", "os-volume-type-access:is_public": false}}),
            )
            .send()
            .await
            .json();
        let offered = house.resting_volume("available").await;
        house.end_operations(&offered).await;
        let transfer = house
            .post("/volume-transfers", json!({"transfer": {"volume_id": offered}}))
            .send()
            .await
            .json();
        let open = house.catalog.operations(None, 10).await.unwrap();
        let operation = open.records.first().unwrap().id;
        Self {
            volume,
            snapshot: made["snapshot"]["id"].as_str().unwrap().to_owned(),
            attachment: attachment["attachment"]["id"].as_str().unwrap().to_owned(),
            volume_type: volume_type["volume_type"]["id"].as_str().unwrap().to_owned(),
            message: uuid::Uuid::new_v4().to_string(),
            transfer: transfer["transfer"]["id"].as_str().unwrap().to_owned(),
            operation,
        }
    }

    /// A path of this pattern that names what is there.
    fn path(&self, prefix: &str, pattern: &str, project: &str) -> String {
        let operation = self.operation.to_string();
        let path = format!("{prefix}{pattern}").replace("{project_id:[0-9a-f-]+}", project);
        let id = if prefix == "/inspect" {
            operation.as_str()
        } else {
            self.volume.as_str()
        };
        [
            ("{volume_id}", self.volume.as_str()),
            ("{snapshot_id}", &self.snapshot),
            ("{attachment_id}", &self.attachment),
            ("{type_id}", &self.volume_type),
            ("{message_id}", &self.message),
            ("{transfer_id}", &self.transfer),
            ("{target_id}", PROJECT),
            ("{class}", "default"),
            ("{action}", "disable"),
            ("{alias}", "os-hosts"),
            ("{encryption_id}", &self.volume),
            ("{fact}", "encryption_key_id"),
            ("{name}", "c"),
            ("{key}", "k"),
            ("{id}", id),
        ]
        .iter()
        .fold(path, |path, (name, value)| path.replace(name, value))
    }
}

/// What the project has, as its administrator sees it.
async fn all_of(house: &House) -> Vec<Value> {
    let mut seen = Vec::new();
    for path in [
        "/volumes/detail",
        "/snapshots/detail",
        "/attachments/detail",
        "/types?is_public=None",
        "/messages",
        "/volume-transfers/detail",
        &format!("/os-quota-sets/{PROJECT}"),
        "/os-quota-class-sets/default",
        "/os-services",
    ] {
        let mut answer = house.get(path).send().await.json();
        // The heartbeat of a service is no change of anybody's.
        for service in answer["services"].as_array_mut().into_iter().flatten() {
            service["updated_at"] = json!(null);
        }
        seen.push(answer);
    }
    let open = house.catalog.operations(None, 1000).await.unwrap();
    seen.push(json!(
        open.records
            .iter()
            .map(|operation| (operation.id.to_string(), operation.is_cancelled()))
            .collect::<Vec<_>>()
    ));
    seen
}

/// A method and a body for each thing that a route does, with the rule that allows it.
fn requests(route: &RouteInfo) -> Vec<(String, Option<Value>, Option<Rule>, bool)> {
    let mut methods: Vec<String> = match &route.method {
        Some(method) => vec![method.to_string()],
        None => ["GET", "HEAD", "OPTIONS", "POST", "DELETE"]
            .map(str::to_owned)
            .to_vec(),
    };
    if methods == ["GET"] {
        methods.push("HEAD".to_owned());
    }
    let mut found = Vec::new();
    for method in methods {
        let body = match route.action {
            Some(action) => json!({action: {}}),
            None => json!({}),
        };
        match route.access {
            Access::Rule(rule) => {
                found.push((method, Some(body), Some(rule), !route.rule_order.is_in_gate()))
            }
            Access::Open | Access::Token | Access::Identity => found.push((method, None, None, false)),
        }
    }
    found
}

async fn call(house: &House, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
    let mut headers = vec![("OpenStack-API-Version", "volume 3.71")];
    headers.extend(token.map(|token| ("X-Auth-Token", token)));
    if body.is_some() {
        headers.push(("Content-Type", "application/json"));
    }
    let body = body
        .filter(|_| method != "GET" && method != "HEAD")
        .map(Value::to_string);
    send(house.address, method, path, &headers, body).await
}

#[actix_web::test]
async fn no_route_does_anything_for_whom_its_rule_does_not_allow() {
    let house = House::build_deaf().await;
    let things = Things::make(&house).await;
    let before = all_of(&house).await;
    let mut rules = BTreeSet::new();
    let mut refused = 0;
    for (prefix, routes) in server::tables() {
        for route in routes.infos() {
            if prefix == "/identity" {
                continue; // tests/identity.rs walks it.
            }
            for (method, body, rule, refused_late) in requests(&route) {
                for (token, role, project) in [
                    (None, None, PROJECT),
                    (Some(format!("auditor:{PROJECT}")), None, PROJECT),
                    (Some(format!("reader:{PROJECT}")), Some(Level::Reader), PROJECT),
                    (Some("member:".to_owned()), None, PROJECT),
                    (
                        Some(format!("member:{OTHER_PROJECT}")),
                        Some(Level::Member),
                        OTHER_PROJECT,
                    ),
                ] {
                    let path = things.path(prefix, route.path, project);
                    let request = format!("{method} {path} {body:?} by {token:?}, {:?}", route.access);
                    // A token without a project has no project to name.
                    if token.as_deref() == Some("member:")
                        && path.contains(PROJECT)
                        && prefix.contains("project_id")
                    {
                        continue;
                    }
                    let role = role.filter(|_| token.as_deref() != Some("member:"));
                    // What a member of the other project may do in its own is no matter here.
                    let own =
                        project == OTHER_PROJECT && !path.replace(OTHER_PROJECT, "").contains(&things.volume);
                    let answer = call(&house, &method, &path, token.as_deref(), body.as_ref()).await;
                    let status = answer.status;
                    match (route.access, &token, rule) {
                        (Access::Open, ..) => assert!(status < 400, "{request}: {status}"),
                        (_, None, _) => assert_eq!(status, 401, "{request}"),
                        (_, Some(_), Some(rule)) if role.is_none_or(|role| role < rule.level) => {
                            rules.insert(rule.name);
                            refused += 1;
                            if refused_late {
                                assert!((400..500).contains(&status), "{request}: {status}");
                            } else {
                                assert_eq!(status, 403, "{request}: {}", answer.text);
                            }
                        }
                        _ => {
                            assert!(
                                status < 500 || status == 501,
                                "{request}: {status} {}",
                                answer.text
                            );
                            if project == OTHER_PROJECT && !own {
                                assert!(status >= 400, "{request}: {status} {}", answer.text);
                            }
                            assert!(
                                project == PROJECT || !answer.text.contains(&things.volume) || status >= 400,
                                "{request}: {}",
                                answer.text
                            );
                        }
                    }
                }
            }
        }
    }
    assert_eq!(all_of(&house).await, before, "something was changed");
    assert!(refused > 400, "only {refused} were refused");
    assert!(rules.len() > 90, "only {} rules were met", rules.len());
    house.close().await;
}
