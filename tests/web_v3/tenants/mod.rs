//! Two tenants and their roles: for each route of the table, each role gets what Cinder's rule of the route says, and a user of another
//! project gets what it would get if there were nothing: it can neither read, nor change, nor guess what there is.

mod requests;

use std::collections::BTreeMap;

use pumice::model::user_message::{Action, Detail};
use pumice::model::{MessageId, Timestamp, UserMessage};
use pumice::web::policy::Level;
use pumice::web::policy::rules::cinder_rules;
use pumice::web::routes::{RouteInfo, Routes, RuleOrder};
use pumice::web::v3;
use serde_json::{Value, json};

use self::requests::Sent;
use crate::api::{House, OTHER_PROJECT, PROJECT};
use crate::web_support::Answer;

/// A key of metadata, and of an extra spec that all users see.
const KEY: &str = "RESKEY:availability_zones";

/// What a request may name, by the name in its path.
#[derive(Clone)]
struct Things(BTreeMap<&'static str, String>);

impl Things {
    /// One of each that this request names.
    async fn make(house: &House, text: &str) -> Self {
        let names = |name: &str| text.contains(&format!("{{{name}}}"));
        let mut things = Self::of_all();
        let mut volume = None;
        if names("volume_id") || names("snapshot_id") {
            volume = Some(house.volume(json!({"size": 1, "metadata": {KEY: "nova"}})).await);
        }
        if names("snapshot_id") {
            let of = volume.as_ref().unwrap();
            let made = house.snapshot(json!({"volume_id": of, "metadata": {KEY: "nova"}}));
            things.0.insert("snapshot_id", made.await);
        }
        if names("attachment_id") {
            let of = house.volume(json!({"size": 1})).await;
            let made = house.post("/attachments", json!({"attachment": {"volume_uuid": of}}));
            things.0.insert("attachment_id", id_of(made.send().await));
        }
        if names("transfer_id") {
            let of = house.volume(json!({"size": 1})).await;
            let made = house.post("/volume-transfers", json!({"transfer": {"volume_id": of}}));
            things.0.insert("transfer_id", id_of(made.send().await));
        }
        if names("message_id") {
            things.0.insert("message_id", message(house).await);
        }
        if names("type_id") {
            things.0.insert("type_id", private_type(house).await);
        }
        if names("id") && text.contains("/qos-specs") {
            let made = house.post("/qos-specs", json!({"qos_specs": {"name": new()}}));
            things.0.insert("id", id_of(made.send().await));
        }
        if let Some(volume) = volume {
            things.0.insert("volume_id", volume);
        }
        things
    }

    /// What is there anyway.
    fn of_all() -> Self {
        let known = [
            ("target_id", PROJECT),
            ("class", "default"),
            ("action", "nothing"),
            ("alias", "os-hosts"),
            ("name", "c"),
            ("key", KEY),
            ("id", "h@lvm"),
            ("public_type", "__DEFAULT__"),
            ("nothing", "11111111-2222-4333-8444-555555555555"),
        ];
        Self(known.map(|(name, value)| (name, value.to_owned())).into())
    }

    /// The same names, for what is not there.
    fn nowhere(&self) -> Self {
        let ids = [
            "volume_id",
            "snapshot_id",
            "attachment_id",
            "transfer_id",
            "message_id",
            "type_id",
            "id",
        ];
        let mut others = self.0.clone();
        for (name, value) in &mut others {
            if ids.contains(name) && uuid::Uuid::parse_str(value).is_ok() {
                *value = new();
            }
            if *name == "target_id" {
                *value = uuid::Uuid::new_v4().simple().to_string();
            }
        }
        Self(others)
    }

    fn fill(&self, text: &str) -> String {
        let named = self.0.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value)
        });
        named.replace("{new}", &new())
    }

    /// A text with names in the places of values.
    fn unfill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, value)| {
            let is_id = value.len() >= 32;
            if is_id {
                text.replace(value, &format!("{{{name}}}"))
            } else {
                text
            }
        })
    }
}

fn new() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn id_of(answer: Answer) -> String {
    let made = answer.json();
    let mut made = made
        .as_object()
        .unwrap()
        .iter()
        .filter(|(key, _)| *key != "links");
    made.next().unwrap().1["id"].as_str().unwrap().to_owned()
}

async fn message(house: &House) -> String {
    let id = MessageId::new();
    let mut changes = house.catalog.change();
    changes.insert(&UserMessage {
        id,
        project_id: PROJECT.into(),
        request_id: "req-1".to_owned(),
        resource_type: "VOLUME".to_owned(),
        resource_uuid: None,
        action: Action::ScheduleAllocateVolume,
        detail: Detail::UnknownError,
        cause: None,
        created_at: Timestamp::now(),
        expires_at: Timestamp(Timestamp::now().0 * 2),
    });
    changes.commit().await.unwrap();
    id.to_string()
}

/// A type that is open to the first project only.
async fn private_type(house: &House) -> String {
    let fields =
        json!({"name": new(), "os-volume-type-access:is_public": false, "extra_specs": {KEY: "nova"}});
    let id = id_of(house.post("/types", json!({"volume_type": fields})).send().await);
    let access = json!({"addProjectAccess": {"project": PROJECT}});
    let answer = house.post(&format!("/types/{id}/action"), access).send().await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    id
}

/// A route with what is sent to it.
struct Request {
    row: RouteInfo,
    method: String,
    sent: Sent,
}

impl Request {
    fn of(row: RouteInfo) -> Self {
        let method = row.method.as_ref().map_or("GET".to_owned(), ToString::to_string);
        let sent = requests::of(&row);
        Self { row, method, sent }
    }

    /// All that it names.
    fn text(&self) -> String {
        let before = self.sent.before.iter().map(|(row, body)| format!("{row}{body}"));
        let before: String = before.collect();
        format!("{}{}{}{before}", self.row.path, self.sent.query, self.sent.body)
    }

    fn body(&self, things: &Things) -> Option<Value> {
        let body = Some(self.sent.body).filter(|body| !body.is_empty())?;
        let body: Value = serde_json::from_str(&things.fill(body)).unwrap();
        Some(match self.row.action {
            Some(action) => json!({action: body}),
            None => body,
        })
    }

    async fn send(&self, house: &House, things: &Things, role: &str, project: &str) -> Answer {
        let path = format!("{}{}", things.fill(self.row.path), things.fill(self.sent.query));
        let mut request = house.request(&self.method, &path).by(role, project);
        if let Some(body) = self.body(things) {
            request = request.body(body);
        }
        request.send().await
    }
}

fn rows() -> Vec<RouteInfo> {
    Routes::of(v3::routes).infos()
}

/// The role that Cinder's rule of a route requires; `None`: any.
fn required(row: &RouteInfo) -> Option<Level> {
    let rule = row.rule()?;
    let cinders = cinder_rules().find(|known| known.name == rule.name);
    Some(
        cinders
            .unwrap_or_else(|| panic!("Cinder has no rule {}", rule.name))
            .level,
    )
}

const ROLES: [(&str, Option<Level>); 4] = [
    ("auditor", None),
    ("reader", Some(Level::Reader)),
    ("member", Some(Level::Member)),
    ("admin", Some(Level::Admin)),
];

#[test]
fn every_line_is_of_a_route() {
    let rows = rows();
    assert_eq!(requests::unknown(rows.iter()), Vec::<&str>::new());
}

/// Whom the rule denies is refused and changes nothing; whom it allows is served.
#[actix_web::test]
async fn each_route_serves_each_role_as_its_rule_says() {
    let house = House::build().await;
    let unlimited = json!({"quota_class_set": {"volumes": -1, "snapshots": -1, "gigabytes": -1}});
    let set = house.put("/os-quota-class-sets/default", unlimited).send().await;
    assert_eq!(set.status, 200, "{}", set.text);
    let (mut served, mut wrong) = (0, Vec::new());
    for request in rows().into_iter().map(Request::of) {
        let name = requests::name(&request.row);
        let required = required(&request.row);
        let things = Things::make(&house, &request.text()).await;
        for (role, level) in ROLES {
            let may = required.is_none_or(|required| level.is_some_and(|level| level >= required));
            if !may {
                let answer = request.send(&house, &things, role, PROJECT).await;
                // In these rows, the handler may say first that there is nothing.
                let is_late = request.row.rule_order == RuleOrder::InHandler && answer.status == 404;
                if answer.status != 403 && !is_late {
                    wrong.push(format!(
                        "{role}: {name}: {} instead of 403: {}",
                        answer.status, answer.text
                    ));
                }
                continue;
            }
            // What was sent before may have ended it.
            let things = match request.method.as_str() {
                "GET" if request.sent.before.is_empty() => things.clone(),
                _ => Things::make(&house, &request.text()).await,
            };
            for (before, body) in request.sent.before {
                let (method, path) = before.split_once(' ').unwrap();
                let body = serde_json::from_str(&things.fill(body)).unwrap();
                let done = house.request(method, &things.fill(path)).body(body).send().await;
                assert!(done.status < 300, "before {name}: {}", done.text);
            }
            let answer = request.send(&house, &things, role, PROJECT).await;
            let expected: Vec<u16> = match request.sent.expects {
                Some(status) => vec![status],
                None if !request.row.is_served => vec![501],
                None if request.row.is_always_refused => vec![400, 404],
                None => request.row.successes.iter().map(|one| one.status).collect(),
            };
            if !expected.contains(&answer.status) {
                let (status, text) = (answer.status, answer.text);
                wrong.push(format!(
                    "{role}: {name}: {status} instead of {expected:?}: {text}"
                ));
            }
            served += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(served > 280, "only {served} were served");
    house.close().await;
}

/// A value with NUL in each of its texts and keys in turn.
fn with_nul(value: &Value) -> Vec<Value> {
    match value {
        Value::String(text) => vec![json!(format!("{text}\0"))],
        Value::Array(items) => {
            let with = |at: usize, item: Value| {
                let mut items = items.clone();
                items[at] = item;
                Value::Array(items)
            };
            let indexed = items.iter().enumerate();
            let broken =
                indexed.flat_map(|(at, item)| with_nul(item).into_iter().map(move |item| (at, item)));
            broken.map(|(at, item)| with(at, item)).collect()
        }
        Value::Object(fields) => {
            let mut all = Vec::new();
            for (key, value) in fields {
                let mut others = fields.clone();
                others.remove(key);
                let mut put = |key: String, value: Value| {
                    let mut fields = others.clone();
                    fields.insert(key, value);
                    all.push(Value::Object(fields));
                };
                put(format!("{key}\0"), value.clone());
                with_nul(value)
                    .into_iter()
                    .for_each(|broken| put(key.clone(), broken));
            }
            all
        }
        _ => Vec::new(),
    }
}

/// What a text means must not depend on who reads it: some end it at NUL.
#[actix_web::test]
async fn no_text_of_any_body_may_contain_nul() {
    let house = House::build_deaf().await;
    let mut things = Things::of_all();
    for name in [
        "volume_id",
        "snapshot_id",
        "attachment_id",
        "transfer_id",
        "message_id",
        "type_id",
    ] {
        things.0.insert(name, new());
    }
    let mut refused = 0;
    for request in rows().into_iter().filter(|row| row.is_served).map(Request::of) {
        let name = requests::name(&request.row);
        for body in request.body(&things).iter().flat_map(with_nul) {
            let path = things.fill(request.row.path);
            let answer = house
                .request(&request.method, &path)
                .body(body.clone())
                .send()
                .await;
            assert_eq!(answer.status, 400, "{name}: {body}: {}", answer.text);
            assert!(
                answer.text.contains("contains the character NUL."),
                "{name}: {body}: {}",
                answer.text
            );
            refused += 1;
        }
    }
    assert!(refused > 200, "only {refused} were refused");
    house.close().await;
}

/// What a project has, as an administrator sees it.
async fn all_of(house: &House) -> Vec<Value> {
    let mut seen = Vec::new();
    for path in [
        "/volumes/detail",
        "/snapshots/detail",
        "/attachments/detail",
        "/types?is_public=None",
        "/messages",
        "/volume-transfers/detail",
        "/qos-specs",
        "/default-types",
        &format!("/os-quota-sets/{PROJECT}"),
        "/os-quota-class-sets/default",
    ] {
        let mut answer = house.get(path).send().await.json();
        for list in answer.as_object_mut().unwrap().values_mut() {
            if let Some(list) = list.as_array_mut() {
                // What the stranger makes is its own.
                list.retain(|one| one["os-vol-tenant-attr:tenant_id"] != OTHER_PROJECT);
            }
        }
        seen.push(answer);
    }
    seen
}

/// All texts of a test's things that a stranger must not see.
const NAMED: &str = "{volume_id}{snapshot_id}{attachment_id}{transfer_id}{message_id}{type_id}";

/// To a stranger, what another project has is not there: status and text of the answer are those for an id that no record has.
#[actix_web::test]
async fn a_stranger_can_neither_read_nor_change_nor_guess() {
    let house = House::build().await;
    let things = Things::make(&house, NAMED).await;
    let before = all_of(&house).await;
    let (mut compared, mut told) = (0, Vec::new());
    for request in rows().into_iter().map(Request::of) {
        let name = requests::name(&request.row);
        for role in ["reader", "member"] {
            let nowhere = things.nowhere();
            let about_it = request.send(&house, &things, role, OTHER_PROJECT).await;
            let about_nothing = request.send(&house, &nowhere, role, OTHER_PROJECT).await;
            let seen = (about_it.status, things.unfill(&about_it.text));
            let expected = (about_nothing.status, nowhere.unfill(&about_nothing.text));
            let names_it = [request.row.path, request.sent.query, request.sent.body]
                .iter()
                .any(|text| things.unfill(&things.fill(text)) != things.fill(text));
            if names_it && seen.0 < 500 {
                if request.sent.tells.is_none() {
                    assert_eq!(seen, expected, "{role}: {name}");
                } else if seen != expected {
                    told.push(name.clone());
                }
                assert!(seen.0 >= 400, "{role}: {name}: {}", about_it.text);
                compared += 1;
            } else if seen.0 < 300 {
                assert_eq!(
                    about_it.text,
                    things_hidden(&things, &about_it.text),
                    "{role}: {name}"
                );
            }
        }
    }
    // Only those that are said to.
    told.dedup();
    assert_eq!(
        told,
        [
            "POST /os-volume-transfer/{transfer_id}/accept",
            "POST /volume-transfers/{transfer_id}/accept"
        ]
    );
    assert_eq!(all_of(&house).await, before, "something was changed");
    assert!(compared > 150, "only {compared} were compared");
    house.close().await;
}

/// The text without the ids of these things.
fn things_hidden(things: &Things, text: &str) -> String {
    let secret = things.0.values().filter(|value| value.len() == 36);
    secret.fold(text.to_owned(), |text, value| text.replace(value.as_str(), ""))
}

/// A list is asked for others, by each parameter that could name them; a marker of another project is like one of nothing.
#[actix_web::test]
async fn lists_do_not_tell_of_other_projects() {
    let house = House::build().await;
    let things = Things::make(&house, NAMED).await;
    let of_list = |row: &RouteInfo| {
        row.parameters
            .iter()
            .any(|one| one.name == "marker" || one.name == "all_tenants")
    };
    let mut lists = 0;
    for row in rows().into_iter().filter(|row| of_list(row) && row.is_served) {
        let request = Request::of(row);
        let name = requests::name(&request.row);
        for (parameter, value) in [
            ("all_tenants", "1"),
            ("project_id", PROJECT),
            ("source_project_id", PROJECT),
            ("id", &things.0["volume_id"]),
            ("volume_id", &things.0["volume_id"]),
            ("status", "available"),
            ("name~", ""),
            ("with_count", "True"),
        ] {
            let path = format!("{}?{parameter}={value}", request.row.path);
            let answer = house.get(&path).by("member", OTHER_PROJECT).send().await;
            assert_eq!(
                answer.text,
                things_hidden(&things, &answer.text),
                "{name} {parameter}"
            );
            let count = serde_json::from_str::<Value>(&answer.text)
                .ok()
                .map(|answer| answer["count"].clone());
            assert!(
                count.is_none_or(|count| count.is_null() || count == 0),
                "{name}: {}",
                answer.text
            );
        }
        let nowhere = things.nowhere();
        for id in [
            "volume_id",
            "snapshot_id",
            "attachment_id",
            "transfer_id",
            "message_id",
            "type_id",
        ] {
            let ask = async |of: &Things| {
                let path = format!("{}?marker={}", request.row.path, of.0[id]);
                let answer = house.get(&path).by("member", OTHER_PROJECT).send().await;
                (answer.status, of.unfill(&answer.text))
            };
            assert_eq!(ask(&things).await, ask(&nowhere).await, "{name}: marker of {id}");
        }
        lists += 1;
    }
    assert!(lists > 12, "only {lists} lists");
    house.close().await;
}
