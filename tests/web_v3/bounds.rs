//! What is too large is refused, with a status and a text that clients understand; and types by any name are limited.

use crate::api::{House, PROJECT};
use serde_json::{Value, json};

fn message(answer: &Value) -> &str {
    answer["overLimit"]["message"].as_str().unwrap_or_default()
}

#[actix_web::test]
async fn what_is_larger_than_can_be_kept_is_refused_with_413_and_without_an_invitation_to_come_again() {
    let house = House::build().await;
    let metadata = |count: usize| -> Value {
        (0..count)
            .map(|n| (format!("k{n:04}"), json!("v".repeat(255))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let made = house
        .post(
            "/volumes",
            json!({"volume": {"size": 1, "metadata": metadata(380)}}),
        )
        .by("member", PROJECT)
        .send()
        .await;
    assert_eq!(made.status, 413);
    let error = made.json();
    assert_eq!(
        message(&error),
        "Invalid metadata size: 104880 bytes, more than 102400."
    );
    assert_eq!(error["overLimit"]["retryAfter"], Value::Null);
    let made = house
        .post(
            "/volumes",
            json!({"volume": {"size": 1, "metadata": metadata(370)}}),
        )
        .by("member", PROJECT)
        .send()
        .await;
    assert_eq!(made.status, 202);
    let id = made.json()["volume"]["id"].as_str().unwrap().to_owned();
    house.until_status(&id, "available").await;
    let connector = json!({"host": "h", "initiator": "iqn.h", "note": "x".repeat(9000)});
    for (path, body) in [
        (
            "/attachments".to_owned(),
            json!({"attachment": {"volume_uuid": id, "connector": connector}}),
        ),
        (
            format!("/volumes/{id}/action"),
            json!({"os-initialize_connection": {"connector": connector}}),
        ),
        (
            format!("/volumes/{id}/action"),
            json!({"os-set_image_metadata": {"metadata": {"k": "x".repeat(60_000)}}}),
        ),
        (
            format!("/volumes/{id}/metadata"),
            json!({"metadata": {"more": "x".repeat(255)}}),
        ),
    ] {
        let answer = house.post(&path, body).send().await;
        let error = answer.json();
        let fits = path.ends_with("metadata");
        assert_eq!(answer.status, if fits { 200 } else { 413 }, "{path}: {error}");
    }
}

#[actix_web::test]
async fn limits_go_with_a_type_that_is_renamed_and_an_extra_spec_of_null_is_none() {
    let house = House::build().await;
    let name = "\u{1f600}".repeat(255);
    let body = json!({"volume_type": {"name": name, "extra_specs": {"a": "old", "b": "stays"}}});
    let made = house.post("/types", body).send().await.json();
    let id = made["volume_type"]["id"].as_str().unwrap().to_owned();
    let specs = format!("/types/{id}/extra_specs");
    let answer = house.put(&format!("{specs}/a"), json!({"a": null})).send().await;
    assert_eq!((answer.status, answer.json()), (200, json!({"a": null})));
    let answer = house
        .post(&specs, json!({"extra_specs": {"b": "new", "c": null}}))
        .send()
        .await;
    assert_eq!(answer.status, 200);
    let left = house.get(&specs).send().await.json();
    assert_eq!(left, json!({"extra_specs": {"b": "new"}}));

    let quotas = format!("/os-quota-sets/{PROJECT}");
    let set = json!({"quota_set": {format!("volumes_{name}"): 1}});
    let answer = house.put(&quotas, set).send().await.json();
    assert_eq!(answer["quota_set"][format!("volumes_{name}")], 1);
    let rename = json!({"volume_type": {"name": "plain"}});
    assert_eq!(
        house.put(&format!("/types/{id}"), rename).send().await.status,
        200
    );
    let shown = house.get(&quotas).send().await.json();
    assert_eq!(shown["quota_set"]["volumes_plain"], 1);
    assert_eq!(shown["quota_set"][format!("volumes_{name}")], Value::Null);
}
