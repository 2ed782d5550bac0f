//! `Idempotency-Key`: a repeat of a request that makes something makes nothing, and gets the first answer.

use std::collections::BTreeSet;

use actix_web::http::Method;
use futures_util::future::join_all;
use pumice::web::routes::{Makes, RouteInfo, Routes};
use pumice::web::v3;
use serde_json::{Value, json};

use crate::api::{House, OTHER_PROJECT, PROJECT};
use crate::web_support::Answer;

fn posts() -> Vec<RouteInfo> {
    let rows = Routes::of(v3::routes).infos();
    let is_post = |row: &RouteInfo| row.method == Some(Method::POST) && row.is_served;
    rows.into_iter().filter(is_post).collect()
}

/// A path and a body for a route that makes something. A new one needs a line here.
async fn sample(house: &House, pattern: &str) -> (String, Value) {
    let volume = async || house.resting_volume("available").await;
    let managed = async || {
        let id = house.volume(json!({"size": 1})).await;
        let letting_go = house.post(&format!("/volumes/{id}/action"), json!({"os-unmanage": {}}));
        assert_eq!(letting_go.send().await.status, 202);
        house.until_gone(&id).await;
        json!({"volume": {"host": "h@lvm#lvm", "ref": {"source-name": format!("volume-{id}")}}})
    };
    let managed_snapshot = async || {
        let of = house.volume(json!({"size": 1})).await;
        let id = house.snapshot(json!({"volume_id": of})).await;
        let letting_go = house.post(&format!("/snapshots/{id}/action"), json!({"os-unmanage": {}}));
        assert_eq!(letting_go.send().await.status, 202);
        house.until_no_snapshot(&id).await;
        json!({"snapshot": {"volume_id": of, "ref": {"source-name": format!("_snapshot-{id}")}}})
    };
    let body = match pattern {
        "/volumes" => json!({"volume": {"size": 1, "name": "v"}}),
        "/snapshots" => json!({"snapshot": {"volume_id": volume().await}}),
        "/attachments" => json!({"attachment": {"volume_uuid": volume().await}}),
        "/os-volume-transfer" | "/volume-transfers" => {
            json!({"transfer": {"volume_id": house.volume(json!({"size": 1})).await}})
        }
        "/types" => json!({"volume_type": {"name": "once"}}),
        "/types/{type_id}/encryption" => {
            let made = house.post("/types", json!({"volume_type": {"name": "locked"}}));
            let id = made.send().await.json()["volume_type"]["id"].clone();
            let body = json!({"encryption": {"provider": "luks", "control_location": "front-end"}});
            return (format!("/types/{}/encryption", id.as_str().unwrap()), body);
        }
        "/qos-specs" => json!({"qos_specs": {"name": "once", "total_iops_sec": "5"}}),
        "/manageable_volumes" | "/os-volume-manage" => managed().await,
        "/manageable_snapshots" | "/os-snapshot-manage" => managed_snapshot().await,
        other => panic!("{other} makes something, and this test does not know what"),
    };
    (pattern.to_owned(), body)
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

#[actix_web::test]
async fn every_route_that_makes_something_makes_it_once() {
    let house = House::build().await;
    let makes = posts().into_iter().filter(|row| row.makes != Makes::Nothing);
    for (number, row) in makes.enumerate() {
        let (path, body) = sample(&house, row.path).await;
        let key = format!("key-{number}");
        let send = |body: Value| house.post(&path, body).header("Idempotency-Key", &key).send();
        let first = send(body.clone()).await;
        assert!((200..300).contains(&first.status), "{path}: {}", first.text);
        assert!(!is_replayed(&first), "{path}");
        let again = send(body.clone()).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text), "{path}");
        assert!(is_replayed(&again), "{path}");
        let mut changed = body.clone();
        let inner = changed.as_object_mut().unwrap().values_mut().next().unwrap();
        inner["name"] = json!("other");
        let other = send(changed).await;
        assert_eq!(other.status, 422, "{path}: {}", other.text);
    }
}

#[test]
fn other_posts_change_what_is_there() {
    let others: BTreeSet<&str> = posts()
        .iter()
        .filter(|row| row.makes == Makes::Nothing && row.action.is_none())
        .map(|row| row.path)
        .collect();
    let expected = [
        "/os-volume-transfer/{transfer_id}/accept",
        "/snapshots/{snapshot_id}/metadata",
        "/types/{type_id}/extra_specs",
        "/volume-transfers/{transfer_id}/accept",
        "/volumes/{volume_id}/metadata",
        "/workers/cleanup",
    ];
    assert_eq!(others, BTreeSet::from(expected));
}

#[actix_web::test]
async fn of_requests_at_once_one_makes_it_and_all_get_its_answer() {
    let house = House::build().await;
    let connector = json!({"initiator": "iqn.2010-10.org.example:me", "host": "h1", "multipath": false});
    let volume = house.resting_volume("available").await;
    for (path, body) in [
        ("/volumes", json!({"volume": {"size": 1}})),
        ("/types", json!({"volume_type": {"name": "raced"}})),
        (
            "/attachments",
            json!({"attachment": {"volume_uuid": volume, "connector": connector}}),
        ),
    ] {
        let key = format!("raced{}", path.replace('/', "-"));
        let send = || {
            house
                .post(path, body.clone())
                .header("Idempotency-Key", &key)
                .send()
        };
        let answers = join_all((0..8).map(|_| send())).await;
        for answer in &answers {
            assert!((200..300).contains(&answer.status), "{path}: {}", answer.text);
            assert_eq!(answer.text, answers[0].text, "{path}");
        }
        let made = answers.iter().filter(|answer| !is_replayed(answer)).count();
        assert_eq!(made, 1, "{path}");
        assert_eq!(send().await.text, answers[0].text, "{path}");
    }
    let volumes = house.get("/volumes").send().await.json();
    assert_eq!(volumes["volumes"].as_array().unwrap().len(), 2);
}

#[actix_web::test]
async fn a_key_is_of_one_user_in_one_project_and_a_refused_request_leaves_none() {
    let house = House::build_deaf().await;
    let body = json!({"volume": {"size": 1}});
    let send = |role: &'static str, project: &'static str, body: &Value| {
        let request = house.post("/volumes", body.clone()).by(role, project);
        request.header("Idempotency-Key", "\"shared\"").send()
    };
    let id = |answer: &Answer| answer.json()["volume"]["id"].clone();
    let refused = send("member", PROJECT, &json!({"volume": {"size": 1_000_000}})).await;
    assert_eq!(refused.status, 413, "{}", refused.text);
    let mine = send("member", PROJECT, &body).await;
    let others = send("member", OTHER_PROJECT, &body).await;
    assert_ne!(id(&mine), id(&others));
    let again = send("member", PROJECT, &body).await;
    assert_eq!(id(&mine), id(&again));
    // The version is a part of what is asked for.
    let newer = house
        .post("/volumes", body.clone())
        .by("member", PROJECT)
        .version("3.0");
    let newer = newer.header("Idempotency-Key", "shared").send().await;
    let fault = &newer.json()["unprocessableEntity"];
    assert_eq!(
        (newer.status, fault["message"].as_str()),
        (422, Some("The Idempotency-Key was used for another request."))
    );
    for bad in ["", "with space", &"k".repeat(256)] {
        let bad = house
            .post("/volumes", body.clone())
            .header("Idempotency-Key", bad);
        assert_eq!(bad.send().await.status, 400);
    }
}
