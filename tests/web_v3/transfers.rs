//! Transfers over HTTP: both names of their routes, what each version shows, pages, and who gets what.

use crate::api::{House, OTHER_PROJECT, PROJECT};
use serde_json::{Value, json};

/// The keys of an object, sorted.
fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

async fn offer(house: &House, volume: &str, name: &str) -> Value {
    let body = json!({"transfer": {"volume_id": volume, "name": name}});
    let made = house.post("/volume-transfers", body).send().await;
    assert_eq!(made.status, 202, "{}", made.text);
    made.json()["transfer"].clone()
}

const SUMMARY: [&str; 4] = ["id", "links", "name", "volume_id"];
const HISTORY: [&str; 3] = ["accepted", "destination_project_id", "source_project_id"];

#[actix_web::test]
async fn a_volume_is_given_away_and_taken() {
    let house = House::build().await;
    let volume = house.volume(json!({"size": 1, "metadata": {"a": "1"}})).await;
    let snapshot = house.snapshot(json!({"volume_id": volume})).await;
    let made = offer(&house, &volume, "  tr ").await;
    let shown: Vec<&str> = [
        &SUMMARY[..],
        &HISTORY,
        &["auth_key", "created_at", "no_snapshots"],
    ]
    .concat();
    let mut shown = shown;
    shown.sort_unstable();
    assert_eq!(keys(&made), shown);
    assert_eq!(
        (&made["name"], &made["volume_id"]),
        (&json!("tr"), &json!(volume))
    );
    assert_eq!(
        (
            &made["source_project_id"],
            &made["destination_project_id"],
            &made["accepted"]
        ),
        (&json!(PROJECT), &Value::Null, &json!(false))
    );
    let id = made["id"].as_str().unwrap();
    for (rel, link) in [("v3/", 0), ("", 1)] {
        let href = format!("http://localhost/{rel}{PROJECT}/os-volume-transfer/{id}");
        assert_eq!(made["links"][link]["href"], href);
    }
    house.until_status(&volume, "awaiting-transfer").await;
    // Its project sees it, in as many words as the version has; the key is not shown again.
    for (version, count) in [("3.0", 5), ("3.54", 5), ("3.55", 6), ("3.56", 6), ("3.57", 9)] {
        for name in ["/volume-transfers", "/os-volume-transfer"] {
            let path = format!("{name}/{id}");
            let one = house.get(&path).version(version).send().await.json();
            assert_eq!(one["transfer"].as_object().unwrap().len(), count, "{version}");
            assert_eq!(one["transfer"].get("auth_key"), None);
            let all = house
                .get(&format!("{name}/detail"))
                .version(version)
                .send()
                .await
                .json();
            assert_eq!(all, json!({"transfers": [one["transfer"]]}), "{name} {version}");
        }
    }
    let path = format!("/volume-transfers/{id}");
    let accept = format!("{path}/accept");
    let foreign = house.get(&path).by("member", OTHER_PROJECT).send().await;
    assert_eq!(
        foreign.json()["itemNotFound"]["message"],
        format!("Transfer {id} could not be found.")
    );
    let withdrawn = house.delete(&path).by("member", OTHER_PROJECT).send().await;
    assert_eq!(withdrawn.status, 404);
    for query in ["", "?all_tenants=1"] {
        let others = house.get(&format!("/volume-transfers{query}"));
        let others = others.by("member", OTHER_PROJECT).send().await;
        assert_eq!(others.json(), json!({"transfers": []}));
    }
    let key = json!({"accept": {"auth_key": made["auth_key"]}});
    for (body, text) in [
        (
            json!({"accept": {"auth_key": 7}}),
            format!("Invalid auth key: Attempt to transfer {id} with invalid auth key."),
        ),
        (
            json!({"accept": {"auth_key": null}}),
            "Invalid input for field/attribute auth_key. Value: None. None is not of type 'string', 'integer'"
                .to_owned(),
        ),
        (json!({}), "'accept' is a required property".to_owned()),
    ] {
        let wrong = house.post(&accept, body).by("member", OTHER_PROJECT).send().await;
        assert_eq!(wrong.status, 400);
        assert_eq!(wrong.json()["badRequest"]["message"], text);
    }
    // Without room for it, in Cinder's words.
    for (limits, text) in [
        (
            json!({"per_volume_gigabytes": 0}),
            "VolumeSizeExceedsLimit: Requested volume size 1G is larger than maximum allowed limit 0G.",
        ),
        (
            json!({"per_volume_gigabytes": -1, "gigabytes": 0}),
            "Requested volume or snapshot exceeds allowed gigabytes quota. Requested 1G, quota is 0G and 0G has been \
             consumed.",
        ),
        (
            json!({"gigabytes": 1}),
            "Requested volume or snapshot exceeds allowed gigabytes quota. Requested 1G, quota is 1G and 1G has been \
             consumed.",
        ),
        (
            json!({"gigabytes": 10, "volumes": 0}),
            "VolumeLimitExceeded: Maximum number of volumes allowed (0) exceeded for quota 'volumes'.",
        ),
        (
            json!({"volumes": 1, "snapshots": 0}),
            "SnapshotLimitExceeded: Maximum number of snapshots allowed (0) exceeded",
        ),
    ] {
        let path = format!("/os-quota-sets/{OTHER_PROJECT}");
        let set = house.put(&path, json!({"quota_set": limits})).send().await;
        assert_eq!(set.status, 200, "{}", set.text);
        let over = house
            .post(&accept, key.clone())
            .by("member", OTHER_PROJECT)
            .send()
            .await;
        assert_eq!(over.status, 413, "{text}");
        assert_eq!(over.header("retry-after"), Some("0"));
        assert_eq!(over.json()["overLimit"]["message"], text);
    }
    let limits = json!({"quota_set": {"volumes": 1, "snapshots": 1, "gigabytes": 2}});
    let path = format!("/os-quota-sets/{OTHER_PROJECT}");
    assert_eq!(house.put(&path, limits).send().await.status, 200);
    let taken = house.post(&accept, key).by("member", OTHER_PROJECT).send().await;
    assert_eq!(taken.status, 202, "{}", taken.text);
    let taken = taken.json()["transfer"].clone();
    assert_eq!(keys(&taken), SUMMARY);
    assert_eq!(
        (&taken["id"], &taken["volume_id"]),
        (&made["id"], &made["volume_id"])
    );
    for thing in [format!("/volumes/{volume}"), format!("/snapshots/{snapshot}")] {
        let before = house.get(&thing).by("member", PROJECT).send().await;
        assert_eq!(before.status, 404, "{thing}");
        let now = house.get(&thing).by("member", OTHER_PROJECT).send().await;
        assert_eq!(now.status, 200, "{thing}");
    }
    for (project, volumes, snapshots) in [(PROJECT, 0, 0), (OTHER_PROJECT, 1, 1)] {
        let path = format!("/os-quota-sets/{project}?usage=true");
        let usage = house.get(&path).send().await.json()["quota_set"].clone();
        assert_eq!(usage["volumes"]["in_use"], volumes, "{project}");
        assert_eq!(usage["snapshots"]["in_use"], snapshots, "{project}");
        assert_eq!(
            usage["gigabytes___DEFAULT__"]["in_use"],
            volumes + snapshots,
            "{project}"
        );
    }
    house.close().await;
}

#[actix_web::test]
async fn an_offer_is_refused_in_cinders_words() {
    let house = House::build().await;
    let volume = house.volume(json!({"size": 1})).await;
    let unknown = "11111111-2222-4333-8444-555555555555";
    for (name, version, fields, status, text) in [
        (
            "/volume-transfers",
            "3.71",
            json!({"volume_id": unknown}),
            404,
            format!("Volume {unknown} could not be found."),
        ),
        (
            "/volume-transfers",
            "3.71",
            json!({"volume_id": "x"}),
            400,
            "Invalid input for field/attribute volume_id. Value: x. 'x' is not a 'uuid'".to_owned(),
        ),
        (
            "/volume-transfers",
            "3.71",
            json!({"name": "n"}),
            400,
            "Invalid input for field/attribute transfer. Value: {'name': 'n'}. 'volume_id' is a required property"
                .to_owned(),
        ),
        (
            "/volume-transfers",
            "3.71",
            json!({"volume_id": volume, "name": "  "}),
            400,
            "Invalid input for field/attribute name. Value:   . '  ' is not valid under any of the given schemas"
                .to_owned(),
        ),
        (
            "/volume-transfers",
            "3.54",
            json!({"volume_id": volume, "no_snapshots": true}),
            400,
            format!(
                "Invalid input for field/attribute transfer. Value: {{'volume_id': '{volume}', 'no_snapshots': True}}. \
                 Additional properties are not allowed ('no_snapshots' was unexpected)"
            ),
        ),
        (
            "/os-volume-transfer",
            "3.71",
            json!({"volume_id": volume, "no_snapshots": true}),
            400,
            format!(
                "Invalid input for field/attribute transfer. Value: {{'volume_id': '{volume}', 'no_snapshots': True}}. \
                 Additional properties are not allowed ('no_snapshots' was unexpected)"
            ),
        ),
    ] {
        let request = house.post(name, json!({"transfer": fields})).version(version);
        let answer = request.send().await;
        assert_eq!(answer.status, status, "{}", answer.text);
        let fault = answer.json().as_object().unwrap().values().next().unwrap()["message"].clone();
        assert_eq!(fault, text);
    }
    // The rule is looked at once there is something to look at.
    let body = json!({"transfer": {"volume_id": volume}});
    let reader = house
        .post("/volume-transfers", body.clone())
        .by("reader", PROJECT);
    assert_eq!(reader.send().await.status, 403);
    let foreign = house.post("/volume-transfers", body).by("member", OTHER_PROJECT);
    assert_eq!(foreign.send().await.status, 404);
    let stays = json!({"transfer": {"volume_id": volume, "name": null, "no_snapshots": "yes"}});
    let made = house
        .post("/volume-transfers", stays)
        .version("3.55")
        .send()
        .await;
    assert_eq!(made.status, 202, "{}", made.text);
    let made = made.json()["transfer"].clone();
    assert_eq!(
        (&made["no_snapshots"], &made["name"]),
        (&json!(true), &Value::Null)
    );
    let path = format!("/os-volume-transfer/{}", made["id"].as_str().unwrap());
    assert_eq!(house.delete(&path).by("reader", PROJECT).send().await.status, 403);
    let deleted = house.delete(&path).by("member", PROJECT).version("").send().await;
    assert_eq!((deleted.status, deleted.text.as_str()), (202, ""));
    assert_eq!(house.get(&path).send().await.status, 404);
    house.until_status(&volume, "available").await;
    house.close().await;
}

#[actix_web::test]
async fn lists_have_pages_and_orders_since_3_59() {
    let house = House::build_deaf().await;
    let mut made = Vec::new();
    for name in ["b", "c", "a"] {
        let volume = house.resting_volume("available").await;
        house.end_operations(&volume).await;
        made.push(offer(&house, &volume, name).await);
    }
    let listed = async |path: &str, version: &str| {
        let answer = house.get(path).version(version).send().await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let names: Vec<String> = answer.json()["transfers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect();
        (
            names.concat(),
            answer.json()["transfers_links"][0]["href"].clone(),
        )
    };
    let id = |at: usize| made[at]["id"].as_str().unwrap();
    for (query, version, expected) in [
        (String::new(), "3.58", "bca"),
        (String::new(), "3.59", "acb"),
        ("?sort=display_name:asc".to_owned(), "3.59", "abc"),
        ("?sort_key=display_name&sort_dir=desc".to_owned(), "3.59", "cba"),
        ("?limit=1&offset=1".to_owned(), "3.59", "c"),
        (format!("?marker={}", id(1)), "3.59", "b"),
        (format!("?sort=created_at:asc&marker={}", id(1)), "3.59", "a"),
        ("?name=c".to_owned(), "3.0", "c"),
        ("?display_name=c&no_snapshots=false".to_owned(), "3.71", "c"),
        (
            format!("?volume_id={}", made[0]["volume_id"].as_str().unwrap()),
            "3.71",
            "b",
        ),
        (format!("?all_tenants=1&project_id={PROJECT}"), "3.71", "acb"),
        (format!("?all_tenants=1&project_id={OTHER_PROJECT}"), "3.71", ""),
        ("?accepted=true".to_owned(), "3.71", ""),
        // What is no field matches nothing, and so does what is none yet.
        ("?bogus=1".to_owned(), "3.71", ""),
        ("?limit=1".to_owned(), "3.58", ""),
        ("?sort=display_name".to_owned(), "3.58", ""),
    ] {
        let path = format!("/volume-transfers{query}");
        assert_eq!(listed(&path, version).await.0, expected, "{query} {version}");
    }
    for version in ["3.0", "3.71"] {
        assert_eq!(listed("/os-volume-transfer", version).await.0, "bca");
        assert_eq!(listed("/os-volume-transfer/detail?limit=1", version).await.0, "");
    }
    let (names, next) = listed("/volume-transfers/detail?limit=2", "3.59").await;
    assert_eq!(names, "ac");
    let expected = format!(
        "http://localhost/v3/{PROJECT}/os-volume-transfer?limit=2&marker={}",
        id(1)
    );
    assert_eq!(next, expected);
    for (query, version, status, text) in [
        ("limit=-1", "3.0", 400, "limit param must be positive"),
        ("offset=x", "3.59", 400, "offset must be an integer"),
        (
            "sort=name",
            "3.59",
            400,
            "Invalid input received: Invalid sort key",
        ),
        ("marker=x", "3.59", 404, "Transfer x could not be found."),
    ] {
        let path = format!("/volume-transfers?{query}");
        let answer = house.get(&path).version(version).send().await;
        assert_eq!(answer.status, status, "{query}");
        assert!(answer.text.contains(text), "{query}: {}", answer.text);
    }
    house.close().await;
}
