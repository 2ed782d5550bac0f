//! Adopting what exists on a backend, and letting go of it, as operators use it.

use crate::api::{House, PROJECT};
use serde_json::{Value, json};

fn names(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|item| item["reference"]["source-name"].as_str().unwrap())
        .collect()
}

#[actix_web::test]
async fn what_is_let_go_is_listed_and_adopted_again() {
    let house = House::build().await;
    let volume = house.volume(json!({"size": 2})).await;
    let let_go = format!("volume-{volume}");
    let shown = house
        .get("/manageable_volumes/detail?host=h@lvm#lvm")
        .send()
        .await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    let shown = &shown.json()["manageable-volumes"][0];
    assert_eq!(
        shown,
        &json!({
            "reference": {"source-name": let_go}, "size": 2, "safe_to_manage": false,
            "reason_not_safe": "already managed", "cinder_id": volume, "extra_info": null,
        })
    );
    let action = format!("/volumes/{volume}/action");
    let unmanage = || json!({"os-unmanage": null});
    assert_eq!(
        house
            .post(&action, unmanage())
            .by("member", PROJECT)
            .send()
            .await
            .status,
        403
    );
    let gone = house.post(&action, unmanage()).send().await;
    assert_eq!((gone.status, gone.text.as_str()), (202, ""));
    house.until_gone(&volume).await;
    // openstackclient and openstacksdk send no version.
    for path in ["/os-volume-manage", "/manageable_volumes"] {
        let brief = house.get(&format!("{path}?host=h@lvm")).version("").send().await;
        assert_eq!(
            brief.json(),
            json!({"manageable-volumes": [{"reference": {"source-name": let_go}, "size": 2, "safe_to_manage": true}]})
        );
    }
    let body = json!({"volume": {"host": "h@lvm#lvm", "ref": {"source-name": let_go}, "name": "again"}});
    let adopted = house.post("/manageable_volumes", body.clone()).send().await;
    assert_eq!(adopted.status, 202, "{}", adopted.text);
    let adopted = &adopted.json()["volume"];
    assert_eq!(
        (&adopted["status"], &adopted["size"], &adopted["name"]),
        (&json!("creating"), &json!(0), &json!("again"))
    );
    assert!(adopted.get("group_id").is_none(), "as the first version had it");
    let id = adopted["id"].as_str().unwrap();
    house.until_status(id, "available").await;
    let shown = house.get(&format!("/volumes/{id}")).send().await.json();
    assert_eq!(shown["volume"]["size"], 2);
    house.close().await;
}

#[actix_web::test]
async fn a_snapshot_is_let_go_and_adopted_again() {
    let house = House::build().await;
    let volume = house.volume(json!({"size": 1})).await;
    let snapshot = house.snapshot(json!({"volume_id": volume})).await;
    let gone = house
        .post(
            &format!("/snapshots/{snapshot}/action"),
            json!({"os-unmanage": {}}),
        )
        .send()
        .await;
    assert_eq!(gone.status, 202, "{}", gone.text);
    house.until_no_snapshot(&snapshot).await;
    let let_go = format!("_snapshot-{snapshot}");
    let list = house.get("/manageable_snapshots?host=h@lvm").version("");
    let listed = list.send().await.json();
    assert_eq!(names(&listed["manageable-snapshots"]), [let_go.as_str()]);
    assert_eq!(
        listed["manageable-snapshots"][0]["source_reference"],
        json!({"source-name": format!("volume-{volume}")})
    );
    let body = json!({"snapshot": {"volume_id": volume, "ref": {"source-name": let_go}, "name": "again"}});
    let adopted = house.post("/os-snapshot-manage", body).version("").send().await;
    assert_eq!(adopted.status, 202, "{}", adopted.text);
    let adopted = adopted.json();
    let id = adopted["snapshot"]["id"].as_str().unwrap();
    assert!(adopted["snapshot"].get("consumes_quota").is_none());
    house.until_snapshot(id, "available").await;
    let detail = house
        .get("/manageable_snapshots/detail?host=h@lvm")
        .send()
        .await
        .json();
    assert_eq!(detail["manageable-snapshots"][0]["cinder_id"], id);
    house.close().await;
}

#[actix_web::test]
async fn a_backends_list_is_read_in_parts() {
    let house = House::build().await;
    for _ in 0..3 {
        house.volume(json!({"size": 1})).await;
    }
    let list = async |query: &str| {
        let path = format!("/manageable_volumes?host=h@lvm&{query}");
        house.get(&path).send().await.json()["manageable-volumes"].clone()
    };
    let all = list("sort=reference:asc").await;
    let mut sorted = names(&all);
    sorted.sort_unstable();
    assert_eq!(names(&all), sorted);
    let marker = json!({"source-name": sorted[0]});
    let behind = list(&format!("sort=reference:asc&limit=1&marker={marker}")).await;
    assert_eq!(names(&behind), [sorted[1]]);
    sorted.reverse();
    assert_eq!(names(&list("").await), sorted, "the last name comes first");
    house.close().await;
}

#[actix_web::test]
async fn what_cannot_be_adopted_is_told_in_cinders_words() {
    let house = House::build().await;
    let volume = house.volume(json!({"size": 1})).await;
    let reference = json!({"source-name": "lv1"});
    for (path, body, status, expected) in [
        (
            "/manageable_volumes",
            json!({"volume": {"host": "zz", "ref": reference}}),
            400,
            "Host 'zz' not found",
        ),
        (
            "/manageable_volumes",
            json!({"volume": {"cluster": "c", "ref": reference}}),
            400,
            "Cluster 'c' not found",
        ),
        (
            "/manageable_volumes",
            json!({"volume": {"ref": reference}}),
            400,
            "Invalid input received: One and only one of cluster and host must be set.",
        ),
        (
            "/manageable_volumes",
            json!({"volume": {"host": "h@lvm", "ref": reference, "volume_type": "gold"}}),
            400,
            "Invalid volume type: Cannot find requested 'gold' volume type",
        ),
        (
            "/manageable_volumes",
            json!({"volume": {"host": "h@lvm", "ref": {"source-name": format!("volume-{volume}")}}}),
            400,
            "Invalid volume: Unable to manage existing volume. The volume is already managed",
        ),
        (
            "/manageable_snapshots",
            json!({"snapshot": {"volume_id": "11111111-2222-4333-8444-555555555555", "ref": reference}}),
            404,
            "Volume 11111111-2222-4333-8444-555555555555 could not be found.",
        ),
    ] {
        let refused = house.post(path, body).send().await;
        assert_eq!(refused.status, status, "{expected}: {}", refused.text);
        let body = refused.json();
        let message = body.as_object().unwrap().values().next().unwrap()["message"].clone();
        assert_eq!(message, expected);
    }
    for query in ["host=zz", "host=zz@lvm#lvm"] {
        let host = &query[5..];
        let unknown = house.get(&format!("/manageable_snapshots?{query}")).send().await;
        assert_eq!(
            unknown.json()["itemNotFound"]["message"],
            format!("Service cinder-volume could not be found on host {host}.")
        );
    }
    for path in ["/manageable_volumes?host=h@lvm", "/os-snapshot-manage?host=h@lvm"] {
        assert_eq!(house.get(path).by("member", PROJECT).send().await.status, 403);
    }
    house.close().await;
}
