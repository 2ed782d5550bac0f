//! Each row of `tests/api/observed_states.tsv`: what Cinder was seen to answer to a request on a resource in each of its states, and
//! the state after it. Each is sent to us for each state, or it is said here why not. Where ours is another answer,
//! `tests/api/state_differences.tsv` says why.
//!
//! Nothing answered behind Cinder's API there. So the most are sent to a service without a backend, and only those that wait for the
//! backend to one that has it.

use std::collections::{BTreeMap, BTreeSet};

use pumice::drivers::fake::{Fault, Verb};
use pumice::model::{
    AttachStatus, Attachment, AttachmentStatus, ProjectId, Snapshot, SnapshotStatus, Timestamp, UserId,
    Volume, VolumeStatus, VolumeTypeId,
};
use serde_json::{Value, json};

use crate::api::{House, PROJECT};

/// A recorded row, or one of `state_differences.tsv`: ours for some of its states.
struct Row {
    line: usize,
    resource: &'static str,
    action: &'static str,
    from: &'static str,
    /// Of the answer.
    status: &'static str,
    /// The state after it.
    to: &'static str,
    /// Of a refusal; of a difference, its reason.
    text: &'static str,
}

fn rows(table: &'static str) -> Vec<Row> {
    table
        .lines()
        .enumerate()
        .skip(1)
        .map(|(at, line)| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [resource, action, from, status, to, text] = fields[..] else {
                panic!("{line}")
            };
            Row {
                line: at + 1,
                resource,
                action,
                from,
                status,
                to,
                text,
            }
        })
        .collect()
}

impl Row {
    /// The states of the row. `all` are those of the resource.
    fn states(&self) -> Vec<String> {
        match (self.from, self.resource) {
            ("all", "snapshot") => SnapshotStatus::settable()
                .map(|status| status.to_string())
                .collect(),
            ("all", _) => {
                let of = |attachment: &AttachmentStatus| {
                    ["reserved", "attaching", "in-use", "available", "error"]
                        .map(|volume| format!("{attachment}/{volume}"))
                };
                AttachmentStatus::ALL.iter().flat_map(of).collect()
            }
            (from, _) => from.split(',').map(str::to_owned).collect(),
        }
    }

    /// Whether the answer is the backend's.
    fn needs_backend(&self) -> bool {
        matches!(
            (self.resource, self.action),
            (
                "volume",
                "os-extend(3.0)"
                    | "os-extend(3.42+)"
                    | "os-detach"
                    | "os-initialize_connection"
                    | "os-terminate_connection"
                    | "os-migrate_volume"
                    | "os-migrate_volume(lock)"
            ) | ("snapshot", "migrate parent volume")
                | ("attachment/volume", "update" | "delete")
        )
    }
}

/// Rows of which nothing is sent: their resource, how their action begins, and why.
const NOT_SENT: &[(&str, &str, &str)] = &[
    ("volume", "create backup", "backups are not served"),
    ("snapshot", "create backup", "backups are not served"),
    ("backup", "", "backups are not served"),
];

/// What a row is about.
struct Subject {
    volume: Volume,
    snapshot: Option<Snapshot>,
    attachment: Option<Attachment>,
}

impl Subject {
    /// Stores the records of a row's state.
    async fn store(house: &House, row: &Row, state: &str, default_type: VolumeTypeId) -> Self {
        let (of_volume, of_other) = match row.resource {
            "volume" => (state, ""),
            "snapshot" => ("available", state),
            _ => {
                let (attachment, volume) = state.split_once('/').unwrap();
                (volume, attachment)
            }
        };
        let status: VolumeStatus = of_volume.parse().unwrap();
        let is_attached = matches!(status, VolumeStatus::InUse | VolumeStatus::Detaching);
        let is_elsewhere = row.action.contains("migrate");
        let mut volume = match row.needs_backend() && !is_elsewhere {
            true => {
                let made = house.volume(json!({"size": 1})).await;
                let found = house.catalog.volume(made.parse().unwrap()).await.unwrap();
                found.unwrap().record.clone()
            }
            false => Volume::new(
                ProjectId::from(PROJECT),
                UserId::from("admin"),
                1,
                status,
                "nova".to_owned(),
                Timestamp(1),
            ),
        };
        volume.status = status;
        volume.attach_status = if is_attached {
            AttachStatus::Attached
        } else {
            AttachStatus::Detached
        };
        volume.volume_type_id = Some(default_type);
        volume.placed = true;
        volume.launched_at = Some(Timestamp(2));
        volume.host = if is_elsewhere {
            "h@elsewhere#lvm"
        } else {
            "h@lvm#lvm"
        }
        .parse()
        .ok();
        let needs_snapshot = row.resource == "snapshot" || row.action == "revert";
        let snapshot = needs_snapshot.then(|| {
            let status = match of_other {
                "" => SnapshotStatus::Available,
                other => other.parse().unwrap(),
            };
            Snapshot::of(&volume, status, Timestamp(3))
        });
        let of_attachment = match (row.resource, is_attached) {
            ("attachment/volume", _) => Some(of_other.parse().unwrap()),
            ("volume", true) => Some(AttachmentStatus::Attached),
            _ => None,
        };
        let attachment = of_attachment.map(|status| Attachment::of(&volume, status, Timestamp(3)));
        let mut changes = house.catalog.change();
        match house.catalog.volume(volume.id).await.unwrap() {
            Some(was) => changes.update(&was, &volume),
            None => changes.insert(&volume),
        };
        if let Some(snapshot) = &snapshot {
            changes.insert(snapshot);
        }
        if let Some(attachment) = &attachment {
            changes.insert(attachment);
        }
        changes.commit().await.unwrap();
        Self {
            volume,
            snapshot,
            attachment,
        }
    }

    /// The state now, as a row says it, if it was `state`.
    async fn state(&self, house: &House, row: &Row, state: &str) -> String {
        let volume = house.catalog.volume(self.volume.id).await.unwrap();
        let volume = volume.map_or("(gone)".to_owned(), |volume| volume.status.to_string());
        let of_other = match (&self.snapshot, &self.attachment) {
            (Some(snapshot), _) if row.resource == "snapshot" => {
                let found = house.catalog.snapshot(snapshot.id).await.unwrap();
                found.map(|snapshot| snapshot.status.to_string())
            }
            (_, Some(attachment)) if row.resource == "attachment/volume" => {
                let found = house.catalog.attachment(attachment.id).await.unwrap();
                found.map(|attachment| attachment.status.to_string())
            }
            _ => Some(String::new()),
        };
        let of_other = of_other.unwrap_or_else(|| "(gone)".to_owned());
        let now = match row.resource {
            "volume" => volume,
            "snapshot" if volume == "available" => of_other,
            "snapshot" => format!("{of_other} (volume {volume})"),
            _ => format!("{of_other}/{volume}"),
        };
        if now == state { "same".to_owned() } else { now }
    }

    /// Sends the request of the row; the status, and the text of a fault.
    async fn send(&self, house: &House, row: &Row, new_type: &str) -> (u16, String) {
        let volume = format!("/volumes/{}", self.volume.id);
        let snapshot_id = self.snapshot.as_ref().map(|snapshot| snapshot.id.to_string());
        let snapshot = format!("/snapshots/{}", snapshot_id.as_deref().unwrap_or_default());
        let attachment = match &self.attachment {
            Some(attachment) => format!("/attachments/{}", attachment.id),
            None => String::new(),
        };
        let connector = json!({"initiator": "iqn.2010-10.org.example:me", "host": "h1", "ip": "192.0.2.1"});
        let id = self.volume.id.to_string();
        let act = |body: Value| ("POST", format!("{volume}/action"), body);
        let act_on_snapshot = |body: Value| ("POST", format!("{snapshot}/action"), body);
        let make = |collection: &str, body: Value| ("POST", collection.to_owned(), body);
        let nothing = Value::Null;
        let (method, path, body) = match (row.resource, row.action) {
            ("volume", "delete") | ("snapshot", "delete parent volume") => ("DELETE", volume, nothing),
            ("volume", "delete?cascade") | ("snapshot", "delete parent volume cascade") => {
                ("DELETE", format!("{volume}?cascade=true"), nothing)
            }
            ("volume", "delete?force") => ("DELETE", format!("{volume}?force=true"), nothing),
            ("snapshot", "delete parent volume cascade+force") => {
                ("DELETE", format!("{volume}?cascade=true&force=true"), nothing)
            }
            ("volume", "os-extend(3.0)" | "os-extend(3.42+)") => act(json!({"os-extend": {"new_size": 2}})),
            ("volume", "os-attach") => {
                let server = uuid::Uuid::new_v4().to_string();
                act(json!({"os-attach": {"instance_uuid": server, "mountpoint": "/dev/vdb"}}))
            }
            ("volume", "os-initialize_connection" | "os-terminate_connection") => {
                act(json!({row.action: {"connector": connector}}))
            }
            ("volume", "os-update_readonly_flag") => act(json!({row.action: {"readonly": true}})),
            ("volume", "os-set_bootable") => act(json!({row.action: {"bootable": true}})),
            ("volume", "os-retype") => act(json!({row.action: {"new_type": new_type}})),
            ("volume", "os-migrate_volume" | "os-migrate_volume(lock)")
            | ("snapshot", "migrate parent volume") => {
                let lock = row.action.ends_with("(lock)");
                act(json!({"os-migrate_volume": {"host": "h@lvm#lvm", "lock_volume": lock}}))
            }
            ("volume", "os-reset_status(error)") => act(json!({"os-reset_status": {"status": "error"}})),
            ("volume", "os-extend_volume_completion") => act(json!({row.action: {"error": false}})),
            ("volume", "PUT volume(name)") => ("PUT", volume, json!({"volume": {"name": "n"}})),
            ("volume", "POST metadata") => {
                make(&format!("{volume}/metadata"), json!({"metadata": {"k": "v"}}))
            }
            ("volume", "create snapshot(force)") => make(
                "/snapshots",
                json!({"snapshot": {"volume_id": id, "force": true}}),
            ),
            ("volume", "create snapshot(<3.66,no force)" | "create snapshot(3.66+)") => {
                make("/snapshots", json!({"snapshot": {"volume_id": id}}))
            }
            ("volume", "create transfer") | ("snapshot", "transfer parent volume") => {
                make("/volume-transfers", json!({"transfer": {"volume_id": id}}))
            }
            ("volume", "clone (source_volid)") => make("/volumes", json!({"volume": {"source_volid": id}})),
            ("volume", "attachment create (no connector)") => {
                let server = uuid::Uuid::new_v4().to_string();
                let body = json!({"volume_uuid": id, "instance_uuid": server});
                make("/attachments", json!({"attachment": body}))
            }
            ("volume", "revert") | ("snapshot", "revert parent volume") => {
                act(json!({"revert": {"snapshot_id": snapshot_id}}))
            }
            // Actions without parameters.
            (
                "volume",
                "os-force_delete" | "os-reserve" | "os-unreserve" | "os-begin_detaching"
                | "os-roll_detaching" | "os-detach" | "os-unmanage",
            ) => act(json!({row.action: {}})),
            ("snapshot", "delete") => ("DELETE", snapshot, nothing),
            ("snapshot", "os-force_delete" | "os-unmanage") => act_on_snapshot(json!({row.action: {}})),
            ("snapshot", "os-reset_status(error)") => {
                act_on_snapshot(json!({"os-reset_status": {"status": "error"}}))
            }
            ("snapshot", "PUT snapshot(name)") => ("PUT", snapshot, json!({"snapshot": {"name": "n"}})),
            ("snapshot", "POST metadata") => {
                make(&format!("{snapshot}/metadata"), json!({"metadata": {"k": "v"}}))
            }
            ("snapshot", "create volume from snapshot") => {
                make("/volumes", json!({"volume": {"snapshot_id": snapshot_id}}))
            }
            ("snapshot", action) if action.starts_with("os-update_snapshot_status(") => {
                let status = action.split(['(', ')']).nth(1);
                act_on_snapshot(json!({"os-update_snapshot_status": {"status": status}}))
            }
            ("attachment/volume", "update") => {
                ("PUT", attachment, json!({"attachment": {"connector": connector}}))
            }
            ("attachment/volume", "delete") => ("DELETE", attachment, nothing),
            ("attachment/volume", "os-complete") => {
                make(&format!("{attachment}/action"), json!({"os-complete": {}}))
            }
            ("attachment/volume", "show") => ("GET", attachment, nothing),
            (resource, action) => panic!("line {}: how is {action} of a {resource} asked for?", row.line),
        };
        let version = match row.action {
            "os-extend(3.0)" => "",
            "create snapshot(<3.66,no force)" | "create snapshot(force)" => "3.65",
            _ => "3.71",
        };
        let mut request = house.request(method, &path).version(version);
        if !body.is_null() {
            request = request.body(body);
        }
        let answer = request.send().await;
        let text = match answer.status {
            ..400 => String::new(),
            _ => {
                let faults = answer.json();
                let fault = faults.as_object().and_then(|faults| faults.values().next());
                fault.unwrap()["message"].as_str().unwrap().to_owned()
            }
        };
        (answer.status, text)
    }

    /// Cinder's text with this subject's ids. A recorded text may be cut at its end.
    fn is_text(&self, row: &Row, state: &str, text: &str) -> bool {
        let id = |found: Option<String>| found.unwrap_or_default();
        let snapshot = id(self.snapshot.as_ref().map(|snapshot| snapshot.id.to_string()));
        // A Python dictionary, and the same where attached volumes are allowed.
        let extendable = if row.action == "os-extend(3.42+)" {
            "available or in-use"
        } else {
            "available"
        };
        let of_volume = !row.text.starts_with("Invalid snapshot: snapshot: <id>");
        let mut expected = row.text.to_owned();
        if of_volume {
            expected = expected.replacen("<id>", &self.volume.id.to_string(), 1);
        }
        let expected = expected
            .replace("<id>", &snapshot)
            .replace("<status>", state)
            .replace("'{'status': 'available'}'", extendable);
        text.starts_with(expected.trim_end())
    }
}

#[actix_web::test]
async fn every_recorded_transition_is_answered_alike() {
    let with_backend = House::build().await;
    let without = House::build_deaf().await;
    let mut types = BTreeMap::new();
    for house in [&with_backend, &without] {
        let unlimited = json!({"quota_set": {"volumes": -1, "snapshots": -1, "gigabytes": -1}});
        let set = house
            .put(&format!("/os-quota-sets/{PROJECT}"), unlimited)
            .send()
            .await;
        assert_eq!(set.status, 200, "{}", set.text);
        let made = house
            .post("/types", json!({"volume_type": {"name": "other"}}))
            .send()
            .await;
        let other = made.json()["volume_type"]["id"].as_str().unwrap().to_owned();
        let default = house.get("/types/default").send().await.json();
        let default: VolumeTypeId = default["volume_type"]["id"].as_str().unwrap().parse().unwrap();
        types.insert(house.address, (default, other));
    }
    let (mut unexplained, mut met) = (Vec::new(), BTreeSet::new());
    let (mut alike, mut not_sent) = (0, BTreeMap::new());
    let rows_of_cinder = rows(include_str!("../api/observed_states.tsv"));
    let differences = rows(include_str!("../api/state_differences.tsv"));
    assert_eq!(rows_of_cinder.len(), 146);
    for row in rows_of_cinder {
        let is_of = |(resource, action, _): &(&str, &str, &str)| {
            row.resource == *resource && row.action.starts_with(action)
        };
        if let Some(reason) = NOT_SENT.iter().find(|reason| is_of(reason)) {
            *not_sent.entry(reason).or_insert(0) += 1;
            continue;
        }
        let house = if row.needs_backend() {
            &with_backend
        } else {
            &without
        };
        let (default_type, other_type) = &types[&house.address];
        for state in row.states() {
            let subject = Subject::store(house, &row, &state, *default_type).await;
            if row.action.starts_with("os-extend(") && row.status == "202" {
                // It is still in progress when its state is looked at.
                house.driver.script(Verb::ExtendVolume, Fault::Hangs);
            }
            let (status, text) = subject.send(house, &row, other_type).await;
            let to = subject.state(house, &row, &state).await;
            let is_of = |one: &&Row| {
                (one.resource, one.action) == (row.resource, row.action) && one.states().contains(&state)
            };
            if let Some(different) = differences.iter().find(is_of) {
                let ours = (status.to_string(), to.as_str());
                assert_eq!(
                    ours,
                    (different.status.to_owned(), different.to),
                    "line {} from {state}",
                    row.line
                );
                met.insert((different.line, state));
                continue;
            }
            let is_alike = status.to_string() == row.status
                && to == row.to
                && (status < 400 || subject.is_text(&row, &state, &text));
            if is_alike {
                alike += 1;
                continue;
            }
            let Row {
                line,
                resource,
                action,
                ..
            } = row;
            unexplained.push(format!(
                "line {line}: {resource}: {action} from {state}: {status} {to} {text}, and Cinder {} {} {}",
                row.status, row.to, row.text
            ));
        }
    }
    with_backend.close().await;
    without.close().await;
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    for different in &differences {
        for state in different.states() {
            let Row {
                line, action, text, ..
            } = different;
            assert!(
                met.contains(&(*line, state.clone())),
                "{action} from {state} does not differ: {text}"
            );
        }
    }
    assert_eq!(
        not_sent.len(),
        NOT_SENT.len(),
        "reasons for rows that are not there"
    );
    assert_eq!(not_sent.values().sum::<usize>(), 25);
    assert_eq!(alike, 1036, "states that are alike");
}
