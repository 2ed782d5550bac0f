//! The crash matrix: the program is really killed at every point there is — before and after each step of each flow, each commit
//! of each verb, each external command — started again, and compared with the answers to the client, its own catalog, and the
//! files. Which points there are is what one run without a kill reaches; that none is missing, another test sees to.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use parking_lot::Mutex;
use pumice::actors::scheduler;
use pumice::backend::{BackendCommand, CommandVisitor};
use pumice::model::bounds::RECORDS_IN_A_COMMIT;
use pumice::verbs::every_command;
use serde_json::{Value, json};

use crate::acknowledged::{Answer, Existence, Resource};
use crate::client::{Client, OTHER_PROJECT, PROJECT};
use crate::process::Pumice;
use crate::{Facts, look_behind, wait_for_rest};

/// How many runs go on beside each other: most of a run is waiting.
const AT_ONCE: usize = 6;

/// What volumes and snapshots rest in.
const RESTING: [&str; 9] = [
    "available",
    "awaiting-transfer",
    "in-use",
    "reserved",
    "attaching",
    "detaching",
    "error",
    "error_extending",
    "error_deleting",
];

/// In which files there are places that commit and that the story does not come to, how many, and why.
const ELSEWHERE: [(&str, usize, &str); 21] = [
    (
        "src/actors/api/backend_runs.rs",
        1,
        "of the start of a backend, which asks again: tests/api_actor/backend_runs.rs, tests/sim_cluster",
    ),
    (
        "src/actors/api/take_over.rs",
        1,
        "of control nodes that share a store: tests/api_actor and tests/store_etcd, control_nodes.rs",
    ),
    (
        "src/actors/registry/control_nodes.rs",
        4,
        "of control nodes that share a store: tests/api_actor and tests/store_etcd, control_nodes.rs",
    ),
    (
        "src/control/cluster_tasks.rs",
        1,
        "of control nodes that share a store: tests/store_etcd and tests/api_actor, cluster_tasks.rs, and src/actors/notifier/tests.rs",
    ),
    (
        "src/control/periodic_task.rs",
        1,
        "of control nodes that share a store: tests/store_etcd and tests/api_actor, cluster_tasks.rs",
    ),
    (
        "src/actors/registry/remove_host.rs",
        1,
        "of a host that is gone, whose removal is repeated: tests/registry.rs, tests/adversity/nodes.rs",
    ),
    (
        "src/verbs/identity/mod.rs",
        1,
        "of the embedded identity: tests/crash/identity.rs",
    ),
    (
        "src/verbs/identity/delete_identity_record.rs",
        1,
        "of the embedded identity: tests/crash/identity.rs",
    ),
    (
        "src/verbs/identity/change_role_assignment.rs",
        1,
        "of the embedded identity: tests/crash/identity.rs",
    ),
    (
        "src/verbs/volume/migrate_volume/complete_migration.rs",
        1,
        "only while data are copied: tests/api_actor/migrate.rs",
    ),
    (
        "src/actors/api/cancel_operation.rs",
        1,
        "only while something takes long: tests/clients/test_cancel.py, which kills right after it",
    ),
    (
        "src/actors/api/compare_storage.rs",
        2,
        "only where a volume is missing on its storage: tests/api_actor",
    ),
    (
        "src/verbs/volume/create_volume.rs",
        1,
        "where the quota overtook it: tests/api_actor",
    ),
    (
        "src/verbs/qos_specs/mod.rs",
        1,
        "of more types than one commit changes: tests/web_v3/qos_specs.rs",
    ),
    (
        "src/verbs/snapshot/ending.rs",
        1,
        "a snapshot that is on no backend",
    ),
    (
        "src/verbs/followers.rs",
        1,
        "a forced delete of a volume with many snapshots that are being deleted: tests/api_actor/followers.rs",
    ),
    ("src/actors/api/forget_messages.rs", 1, "after thirty days"),
    ("src/actors/api/run_once.rs", 1, "after a day"),
    (
        "src/actors/api/operations.rs",
        1,
        "an operation whose volume vanished under it",
    ),
    (
        "src/actors/api/report.rs",
        1,
        "an operation whose volume vanished under it",
    ),
    (
        "src/actors/scheduler/schedule_volume.rs",
        1,
        "where another was faster: tests/scheduler.rs",
    ),
];

/// The answers to the client's requests, by id.
#[derive(Default)]
struct Expected {
    facts: Facts,
    /// Storage names that were let go, to be there without a record.
    let_go: BTreeSet<String>,
}

impl Expected {
    fn exists(&mut self, kind: &'static str, id: &str, volume: Option<&str>) {
        let resource = Resource::existing(kind, volume.map(str::to_owned), id);
        self.facts.resources.insert(id.to_owned(), resource);
    }
}

/// A request with an idempotency key that makes something.
struct Keyed {
    project: &'static str,
    path: String,
    body: String,
    key: String,
    /// `None` if the program died before it answered.
    answer: Option<Vec<u8>>,
}

impl Keyed {
    /// Whether a route makes something.
    fn is_taken_by(path: &str) -> bool {
        let routes = [
            "/volumes",
            "/snapshots",
            "/attachments",
            "/volume-transfers",
            "/types",
            "/qos-specs",
            "/manageable_volumes",
            "/manageable_snapshots",
        ];
        routes.contains(&path) || path.ends_with("/encryption")
    }

    /// The answer to the same request, sent to a program that was started again.
    fn repeat(&self, address: SocketAddr) -> Result<Vec<u8>> {
        let mut client = Client::connect_as(address, self.project)?;
        client.use_key(Some(self.key.clone()));
        let limit = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = client.send("POST", &self.path, &self.body)?;
            if answer.status < 300 {
                return Ok(answer.body);
            }
            // One that was never begun may have to wait for its backend.
            let is_late = self.answer.is_some() || Instant::now() > limit;
            ensure!(!is_late, "{}: {} {}", self.path, answer.status, answer.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A repeat gets the first answer; of a request without an answer one thing is made, however often it is repeated.
    fn is_made_once(&self, address: SocketAddr) -> Result<()> {
        let again = self.repeat(address)?;
        let first = match &self.answer {
            Some(first) => first.clone(),
            None => self.repeat(address)?,
        };
        ensure!(
            first == again,
            "{}: a repeat got {}, not {}",
            self.path,
            String::from_utf8_lossy(&again),
            String::from_utf8_lossy(&first)
        );
        if self.path == "/volumes" && self.answer.is_none() {
            let name = serde_json::from_str::<Value>(&self.body)?["volume"]["name"].clone();
            let path = format!("/volumes?name={}", name.as_str().context("no name")?);
            let found = Client::connect_as(address, self.project)?
                .send("GET", &path, "")?
                .json()?;
            let count = found["volumes"].as_array().map(Vec::len);
            ensure!(count == Some(1), "one request has made {count:?} volumes");
        }
        Ok(())
    }
}

/// A client that goes through every verb, one after the other.
struct Story<'a> {
    address: SocketAddr,
    expected: &'a mut Expected,
    keyed: RefCell<Vec<Keyed>>,
}

impl Story<'_> {
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        self.ask_as(PROJECT, method, path, body)
    }

    fn ask_as(&self, project: &'static str, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let mut client = Client::connect_as(self.address, project)?;
        let mut keyed = self.keyed.borrow_mut();
        let is_keyed = method == "POST" && Keyed::is_taken_by(path);
        if is_keyed {
            let key = format!("key-{}", keyed.len());
            client.use_key(Some(key.clone()));
            keyed.push(Keyed {
                project,
                path: path.to_owned(),
                body: body.clone(),
                key,
                answer: None,
            });
        }
        let answer = client.send(method, path, &body)?;
        if is_keyed {
            match answer.status < 300 {
                true => keyed.last_mut().context("no request")?.answer = Some(answer.body.clone()),
                // Nothing was made.
                false => drop(keyed.pop()),
            }
        }
        ensure!(
            answer.status < 300,
            "{method} {path}: {} {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        match answer.body.is_empty() {
            true => Ok(Value::Null),
            false => answer.json(),
        }
    }

    /// Until the record is in one of these states; `gone` is one of them.
    fn becomes(&self, kind: &str, id: &str, wanted: &[&str]) -> Result<Value> {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = Client::connect(self.address)?.send("GET", &format!("/{kind}s/{id}"), "")?;
            let record = if answer.status == 404 {
                json!({"status": "gone"})
            } else {
                answer.json()?[kind].clone()
            };
            let status = record["status"].as_str().context("no status")?;
            if wanted.contains(&status) {
                return Ok(record);
            }
            ensure!(!status.starts_with("error"), "{kind} {id} is {status}");
            ensure!(Instant::now() < limit, "{kind} {id} stays {status}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn volume(&mut self, mut wanted: Value, end: &[&str]) -> Result<String> {
        wanted["name"] = json!(format!("matrix-{}", self.keyed.borrow().len()));
        let made = self.ask("POST", "/volumes", &json!({"volume": wanted}))?;
        let id = made["volume"]["id"].as_str().context("no id")?.to_owned();
        self.expected.exists("volume", &id, None);
        self.becomes("volume", &id, end)?;
        Ok(id)
    }

    fn snapshot(&mut self, of: &str) -> Result<String> {
        let made = self.ask(
            "POST",
            "/snapshots",
            &json!({"snapshot": {"volume_id": of, "name": "s"}}),
        )?;
        let id = made["snapshot"]["id"].as_str().context("no id")?.to_owned();
        self.expected.exists("snapshot", &id, Some(of));
        self.becomes("snapshot", &id, &["available"])?;
        Ok(id)
    }

    fn act(&self, kind: &str, id: &str, action: Value) -> Result<Value> {
        self.ask("POST", &format!("/{kind}s/{id}/action"), &action)
    }

    fn delete(&mut self, kind: &str, id: &str, how: &str) -> Result<()> {
        let id = id.to_owned();
        let before = self.expected.facts.begin_delete(&id, !how.is_empty());
        self.ask("DELETE", &format!("/{kind}s/{id}{how}"), &Value::Null)?;
        self.expected.facts.end_delete(&id, before, Answer::Acknowledged);
        self.becomes(kind, &id, &["gone"]).map(drop)
    }

    /// Whether a refusal came from a program that is there.
    fn still_there(&self) -> Result<bool> {
        let answer = Client::connect(self.address)?.send_raw("GET", "/healthcheck", "")?;
        Ok(answer.status == 200)
    }

    fn run(&mut self) -> Result<()> {
        let available: &[&str] = &["available"];
        let nothing = Value::Null;
        let one = self.volume(json!({"size": 1}), available)?;
        // Nowhere is there so much room.
        let much = self.act("volume", &one, json!({"os-extend": {"new_size": 2_000_000_000}}));
        self.becomes("volume", &one, available)?;
        ensure!(much.is_ok() || self.still_there()?, "{much:?}");
        self.act("volume", &one, json!({"os-extend": {"new_size": 2}}))?;
        self.becomes("volume", &one, available)?;
        let kept = self.snapshot(&one)?;
        let second = self.volume(json!({"snapshot_id": kept, "size": 2}), available)?;
        let third = self.volume(json!({"source_volid": one, "size": 2}), available)?;
        self.act("volume", &one, json!({"revert": {"snapshot_id": kept}}))?;
        self.becomes("volume", &one, available)?;
        self.records(&one, &kept)?;
        self.transfers(&one)?;
        self.moves()?;
        self.connections(&second)?;
        self.adoption(&third)?;
        self.followers()?;
        self.failures()?;
        // A snapshot alone, a volume with its snapshots, and one alone.
        self.delete("snapshot", &kept, "")?;
        self.snapshot(&second)?;
        self.delete("volume", &second, "?cascade=true")?;
        self.delete("volume", &one, "")?;
        let again = self.ask("GET", "/volumes", &nothing)?;
        ensure!(again["volumes"].as_array().is_some_and(Vec::is_empty), "{again}");
        Ok(())
    }

    /// What changes records only.
    fn records(&self, volume: &str, snapshot: &str) -> Result<()> {
        let named = |kind: &str| json!({kind: {"description": "changed"}});
        self.ask("PUT", &format!("/volumes/{volume}"), &named("volume"))?;
        self.ask("PUT", &format!("/snapshots/{snapshot}"), &named("snapshot"))?;
        let metadata = json!({"metadata": {"a": "b"}});
        self.ask("POST", &format!("/volumes/{volume}/metadata"), &metadata)?;
        self.ask("POST", &format!("/snapshots/{snapshot}/metadata"), &metadata)?;
        self.act("volume", volume, json!({"os-reserve": {}}))?;
        self.act("volume", volume, json!({"os-unreserve": {}}))?;
        let attach =
            json!({"instance_uuid": "6c0e3b5a-52f5-4a0c-8b5a-2f6d3b1c9e11", "mountpoint": "/dev/vdb"});
        self.act("volume", volume, json!({"os-attach": attach}))?;
        self.act("volume", volume, json!({"os-begin_detaching": {}}))?;
        self.act("volume", volume, json!({"os-detach": {}}))?;
        self.act(
            "volume",
            volume,
            json!({"os-reset_status": {"status": "available", "attach_status": "detached"}}),
        )?;
        Ok(())
    }

    /// Offers a volume with its snapshots and takes the offer back; then it goes to another project, and comes back.
    fn transfers(&self, volume: &str) -> Result<()> {
        let offer = json!({"transfer": {"volume_id": volume}});
        let made = self.ask("POST", "/volume-transfers", &offer)?;
        let id = made["transfer"]["id"].as_str().context("no id")?;
        self.ask("DELETE", &format!("/volume-transfers/{id}"), &Value::Null)?;
        for (from, to) in [(PROJECT, OTHER_PROJECT), (OTHER_PROJECT, PROJECT)] {
            let made = self.ask_as(from, "POST", "/volume-transfers", &offer)?;
            let id = made["transfer"]["id"].as_str().context("no id")?;
            let key = json!({"accept": {"auth_key": made["transfer"]["auth_key"]}});
            self.ask_as(to, "POST", &format!("/volume-transfers/{id}/accept"), &key)?;
        }
        Ok(())
    }

    /// Moves a volume to another backend, changes its type where it is, and has it moved back because its type wants that.
    fn moves(&mut self) -> Result<()> {
        let pools = self.ask("GET", "/scheduler-stats/get_pools?detail=True", &Value::Null)?;
        let pools = pools["pools"].as_array().context("no pools")?.clone();
        let id = self.volume(json!({"size": 1}), &["available"])?;
        let home = self.host(&id)?;
        let away = |pool: &&Value| pool["name"] != home;
        let away = pools.iter().find(away).context("no other pool")?;
        self.act(
            "volume",
            &id,
            json!({"os-migrate_volume": {"host": away["name"]}}),
        )?;
        self.is_on(&id, &away["name"])?;
        let kind = json!({"volume_type": {"name": "anywhere"}});
        self.ask("POST", "/types", &kind)?;
        self.act("volume", &id, json!({"os-retype": {"new_type": "anywhere"}}))?;
        self.becomes("volume", &id, &["available"])?;
        let there = pools.iter().find(|pool| pool["name"] == home);
        let name = &there.context("no pool")?["capabilities"]["volume_backend_name"];
        let kind = json!({"volume_type": {"name": "home", "extra_specs": {"volume_backend_name": name}}});
        self.ask("POST", "/types", &kind)?;
        let retype = json!({"os-retype": {"new_type": "home", "migration_policy": "on-demand"}});
        self.act("volume", &id, retype)?;
        self.is_on(&id, &home)?;
        self.becomes("volume", &id, &["available"])?;
        self.delete("volume", &id, "")
    }

    fn host(&self, id: &str) -> Result<Value> {
        let record = self.becomes("volume", id, &["available"])?;
        Ok(record["os-vol-host-attr:host"].clone())
    }

    /// Waits until the volume is on this pool, and its migration has ended.
    fn is_on(&self, id: &str, pool: &Value) -> Result<()> {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            let record = self.becomes("volume", id, &["available", "retyping"])?;
            if record["os-vol-host-attr:host"] == *pool {
                return Ok(());
            }
            ensure!(
                record["migration_status"] != "error",
                "it does not move: {record}"
            );
            ensure!(Instant::now() < limit, "it does not move: {record}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn connections(&self, volume: &str) -> Result<()> {
        let connector = json!({"initiator": "iqn.1993-08.org.debian:01:a", "host": "h1", "ip": "127.0.0.1"});
        let made = self.ask(
            "POST",
            "/attachments",
            &json!({"attachment": {"volume_uuid": volume, "connector": connector}}),
        )?;
        let id = made["attachment"]["id"].as_str().context("no id")?;
        self.ask(
            "POST",
            &format!("/attachments/{id}/action"),
            &json!({"os-complete": {}}),
        )?;
        self.becomes("volume", volume, &["in-use"])?;
        self.ask("DELETE", &format!("/attachments/{id}"), &Value::Null)?;
        self.becomes("volume", volume, &["available"])?;
        // Reserved first, connected later; and never connected at all.
        let made = self.ask(
            "POST",
            "/attachments",
            &json!({"attachment": {"volume_uuid": volume}}),
        )?;
        let id = made["attachment"]["id"].as_str().context("no id")?;
        self.ask(
            "PUT",
            &format!("/attachments/{id}"),
            &json!({"attachment": {"connector": connector}}),
        )?;
        self.ask("DELETE", &format!("/attachments/{id}"), &Value::Null)?;
        self.becomes("volume", volume, &["available"])?;
        let made = self.ask(
            "POST",
            "/attachments",
            &json!({"attachment": {"volume_uuid": volume}}),
        )?;
        let id = made["attachment"]["id"].as_str().context("no id")?;
        self.ask("DELETE", &format!("/attachments/{id}"), &Value::Null)?;
        // The old way.
        self.act(
            "volume",
            volume,
            json!({"os-initialize_connection": {"connector": connector}}),
        )?;
        self.act(
            "volume",
            volume,
            json!({"os-terminate_connection": {"connector": connector}}),
        )?;
        Ok(())
    }

    /// Lets a volume and its snapshot go, takes both in again under new ids, and deletes them.
    fn adoption(&mut self, volume: &str) -> Result<()> {
        let snapshot = self.snapshot(volume)?;
        self.expected.facts.resources.remove(&snapshot);
        self.expected.let_go.insert(format!("_snapshot-{snapshot}"));
        self.act("snapshot", &snapshot, json!({"os-unmanage": {}}))?;
        self.becomes("snapshot", &snapshot, &["gone"])?;
        let body = json!({"snapshot": {"volume_id": volume, "ref": {"source-name": format!("_snapshot-{snapshot}")}}});
        let made = self.ask("POST", "/manageable_snapshots", &body)?;
        let taken = made["snapshot"]["id"].as_str().context("no id")?.to_owned();
        self.expected.exists("snapshot", &taken, Some(volume));
        self.becomes("snapshot", &taken, &["available"])?;
        self.delete("snapshot", &taken, "")?;
        let record = self.becomes("volume", volume, &["available"])?;
        self.expected.facts.resources.remove(volume);
        self.expected.let_go.insert(format!("volume-{volume}"));
        self.act("volume", volume, json!({"os-unmanage": {}}))?;
        self.becomes("volume", volume, &["gone"])?;
        let reference = json!({"source-name": format!("volume-{volume}")});
        let body = json!({"volume": {"host": record["os-vol-host-attr:host"], "ref": reference}});
        let made = self.ask("POST", "/manageable_volumes", &body)?;
        let taken = made["volume"]["id"].as_str().context("no id")?.to_owned();
        self.expected.exists("volume", &taken, None);
        self.becomes("volume", &taken, &["available"])?;
        self.delete("volume", &taken, "")
    }

    /// Volumes with more snapshots and attachments than are changed in one commit.
    fn followers(&mut self) -> Result<()> {
        let many = RECORDS_IN_A_COMMIT + 1;
        let kept = self.volume(json!({"size": 1}), &["available"])?;
        for _ in 0..many {
            self.snapshot(&kept)?;
        }
        self.delete("volume", &kept, "?cascade=true")?;
        let specs = json!({"volume_type": {"name": "shared", "extra_specs": {"multiattach": "<is> True"}}});
        self.ask("POST", "/types", &specs)?;
        let shared = self.volume(json!({"size": 1, "volume_type": "shared"}), &["available"])?;
        for n in 0..many {
            let initiator = format!("iqn.1993-08.org.debian:01:{n}");
            let connector = json!({"initiator": initiator, "host": format!("h{n}"), "ip": "127.0.0.1"});
            let wanted = json!({"attachment": {"volume_uuid": shared, "connector": connector}});
            let made = self.ask("POST", "/attachments", &wanted)?;
            let id = made["attachment"]["id"].as_str().context("no id")?;
            let path = format!("/attachments/{id}/action");
            self.ask("POST", &path, &json!({"os-complete": {}}))?;
        }
        let reset = json!({"os-reset_status": {"status": "available", "attach_status": "detached"}});
        self.act("volume", &shared, reset)?;
        self.delete("volume", &shared, "")
    }

    /// A volume that no backend is right for, one that is too large for any file system, and what clients do with types.
    fn failures(&mut self) -> Result<()> {
        let specs =
            json!({"volume_type": {"name": "nowhere", "extra_specs": {"volume_backend_name": "none"}}});
        let made = self.ask("POST", "/types", &specs)?;
        let kind = made["volume_type"]["id"].as_str().context("no id")?.to_owned();
        self.ask(
            "PUT",
            &format!("/types/{kind}"),
            &json!({"volume_type": {"description": "of no backend"}}),
        )?;
        let lost = self.volume(json!({"size": 1, "volume_type": "nowhere"}), &["error"])?;
        self.delete("volume", &lost, "")?;
        let lost = self.volume(json!({"size": 1, "volume_type": "nowhere"}), &["error"])?;
        self.expected.facts.resources.remove(&lost);
        self.act("volume", &lost, json!({"os-unmanage": {}}))?;
        self.becomes("volume", &lost, &["gone"])?;
        let of_type = format!("/types/{kind}/encryption");
        let luks = json!({"encryption": {"provider": "luks", "control_location": "front-end"}});
        let made = self.ask("POST", &of_type, &luks)?;
        let encryption = made["encryption"]["encryption_id"].as_str().context("no id")?;
        self.ask("DELETE", &format!("{of_type}/{encryption}"), &Value::Null)?;
        self.qos_and_default_types(&kind)?;
        self.ask("DELETE", &format!("/types/{kind}"), &Value::Null)?;
        let messages = self.ask("GET", "/messages", &Value::Null)?;
        let message = messages["messages"][0]["id"]
            .as_str()
            .context("no message")?
            .to_owned();
        self.ask("DELETE", &format!("/messages/{message}"), &Value::Null)?;
        let huge = self.volume(json!({"size": 9_000_000}), &["error", "available"])?;
        self.delete("volume", &huge, "")
    }

    /// QoS specs that a type refers to, and the default type of another project.
    fn qos_and_default_types(&self, volume_type: &str) -> Result<()> {
        let nothing = Value::Null;
        let specs = json!({"qos_specs": {"name": "matrix", "read_iops_sec": "1"}});
        let made = self.ask("POST", "/qos-specs", &specs)?;
        let id = made["qos_specs"]["id"].as_str().context("no id")?;
        let path = format!("/qos-specs/{id}");
        self.ask("PUT", &path, &json!({"qos_specs": {"read_iops_sec": "2"}}))?;
        self.ask(
            "GET",
            &format!("{path}/associate?vol_type_id={volume_type}"),
            &nothing,
        )?;
        self.ask("GET", &format!("{path}/disassociate_all"), &nothing)?;
        self.ask("DELETE", &path, &nothing)?;
        let default = format!("/default-types/{OTHER_PROJECT}");
        let set = json!({"default_type": {"volume_type": volume_type}});
        self.ask("PUT", &default, &set)?;
        self.ask("DELETE", &default, &nothing).map(drop)
    }
}

/// Runs the story against a fresh program; where it was killed, starts it again and looks.
fn die_at(point: &str) -> Result<bool> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let mut expected = Expected::default();
    let mut keyed = Vec::new();
    let died = match Pumice::start_with(folder, &[("PUMICE_FAILPOINT", point.as_ref())]) {
        Ok(mut pumice) => {
            let mut story = Story {
                address: pumice.address,
                expected: &mut expected,
                keyed: RefCell::default(),
            };
            let run = story.run();
            keyed = story.keyed.into_inner();
            // The connection may break before the process is gone.
            let patience = Duration::from_secs(if run.is_err() { 5 } else { 0 });
            let died = pumice.dies_within(patience)?;
            if let (Err(error), false) = (&run, died) {
                bail!("it was not killed, and yet: {error:#}");
            }
            died
        }
        // Killed before it served.
        Err(_) => true,
    };
    let looked = || -> Result<()> {
        let pumice = Pumice::start(folder)?;
        wait_for_rest(&pumice)?;
        compare(folder, &pumice, &expected)?;
        for request in &keyed {
            request.is_made_once(pumice.address)?;
        }
        wait_for_rest(&pumice)?;
        pumice.kill()?;
        look_behind(folder, &expected.let_go)
    };
    looked().map_err(|error| anyhow!("{error:#}\n{}", log(folder)))?;
    Ok(died)
}

/// The end of the program's log.
fn log(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    let interesting = log.lines().filter(|line| !line.contains("\"answered\""));
    let lines: Vec<&str> = interesting.collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

/// Waits until each of these volumes has one of its events in the log.
fn wait_for_notifications(folder: &Path, volumes: &[(String, [&str; 2])]) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let log = std::fs::read_to_string(folder.join("log"))?;
        let lines: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("pumice::notification"))
            .collect();
        let is_notified = |volume: &str, events: &[&str]| {
            let has = |line: &&str| line.contains(volume) && events.iter().any(|event| line.contains(event));
            lines.iter().any(has)
        };
        let Some((volume, events)) = volumes.iter().find(|(id, events)| !is_notified(id, events)) else {
            return Ok(());
        };
        ensure!(
            Instant::now() < deadline,
            "volume {volume} has none of {events:?} among {} notifications",
            lines.len()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn compare(folder: &Path, pumice: &Pumice, expected: &Expected) -> Result<()> {
    let mut client = Client::connect(pumice.address)?;
    let mut found = BTreeSet::new();
    let mut notified = Vec::new();
    for kind in ["volume", "snapshot"] {
        // Of all projects: one may have changed hands.
        let path = format!("/{kind}s/detail?all_tenants=1");
        let page = client.send("GET", &path, "")?.json()?;
        for record in page[format!("{kind}s")].as_array().context("no list")? {
            let id = record["id"].as_str().context("no id")?;
            let status = record["status"].as_str().context("no status")?;
            ensure!(RESTING.contains(&status), "{kind} {id} rests in {status}");
            found.insert(id.to_owned());
            if kind == "volume" && !status.starts_with("error") {
                notified.push((id.to_owned(), ["volume.create.end", "volume.manage_existing.end"]));
            }
        }
    }
    for (id, resource) in &expected.facts.resources {
        let wrong = resource.existence.contradiction(found.contains(id));
        ensure!(
            wrong.is_none(),
            "{} {id} {}",
            resource.kind,
            wrong.unwrap_or_default()
        );
        if resource.kind == "volume" && !found.contains(id) && resource.existence == Existence::Gone {
            notified.push((id.clone(), ["volume.delete.end", "volume.unmanage.end"]));
        }
    }
    wait_for_notifications(folder, &notified)
}

/// The points that the story reaches when no process dies.
fn points() -> Result<BTreeSet<String>> {
    let folder = tempfile::tempdir()?;
    let list = folder.path().join("points");
    let pumice = Pumice::start_with(folder.path(), &[("PUMICE_FAILPOINTS", list.as_os_str())])?;
    let mut expected = Expected::default();
    Story {
        address: pumice.address,
        expected: &mut expected,
        keyed: RefCell::default(),
    }
    .run()
    .with_context(|| log(folder.path()))?;
    wait_for_rest(&pumice)?;
    pumice.kill()?;
    Ok(std::fs::read_to_string(list)?
        .lines()
        .map(str::to_owned)
        .collect())
}

#[test]
fn wherever_it_dies_it_comes_to_rest_as_its_clients_were_told() -> Result<()> {
    let begun = Instant::now();
    let points: Vec<String> = points()?.into_iter().collect();
    let (next, died) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match die_at(point) {
                        Ok(true) => {
                            died.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(false) => {}
                        Err(error) => wrong.lock().push(format!("{point}: {error:#}")),
                    }
                }
            });
        }
    });
    let (wrong, died) = (wrong.into_inner(), died.into_inner());
    println!(
        "{} points, killed at {died} of them, in {:.0} s",
        points.len(),
        begun.elapsed().as_secs_f64()
    );
    ensure!(
        wrong.is_empty(),
        "{} of {} points:\n{}",
        wrong.len(),
        points.len(),
        wrong.join("\n\n")
    );
    // Some depend on which task is faster; they may be missed, but not many.
    ensure!(
        died * 100 >= points.len() * 95,
        "killed at {died} of {} points only",
        points.len()
    );
    Ok(())
}

/// The steps of each command's flow on a backend.
#[derive(Default)]
struct StepNames(Vec<Vec<&'static str>>);

impl CommandVisitor for StepNames {
    fn command<C: BackendCommand>(mut self) -> Self {
        self.0.push(C::flow().step_names());
        self
    }
}

/// Every flow's every step, and every place in the actors that commits, is a point that the matrix kills at.
#[test]
fn no_step_and_no_commit_is_without_its_point() -> Result<()> {
    let reached = points()?;
    let mut flows = every_command(StepNames::default()).0;
    flows.push(scheduler::schedule_volume::flow().step_names());
    let mut missing = Vec::new();
    for steps in flows {
        for step in steps {
            for when in ["before", "after"] {
                let end = format!("/{step} {when}");
                if !reached
                    .iter()
                    .any(|point| point.starts_with("step ") && point.ends_with(&end))
                {
                    missing.push(format!("step {step} {when}"));
                }
            }
        }
    }
    let mut missed: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (file, line) in commits(Path::new(env!("CARGO_MANIFEST_DIR")))? {
        let place = format!(" {file}:{line} ");
        if !reached.iter().any(|point| point.contains(&place)) {
            missed.entry(file).or_default().push(line);
        }
    }
    for (file, lines) in missed {
        let known = ELSEWHERE.iter().find(|(known, _, _)| *known == file);
        let may_be_missed = known.map_or(0, |(_, count, _)| *count);
        if lines.len() > may_be_missed {
            missing.push(format!(
                "{file}: {lines:?}, of which {may_be_missed} may be missed"
            ));
        }
    }
    ensure!(
        missing.is_empty(),
        "no run comes to {missing:#?} among {reached:#?}"
    );
    Ok(())
}

/// Where actors and verbs commit: each file and line.
pub fn commits(root: &Path) -> Result<Vec<(String, usize)>> {
    let mut folders = ["actors", "verbs", "control"]
        .map(|room| root.join("src").join(room))
        .to_vec();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let file = path.strip_prefix(root)?.to_str().context("a name")?.to_owned();
            if file.contains("test") {
                continue;
            }
            let text = std::fs::read_to_string(&path)?;
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (number, line) in code.lines().enumerate() {
                if line.contains(".commit()") {
                    found.push((file.clone(), number + 1));
                }
            }
        }
    }
    Ok(found)
}
