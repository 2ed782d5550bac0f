//! What operators look at and set, and what users read: types, quotas, services, pools, messages.

use crate::api::{House, OTHER_PROJECT, PROJECT};
use serde_json::{Value, json};

/// The keys of an object, sorted.
fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[actix_web::test]
async fn what_goes_wrong_later_is_told_in_a_message() {
    let house = House::build().await;
    let body = json!({"volume_type": {"name": "gold", "extra_specs": {"volume_backend_name": "gold"}}});
    assert_eq!(house.post("/types", body).send().await.status, 200);
    let made = house
        .post("/volumes", json!({"volume": {"size": 1, "volume_type": "gold"}}))
        .by("member", PROJECT)
        .send()
        .await;
    let id = made.json()["volume"]["id"].as_str().unwrap().to_owned();
    house.until_status(&id, "error").await;
    let member = house
        .get(&format!("/messages?resource_uuid={id}"))
        .by("member", PROJECT)
        .send()
        .await
        .json();
    let message = &member["messages"][0];
    assert_eq!(message["event_id"], "VOLUME_VOLUME_001_003");
    assert_eq!(
        message["user_message"],
        "schedule allocate volume:Could not find any available weighted backend."
    );
    assert_eq!(
        (&message["message_level"], &message["resource_type"]),
        (&json!("ERROR"), &json!("VOLUME"))
    );
    assert_eq!(
        keys(message),
        [
            "created_at",
            "event_id",
            "guaranteed_until",
            "id",
            "links",
            "message_level",
            "request_id",
            "resource_type",
            "resource_uuid",
            "user_message"
        ]
    );
    let part = &id[..13];
    for (query, count) in [
        (format!("resource_uuid~={part}"), 1),
        ("event_id~=volume_001".to_owned(), 1),
        (format!("resource_uuid~={part}&event_id~=002_"), 0),
        (
            "resource_type~=vol&message_level~=err&request_id~=req-".to_owned(),
            1,
        ),
        ("bogus~=x".to_owned(), 0),
    ] {
        let list = house.get(&format!("/messages?{query}")).send().await.json();
        assert_eq!(list["messages"].as_array().map(Vec::len), Some(count), "{query}");
    }
    let path = format!("/messages/{}", message["id"].as_str().unwrap());
    assert_eq!(
        house.get(&path).by("member", OTHER_PROJECT).send().await.status,
        404
    );
    assert_eq!(house.delete(&path).by("reader", PROJECT).send().await.status, 403);
    let deleted = house.delete(&path).by("member", PROJECT).send().await;
    assert_eq!((deleted.status, deleted.text.as_str()), (204, ""));
    assert_eq!(
        house.get("/messages").send().await.json(),
        json!({"messages": []})
    );
    house.close().await;
}

#[actix_web::test]
async fn operators_see_services_pools_and_zones() {
    let house = House::build().await;
    let services = house
        .until("the backend's heartbeat", async || {
            let services = house.get("/os-services").send().await.json()["services"].clone();
            (services.as_array().unwrap().len() == 2).then_some(services)
        })
        .await;
    let volume = services
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["binary"] == "cinder-volume")
        .unwrap();
    assert_eq!(
        (&volume["host"], &volume["state"], &volume["backend_state"]),
        (&json!("h@lvm"), &json!("up"), &json!("up"))
    );
    assert_eq!(
        keys(volume),
        [
            "active_backend_id",
            "backend_state",
            "binary",
            "cluster",
            "disabled_reason",
            "frozen",
            "host",
            "replication_status",
            "state",
            "status",
            "updated_at",
            "zone"
        ]
    );
    let older = house
        .get("/os-services?binary=cinder-volume")
        .version("3.6")
        .send()
        .await
        .json();
    assert!(
        older["services"][0].get("cluster").is_none() && older["services"][0].get("backend_state").is_none()
    );

    let zones = json!({"availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": true}}]});
    assert_eq!(
        house
            .get("/os-availability-zone")
            .by("reader", PROJECT)
            .send()
            .await
            .json(),
        zones
    );

    let pools = house.get("/scheduler-stats/get_pools").send().await.json();
    assert_eq!(pools, json!({"pools": [{"name": "h@lvm#lvm"}]}));
    let pools = house
        .get("/scheduler-stats/get_pools?detail=True")
        .send()
        .await
        .json();
    let able = &pools["pools"][0]["capabilities"];
    assert_eq!(
        (&able["volume_backend_name"], &able["backend_state"]),
        (&json!("lvm"), &json!("up"))
    );
    assert_eq!(able["max_over_subscription_ratio"], "20.0");
    assert_eq!(
        house.get("/scheduler-stats/get_pools?name=x").send().await.json(),
        json!({"pools": []})
    );
    let refused = house.get("/scheduler-stats/get_pools?bogus=x").send().await;
    assert_eq!(
        refused.json()["badRequest"]["message"],
        "Invalid filters bogus are found in query options."
    );

    for (query, count) in [
        ("host=h", 2),
        ("host=h&binary=cinder-volume", 1),
        ("host=h%40lvm", 1),
        ("host=h%40lv", 0),
        ("host=%40lvm", 0),
    ] {
        let services = house.get(&format!("/os-services?{query}")).send().await.json();
        let shown = services["services"].as_array().map(Vec::len);
        assert_eq!(shown, Some(count), "{query}");
    }

    let body = json!({"host": "h@lvm", "binary": "cinder-volume", "disabled_reason": " broken "});
    let disabled = house.put("/os-services/disable-log-reason", body).send().await;
    assert_eq!(
        (disabled.status, &disabled.json()["status"]),
        (200, &json!("disabled"))
    );
    let services = house.get("/os-services?host=h%40lvm").send().await.json();
    assert_eq!(
        services["services"][0]["status"], "disabled",
        "it is stored, unlike in Cinder"
    );
    let body = json!({"host": "h", "binary": "cinder-volume"});
    assert_eq!(house.put("/os-services/enable", body).send().await.status, 200);
    let services = house.get("/os-services?host=h%40lvm").send().await.json();
    assert_eq!(
        services["services"][0]["status"], "enabled",
        "a machine is all its backends"
    );
    let missing = house
        .put("/os-services/enable", json!({"binary": "cinder-volume"}))
        .send()
        .await;
    assert_eq!(
        missing.json()["badRequest"]["message"],
        "Invalid input received: Host field is missing."
    );
    let unknown = house
        .put(
            "/os-services/enable",
            json!({"host": "zz", "binary": "cinder-volume"}),
        )
        .send()
        .await;
    assert_eq!(unknown.status, 404);
    house.close().await;
}

#[actix_web::test]
async fn limits_and_quotas_say_the_same() {
    let house = House::build_deaf().await;
    house
        .post("/volumes", json!({"volume": {"size": 2}}))
        .by("member", PROJECT)
        .send()
        .await;
    let limits = house.get("/limits").by("reader", PROJECT).send().await.json();
    assert_eq!(
        limits,
        json!({"limits": {"rate": [], "absolute": {
            "maxTotalVolumes": 10, "maxTotalSnapshots": 10, "maxTotalVolumeGigabytes": 1000, "maxTotalBackups": 10,
            "maxTotalBackupGigabytes": 1000, "totalVolumesUsed": 1, "totalGigabytesUsed": 2, "totalSnapshotsUsed": 0,
            "totalBackupsUsed": 0, "totalBackupGigabytesUsed": 0,
        }}})
    );
    let other = house.get(&format!("/limits?project_id={OTHER_PROJECT}"));
    assert_eq!(
        other.version("3.38").send().await.json()["limits"]["absolute"]["totalVolumesUsed"],
        1
    );
    let other = house
        .get(&format!("/limits?project_id={OTHER_PROJECT}"))
        .version("3.39")
        .send()
        .await
        .json();
    assert_eq!(other["limits"]["absolute"]["totalVolumesUsed"], 0);
    let set = house
        .put(
            &format!("/os-quota-sets/{PROJECT}"),
            json!({"quota_set": {"volumes": "20"}}),
        )
        .send()
        .await;
    assert_eq!(set.json()["quota_set"]["volumes"], 20);
    let path = format!("/os-quota-sets/{PROJECT}");
    assert_eq!(
        house.get(&format!("{path}/defaults")).send().await.json()["quota_set"]["volumes"],
        10
    );
    let usage = house.get(&format!("{path}?usage=True")).send().await.json();
    assert_eq!(
        usage["quota_set"]["volumes"],
        json!({"limit": 20, "in_use": 1, "reserved": 0})
    );
    assert_eq!(house.delete(&path).send().await.status, 200);
    assert_eq!(house.get(&path).send().await.json()["quota_set"]["volumes"], 10);
    house.close().await;
}

#[actix_web::test]
async fn a_private_type_is_seen_by_those_it_is_opened_to() {
    let house = House::build_deaf().await;
    let body = json!({"volume_type": {
        "name": "p", "os-volume-type-access:is_public": false, "extra_specs": {"multiattach": "<is> True", "x": "y"},
    }});
    let made = house.post("/types", body).send().await.json();
    let id = made["volume_type"]["id"].as_str().unwrap();
    let path = format!("/types/{id}");
    let names = async |query: &str| -> Vec<String> {
        let list = house
            .get(&format!("/types{query}"))
            .by("member", PROJECT)
            .send()
            .await
            .json();
        list["volume_types"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("").await, ["__DEFAULT__"]);
    assert_eq!(house.get(&path).by("member", PROJECT).send().await.status, 404);
    let open = json!({"addProjectAccess": {"project": PROJECT}});
    assert_eq!(
        house
            .post(&format!("{path}/action"), open.clone())
            .send()
            .await
            .status,
        202
    );
    assert_eq!(
        house.post(&format!("{path}/action"), open).send().await.status,
        409
    );
    let access = house
        .get(&format!("{path}/os-volume-type-access"))
        .send()
        .await
        .json();
    assert_eq!(
        access,
        json!({"volume_type_access": [{"volume_type_id": id, "project_id": PROJECT}]})
    );
    assert_eq!(
        names("?is_public=None").await,
        ["p", "__DEFAULT__"],
        "members have no say in it"
    );
    let shown = house.get(&path).by("member", PROJECT).send().await.json();
    assert_eq!(
        shown["volume_type"]["extra_specs"],
        json!({"multiattach": "<is> True"}),
        "the rest is not theirs to see"
    );
    assert_eq!(names("?extra_specs={'x':'y'}").await, Vec::<String>::new());
    assert_eq!(names("?extra_specs={'multiattach':'<is> True'}").await, ["p"]);
    let bogus = house.get("/types?bogus=1").by("member", PROJECT).send().await;
    assert_eq!(
        bogus.json()["badRequest"]["message"],
        "Invalid filters bogus are found in query options."
    );
    let sorted = house
        .get("/types?is_public=none&sort=name:asc&limit=1")
        .send()
        .await
        .json();
    assert_eq!(sorted["volume_types"][0]["name"], "__DEFAULT__");
    assert!(
        sorted["volume_type_links"][0]["href"]
            .as_str()
            .unwrap()
            .contains("/types?is_public=none&sort=name")
    );
    let close = json!({"removeProjectAccess": {"project": PROJECT}});
    assert_eq!(
        house.post(&format!("{path}/action"), close).send().await.status,
        202
    );
    assert_eq!(house.get(&path).by("member", PROJECT).send().await.status, 404);
    house.close().await;
}
