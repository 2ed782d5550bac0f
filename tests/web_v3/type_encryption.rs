//! How the volumes of a type are encrypted: shown to and changed by administrators, and refused where a volume would need a key.

use crate::api::{House, PROJECT};
use crate::web_support::Answer;
use serde_json::{Value, json};

const LUKS: [(&str, &str); 3] = [
    ("provider", "luks"),
    ("cipher", "aes-xts-plain64"),
    ("control_location", "front-end"),
];

fn luks(key_size: Value) -> Value {
    let mut fields: serde_json::Map<String, Value> = LUKS
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .into_iter()
        .collect();
    fields.insert("key_size".to_owned(), key_size);
    json!({"encryption": fields})
}

async fn new_type(house: &House, name: &str, specs: Value) -> String {
    let body = json!({"volume_type": {"name": name, "extra_specs": specs}});
    let made = house.post("/types", body).send().await;
    assert_eq!(made.status, 200, "{}", made.text);
    made.json()["volume_type"]["id"].as_str().unwrap().to_owned()
}

fn message(answer: &Answer) -> (u16, String) {
    let json = answer.json();
    let fault = json.as_object().and_then(|fault| fault.values().next()).unwrap();
    (answer.status, fault["message"].as_str().unwrap().to_owned())
}

#[actix_web::test]
async fn the_encryption_of_a_type_is_made_shown_changed_and_deleted() {
    let house = House::build().await;
    let id = new_type(&house, "secret", json!({})).await;
    let path = format!("/types/{id}/encryption");
    assert_eq!(house.get(&path).send().await.json(), json!({}));
    let gone = format!("Volume type encryption for type {id} does not exist.");
    // The last part of the path is a word of clients' own.
    let last = format!("{path}/provider");
    for answer in [
        house.get(&last).send().await,
        house.put(&last, json!({"encryption": {}})).send().await,
        house.delete(&last).send().await,
    ] {
        assert_eq!(message(&answer), (404, gone.clone()));
    }

    let made = house.post(&path, luks(json!("256"))).send().await;
    assert_eq!(made.status, 200, "{}", made.text);
    let made = made.json();
    let mut expected = luks(json!(256));
    expected["encryption"]["volume_type_id"] = json!(id);
    expected["encryption"]["encryption_id"] = made["encryption"]["encryption_id"].clone();
    assert_eq!(made, expected);
    let again = house.post(&path, luks(json!(256))).send().await;
    let exists = format!("Volume type encryption for type {id} already exists.");
    assert_eq!(message(&again), (400, exists));

    let shown = house.get(&path).send().await.json();
    for (key, value) in expected["encryption"].as_object().unwrap() {
        assert_eq!(&shown[key], value, "{key}");
    }
    assert_eq!(
        (&shown["deleted"], &shown["deleted_at"], &shown["updated_at"]),
        (&json!(false), &Value::Null, &Value::Null)
    );
    let change = json!({"encryption": {"key_size": 512, "cipher": null}});
    let changed = house.put(&last, change.clone()).send().await;
    assert_eq!((changed.status, changed.json()), (200, change));
    let size = house.get(&format!("{path}/key_size")).send().await;
    assert_eq!(size.json(), json!({"key_size": 512}));
    let shown = house.get(&path).send().await.json();
    assert_eq!(
        (&shown["cipher"], &shown["provider"]),
        (&Value::Null, &json!("luks"))
    );
    assert!(shown["updated_at"].is_string());

    let reader = house.get(&path).by("member", PROJECT).send().await;
    assert_eq!(reader.status, 403);
    assert_eq!(house.delete(&last).send().await.status, 202);
    assert_eq!(house.get(&path).send().await.json(), json!({}));

    // It goes with its type.
    assert_eq!(house.post(&path, luks(Value::Null)).send().await.status, 200);
    assert_eq!(house.delete(&format!("/types/{id}")).send().await.status, 202);
    assert!(
        house
            .catalog
            .type_encryption(id.parse().unwrap())
            .await
            .unwrap()
            .is_none()
    );
    let unknown = house.delete(&last).send().await;
    assert_eq!(message(&unknown), (404, gone));
    house.close().await;
}

#[actix_web::test]
async fn what_is_no_encryption_is_refused() {
    let house = House::build().await;
    let id = new_type(&house, "secret", json!({})).await;
    let path = format!("/types/{id}/encryption");
    for (body, why) in [
        (json!({}), "'encryption' is a required property"),
        (
            json!({"encryption": {"provider": "luks"}}),
            "'control_location' is a required property",
        ),
        (luks(json!("many")), "key_size must be an integer."),
        (luks(json!(1.5)), "1.5 is not of type 'string', 'integer', 'null'"),
        (luks(json!(-1)), "-1 is less than the minimum of 0"),
        (
            json!({"encryption": {"provider": "luks", "control_location": "nowhere"}}),
            "'nowhere' is not one of ['front-end', 'back-end']",
        ),
    ] {
        let (status, text) = message(&house.post(&path, body).send().await);
        assert!(status == 400 && text.contains(why), "{status} {text}: {why}");
    }
    house.close().await;
}

#[actix_web::test]
async fn no_volume_is_of_an_encrypted_type_while_nobody_keeps_keys() {
    let house = House::build().await;
    let plain = new_type(&house, "plain", json!({})).await;
    let secret = new_type(&house, "secret", json!({})).await;
    let shared = new_type(&house, "shared", json!({"multiattach": "<is> True"})).await;
    let volume = house.volume(json!({"size": 1, "volume_type": "plain"})).await;
    for (change, answer) in [
        (
            "create",
            house.post(&format!("/types/{plain}/encryption"), luks(json!(256))),
        ),
        (
            "update",
            house.put(&format!("/types/{plain}/encryption/x"), luks(json!(256))),
        ),
        ("delete", house.delete(&format!("/types/{plain}/encryption/x"))),
    ] {
        let in_use = format!("Cannot {change} encryption specs. Volume type in use.");
        assert_eq!(message(&answer.send().await), (400, in_use));
    }
    for id in [&secret, &shared] {
        let made = house.post(&format!("/types/{id}/encryption"), luks(json!(256)));
        assert_eq!(made.send().await.status, 200);
    }
    let no_keys = "Key manager error: none is configured, so no volume can be of the encrypted type secret.";
    let create = json!({"volume": {"size": 1, "volume_type": "secret"}});
    let created = house.post("/volumes", create).send().await;
    assert_eq!(message(&created), (400, no_keys.to_owned()));
    house.until_status(&volume, "available").await;
    let both =
        "Invalid input received: Retype requested both encryption and multi-attach, which is not supported.";
    for (new_type, why) in [("secret", no_keys), ("shared", both)] {
        let retype = json!({"os-retype": {"new_type": new_type, "migration_policy": "never"}});
        let answer = house
            .post(&format!("/volumes/{volume}/action"), retype)
            .send()
            .await;
        assert_eq!(message(&answer), (400, why.to_owned()));
    }
    house.close().await;
}
