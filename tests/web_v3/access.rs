//! What is there for whom: by microversion and by role.

use pumice::web::policy::file::PolicyFile;

use crate::api::{House, OTHER_PROJECT, PROJECT};
use serde_json::{Value, json};

#[actix_web::test]
async fn a_route_is_not_there_before_its_version() {
    let house = House::build_deaf().await;
    for (minor, method, path) in [
        (7, "GET", "/clusters"),
        (8, "POST", "/manageable_volumes"),
        (8, "POST", "/manageable_snapshots"),
        (9, "PUT", "/backups/x"),
        (11, "GET", "/group_types"),
        (12, "GET", "/volumes/summary"),
        (13, "GET", "/groups/detail"),
        (14, "GET", "/group_snapshots"),
        (24, "POST", "/workers/cleanup"),
        (26, "PUT", "/os-services/failover"),
        (27, "GET", "/attachments"),
        (32, "PUT", "/os-services/get-log"),
        (33, "GET", "/resource_filters"),
        (62, "GET", "/default-types"),
    ] {
        let before = house
            .request(method, path)
            .version(&format!("3.{}", minor - 1))
            .send()
            .await;
        assert_eq!(
            before.json()["itemNotFound"]["message"],
            "The resource could not be found.",
            "{path}"
        );
        let since = house
            .request(method, path)
            .version(&format!("3.{minor}"))
            .send()
            .await;
        assert_ne!(since.status, 404, "{path}");
    }
    for (method, path) in [
        ("PATCH", "/volumes"),
        ("PUT", "/volumes"),
        ("POST", "/volumes/x"),
        ("DELETE", "/snapshots"),
        ("GET", "/nosuch"),
        ("GET", "/volumes/x/nosuch"),
        ("PUT", "/os-services/bogus"),
        ("GET", "/os-services/enable"),
    ] {
        let unknown = house.request(method, path).send().await;
        assert_eq!(unknown.status, 404, "{method} {path}");
        assert_eq!(
            unknown.text, "404 Not Found\n\nThe resource could not be found.\n\n   ",
            "{method} {path}"
        );
    }
    for path in ["/backups", "/group_types"] {
        assert_eq!(
            house.get(path).send().await.json()["notImplemented"]["code"],
            501,
            "{path}"
        );
    }
    house.close().await;
}

/// What each role may do, as it was observed. Routes that are not built yet answer 501 to every user.
#[actix_web::test]
async fn each_role_may_do_what_it_may_do_in_cinder() {
    let house = House::build().await;
    let volume = house.volume(json!({"size": 1, "metadata": {"a": "1"}})).await;
    let attached = house.volume(json!({"size": 1})).await;
    let made = house
        .post("/attachments", json!({"attachment": {"volume_uuid": attached}}))
        .send()
        .await
        .json();
    let attachment = made["attachment"]["id"].as_str().unwrap().to_owned();
    let copied = house.volume(json!({"size": 1})).await;
    let snapshot = house.snapshot(json!({"volume_id": copied})).await;
    let made = house
        .post("/types", json!({"volume_type": {"name": "unused"}}))
        .send()
        .await
        .json();
    let volume_type = made["volume_type"]["id"].as_str().unwrap().to_owned();
    let offered = house.volume(json!({"size": 1})).await;
    let made = house
        .post("/volume-transfers", json!({"transfer": {"volume_id": offered}}))
        .send()
        .await
        .json();
    let transfer = made["transfer"]["id"].as_str().unwrap().to_owned();
    let made = house
        .post("/qos-specs", json!({"qos_specs": {"name": "q"}}))
        .send()
        .await
        .json();
    let qos_specs = made["qos_specs"]["id"].as_str().unwrap().to_owned();
    let mut compared = 0;
    for line in include_str!("../api/observed_roles.tsv").lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [method, path, body, reader, member, admin, stranger, ..] = fields[..] else {
            panic!("{line}")
        };
        let path = path
            .replace("{volume}", if body == "revert" { &copied } else { &volume })
            .replace("{snapshot}", &snapshot)
            .replace("{attachment}", &attachment)
            .replace("{type}", &volume_type)
            .replace("{transfer}", &transfer)
            .replace("{qos}", &qos_specs)
            .replace("{project}", PROJECT);
        for (role, project, expected) in [
            ("reader", PROJECT, reader),
            ("member", PROJECT, member),
            ("admin", PROJECT, admin),
            ("member", OTHER_PROJECT, stranger),
        ] {
            // What was not seen is not tried: it would remove things that later requests need.
            if expected == "-" {
                continue;
            }
            let mut request = house.request(method, &path).by(role, project);
            if !body.is_empty() {
                let text = body_of(method, &path, body).to_string();
                request = request.body(serde_json::from_str(&text.replace("{volume}", &volume)).unwrap());
            }
            let answer = request.send().await;
            let known = DIFFERENT
                .iter()
                .any(|(beginning, of)| line.starts_with(beginning) && of.contains(&role));
            // What is not built cannot be looked for before the rule is.
            let unbuilt = ["/backups", "/groups", "/group_"];
            let unbuilt = unbuilt.iter().any(|beginning| path.starts_with(beginning));
            if answer.status == 501 || known || (unbuilt && answer.status == 403) {
                continue;
            }
            assert_eq!(
                answer.status.to_string(),
                expected,
                "{role} of {project}: {line}: {}",
                answer.text
            );
            compared += 1;
        }
    }
    assert!(compared > 120, "only {compared} answers were compared");
    house.close().await;
}

/// A policy file may give what only administrators may by default, also at the actors, and take what they may.
#[actix_web::test]
async fn a_policy_file_gives_and_takes() {
    let house = House::build_deaf().await;
    let rules = "'volume_extension:type_create': 'role:typist'\n'volume_extension:services:update': 'role:typist'\n\
                 'volume:get_all': '!'";
    let policy = &house.site.server.policy;
    policy.replace(PolicyFile::parse(rules).unwrap());
    let make = |role: &'static str| {
        let body = json!({"volume_type": {"name": role}});
        house.post("/types", body).by(role, PROJECT)
    };
    assert_eq!(make("typist").send().await.status, 200);
    let refused = make("admin").send().await;
    assert_eq!(
        (refused.status, refused.json()["forbidden"]["message"].as_str()),
        (
            403,
            Some("Policy doesn't allow volume_extension:type_create to be performed.")
        )
    );
    let body = json!({"host": "nowhere", "binary": "cinder-volume"});
    let disabled = house
        .put("/os-services/disable", body)
        .by("typist", PROJECT)
        .send()
        .await;
    assert_eq!(disabled.status, 404, "it came to the actor: {}", disabled.text);
    assert_eq!(house.get("/volumes").send().await.status, 403);
    // It is not an administrator by that.
    assert_eq!(
        house
            .get("/os-services")
            .by("typist", PROJECT)
            .send()
            .await
            .status,
        403
    );
    policy.replace(PolicyFile::parse("context_is_admin: 'role:typist'").unwrap());
    assert_eq!(
        house
            .get("/os-services")
            .by("typist", PROJECT)
            .send()
            .await
            .status,
        200
    );
    house.close().await;
}

/// Where the caller makes another difference here: the beginning of the line, and whose answer it is.
const DIFFERENT: &[(&str, &[&str])] = &[
    // Limited to the volume's project, as it should be.
    ("GET\t/attachments/{attachment}", &["member"]),
    // The order of requests, not of roles, decided there.
    ("DELETE\t/volumes/{volume}/metadata/a", &["member", "admin"]),
    ("PUT\t/os-services/disable", &["admin"]),
    // There was no Keystone to ask for the project.
    ("GET\t/default-types/{project}", &["admin"]),
];

fn body_of(method: &str, path: &str, name: &str) -> Value {
    match name {
        "volume" if path == "/manageable_volumes" => {
            json!({"volume": {"host": "h@lvm#lvm", "ref": {"source-name": "lv1"}}})
        }
        "snapshot" => json!({"snapshot": {"name": "n"}}),
        "os-update_snapshot_status" => json!({"os-update_snapshot_status": {"status": "available"}}),
        "volume" if method == "PUT" => json!({"volume": {"name": "n"}}),
        "volume" => json!({"volume": {"size": 1}}),
        "metadata" => json!({"metadata": {"k": "v"}}),
        "volume_type" => json!({"volume_type": {"name": uuid::Uuid::new_v4().to_string()}}),
        "qos_specs" => json!({"qos_specs": {"name": uuid::Uuid::new_v4().to_string()}}),
        "extra_specs" => json!({"extra_specs": {"k": "v"}}),
        "quota_set" => json!({"quota_set": {"volumes": 100}}),
        // Of a machine that is not there: a disabled backend would refuse later requests.
        "host" => json!({"host": "nowhere", "binary": "cinder-volume"}),
        "os-extend" => json!({"os-extend": {"new_size": 1}}),
        "os-reset_status" => json!({"os-reset_status": {"status": "available"}}),
        "os-migrate_volume" => json!({"os-migrate_volume": {"host": "x"}}),
        "os-migrate_volume_completion" => {
            json!({"os-migrate_volume_completion": {"new_volume": "{volume}"}})
        }
        "os-update_readonly_flag" => json!({"os-update_readonly_flag": {"readonly": false}}),
        "os-set_bootable" => json!({"os-set_bootable": {"bootable": true}}),
        "os-set_image_metadata" => json!({"os-set_image_metadata": {"metadata": {"k": "v"}}}),
        "os-retype" => json!({"os-retype": {"new_type": "__DEFAULT__"}}),
        "os-initialize_connection" => {
            json!({"os-initialize_connection": {"connector": {"initiator": "iqn.x", "host": "h1"}}})
        }
        "addProjectAccess" => json!({"addProjectAccess": {"project": PROJECT}}),
        other => json!({other: {}}),
    }
}
