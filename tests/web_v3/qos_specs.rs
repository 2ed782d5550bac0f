//! QoS specs: administrators make them and let types refer to them; a connection has those that the compute service enforces. And
//! the default types of projects.

use serde_json::{Value, json};

use crate::api::{House, OTHER_PROJECT, PROJECT};
use crate::web_support::Answer;

/// The status, and the text of a fault.
fn fault(answer: &Answer) -> (u16, String) {
    let json = answer.json();
    let fault = json.as_object().and_then(|fault| fault.values().next()).unwrap();
    (answer.status, fault["message"].as_str().unwrap().to_owned())
}

async fn new_type(house: &House, name: &str, is_public: bool) -> String {
    let body = json!({"volume_type": {"name": name, "os-volume-type-access:is_public": is_public}});
    let made = house.post("/types", body).send().await;
    assert_eq!(made.status, 200, "{}", made.text);
    made.json()["volume_type"]["id"].as_str().unwrap().to_owned()
}

async fn new_specs(house: &House, specs: Value) -> String {
    let made = house.post("/qos-specs", json!({"qos_specs": specs})).send().await;
    assert_eq!(made.status, 200, "{}", made.text);
    made.json()["qos_specs"]["id"].as_str().unwrap().to_owned()
}

async fn accepted(house: &House, path: &str) {
    let answer = house.get(path).send().await;
    assert_eq!(answer.status, 202, "{path}: {}", answer.text);
}

async fn qos_of_type(house: &House, volume_type: &str) -> Value {
    let shown = house.get(&format!("/types/{volume_type}")).send().await;
    shown.json()["volume_type"]["qos_specs_id"].clone()
}

#[actix_web::test]
async fn qos_specs_are_made_changed_listed_and_deleted() {
    let house = House::build_deaf().await;
    let fast = new_specs(
        &house,
        json!({"name": " fast ", "total_iops_sec": "100", "empty": null}),
    )
    .await;
    let path = format!("/qos-specs/{fast}");
    let shown = house.get(&path).send().await.json();
    let expected = json!({
        "id": fast, "name": "fast", "consumer": "back-end", "specs": {"total_iops_sec": "100", "empty": null}
    });
    assert_eq!(shown["qos_specs"], expected);
    let link = format!("http://localhost/v3/{PROJECT}{path}");
    assert_eq!(shown["links"][0]["href"], link.as_str());

    let again = house
        .post("/qos-specs", json!({"qos_specs": {"name": "fast"}}))
        .send()
        .await;
    assert_eq!(fault(&again), (409, "QoS Specs fast already exists.".to_owned()));

    let change = json!({"qos_specs": {"consumer": "both", "total_iops_sec": "200", "read_iops_sec": "5"}});
    let changed = house.put(&path, change.clone()).send().await;
    assert_eq!((changed.status, changed.json()), (200, change));
    let keys = |keys: Value| house.put(&format!("/qos-specs/{fast}/delete_keys"), json!({"keys": keys}));
    let unknown = keys(json!(["read_iops_sec", "none"])).send().await;
    let text = format!("QoS spec {fast} has no spec with key none.");
    assert_eq!(fault(&unknown), (404, text));
    assert_eq!(keys(json!(["read_iops_sec", "empty"])).send().await.status, 202);
    let shown = house.get(&path).send().await.json();
    assert_eq!(shown["qos_specs"]["specs"], json!({"total_iops_sec": "200"}));
    assert_eq!(shown["qos_specs"]["consumer"], "both");

    let slow = new_specs(&house, json!({"name": "slow", "consumer": "front-end"})).await;
    let names = async |query: &str| {
        let listed = house.get(&format!("/qos-specs{query}")).send().await;
        assert_eq!(listed.status, 200, "{query}: {}", listed.text);
        let listed = listed.json();
        let listed = listed["qos_specs"].as_array().unwrap();
        listed
            .iter()
            .map(|specs| specs["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for (query, expected) in [
        ("", vec!["slow", "fast"]),
        ("?sort=name:asc", vec!["fast", "slow"]),
        ("?sort=consumer:asc", vec!["slow", "fast"]),
        ("?name=fast", vec!["fast"]),
        ("?consumer=front-end", vec!["slow"]),
        ("?nothing=x", vec![]),
        (&format!("?marker={slow}"), vec!["fast"]),
        ("?limit=1", vec!["slow"]),
    ] {
        assert_eq!(names(query).await, expected, "{query}");
    }
    let page = house.get("/qos-specs?limit=1").send().await.json();
    let next = page["qos_specs_links"][0]["href"].as_str().unwrap();
    assert!(
        next.ends_with(&format!("qos-specs?limit=1&marker={slow}")),
        "{next}"
    );

    assert_eq!(house.delete(&path).send().await.status, 202);
    for answer in [house.get(&path).send().await, house.delete(&path).send().await] {
        assert_eq!(fault(&answer), (404, format!("No such QoS spec {fast}.")));
    }
    // Its name is free again.
    new_specs(&house, json!({"name": "fast"})).await;
    house.close().await;
}

#[actix_web::test]
async fn what_are_no_qos_specs_is_refused() {
    let house = House::build_deaf().await;
    let id = new_specs(&house, json!({"name": "q"})).await;
    let long = "x".repeat(256);
    let name = "An invalid 'name' value was provided. The 'name' can not be";
    let consumer =
        "Invalid qos specs: Valid consumer of QoS specs are: ['front-end', 'back-end', 'both']".to_owned();
    for (specs, expected) in [
        (json!({}), "'name' is a required property".to_owned()),
        (json!({"name": ""}), format!("{name} None.")),
        (json!({"name": "  "}), format!("{name} empty.")),
        (
            json!({"name": long}),
            format!("{name} greater than 255 characters."),
        ),
        (json!({"name": "x", "consumer": "me"}), consumer.clone()),
        (json!({"name": "x", "consumer": ""}), consumer.clone()),
        (
            json!({"name": "x", "total_iops_sec": 100}),
            "Invalid input received: Value for key \"total_iops_sec\" is not a string or unicode".to_owned(),
        ),
        (
            json!({"name": "x", "k": long}),
            "Invalid input received: Value for key \"k\" has 256 characters, more than 255.".to_owned(),
        ),
        (
            json!({"name": "x", "": "v"}),
            "Invalid input received: Key \"\" has a minimum character requirement of 1.".to_owned(),
        ),
    ] {
        let answer = house.post("/qos-specs", json!({"qos_specs": specs})).send().await;
        let (status, text) = fault(&answer);
        assert!(
            status == 400 && text.contains(&expected),
            "{specs}: {status} {text}"
        );
    }
    let many: serde_json::Map<_, _> = (0..300)
        .map(|n| (format!("key-{n}"), json!("0123456789")))
        .collect();
    for (body, expected) in [
        (json!({"qos_specs": {"consumer": "me"}}), consumer.as_str()),
        (json!({"qos_specs": many}), "qos_specs"),
        (json!({"qos_specs": {"a/ä": "1"}}), "a/ä"),
        (json!({}), "'qos_specs' is a required property"),
    ] {
        let (status, text) = fault(&house.put(&format!("/qos-specs/{id}"), body).send().await);
        assert!(
            matches!(status, 400 | 413) && text.contains(expected),
            "{status} {text}"
        );
    }
    for (method, path) in [
        ("GET", "/qos-specs/x"),
        ("DELETE", "/qos-specs/x"),
        ("GET", "/qos-specs/x/associations"),
    ] {
        let answer = house.request(method, path).send().await;
        assert_eq!(
            fault(&answer),
            (404, "No such QoS spec x.".to_owned()),
            "{method} {path}"
        );
    }
    let shown = house.get(&format!("/qos-specs/{id}")).send().await.json();
    assert_eq!(shown["qos_specs"]["specs"], json!({}));
    house.close().await;
}

#[actix_web::test]
async fn types_refer_to_qos_specs() {
    let house = House::build_deaf().await;
    let [q, other] = [
        new_specs(&house, json!({"name": "q"})).await,
        new_specs(&house, json!({"name": "other"})).await,
    ];
    let [a, b] = [
        new_type(&house, "a", true).await,
        new_type(&house, "b", false).await,
    ];
    for volume_type in [&a, &b, &a] {
        accepted(
            &house,
            &format!("/qos-specs/{q}/associate?vol_type_id={volume_type}"),
        )
        .await;
    }
    assert_eq!(qos_of_type(&house, &a).await, q.as_str());
    let listed = house
        .get(&format!("/qos-specs/{q}/associations"))
        .send()
        .await
        .json();
    let associations = listed["qos_associations"].as_array().unwrap();
    assert_eq!(associations.len(), 2);
    assert!(associations.contains(&json!({"association_type": "volume_type", "name": "a", "id": a})));

    let nowhere = uuid::Uuid::from_u128(7);
    for (path, status, text) in [
        (
            format!("/qos-specs/{other}/associate?vol_type_id={a}"),
            400,
            format!("Invalid volume type: Type {a} is already associated with another qos specs: {q}"),
        ),
        (
            format!("/qos-specs/{q}/associate"),
            400,
            "Volume Type id must not be None.".to_owned(),
        ),
        (
            format!("/qos-specs/{q}/disassociate"),
            400,
            "Volume Type id must not be None.".to_owned(),
        ),
        (
            format!("/qos-specs/{q}/associate?vol_type_id={nowhere}"),
            404,
            format!("Volume type {nowhere} could not be found."),
        ),
        (
            format!("/qos-specs/{q}/disassociate?vol_type_id={nowhere}"),
            404,
            format!("Volume type {nowhere} could not be found."),
        ),
        (
            format!("/qos-specs/{nowhere}/associate?vol_type_id={a}"),
            404,
            format!("No such QoS spec {nowhere}."),
        ),
    ] {
        assert_eq!(fault(&house.get(&path).send().await), (status, text), "{path}");
    }
    let delete = |force: &str| house.delete(&format!("/qos-specs/{q}{force}"));
    assert_eq!(
        fault(&delete("").send().await),
        (400, "Qos specs still in use.".to_owned())
    );
    let no_boolean = "Value 'maybe' for 'force' is not a boolean.";
    assert_eq!(
        fault(&delete("?force=maybe").send().await),
        (400, no_boolean.to_owned())
    );

    accepted(&house, &format!("/qos-specs/{q}/disassociate?vol_type_id={a}")).await;
    // It is not associated any more: nothing happens.
    accepted(&house, &format!("/qos-specs/{q}/disassociate?vol_type_id={a}")).await;
    assert_eq!(qos_of_type(&house, &a).await, Value::Null);
    assert_eq!(qos_of_type(&house, &b).await, q.as_str());
    accepted(&house, &format!("/qos-specs/{q}/disassociate_all")).await;
    assert_eq!(qos_of_type(&house, &b).await, Value::Null);

    // More types than one commit changes are freed, too.
    let mut types = vec![a, b];
    for n in 0..10 {
        types.push(new_type(&house, &format!("t{n}"), true).await);
    }
    for volume_type in &types {
        accepted(
            &house,
            &format!("/qos-specs/{q}/associate?vol_type_id={volume_type}"),
        )
        .await;
    }
    assert_eq!(delete("?force=true").send().await.status, 202);
    for volume_type in &types {
        assert_eq!(qos_of_type(&house, volume_type).await, Value::Null);
    }
    house.close().await;
}

#[actix_web::test]
async fn a_connection_has_the_qos_specs_that_the_compute_service_enforces() {
    let house = House::build().await;
    let front = json!({"name": "f", "consumer": "front-end", "total_iops_sec_per_gb": "100", "note": "n"});
    let front = new_specs(&house, front).await;
    let back = new_specs(&house, json!({"name": "b", "total_iops_sec": "100"})).await;
    let [limited, inside, plain] = [
        new_type(&house, "limited", true).await,
        new_type(&house, "inside", true).await,
        new_type(&house, "plain", true).await,
    ];
    accepted(
        &house,
        &format!("/qos-specs/{front}/associate?vol_type_id={limited}"),
    )
    .await;
    accepted(
        &house,
        &format!("/qos-specs/{back}/associate?vol_type_id={inside}"),
    )
    .await;

    let connector = json!({"initiator": "iqn.1994-05.com.redhat:x", "host": "h1", "ip": "192.0.2.1"});
    let limits = json!({"total_iops_sec": 200, "note": "n"});
    for (volume_type, expected) in [
        ("limited", limits.clone()),
        ("inside", Value::Null),
        ("plain", Value::Null),
    ] {
        let volume = house.volume(json!({"size": 2, "volume_type": volume_type})).await;
        let attach = json!({"attachment": {"volume_uuid": volume, "connector": connector}});
        let attached = house.post("/attachments", attach).send().await;
        assert_eq!(attached.status, 200, "{}", attached.text);
        let info = &attached.json()["attachment"]["connection_info"];
        assert_eq!(info["qos_specs"], expected, "{volume_type}: {info}");
    }
    let old = house.volume(json!({"size": 2, "volume_type": "limited"})).await;
    let path = format!("/volumes/{old}/action");
    let connected = house
        .post(
            &path,
            json!({"os-initialize_connection": {"connector": connector}}),
        )
        .send()
        .await;
    assert_eq!(
        connected.json()["connection_info"]["data"]["qos_specs"],
        limits,
        "{}",
        connected.text
    );

    // The limits of a volume in use cannot change.
    let retype = json!({"os-retype": {"new_type": plain, "migration_policy": "never"}});
    let server = uuid::Uuid::from_u128(1);
    let attach = json!({"os-attach": {"instance_uuid": server, "mountpoint": "/dev/vdb"}});
    assert_eq!(house.post(&path, attach).send().await.status, 202);
    let (status, text) = fault(&house.post(&path, retype.clone()).send().await);
    assert!(
        status == 400 && text.contains("front-end qos specs cannot change"),
        "{text}"
    );
    let idle = house.volume(json!({"size": 2, "volume_type": "limited"})).await;
    let retyped = house
        .post(&format!("/volumes/{idle}/action"), retype)
        .send()
        .await;
    assert_eq!(retyped.status, 202, "{}", retyped.text);
    house.until_status(&idle, "available").await;
    house.close().await;
}

#[actix_web::test]
async fn a_project_may_have_a_default_type_of_its_own() {
    let house = House::build_deaf().await;
    let [fast, private] = [
        new_type(&house, "fast", true).await,
        new_type(&house, "private", false).await,
    ];
    let path = format!("/default-types/{OTHER_PROJECT}");
    let none = format!("Default type for project {OTHER_PROJECT} not found.");
    assert_eq!(fault(&house.get(&path).send().await), (404, none.clone()));
    let set = |name: &str| house.put(&path, json!({"default_type": {"volume_type": name}}));
    let unknown = set("nope").send().await;
    let text = "Volume type with name nope could not be found.";
    assert_eq!(fault(&unknown), (400, text.to_owned()));
    for body in [json!({}), json!({"default_type": {}})] {
        assert_eq!(house.put(&path, body).send().await.status, 400);
    }
    for name in [private.as_str(), "fast"] {
        let default = set(name).send().await;
        assert_eq!(default.status, 200, "{}", default.text);
    }
    let default = json!({"project_id": OTHER_PROJECT, "volume_type_id": fast});
    assert_eq!(
        house.get(&path).send().await.json(),
        json!({"default_type": default})
    );
    assert_eq!(
        house.get("/default-types").send().await.json(),
        json!({"default_types": [default]})
    );

    let type_of_new = async |project: &str| {
        let body = json!({"volume": {"size": 1}});
        let made = house.post("/volumes", body).by("member", project).send().await;
        assert_eq!(made.status, 202, "{}", made.text);
        let shown = house
            .get("/types/default")
            .by("member", project)
            .send()
            .await
            .json();
        let name = made.json()["volume"]["volume_type"].as_str().unwrap().to_owned();
        assert_eq!(shown["volume_type"]["name"], name.as_str());
        name
    };
    assert_eq!(type_of_new(OTHER_PROJECT).await, "fast");
    assert_eq!(type_of_new(PROJECT).await, "__DEFAULT__");

    let deleted = house.delete(&format!("/types/{private}")).send().await;
    assert_eq!(deleted.status, 202, "it is no default any more: {}", deleted.text);
    let in_use = format!("The volume type {fast} is a default volume type and cannot be deleted.");
    let delete = || house.delete(&format!("/types/{fast}"));
    assert_eq!(fault(&delete().send().await), (400, in_use));
    for _ in 0..2 {
        assert_eq!(house.delete(&path).send().await.status, 204);
    }
    assert_eq!(fault(&house.get(&path).send().await), (404, none));
    assert_eq!(type_of_new(OTHER_PROJECT).await, "__DEFAULT__");

    // All creates without a type would fail if the service's default had another name.
    let default = house.get("/types/default").send().await.json();
    let path = format!("/types/{}", default["volume_type"]["id"].as_str().unwrap());
    let renamed = house
        .put(&path, json!({"volume_type": {"name": "other"}}))
        .send()
        .await;
    let (status, text) = fault(&renamed);
    assert!(
        status == 400 && text.contains("cannot be renamed"),
        "{status} {text}"
    );
    let described = house
        .put(&path, json!({"volume_type": {"description": "d"}}))
        .send()
        .await;
    assert_eq!(described.status, 200, "{}", described.text);
    house.close().await;
}
