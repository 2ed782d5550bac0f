//! Snapshots, their lists and their metadata, and what goes back to them, as clients use them.

use crate::api::{House, OTHER_PROJECT, PROJECT};
use serde_json::{Value, json};

fn ids(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect()
}

#[actix_web::test]
async fn a_snapshot_lives_from_its_create_to_its_delete() {
    let house = House::build().await;
    let volume = house.volume(json!({"size": 2})).await;
    let body = json!({"snapshot": {"volume_id": volume, "name": " s1 ", "description": null, "metadata": {"k": "v"}}});
    let made = house.post("/snapshots", body).by("member", PROJECT).send().await;
    assert_eq!(made.status, 202, "{}", made.text);
    let snapshot = &made.json()["snapshot"];
    assert_eq!(
        (&snapshot["status"], &snapshot["name"], &snapshot["size"]),
        (&json!("creating"), &json!("s1"), &json!(2))
    );
    let id = snapshot["id"].as_str().unwrap();
    house.until_snapshot(id, "available").await;
    let path = format!("/snapshots/{id}");
    let shown = house.get(&path).by("reader", PROJECT).send().await.json();
    let shown = &shown["snapshot"];
    assert_eq!(shown["os-extended-snapshot-attributes:progress"], "100%");
    assert_eq!(shown["os-extended-snapshot-attributes:project_id"], PROJECT);

    let limits = house.get("/limits").send().await.json()["limits"]["absolute"].clone();
    assert_eq!(
        (&limits["totalSnapshotsUsed"], &limits["totalGigabytesUsed"]),
        (&json!(1), &json!(4))
    );

    let changed = house
        .put(&path, json!({"snapshot": {"name": "s2", "description": "d"}}))
        .version("")
        .send()
        .await;
    assert_eq!(changed.status, 200);
    let changed = &changed.json()["snapshot"];
    assert_eq!(
        (&changed["name"], &changed["description"]),
        (&json!("s2"), &json!("d"))
    );
    assert!(changed.get("user_id").is_none() && changed["updated_at"].is_string());

    let kept = house.delete(&format!("/volumes/{volume}")).send().await;
    assert_eq!(kept.status, 400, "its volume stays as long as it does");
    let foreign = house.get(&path).by("member", OTHER_PROJECT).send().await;
    assert_eq!(
        foreign.json(),
        json!({"itemNotFound": {"code": 404, "message": format!("Snapshot {id} could not be found.")}})
    );
    assert_eq!(house.delete(&path).by("reader", PROJECT).send().await.status, 403);
    let deleted = house.delete(&path).by("member", PROJECT).send().await;
    assert_eq!((deleted.status, deleted.text.as_str()), (202, ""));
    house.until_no_snapshot(id).await;
    let limits = house.get("/limits").send().await.json()["limits"]["absolute"].clone();
    assert_eq!(limits["totalSnapshotsUsed"], 0);
    house.close().await;
}

#[actix_web::test]
async fn a_snapshot_of_a_volume_in_use_needs_force_until_3_66() {
    let house = House::build_deaf().await;
    let volume = house.resting_volume("in-use").await;
    let make = |version: &str, force: Option<bool>| {
        let mut snapshot = json!({"volume_id": volume});
        if let Some(force) = force {
            snapshot["force"] = json!(force);
        }
        house
            .post("/snapshots", json!({"snapshot": snapshot}))
            .version(version)
    };
    for (version, force, status) in [
        ("3.65", None, 400),
        ("3.65", Some(false), 400),
        ("3.65", Some(true), 202),
        ("3.66", None, 202),
        ("3.66", Some(true), 202),
        ("3.66", Some(false), 400),
    ] {
        let answer = make(version, force).send().await;
        assert_eq!(answer.status, status, "{version} {force:?}: {}", answer.text);
    }
    let refused = make("3.65", None).send().await.json();
    assert_eq!(
        refused["badRequest"]["message"],
        format!("Invalid volume: Volume {volume} status must be available, but current status is: in-use.")
    );
    house.close().await;
}

#[actix_web::test]
async fn no_more_snapshots_than_the_quota_has() {
    let house = House::build_deaf().await;
    let volume = house.resting_volume("available").await;
    let limits = json!({"quota_set": {"snapshots": 1}});
    let set = house
        .put(&format!("/os-quota-sets/{PROJECT}"), limits)
        .send()
        .await;
    assert_eq!(set.status, 200);
    let body = || json!({"snapshot": {"volume_id": volume}});
    assert_eq!(house.post("/snapshots", body()).send().await.status, 202);
    let over = house.post("/snapshots", body()).send().await;
    assert_eq!((over.status, over.header("retry-after")), (413, Some("0")));
    assert_eq!(
        over.json()["overLimit"]["message"],
        "SnapshotLimitExceeded: Maximum number of snapshots allowed (1) exceeded"
    );
    house.close().await;
}

#[actix_web::test]
async fn a_list_of_snapshots_is_filtered_sorted_and_read_to_its_end() {
    let house = House::build_deaf().await;
    let volumes = [
        house.resting_volume("available").await,
        house.resting_volume("available").await,
    ];
    for (name, volume, key) in [("b", 0, "x"), ("a", 1, "y"), ("c", 0, "y"), ("a", 0, "x")] {
        let body = json!({"snapshot": {"volume_id": volumes[volume], "name": name, "metadata": {"k": key}}});
        assert_eq!(house.post("/snapshots", body).send().await.status, 202);
    }
    let names = async |path: &str| -> Vec<String> {
        let list = house.get(path).send().await;
        assert_eq!(list.status, 200, "{path}: {}", list.text);
        let list = list.json();
        let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
        list["snapshots"].as_array().unwrap().iter().map(name).collect()
    };
    for (query, expected) in [
        ("", vec!["a", "c", "a", "b"]),
        ("sort=name:asc", vec!["a", "a", "b", "c"]),
        ("sort_key=display_name&sort_dir=desc", vec!["c", "b", "a", "a"]),
        ("sort=status,created_at:asc", vec!["b", "a", "c", "a"]),
        ("name=a", vec!["a", "a"]),
        ("metadata={'k':'y'}", vec!["c", "a"]),
        ("availability_zone=nova&limit=2", vec!["a", "c"]),
        ("availability_zone=mars", vec![]),
        ("status=available", vec![]),
        ("status=creating&offset=3", vec!["b"]),
        ("consumes_quota=false", vec![]),
        ("name~=B", vec!["b"]),
        ("bogus=1", vec![]),
        ("limit=0", vec![]),
    ] {
        assert_eq!(names(&format!("/snapshots?{query}")).await, expected, "{query}");
    }
    assert_eq!(
        names(&format!("/snapshots/detail?volume_id={}", volumes[0])).await,
        ["a", "c", "b"]
    );
    let whole = house.get("/snapshots").send().await.json();
    let mut path = "/snapshots/detail?limit=3".to_owned();
    let mut found = Vec::new();
    loop {
        let page = house.get(&path).send().await.json();
        found.extend(ids(&page["snapshots"]).into_iter().map(str::to_owned));
        let Some(next) = page["snapshots_links"][0]["href"].as_str() else {
            break;
        };
        let base = format!("http://localhost/v3/{PROJECT}");
        path = next.strip_prefix(&base).unwrap().to_owned();
        assert!(path.starts_with("/snapshots/detail?limit=3&marker="), "{path}");
    }
    assert_eq!(found, ids(&whole["snapshots"]));
    assert!(
        whole["snapshots"][0].get("user_id").is_none(),
        "a brief list is brief"
    );

    let counted = house
        .get("/snapshots?with_count=1&limit=1&name=a")
        .send()
        .await
        .json();
    assert_eq!(counted["count"], 2);
    let none = house.get("/snapshots").by("member", OTHER_PROJECT).send().await;
    assert_eq!(none.json(), json!({"snapshots": []}));
    let marker = ids(&whole["snapshots"])[0].to_owned();
    let foreign = house
        .get(&format!("/snapshots?marker={marker}"))
        .by("member", OTHER_PROJECT)
        .send()
        .await;
    assert_eq!(
        foreign.json()["itemNotFound"]["message"],
        format!("Snapshot {marker} could not be found.")
    );
    for (query, expected) in [
        ("sort=size", "Invalid input received: Invalid sort key"),
        ("consumes_quota=x", "Value 'x' for 'use_quota' is not a boolean."),
        ("user_id=u", "Invalid filters user_id are found in query options."),
    ] {
        let refused = house.get(&format!("/snapshots?{query}")).by("member", PROJECT);
        assert_eq!(
            refused.send().await.json()["badRequest"]["message"],
            expected,
            "{query}"
        );
    }
    let everybody = house
        .get("/snapshots?all_tenants=1&with_count=yes")
        .by("admin", OTHER_PROJECT)
        .send()
        .await
        .json();
    assert_eq!(everybody["count"], 4);
    house.close().await;
}

#[actix_web::test]
async fn metadata_of_a_snapshot_is_changed_as_a_whole_or_key_by_key() {
    let house = House::build_deaf().await;
    let volume = house.resting_volume("available").await;
    let made = house
        .post(
            "/snapshots",
            json!({"snapshot": {"volume_id": volume, "metadata": {"a": "1"}}}),
        )
        .send()
        .await
        .json();
    let path = format!("/snapshots/{}/metadata", made["snapshot"]["id"].as_str().unwrap());
    let merged = house.post(&path, json!({"metadata": {"b": "2"}})).send().await;
    assert_eq!(merged.json(), json!({"metadata": {"a": "1", "b": "2"}}));
    let replaced = house.put(&path, json!({"metadata": {"c": "3"}})).send().await;
    assert_eq!(replaced.json(), json!({"metadata": {"c": "3"}}));
    let one = format!("{path}/c");
    let set = house.put(&one, json!({"meta": {"c": "4"}})).send().await;
    assert_eq!((set.status, set.json()), (200, json!({"meta": {"c": "4"}})));
    assert_eq!(house.get(&one).send().await.json(), json!({"meta": {"c": "4"}}));
    assert_eq!(
        house.get(&path).by("reader", PROJECT).send().await.json(),
        json!({"metadata": {"c": "4"}})
    );
    let other = house.put(&one, json!({"meta": {"d": "4"}})).send().await;
    assert_eq!(
        other.json()["badRequest"]["message"],
        "Request body and URI mismatch"
    );
    assert_eq!(house.delete(&one).by("reader", PROJECT).send().await.status, 403);
    let removed = house.delete(&one).send().await;
    assert_eq!((removed.status, removed.text.as_str()), (200, ""));
    assert_eq!(house.delete(&one).by("reader", PROJECT).send().await.status, 404);
    house.close().await;
}

#[actix_web::test]
async fn states_are_set_by_those_who_may() {
    let house = House::build_deaf().await;
    let volume = house.resting_volume("available").await;
    let made = house
        .post("/snapshots", json!({"snapshot": {"volume_id": volume}}))
        .send()
        .await
        .json();
    let path = format!("/snapshots/{}", made["snapshot"]["id"].as_str().unwrap());
    let action = format!("{path}/action");
    let shown = async || house.get(&path).send().await.json()["snapshot"].clone();
    let progress = json!({"os-update_snapshot_status": {"status": "creating", "progress": "42%"}});
    let answer = house.post(&action, progress).by("member", PROJECT).send().await;
    assert_eq!((answer.status, answer.text.as_str()), (202, ""));
    assert_eq!(shown().await["os-extended-snapshot-attributes:progress"], "42%");
    let done = json!({"os-update_snapshot_status": {"status": "available"}});
    assert_eq!(house.post(&action, done.clone()).send().await.status, 202);
    assert_eq!(shown().await["status"], "available");
    let again = house.post(&action, done).send().await.json();
    assert_eq!(
        again["badRequest"]["message"],
        "Snapshot status available not allowed for update_snapshot_status"
    );
    let reset = || json!({"os-reset_status": {"status": "ERROR"}});
    let refused = house.post(&action, reset()).by("member", PROJECT).send().await;
    assert_eq!(
        refused.json()["forbidden"]["message"],
        "Policy doesn't allow volume_extension:snapshot_admin_actions:reset_status to be performed."
    );
    assert_eq!(house.post(&action, reset()).send().await.status, 202);
    assert_eq!(shown().await["status"], "error");
    let unknown = house.post(&action, json!({"os-extend": {}})).send().await;
    assert_eq!(
        unknown.json()["badRequest"]["message"],
        "There is no such action: os-extend. Verify the request body and Content-Type header and try again."
    );
    house.close().await;
}

#[actix_web::test]
async fn a_snapshot_in_any_state_is_deleted_by_force() {
    let house = House::build().await;
    let volume = house.volume(json!({"size": 1})).await;
    let id = house.snapshot(json!({"volume_id": volume})).await;
    let action = format!("/snapshots/{id}/action");
    let reset = json!({"os-reset_status": {"status": "backing-up"}});
    assert_eq!(house.post(&action, reset).send().await.status, 202);
    let refused = house.delete(&format!("/snapshots/{id}")).send().await.json();
    assert_eq!(
        refused["badRequest"]["message"],
        "Invalid snapshot: Snapshot status must be available or error and must not be part of a group."
    );
    let forced = || json!({"os-force_delete": {}});
    let refused = house.post(&action, forced()).by("member", PROJECT).send().await;
    assert_eq!(refused.status, 403);
    assert_eq!(house.post(&action, forced()).send().await.status, 202);
    house.until_no_snapshot(&id).await;
    house.close().await;
}

#[actix_web::test]
async fn a_volume_goes_back_to_its_latest_snapshot_and_to_no_other() {
    let house = House::build().await;
    let volume = house.volume(json!({"size": 1})).await;
    let action = format!("/volumes/{volume}/action");
    let revert = |snapshot: &str| house.post(&action, json!({"revert": {"snapshot_id": snapshot}}));
    let none = revert("x").send().await;
    assert_eq!(
        none.json()["badRequest"]["message"],
        format!("Volume {volume} doesn't have any snapshots.")
    );
    let first = house.snapshot(json!({"volume_id": volume})).await;
    let second = house.snapshot(json!({"volume_id": volume})).await;
    let older = revert(&first).send().await;
    assert_eq!(
        older.json()["badRequest"]["message"],
        format!("Specified snapshot {first} is None or not the latest one of volume {volume}.")
    );
    assert_eq!(revert(&second).by("reader", PROJECT).send().await.status, 403);
    assert_eq!(revert(&second).version("3.39").send().await.status, 404);
    let done = revert(&second).by("member", PROJECT).send().await;
    assert_eq!((done.status, done.text.as_str()), (202, ""));
    house.until_status(&volume, "available").await;
    house.until_snapshot(&second, "available").await;
    house.close().await;
}

#[actix_web::test]
async fn a_volume_goes_with_all_its_snapshots() {
    let house = House::build().await;
    let volume = house.volume(json!({"size": 1})).await;
    let snapshots = [
        house.snapshot(json!({"volume_id": volume})).await,
        house.snapshot(json!({"volume_id": volume})).await,
    ];
    let path = format!("/volumes/{volume}");
    assert_eq!(house.delete(&path).send().await.status, 400);
    let deleted = house.delete(&format!("{path}?cascade=true")).send().await;
    assert_eq!(deleted.status, 202, "{}", deleted.text);
    house.until_gone(&volume).await;
    for id in &snapshots {
        assert_eq!(house.get(&format!("/snapshots/{id}")).send().await.status, 404);
    }
    house.close().await;
}

#[actix_web::test]
async fn a_volume_is_made_from_a_snapshot_or_a_volume() {
    let house = House::build().await;
    let volume = house.volume(json!({"size": 2})).await;
    let snapshot = house.snapshot(json!({"volume_id": volume})).await;
    let restored = house.volume(json!({"snapshot_id": snapshot, "size": 3})).await;
    let cloned = house.volume(json!({"source_volid": volume})).await;
    let shown = async |id: &str| house.get(&format!("/volumes/{id}")).send().await.json()["volume"].clone();
    let shown_restored = shown(&restored).await;
    assert_eq!(
        (&shown_restored["snapshot_id"], &shown_restored["size"]),
        (&json!(snapshot), &json!(3))
    );
    let shown_cloned = shown(&cloned).await;
    assert_eq!(
        (&shown_cloned["source_volid"], &shown_cloned["size"]),
        (&json!(volume), &json!(2))
    );
    let small = json!({"volume": {"snapshot_id": snapshot, "size": 1}});
    assert_eq!(house.post("/volumes", small).send().await.status, 400);
    let both = json!({"volume": {"snapshot_id": snapshot, "source_volid": volume, "size": 2}});
    assert_eq!(
        house.post("/volumes", both).send().await.json()["badRequest"]["message"],
        "Invalid input received: May specify only one of backup, imageRef, snapshot, source volume"
    );
    house.close().await;
}
