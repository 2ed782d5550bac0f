//! The microversions of Cinder, one line for each: what a request or an answer is before it, and since.

use serde_json::{Value, json};

use crate::api::{House, OTHER_PROJECT, PROJECT};
use crate::web_support::Answer;

/// What the requests are about.
struct Things {
    volume: String,
    attached: String,
    snapshot: String,
    transfer: String,
    somewhere: String,
}

impl Things {
    async fn make(house: &House) -> Self {
        let fields = json!({"size": 1, "name": "v", "metadata": {"a": "b"}});
        let volume = house.volume(fields).await;
        let attached = house.volume(json!({"size": 1, "name": "attached"})).await;
        let attach =
            json!({"os-attach": {"instance_uuid": uuid::Uuid::from_u128(1), "mountpoint": "/dev/vdb"}});
        let done = house
            .post(&format!("/volumes/{attached}/action"), attach)
            .send()
            .await;
        assert_eq!(done.status, 202, "{}", done.text);
        let snapshot = house.snapshot(json!({"volume_id": volume, "name": "s"})).await;
        let offered = house.volume(json!({"size": 1, "name": "offered"})).await;
        let offer = json!({"transfer": {"volume_id": offered}});
        let made = house.post("/volume-transfers", offer).send().await.json();
        Self {
            volume,
            attached,
            snapshot,
            transfer: made["transfer"]["id"].as_str().unwrap().to_owned(),
            somewhere: uuid::Uuid::from_u128(9).to_string(),
        }
    }
}

/// What is looked at in an answer.
enum Look {
    /// The status.
    Status,
    /// The status and the text of a refusal.
    Refusal,
    /// How many are in the only list, or the status of a refusal.
    Count,
    /// Whether the resource, or the first of a list, has this key.
    Has(&'static str),
    /// Whether the whole answer has this key.
    HasOutside(&'static str),
    /// Whether it has this header.
    Header(&'static str),
    /// The value at this place.
    Value(&'static str),
}

impl Look {
    fn at(&self, answer: &Answer) -> String {
        let json = serde_json::from_str(&answer.text).unwrap_or(Value::Null);
        let only = || json.as_object().and_then(|object| object.values().next());
        let found = |has: bool| if has { "there" } else { "not there" }.to_owned();
        match self {
            Self::Status => answer.status.to_string(),
            Self::Header(name) => found(answer.header(name).is_some()),
            _ if answer.status >= 400 => match self {
                Self::Refusal => {
                    let message = only().and_then(|fault| fault["message"].as_str());
                    format!("{} {}", answer.status, message.unwrap_or_default())
                }
                _ => answer.status.to_string(),
            },
            Self::Refusal => answer.status.to_string(),
            Self::Value(place) => json.pointer(place).map(Value::to_string).unwrap_or_default(),
            Self::Count => only().and_then(Value::as_array).map_or(0, Vec::len).to_string(),
            Self::HasOutside(key) => found(json.get(key).is_some()),
            Self::Has(key) => {
                let resource = only().map(|only| only.get(0).unwrap_or(only));
                found(resource.is_some_and(|resource| resource.get(key).is_some()))
            }
        }
    }
}

/// A request, and what is looked at in its answer.
struct Probe {
    method: &'static str,
    path: String,
    body: Option<Value>,
    look: Look,
    role: &'static str,
}

fn get(path: impl Into<String>, look: Look) -> Option<Probe> {
    Some(Probe {
        method: "GET",
        path: path.into(),
        body: None,
        look,
        role: "admin",
    })
}

fn ask(method: &'static str, path: impl Into<String>, body: Value, look: Look) -> Option<Probe> {
    let body = (!body.is_null()).then_some(body);
    get(path, look).map(|probe| Probe {
        method,
        body,
        ..probe
    })
}

/// The probe of a microversion; `None` where it is about nothing that is served.
fn probe(minor: u16, at: &Things) -> Option<Probe> {
    use Look::{Count, Has, HasOutside, Header, Refusal, Status};
    let volume = format!("/volumes/{}", at.volume);
    let action = |of: &str| format!("/volumes/{of}/action");
    let nowhere = &at.somewhere;
    match minor {
        1 => ask(
            "POST",
            action(&at.volume),
            json!({"os-volume_upload_image": {"image_name": "i", "visibility": "private"}}),
            Status,
        ),
        2 => get("/volumes?bootable=maybe", Status),
        3 => get("/messages", Status),
        4 => get("/volumes?glance_metadata={'x': 'y'}", Count),
        5 => get("/messages?limit=x", Status),
        7 => get("/os-services", Has("cluster")),
        8 => ask("POST", "/manageable_volumes", json!({}), Status),
        9 => ask(
            "PUT",
            format!("/backups/{nowhere}"),
            json!({"backup": {"name": "n"}}),
            Status,
        ),
        10 => get(format!("/volumes?group_id={nowhere}"), Count),
        11 => get("/group_types", Status),
        12 => get("/volumes/summary", Status),
        13 => get("/groups", Status),
        14 => get("/group_snapshots", Status),
        15 => get(format!("{volume}/metadata"), Header("etag")),
        16 => ask(
            "POST",
            action(&at.attached),
            json!({"os-migrate_volume": {"host": "h@lvm#lvm", "cluster": "c"}}),
            Refusal,
        ),
        17 => get("/manageable_volumes?cluster=c", Refusal),
        19 => ask(
            "POST",
            format!("/group_snapshots/{nowhere}/action"),
            json!({"reset_status": {"status": "error"}}),
            Status,
        ),
        20 => ask(
            "POST",
            format!("/groups/{nowhere}/action"),
            json!({"reset_status": {"status": "error"}}),
            Status,
        ),
        21 => get(&volume, Has("provider_id")),
        22 => get("/snapshots?metadata={'x': 'y'}", Count),
        23 => ask(
            "DELETE",
            format!("/volumes/{}?force=maybe", at.attached),
            Value::Null,
            Refusal,
        ),
        24 => ask("POST", "/workers/cleanup", json!({}), Status),
        26 => ask("PUT", "/os-services/freeze", json!({"cluster": "c"}), Refusal),
        27 => get("/attachments", Status),
        28 => get("/scheduler-stats/get_pools?volume_backend_name=none", Count),
        30 => get("/snapshots?sort=name:asc", Status),
        31 => get("/volumes?bogus=x", Status).map(|probe| Probe {
            role: "member",
            ..probe
        }),
        32 => ask("PUT", "/os-services/get-log", json!({}), Status),
        33 => get("/resource_filters", Status),
        34 => get("/volumes?name~=attach", Count),
        35 => get("/scheduler-stats/get_pools?volume_type=none", Status),
        36 => get("/volumes/summary", Has("metadata")),
        38 => ask(
            "POST",
            format!("/groups/{nowhere}/action"),
            json!({"enable_replication": {}}),
            Status,
        ),
        39 => get(
            format!("/limits?project_id={OTHER_PROJECT}"),
            Look::Value("/limits/absolute/totalVolumesUsed"),
        ),
        40 => ask(
            "POST",
            action(&at.volume),
            json!({"revert": {"snapshot_id": nowhere}}),
            Refusal,
        ),
        41 => get(format!("/snapshots/{}", at.snapshot), Has("user_id")),
        42 => ask(
            "POST",
            action(&at.attached),
            json!({"os-extend": {"new_size": 2}}),
            Refusal,
        ),
        44 => ask(
            "POST",
            format!("/attachments/{nowhere}/action"),
            json!({"os-complete": {}}),
            Refusal,
        ),
        45 => get("/volumes?with_count=true", HasOutside("count")),
        47 => ask(
            "POST",
            "/volumes",
            json!({"volume": {"size": 1, "backup_id": nowhere}}),
            Refusal,
        ),
        48 => get(&volume, Has("service_uuid")),
        49 => get("/os-services?binary=cinder-volume", Has("backend_state")),
        52 => get("/types?extra_specs={'x': 'y'}", Count),
        53 => ask(
            "POST",
            "/volumes",
            json!({"volume": {"size": 1, "bogus": 1}}),
            Status,
        ),
        54 => ask(
            "POST",
            "/attachments",
            json!({"attachment": {"volume_uuid": nowhere, "mode": "ro"}}),
            Refusal,
        ),
        55 => ask(
            "POST",
            "/volume-transfers",
            json!({"transfer": {"volume_id": nowhere, "no_snapshots": true}}),
            Refusal,
        ),
        57 => get(format!("/volume-transfers/{}", at.transfer), Has("accepted")),
        59 => get("/volume-transfers?sort=bogus:asc", Status),
        60 => get("/volumes?created_at=lt:2000-01-01T00:00:00", Count),
        61 => get(&volume, Has("cluster_name")),
        62 => get("/default-types", Status),
        63 => get(&volume, Has("volume_type_id")),
        65 => get(&volume, Has("consumes_quota")),
        66 => ask(
            "POST",
            "/snapshots",
            json!({"snapshot": {"volume_id": at.attached, "force": false}}),
            Refusal,
        ),
        68 => ask(
            "POST",
            action(&at.volume),
            json!({"os-reimage": {"image_id": nowhere}}),
            Status,
        ),
        _ => None,
    }
}

/// What each is before its version and since; the same as in Cinder, unless a line says otherwise.
const EXPECTED: &[(u16, &str, &str)] = &[
    (1, "400", "501"),
    (2, "200", "400"),
    // openstackclient lists messages without a version, and gets 404 from Cinder.
    (3, "200", "200"),
    (4, "3", "0"),
    (5, "200", "400"),
    (7, "not there", "there"),
    (8, "404", "400"),
    (9, "404", "501"),
    (10, "3", "0"),
    (11, "404", "501"),
    (12, "404", "200"),
    (13, "404", "501"),
    (14, "404", "501"),
    (15, "not there", "there"),
    (
        16,
        "400 Invalid input for field/attribute os-migrate_volume. Value: {'host': 'h@lvm#lvm', 'cluster': 'c'}. \
         Additional properties are not allowed ('cluster' was unexpected)",
        "400 Invalid input received: One and only one of cluster and host must be set.",
    ),
    (
        17,
        "400 Invalid input received: Host field is missing.",
        "404 Service cinder-volume could not be found.",
    ),
    (19, "404", "501"),
    (20, "404", "501"),
    (21, "not there", "there"),
    (22, "1", "0"),
    (
        23,
        "400 Invalid volume: Volume status must be available or error or error_restoring or error_extending or \
         error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, \
         or be disassociated from snapshots after volume transfer.",
        "400 Value 'maybe' for 'force' is not a boolean.",
    ),
    (24, "404", "202"),
    (
        26,
        "400 Invalid input received: Host field is missing.",
        "400 No service found with cluster=c",
    ),
    (27, "404", "200"),
    (28, "1", "0"),
    (30, "400", "200"),
    (31, "200", "400"),
    (32, "404", "200"),
    (33, "404", "200"),
    (34, "0", "1"),
    (35, "200", "404"),
    (36, "not there", "there"),
    (38, "404", "501"),
    (39, "3", "0"),
    (
        40,
        "404 The resource could not be found.",
        "400 Specified snapshot 00000000-0000-0000-0000-000000000009 is None or not the latest one of volume <volume>.",
    ),
    (41, "not there", "there"),
    (
        42,
        "400 Invalid volume: Volume <attached> status must be available to extend, currently in-use.",
        "202",
    ),
    (
        44,
        "404 The resource could not be found.",
        "404 Volume attachment could not be found with filter: attachment_id = 00000000-0000-0000-0000-000000000009.",
    ),
    (45, "not there", "there"),
    (
        47,
        "202",
        "404 Backup 00000000-0000-0000-0000-000000000009 could not be found.",
    ),
    (48, "not there", "there"),
    (49, "not there", "there"),
    (52, "1", "0"),
    (53, "202", "400"),
    (
        54,
        "400 Invalid input for field/attribute attachment. Value: {'volume_uuid': \
         '00000000-0000-0000-0000-000000000009', 'mode': 'ro'}. Additional properties are not allowed ('mode' was \
         unexpected)",
        "404 Volume 00000000-0000-0000-0000-000000000009 could not be found.",
    ),
    (
        55,
        "400 Invalid input for field/attribute transfer. Value: {'volume_id': \
         '00000000-0000-0000-0000-000000000009', 'no_snapshots': True}. Additional properties are not allowed \
         ('no_snapshots' was unexpected)",
        "404 Volume 00000000-0000-0000-0000-000000000009 could not be found.",
    ),
    (57, "not there", "there"),
    (59, "200", "400"),
    (60, "5", "0"),
    (61, "not there", "there"),
    (62, "404", "200"),
    (63, "not there", "there"),
    (65, "not there", "there"),
    (
        66,
        "400 Invalid volume: Volume <attached> status must be available, but current status is: in-use.",
        "400 Since microversion 3.66 the 'force' flag is invalid for this request.  For backward compatability, \
         however, when the 'force' flag is passed with a value evaluating to True, it is silently ignored.",
    ),
    (68, "404", "501"),
];

/// What has no probe, and why.
const WITHOUT: &[(u16, &str)] = &[
    (6, "consistency groups are not served"),
    (18, "backups are not served"),
    (25, "groups are not served"),
    (29, "group snapshots are not served"),
    (37, "backups are not served"),
    (43, "backups are not served"),
    (46, "images are not served"),
    (
        50,
        "it says that clients may rely on multiattach; nothing else changes",
    ),
    (51, "backups are not served"),
    (56, "backups are not served"),
    (58, "groups are not served"),
    (64, "of encrypted volumes only: the tests of views"),
    (67, "it says that paths need no project; nothing else changes"),
    (
        69,
        "of volumes whose backend has not said whether its targets are shared: the tests of views",
    ),
    (70, "of encrypted volumes only, and there is no key manager"),
    (71, "it documents an action that was there before"),
];

#[actix_web::test]
async fn each_microversion_changes_what_it_changes_in_cinder() {
    let house = House::build().await;
    house
        .until("the backend's heartbeat", async || {
            let services = house.get("/os-services").send().await.json();
            (services["services"].as_array().unwrap().len() == 2).then_some(())
        })
        .await;
    let things = Things::make(&house).await;
    let mut seen = Vec::new();
    for minor in 1..=71_u16 {
        let Some(at) = probe(minor, &things) else {
            assert!(WITHOUT.iter().any(|(without, _)| *without == minor), "3.{minor}");
            continue;
        };
        let mut both = Vec::new();
        for version in [minor - 1, minor] {
            let version = format!("3.{version}");
            let mut request = house
                .request(at.method, &at.path)
                .version(&version)
                .by(at.role, PROJECT);
            if let Some(body) = &at.body {
                request = request.body(body.clone());
            }
            let text = at.look.at(&request.send().await);
            both.push(
                text.replace(&things.volume, "<volume>")
                    .replace(&things.attached, "<attached>"),
            );
        }
        house.until_status(&things.attached, "in-use").await;
        seen.push(format!("({minor}, {:?}, {:?}),", both[0], both[1]));
    }
    let expected: Vec<String> = EXPECTED
        .iter()
        .map(|(minor, before, since)| format!("({minor}, {before:?}, {since:?}),"))
        .collect();
    let differences = seen.iter().filter(|line| !expected.contains(line));
    let differences: Vec<&str> = differences.map(String::as_str).collect();
    assert!(
        differences.is_empty() && seen.len() == expected.len(),
        "{}",
        differences.join("\n")
    );
    house.close().await;
}
