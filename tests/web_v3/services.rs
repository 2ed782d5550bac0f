//! Services and hosts as operators handle them: frozen and thawed, enabled and disabled by host, asked for their capabilities, their
//! log and their unfinished work.

use std::sync::Arc;

use parking_lot::Mutex;
use pumice::drivers::fake::{Fault, Verb};
use pumice::log_levels;
use serde_json::{Value, json};

use crate::api::{House, OTHER_PROJECT, PROJECT};
use crate::web_support::Answer;

fn fault(answer: &Answer) -> (u16, String) {
    let json = answer.json();
    let fault = json.as_object().and_then(|fault| fault.values().next()).unwrap();
    (answer.status, fault["message"].as_str().unwrap().to_owned())
}

/// Waits until its backend is a service.
async fn with_services() -> House {
    let house = House::build().await;
    house
        .until("the backend's heartbeat", async || {
            let services = house.get("/os-services").send().await.json();
            (services["services"].as_array().unwrap().len() == 2).then_some(())
        })
        .await;
    house
}

#[actix_web::test]
async fn no_volume_is_placed_on_a_frozen_backend() {
    let house = with_services().await;
    let put = |action: &str, body: Value| house.put(&format!("/os-services/{action}"), body);
    let host = json!({"host": "h@lvm"});
    let is_frozen = async || {
        let shown = house.get("/os-services?binary=cinder-volume").send().await.json();
        shown["services"][0]["frozen"].clone()
    };
    let thawed = put("thaw", host.clone()).send().await;
    let text =
        "Invalid input received: No service could be changed: frozen in ['h@lvm'] must be True to failover.";
    assert_eq!(fault(&thawed), (400, text.to_owned()));
    let frozen = put("freeze", host.clone()).send().await;
    assert_eq!((frozen.status, frozen.text.as_str()), (200, ""));
    assert_eq!(is_frozen().await, true);
    assert_eq!(
        fault(&put("freeze", json!({"host": "h"})).send().await),
        (400, text.replace("True", "False"))
    );

    let made = house
        .post("/volumes", json!({"volume": {"size": 1}}))
        .send()
        .await
        .json();
    let id = made["volume"]["id"].as_str().unwrap();
    house.until_status(id, "error").await;
    assert_eq!(put("thaw", host.clone()).send().await.status, 200);
    assert_eq!(is_frozen().await, false);
    house.volume(json!({"size": 1})).await;

    let failover = "Invalid input received: No service could be changed: replication_status in ['h@lvm'] must be \
                    ['enabled', 'failed-over'] and must be up to failover.";
    for (action, version, body, expected) in [
        ("failover_host", "3.71", host.clone(), failover),
        ("failover", "3.71", host.clone(), failover),
        (
            "failover_host",
            "3.0",
            json!({}),
            "Invalid input received: Host field is missing.",
        ),
        (
            "freeze",
            "3.25",
            json!({"cluster": "c"}),
            "Invalid input received: Host field is missing.",
        ),
        (
            "freeze",
            "3.26",
            json!({"cluster": "c", "host": "h"}),
            "Invalid input received: One and only one of cluster and host must be set.",
        ),
        (
            "freeze",
            "3.26",
            json!({"cluster": "c"}),
            "No service found with cluster=c",
        ),
        (
            "thaw",
            "3.71",
            json!({"host": "nowhere"}),
            "No service found with host=nowhere",
        ),
        (
            "failover",
            "3.71",
            json!({"host": "nowhere"}),
            "No service found with host=nowhere",
        ),
    ] {
        let answer = put(action, body.clone()).version(version).send().await;
        assert_eq!(fault(&answer), (400, expected.to_owned()), "{action} {body}");
    }
    house.close().await;
}

#[actix_web::test]
async fn hosts_are_listed_counted_and_disabled() {
    let house = with_services().await;
    let listed = house.get("/os-hosts").send().await.json();
    let hosts = listed["hosts"].as_array().unwrap();
    let volume = hosts
        .iter()
        .find(|host| host["service"] == "cinder-volume")
        .unwrap();
    assert_eq!(hosts.len(), 2);
    let mut expected = json!({
        "host_name": "h@lvm", "service": "cinder-volume", "zone": "nova", "service-status": "available",
        "service-state": "enabled"
    });
    expected["last-update"] = volume["last-update"].clone();
    assert!(volume["last-update"].is_string());
    assert_eq!(*volume, expected);
    let nowhere = house.get("/os-hosts?zone=nowhere").send().await.json();
    assert_eq!(nowhere, json!({"hosts": []}));

    let one = house.volume(json!({"size": 2})).await;
    house.snapshot(json!({"volume_id": one})).await;
    let theirs = json!({"volume": {"size": 3}});
    let made = house
        .post("/volumes", theirs)
        .by("member", OTHER_PROJECT)
        .send()
        .await
        .json();
    house
        .until_status(made["volume"]["id"].as_str().unwrap(), "available")
        .await;
    let shown = house.get("/os-hosts/h@lvm").send().await.json();
    let row = |project: &str, sums: [&str; 4]| {
        let [volumes, volume_gb, snapshots, snapshot_gb] = sums;
        json!({"resource": {
            "host": "h@lvm", "project": project, "volume_count": volumes, "total_volume_gb": volume_gb,
            "snapshot_count": snapshots, "total_snapshot_gb": snapshot_gb
        }})
    };
    let expected = json!({"host": [
        row("(total)", ["2", "5", "1", "2"]),
        row(PROJECT, ["1", "2", "1", "2"]),
        row(OTHER_PROJECT, ["1", "3", "0", "0"]),
    ]});
    assert_eq!(shown, expected);
    let unknown = house.get("/os-hosts/h@none").send().await;
    let text = "Service cinder-volume could not be found on host h@none.";
    assert_eq!(fault(&unknown), (404, text.to_owned()));

    let put = |host: &str, body: Value| house.put(&format!("/os-hosts/{host}"), body);
    for (status, state) in [("disable", "disabled"), ("ENABLE", "enabled")] {
        let key = if status == "disable" { "status" } else { "STATUS" };
        let changed = put("h@lvm", json!({key: status})).send().await;
        assert_eq!(
            changed.json(),
            json!({"host": "h@lvm", "status": state}),
            "{}",
            changed.text
        );
        let services = house.get("/os-services?binary=cinder-volume").send().await.json();
        assert_eq!(services["services"][0]["status"], state);
    }
    for (host, body, status, text) in [
        ("h@lvm", json!({"STATUS": "off"}), 400, "Invalid status: 'off'"),
        (
            "h@lvm",
            json!({"power": "off"}),
            400,
            "Invalid update setting: 'power'",
        ),
        (
            "h@none",
            json!({"status": "enable"}),
            404,
            "Host h@none could not be found.",
        ),
    ] {
        assert_eq!(fault(&put(host, body).send().await), (status, text.to_owned()));
    }
    house.close().await;
}

#[actix_web::test]
async fn a_backend_reports_its_capabilities() {
    let house = with_services().await;
    let shown = house.get("/capabilities/h@lvm").send().await.json();
    assert_eq!(shown["namespace"], "OS::Storage::Capabilities::h@lvm");
    assert_eq!(
        (&shown["volume_backend_name"], &shown["pool_name"]),
        (&json!("lvm"), &Value::Null)
    );
    assert_eq!(shown["properties"]["qos"]["type"], "boolean");
    assert_eq!(shown["replication_targets"], json!([]));
    let unknown = house.get("/capabilities/nowhere").send().await;
    assert_eq!(fault(&unknown), (404, "Can't find service: nowhere".to_owned()));
    house.close().await;
}

#[actix_web::test]
async fn levels_of_the_log_are_shown_and_set() {
    let house = with_services().await;
    let filters: Arc<Mutex<Vec<String>>> = Arc::default();
    let applied = filters.clone();
    log_levels::install("info,actix_server=warn", move |filter| {
        applied.lock().push(filter.to_string())
    });
    let levels = async |body: Value| {
        let answer = house.put("/os-services/get-log", body).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["log_levels"].as_array().unwrap().clone()
    };
    let all = levels(json!({"prefix": "pumice.web"})).await;
    let binaries: Vec<&str> = all.iter().map(|one| one["binary"].as_str().unwrap()).collect();
    assert_eq!(binaries, ["cinder-api", "cinder-scheduler", "cinder-volume"]);
    for one in &all {
        assert_eq!(one["levels"], json!({"pumice::web": "INFO"}), "{one}");
    }
    let api = levels(json!({"binary": "cinder-api", "server": "h", "prefix": null})).await;
    assert_eq!(
        (api.len(), &api[0]["levels"]["actix_server"]),
        (1, &json!("WARNING"))
    );
    assert_eq!(
        levels(json!({"binary": "cinder-backup"})).await,
        Vec::<Value>::new()
    );
    assert_eq!(levels(json!({"server": "nowhere"})).await, Vec::<Value>::new());

    for binary in ["cinder-volume", "cinder-api"] {
        let level = if binary == "cinder-api" {
            "warning"
        } else {
            "DEBUG"
        };
        let body = json!({"binary": binary, "prefix": "pumice::store", "level": level});
        let set = house.put("/os-services/set-log", body).send().await;
        assert_eq!(set.status, 202, "{}", set.text);
        let of_store = levels(json!({"binary": binary, "prefix": "pumice::store"})).await;
        assert_eq!(
            of_store[0]["levels"],
            json!({"pumice::store": level.to_uppercase()})
        );
    }
    assert_eq!(filters.lock().len(), 2);
    for (body, text) in [
        (json!({"level": "loud"}), "loud is not a valid log level."),
        (json!({"level": null}), " is not a valid log level."),
        (
            json!({"level": "INFO", "prefix": "pumice web"}),
            "'pumice web' is not the beginning of a target",
        ),
        (json!({"level": "INFO", "binary": "x"}), "'x' is not one of"),
    ] {
        let (status, message) = fault(&house.put("/os-services/set-log", body.clone()).send().await);
        assert!(status == 400 && message.contains(text), "{body}: {message}");
    }
    let before = house
        .put("/os-services/get-log", json!({}))
        .version("3.31")
        .send()
        .await;
    assert_eq!(before.status, 404);
    house.close().await;
}

#[actix_web::test]
async fn unfinished_work_is_that_of_the_journal() {
    let house = with_services().await;
    let cleanup = |body: Value| house.post("/workers/cleanup", body);
    let nothing = json!({"cleaning": [], "unavailable": []});
    let idle = cleanup(json!({"is_up": true})).send().await;
    assert_eq!((idle.status, idle.json()), (202, nothing.clone()));

    house.driver.script(Verb::CreateVolume, Fault::Hangs);
    let made = house
        .post("/volumes", json!({"volume": {"size": 1}}))
        .send()
        .await
        .json();
    let id = made["volume"]["id"].as_str().unwrap();
    let busy = house
        .until("the backend to have work", async || {
            let answer = cleanup(json!({"is_up": true, "resource_id": id})).send().await;
            (answer.status == 202).then(|| answer.json())
        })
        .await;
    assert_eq!(busy["unavailable"], json!([]));
    let service = &busy["cleaning"][0];
    assert_eq!(
        (&service["host"], &service["binary"], &service["cluster_name"]),
        (&json!("h@lvm"), &json!("cinder-volume"), &Value::Null)
    );
    for body in [
        json!({}),
        json!({"is_up": true, "resource_type": "snapshot"}),
        json!({"is_up": true, "host": "nowhere"}),
        json!({"is_up": true, "disabled": true}),
        json!({"is_up": true, "binary": "cinder-scheduler"}),
        json!({"is_up": true, "cluster_name": "c"}),
    ] {
        let answer = cleanup(body.clone()).send().await;
        assert_eq!((answer.status, answer.json()), (202, nothing.clone()), "{body}");
    }
    let nobody = uuid::Uuid::from_u128(9);
    for (body, text) in [
        (
            json!({"resource_type": "zz"}),
            "Resource type Zz not valid, must be Volume or Snapshot".to_owned(),
        ),
        (
            json!({"resource_id": nobody}),
            format!("There is no resource with UUID {nobody} pending cleanup."),
        ),
    ] {
        let (status, message) = fault(&cleanup(body).send().await);
        assert_eq!(
            (status, message),
            (400, format!("Invalid input received: {text}"))
        );
    }
    house.close().await;
}
