//! Attaching, the newer way and the older: the whole service, a fake backend, real HTTP.

use crate::api::{House, OTHER_PROJECT, PROJECT};
use serde_json::{Value, json};

/// The keys of an object, sorted.
fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[actix_web::test]
async fn an_attachment_leads_to_the_volume_and_away_again() {
    let house = House::build().await;
    let id = house.volume(json!({"size": 1})).await;
    let server = "11111111-2222-4333-8444-555555555555";
    let made = house
        .post(
            "/attachments",
            json!({"attachment": {"volume_uuid": id, "instance_uuid": server, "mode": "rw"}}),
        )
        .send()
        .await;
    assert_eq!(made.status, 200, "{}", made.text);
    let reserved = made.json()["attachment"].clone();
    assert_eq!(reserved["status"], "reserved");
    assert_eq!(
        (&reserved["attached_at"], &reserved["connection_info"]),
        (&json!(""), &json!({}))
    );
    let attachment = format!("/attachments/{}", reserved["id"].as_str().unwrap());

    let connector = json!({"initiator": "iqn.2010-10.org.example:me", "host": "h1", "multipath": false});
    let connected = house
        .put(&attachment, json!({"attachment": {"connector": connector}}))
        .send()
        .await;
    assert_eq!(connected.status, 200, "{}", connected.text);
    let info = connected.json()["attachment"]["connection_info"].clone();
    assert_eq!(
        (&info["driver_volume_type"], &info["attachment_id"]),
        (&json!("iscsi"), &reserved["id"])
    );
    assert!(info["auth_password"].is_string() && info["target_iqn"].is_string());

    for (query, count) in [
        (format!("volume_id~={}", &id[..13]), 1),
        ("instance_uuid~=2222-4333".to_owned(), 1),
        ("instance_id~=2222-4333&status~=ATTACH".to_owned(), 1),
        ("attach_status~=reserv".to_owned(), 0),
        ("attached_host~=h&attach_mode~=r".to_owned(), 1),
        (format!("id~={}&attached_host~=x", &attachment[13..20]), 0),
        ("bogus~=x".to_owned(), 0),
    ] {
        let list = house.get(&format!("/attachments?{query}")).send().await.json();
        assert_eq!(
            list["attachments"].as_array().map(Vec::len),
            Some(count),
            "{query}"
        );
    }
    let member = house
        .get("/attachments?volume_id~=1")
        .by("member", PROJECT)
        .send()
        .await;
    assert_eq!(
        member.json()["badRequest"]["message"],
        "Invalid filters volume_id~ are found in query options."
    );

    let complete = house
        .post(&format!("{attachment}/action"), json!({"os-complete": {}}))
        .send()
        .await;
    assert_eq!((complete.status, complete.text.as_str()), (204, ""));
    let volume = house.get(&format!("/volumes/{id}")).send().await.json()["volume"].clone();
    assert_eq!(volume["status"], "in-use");
    let attached = &volume["attachments"][0];
    assert_eq!(
        keys(attached),
        [
            "attached_at",
            "attachment_id",
            "device",
            "host_name",
            "id",
            "server_id",
            "volume_id"
        ]
    );
    assert_eq!(
        (&attached["server_id"], &attached["host_name"]),
        (&json!(server), &json!("h1"))
    );
    let detail = house
        .get("/volumes/detail")
        .by("member", PROJECT)
        .send()
        .await
        .json();
    assert_eq!(
        detail["volumes"][0]["attachments"][0]["host_name"],
        Value::Null,
        "a member does not see hosts"
    );

    let listed = house
        .get(&format!("/attachments?volume_id={id}&status=attached"))
        .by("member", PROJECT)
        .send()
        .await;
    assert_eq!(
        keys(&listed.json()["attachments"][0]),
        ["id", "instance", "status", "volume_id"]
    );
    assert_eq!(
        house.get("/attachments?status=reserved").send().await.json(),
        json!({"attachments": []})
    );
    let stranger = house.get(&attachment).by("member", OTHER_PROJECT).send().await;
    assert_eq!(stranger.status, 404, "Cinder shows it, with its secrets");

    let deleted = house.delete(&attachment).send().await;
    assert_eq!(
        (deleted.status, deleted.json()),
        (200, json!({"attachments": []}))
    );
    house.until_status(&id, "available").await;
    house.close().await;
}

#[actix_web::test]
async fn the_older_way_of_attaching_works_too() {
    let house = House::build().await;
    let id = house.volume(json!({"size": 1})).await;
    let action = format!("/volumes/{id}/action");
    let act = async |body: Value| {
        house
            .post(&action, body)
            .version("")
            .by("member", PROJECT)
            .send()
            .await
    };
    let connector =
        json!({"initiator": "iqn.2010-10.org.example:me", "host": "h1", "enforce_multipath": true});
    assert_eq!(act(json!({"os-reserve": {}})).await.status, 202);
    let info = act(json!({"os-initialize_connection": {"connector": connector}})).await;
    assert_eq!(info.status, 200, "{}", info.text);
    let info = info.json()["connection_info"].clone();
    assert_eq!(keys(&info), ["data", "driver_volume_type", "enforce_multipath"]);
    assert_eq!(info["enforce_multipath"], true);
    let attach = json!({"os-attach": {"instance_uuid": "11111111-2222-4333-8444-555555555555", "mountpoint": "/dev/vdb"}});
    assert_eq!(act(attach).await.status, 202);
    house.until_status(&id, "in-use").await;
    assert_eq!(act(json!({"os-begin_detaching": {}})).await.status, 202);
    assert_eq!(
        act(json!({"os-terminate_connection": {"connector": connector}}))
            .await
            .status,
        202
    );
    assert_eq!(act(json!({"os-detach": {}})).await.status, 202);
    house.until_status(&id, "available").await;
    let text = act(json!({"os-initialize_connection": {"connector": "h1"}})).await;
    assert_eq!(text.status, 400);
    house.close().await;
}
