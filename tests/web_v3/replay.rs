//! Every request that Cinder was seen to answer, sent to us: the answers are the same, or it is said here why not.
//!
//! The service is deaf here: volumes stay `creating`, as they did where the observations were made. What the observer did
//! behind the API (and so is not on record) is done at the same places.

use crate::api::observed::{self, Names, Observed};
use crate::api::{House, PROJECT};
use pumice::model::VolumeStatus;
use serde_json::{Value, json};

/// Answers that differ, and why. A 501 needs no entry: it says itself that it is not Cinder's answer.
const DIFFERENT: &[(usize, &str)] = &[
    (11, "openstackclient lists messages without a version"),
    (18, "no size: a text that says so, instead of webob's general one"),
    (23, "no size: a text that says so, instead of webob's general one"),
    (
        93,
        "an unknown attachment: Cinder takes it for one that Nova uses",
    ),
    (173, "a defect of Cinder's: 500"),
    (179, "Cinder had no Keystone to ask: 500"),
    (180, "as above"),
    (181, "as above"),
    (182, "as above"),
    (183, "as above"),
    (196, "usage of volumes that were made off the record"),
    (198, "usage of volumes that were made off the record"),
    (204, "usage of volumes that were made off the record"),
    (205, "usage of volumes that were made off the record"),
    (
        218,
        "a mode that was not requested; Cinder says ro once the readonly flag was set, be it to false",
    ),
    (220, "as above"),
    (221, "as above"),
    (222, "as above"),
    (
        228,
        "the attachment was not connected, as above; other tests have it",
    ),
    (261, "services that are not there"),
    (262, "services that are not there"),
    (263, "services that are not there"),
    (265, "services that are not there"),
    (266, "the targets of a log are not Python's loggers"),
    (267, "a service that is not there; Cinder's drivers cannot: 500"),
    (271, "no scheduler to ask; other tests have it"),
    (272, "no backend to ask; other tests have it"),
    (277, "Cinder had no filter file"),
    (278, "Cinder had no filter file"),
    (282, "no backend to ask; other tests have it"),
    (283, "no backend to ask; other tests have it"),
    (
        285,
        "openstackclient and openstacksdk list what can be adopted without a version",
    ),
    (286, "no backend to ask; other tests have it"),
    (287, "no backend to adopt from; other tests have it"),
    (290, "no backend to adopt from; other tests have it"),
    (291, "no backend to ask; other tests have it"),
];

/// Requests that wait for a backend, which is not there: the other `web_v3` tests have them.
const NOT_SENT: [usize; 6] = [86, 88, 91, 115, 225, 232];

/// What the observer did before this line without writing it down.
async fn off_the_record(house: &House, names: &mut Names, line: usize) {
    match line {
        18 => {
            names.set("<uuid1>", "11111111-2222-4333-8444-555555555555");
            names.set("<uuid21>", "22222222-2222-4333-8444-555555555555");
            make(house, names, "<uuid2>", json!({"size": 1})).await;
        }
        48 => {
            make(
                house,
                names,
                "<uuid4>",
                json!({"size": 1, "name": "n1", "description": "d", "metadata": {"k": "v"}}),
            )
            .await;
            make(house, names, "<uuid6>", json!({"size": 2})).await;
        }
        73 => {
            let path = names.fill("/volumes/<uuid4>");
            let volume = json!({"volume": {"name": "n2", "description": "dd", "metadata": {"z": "1"}}});
            assert_eq!(house.put(&path, volume).send().await.status, 200);
        }
        82 => {
            let id = names.fill("<uuid4>").parse().unwrap();
            let was = house.catalog.volume(id).await.unwrap().unwrap();
            let mut now = was.record.clone();
            now.status = VolumeStatus::Available;
            now.bootable = true;
            now.host = "h@lvm#lvm".parse().ok();
            now.placed = true;
            now.image_metadata = [("image_id", "i"), ("os", "linux")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
            let mut changes = house.catalog.change();
            changes.update(&was, &now);
            changes.commit().await.unwrap();
        }
        121 => rest(house, &names.fill("/volumes/<uuid4>")).await,
        128 => {
            let action = names.fill("/snapshots/<uuid7>/action");
            let body = json!({"os-update_snapshot_status": {"status": "available", "progress": "100%"}});
            assert_eq!(house.post(&action, body).send().await.status, 202);
        }
        134 => {
            let path = names.fill("/snapshots/<uuid7>/metadata");
            let body = json!({"metadata": {"c": "d"}});
            assert_eq!(house.post(&path, body).send().await.status, 200);
        }
        141 => rest(house, &names.fill("/volumes/<uuid6>")).await,
        143 => kind(house, names, "<uuid13>", "t2", true).await,
        149 => kind(house, names, "<uuid12>", "priv1", false).await,
        171 => {
            let path = names.fill("/types/<uuid12>/encryption/provider");
            assert_eq!(house.delete(&path).send().await.status, 202);
        }
        201 => limits(house, json!({"per_volume_gigabytes": 4})).await,
        202 => make(house, names, "<uuid16>", json!({"size": 4, "volume_type": "t2"})).await,
        206 => limits(house, json!({"per_volume_gigabytes": -1, "gigabytes_t2": -1})).await,
        // Backups and groups are not served: their ids are of nothing.
        233 => {
            for (name, id) in [("<uuid25>", 25), ("<uuid26>", 26), ("<uuid27>", 27)] {
                names.set(name, &uuid::Uuid::from_u128(id).to_string());
            }
        }
        292 => {
            make(house, names, "<uuid24>", json!({"size": 1})).await;
            let action = names.fill("/volumes/<uuid24>/action");
            let body = json!({"os-reset_status": {"status": "restoring-backup"}});
            assert_eq!(house.post(&action, body).send().await.status, 202);
        }
        210 => offer(house, names, "<uuid18>").await,
        215 => offer(house, names, "<uuid19>").await,
        _ => {}
    }
}

/// Offers a volume as the observer did; what is seen of the key later is this one's.
async fn offer(house: &House, names: &mut Names, name: &str) {
    let body = json!({"transfer": {"volume_id": names.fill("<uuid6>"), "name": "tr"}});
    let made = house.post("/volume-transfers", body).send().await.json();
    names.set(name, made["transfer"]["id"].as_str().unwrap());
    names.set("098d8892dab81922", made["transfer"]["auth_key"].as_str().unwrap());
}

/// Ends whatever is being done to a volume.
async fn rest(house: &House, path: &str) {
    let body = json!({"os-reset_status": {"status": "available"}});
    let reset = house.post(&format!("{path}/action"), body).send().await;
    assert_eq!(reset.status, 202, "{}", reset.text);
}

async fn limits(house: &House, limits: Value) {
    let set = house
        .put(&format!("/os-quota-sets/{PROJECT}"), json!({"quota_set": limits}))
        .send()
        .await;
    assert_eq!(set.status, 200, "{}", set.text);
}

async fn make(house: &House, names: &mut Names, name: &str, volume: Value) {
    let made = house
        .post("/volumes", json!({"volume": volume}))
        .send()
        .await
        .json();
    names.set(name, made["volume"]["id"].as_str().unwrap());
}

async fn kind(house: &House, names: &mut Names, name: &str, called: &str, is_public: bool) {
    let body = json!({"volume_type": {"name": called, "os-volume-type-access:is_public": is_public}});
    let made = house.post("/types", body).send().await.json();
    names.set(name, made["volume_type"]["id"].as_str().unwrap());
}

/// Ours, where it is not Cinder's.
async fn difference(house: &House, names: &mut Names, seen: &Observed) -> Option<String> {
    let path = names.fill(&seen.path).replace("<time>", "2020-01-01T00:00:00");
    if path.contains('<') {
        return Some(format!("{path} has ids of no known resource"));
    }
    let mut request = house.request_at(&seen.method, &path).version(&seen.version);
    for (name, value) in &seen.headers {
        request = request.header(name, value);
    }
    if let Some(body) = &seen.request {
        request = request.body(names.fill_json(body));
    }
    let answer = request.send().await;
    if answer.status == 501 {
        assert_eq!(answer.json()["notImplemented"]["code"], 501);
        return None;
    }
    let ours = match serde_json::from_str(&answer.text) {
        Ok(json) => json,
        Err(_) if answer.text.is_empty() => Value::Null,
        Err(_) => Value::from(answer.text.clone()),
    };
    let differences = names.differences(&seen.response, &ours);
    (answer.status != seen.status || !differences.is_empty())
        .then(|| format!("{} not {}: {differences:?}", answer.status, seen.status))
}

#[actix_web::test]
async fn answers_are_those_that_cinder_was_seen_to_give() {
    let house = House::build_deaf().await;
    let mut names = Names::default();
    let (mut same, mut unexplained, mut explained) = (0, Vec::new(), Vec::new());
    for seen in observed::all() {
        if NOT_SENT.contains(&seen.line) {
            continue;
        }
        off_the_record(&house, &mut names, seen.line).await;
        match difference(&house, &mut names, &seen).await {
            None => same += 1,
            Some(_) if DIFFERENT.iter().any(|(line, _)| *line == seen.line) => explained.push(seen.line),
            Some(difference) => {
                let Observed {
                    line,
                    method,
                    path,
                    version,
                    request,
                    ..
                } = seen;
                let request = request.map(|body| body.to_string()).unwrap_or_default();
                unexplained.push(format!(
                    "{line}: {method} {path} {version} {request}: {difference}"
                ));
            }
        }
    }
    house.close().await;
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    let needless: Vec<_> = DIFFERENT
        .iter()
        .filter(|(line, _)| !explained.contains(line))
        .collect();
    assert!(needless.is_empty(), "the same by now: {needless:?}");
    assert!(same > 180, "only {same} answers were the same");
}
