//! The answers of the schemas, compared with recorded answers of Cinder (`tests/api/observed.jsonl`).

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::quota::Resource;
use crate::verbs::volume::CreateVolume;
use crate::web::microversion::Microversion;
use crate::web::routes::{self, RouteInfo, Routes};
use crate::web::v3;

/// A recorded request and answer.
struct Observed {
    method: String,
    path: String,
    version: Microversion,
    request: Value,
    status: u64,
    response: Value,
}

fn observations() -> Vec<Observed> {
    include_str!("../../../tests/api/observed.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line.get("request").is_some())
        .map(|line| Observed {
            method: line["method"].as_str().unwrap().to_owned(),
            path: line["path"]
                .as_str()
                .unwrap()
                .trim_start_matches("/v3/{project_id}")
                .to_owned(),
            version: Microversion(
                line["mv"]
                    .as_str()
                    .map_or(0, |version| version.trim_start_matches("3.").parse().unwrap()),
            ),
            request: line["request"].clone(),
            status: line["status"].as_u64().unwrap(),
            response: line["response"].clone(),
        })
        .collect()
}

/// Reads a body as its route does; `None` for routes that are not checked here.
fn read(seen: &Observed) -> Option<Result<(), Fault>> {
    let parts: Vec<&str> = seen.path.trim_start_matches('/').split('/').collect();
    let body = Some(&seen.request);
    let named = |key: &str| {
        let base = ["volumes", "gigabytes", "snapshots"];
        let types = ["ty1", "t2", "__DEFAULT__"];
        let is_known = base.contains(&key)
            || ["backups", "backup_gigabytes", "groups", "per_volume_gigabytes"].contains(&key)
            || base
                .iter()
                .any(|base| types.iter().any(|name| key == format!("{base}_{name}")));
        is_known.then(|| Resource(key.to_owned()))
    };
    if let ("POST", [resource, _, "action"]) = (seen.method.as_str(), parts.as_slice()) {
        return action(resource, seen.version, body);
    }
    let row = row(&seen.method, &parts)?;
    if let Err(fault) = row.body.in_version(seen.version)?.check_body(body) {
        return Some(Err(fault));
    }
    let body = &seen.request;
    Some(match (row.path, parts.last()) {
        ("/volumes", _) => volumes::create(body).map(|_| ()),
        ("/snapshots", _) => snapshots::create(body)
            .and_then(|wanted| wanted.in_version(seen.version))
            .map(|_| ()),
        ("/manageable_volumes", _) => manage::volume(body).place(seen.version).map(|_| ()),
        ("/types/{type_id}", _) => volume_types::check_update(&volume_types::update(body)),
        ("/types/{type_id}/extra_specs/{key}", Some(key)) => {
            volume_types::set_extra_spec(key, body).map(|_| ())
        }
        ("/os-quota-sets/{target_id}", _) => quotas::quota_set(body, named).map(|_| ()),
        ("/os-quota-class-sets/{class}", _) => quotas::class_set(body, named).map(|_| ()),
        _ => Ok(()),
    })
}

/// The row of a request with a body.
fn row(method: &str, parts: &[&str]) -> Option<RouteInfo> {
    let takes = |row: &RouteInfo| {
        let pattern: Vec<&str> = row.path.trim_start_matches('/').split('/').collect();
        let part = |(part, given): (&&str, &&str)| part.starts_with('{') || part == given;
        row.method.as_ref().is_some_and(|known| known == method)
            && row.action.is_none()
            && pattern.len() == parts.len()
            && pattern.iter().zip(parts).all(part)
    };
    Routes::of(v3::routes).infos().into_iter().find(takes)
}

/// Reads the body of an action as the table of routes does; `None` for a resource without actions in it.
fn action(resource: &str, version: Microversion, body: Option<&Value>) -> Option<Result<(), Fault>> {
    let rows = Routes::of(v3::routes).infos();
    let of_resource = |row: &&RouteInfo| {
        row.action.is_some() && row.path.split('/').nth(1) == Some(resource) && row.path.ends_with("}/action")
    };
    let rows: Vec<RouteInfo> = rows.iter().filter(of_resource).cloned().collect();
    let is_ours = rows.iter().any(|row| row.is_served);
    is_ours.then(|| routes::read_action(rows.iter(), version, body.cloned()).map(|_| ()))
}

/// A body of `POST /volumes`, checked and read.
fn created(version: Microversion, body: &Value) -> Result<CreateVolume, Fault> {
    let row = row("POST", &["volumes"]).unwrap();
    row.body.in_version(version).unwrap().check(body)?;
    volumes::create(body)
}

fn volume_action(version: Microversion, body: Option<&Value>) -> Result<(), Fault> {
    action("volumes", version, body).unwrap()
}

/// Refusals that depend on more than the body: states, look-ups, quota, policy.
fn is_the_actors(message: &str) -> bool {
    [
        "Invalid volume",
        "Invalid host",
        "Invalid input received: New size",
        "Invalid input received: May specify",
        "Invalid input received: Volume size",
        "Invalid input received: One and only one",
        "Invalid input received: No service",
        "Invalid image identifier",
        "Cannot reset-state",
        "The server could not comply",
        "Volume <uuid4> doesn't have any snapshots.",
        "cacheable cannot be set with multiattach.",
        "Quota volumes limit must be equal",
        "Snapshot status available not allowed",
        "Host 'zz' not found",
        "Invalid input received: Resource type Zz not valid",
    ]
    .iter()
    .any(|beginning| message.starts_with(beginning))
        || message.is_empty()
}

/// Replaces placeholders of recorded ids by real ids.
fn with_real_ids(value: &Value) -> Value {
    let text = value.to_string();
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("<uuid") {
        let end = rest[at..].find('>').unwrap() + at;
        let number: u32 = rest[at + 5..end].parse().unwrap();
        out.push_str(&rest[..at]);
        out.push_str(&format!("00000000-0000-4000-8000-{number:012}"));
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    serde_json::from_str(&out).unwrap()
}

#[test]
fn each_observed_body_gets_the_observed_answer() {
    let (mut refused, mut passed) = (0, Vec::new());
    for mut seen in observations() {
        // There was no Keystone to ask for the project.
        if seen.path.contains("/default-types") {
            continue;
        }
        let was = seen.request.clone();
        seen.request = with_real_ids(&seen.request);
        let Some(outcome) = read(&seen) else { continue };
        let messages = ["badRequest", "itemNotFound"].map(|kind| seen.response[kind]["message"].as_str());
        let message = messages.into_iter().flatten().next().unwrap_or_default();
        // An observation whose request was not recorded in full (`note`) has an empty body.
        let what = format!("{} {} {} {was}", seen.method, seen.path, seen.version.0);
        match outcome {
            Err(fault) => {
                assert_eq!(u64::from(fault.status.as_u16()), seen.status, "{what}: {fault}");
                assert_eq!(fault.message, message, "{what}");
                refused += 1;
            }
            Ok(()) if seen.status == 400 && !is_the_actors(message) => {
                passed.push(format!("{what}: passed, but Cinder says {message}"));
            }
            Ok(()) => {}
        }
    }
    assert_eq!(passed, Vec::<String>::new());
    assert!(refused > 45, "only {refused} refusals were compared");
}

#[test]
fn what_clients_leave_null_is_as_if_absent() {
    let nulls = json!({"volume": {
        "availability_zone": null, "consistencygroup_id": null, "snapshot_id": null, "imageRef": null,
        "volume_type": null, "description": null, "metadata": null, "backup_id": null, "size": 1, "name": "v1",
        "source_volid": null, "multiattach": null, "group_id": null, "image_id": null,
    }, "OS-SCH-HNT:scheduler_hints": null});
    let bare = json!({"volume": {"size": "1", "name": " v1 "}});
    for minor in [0, 13, 47, 53, 71] {
        let version = Microversion(minor);
        assert_eq!(created(version, &nulls), created(version, &bare), "3.{minor}");
    }
}

#[test]
fn strictness_begins_with_3_53() {
    let body = json!({"volume": {"size": 1, "status": "error", "source_replica": null}});
    assert!(created(Microversion(52), &body).is_ok());
    assert_eq!(
        created(Microversion(53), &body).unwrap_err().message,
        "Invalid input for field/attribute volume. Value: {'size': 1, 'status': 'error', 'source_replica': None}. \
         Additional properties are not allowed ('source_replica', 'status' were unexpected)"
    );
}

#[test]
fn hints_travel_as_text() {
    let body = json!({"volume": {"size": 1}, "OS-SCH-HNT:scheduler_hints": {"query": {"a": 1}, "x": true}});
    let message = created(Microversion(71), &body).unwrap();
    assert_eq!(message.hints.as_deref(), Some(r#"{"query":{"a":1},"x":true}"#));
}

#[test]
fn a_request_without_a_body_is_refused_with_cinders_text() {
    assert_eq!(volumes::CREATE.check_body(None).unwrap_err(), Fault::malformed());
    assert_eq!(
        volume_action(Microversion(0), None).unwrap_err().message,
        "There is no such action: None. Verify the request body and Content-Type header and try again."
    );
    for body in [json!({}), json!([1]), json!({"os-reserve": {}, "os-extend": {}})] {
        let fault = volume_action(Microversion(0), Some(&body)).unwrap_err();
        assert_eq!(fault.message, "Malformed request body");
    }
}

#[test]
fn later_actions_are_not_there_before_their_version() {
    let body = json!({"revert": {"snapshot_id": null}});
    assert_eq!(
        volume_action(Microversion(39), Some(&body)).unwrap_err().status,
        404
    );
    assert_eq!(volume_action(Microversion(40), Some(&body)), Ok(()));
}

#[test]
fn an_action_is_read_or_refused_in_cinders_words() {
    let read = |name: &str, arguments: Value| {
        action("snapshots", Microversion(71), Some(&json!({name: arguments}))).unwrap()
    };
    let refusal = |read: Result<(), Fault>| read.unwrap_err().message;
    assert_eq!(read("os-reset_status", json!({"status": "Backing-Up"})), Ok(()));
    for status in ["", "error_managing"] {
        assert_eq!(
            refusal(read("os-reset_status", json!({"status": status}))),
            format!(
                "Snapshot status: {status} is invalid, valid statuses are: ('error', 'available', 'creating', \
                 'deleting', 'deleted', 'updating', 'error_deleting', 'unmanaging', 'backing-up', 'restoring')."
            )
        );
    }
    let progress = |progress: Value| {
        read(
            "os-update_snapshot_status",
            json!({"status": "creating", "progress": progress}),
        )
    };
    assert!(progress(json!("42%")).is_ok() && progress(json!("")).is_ok() && progress(json!(null)).is_ok());
    for (given, message) in [
        (json!("%"), "progress must be an integer percentage"),
        (json!("x%"), "progress must be an integer percentage"),
        (
            json!("101%"),
            "progress must be an integer percentage between 0 and 100",
        ),
        (
            json!("421"),
            "progress must be an integer percentage between 0 and 100",
        ),
        (json!(42), "progress must be an integer percentage"),
    ] {
        assert_eq!(
            refusal(progress(given)),
            format!("Invalid input received: {message}")
        );
    }
    assert!(refusal(read("revert", json!({}))).starts_with("There is no such action: revert."));
}

/// Any JSON, with the field names that schemas know mixed in.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("true")),
        Just(json!("00000000-0000-4000-8000-000000000000")),
    ];
    let key = prop_oneof![
        Just("volume"),
        Just("size"),
        Just("name"),
        Just("metadata"),
        Just("connector"),
        Just("attachment"),
        Just("volume_uuid"),
        Just("volume_type"),
        Just("extra_specs"),
        Just("quota_set"),
        Just("volumes"),
        Just("quota_class_set"),
        Just("os-extend"),
        Just("new_size"),
        Just("os-attach"),
        Just("os-reset_status"),
        Just("status"),
        Just("meta"),
        Just("host"),
        Just("binary"),
        Just("OS-SCH-HNT:scheduler_hints"),
        Just("same_host"),
        Just("multiattach"),
        Just("os-initialize_connection"),
        Just("project"),
    ]
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((prop_oneof![key.clone(), "\\PC{0,6}"], inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_body_makes_validation_panic(body in any_json(), minor in 0..=71_u16) {
        let version = Microversion(minor);
        let wrapped = ["volume", "attachment", "volume_type", "extra_specs", "quota_set", "quota_class_set",
            "metadata", "meta", "os-extend", "os-attach", "os-detach", "os-reset_status", "os-force_detach",
            "os-initialize_connection", "os-terminate_connection", "os-migrate_volume", "revert"]
            .map(|key| json!({key: body.clone()}));
        for body in wrapped.iter().chain([&body]) {
            for row in Routes::of(v3::routes).infos() {
                let schema = row.body.in_version(version);
                let _ = schema.map(|schema| schema.check(body));
            }
            let _ = volume_action(version, Some(body));
            let _ = action("types", version, Some(body));
            let _ = volumes::create(body);
            let _ = volumes::update("v", body);
            let _ = attachments::create(body);
            let _ = attachments::update("a", body);
            let _ = snapshots::create(body);
            let _ = snapshots::update("s", body);
            let _ = manage::volume(body);
            let _ = manage::snapshot(body);
            let _ = volume_types::create(body);
            let _ = volume_types::check_update(&volume_types::update(body));
            let _ = volume_types::set_extra_specs(body);
            let _ = volume_types::set_extra_spec("k", body);
            let _ = quotas::quota_set(body, |key| (key == "volumes").then(|| Resource(key.to_owned())));
            let _ = quotas::class_set(body, |key| (key == "volumes").then(|| Resource(key.to_owned())));
            let _ = services::change(body);
            let _ = clusters::change(body);
        }
    }

    #[test]
    fn a_size_that_passes_is_one_that_cinder_takes(size in any::<i64>()) {
        let body = json!({"volume": {"size": size}});
        match created(Microversion(71), &body) {
            Ok(message) => prop_assert_eq!(message.size.map(i64::from), Some(size)),
            Err(_) => prop_assert!(!(1..=2_147_483_647).contains(&size)),
        }
    }
}
