//! `pumice serve` with its state in etcd, as a process: killed, stopped, and with an etcd that is killed.

#![expect(
    clippy::disallowed_types,
    reason = "the program under test is killed, not waited for"
)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::child::{Child, PROGRAM};
use super::client::Client;
use super::cluster::Cluster;

/// `EX_IOERR`, see `cli::serve`.
const STORE_FAILED: i32 = 74;

pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new(store: &str) -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        place.configure(store);
        place
    }

    /// On this etcd.
    pub fn on(cluster: &Cluster) -> Self {
        Self::new(&on_etcd(cluster))
    }

    pub fn configure(&self, store: &str) {
        self.configure_driver(store, "file");
    }

    fn configure_driver(&self, store: &str, driver: &str) {
        let data = self.data();
        let text = format!(
            "[node]\ndata_dir = \"{}\"\n[auth]\nstrategy = \"noauth\"\n{store}\n[backend.file]\ndriver = \"{driver}\"\ntarget = \"fake\"\n\
             max_over_subscription_ratio = \"1000000.0\"\n[quota]\nvolumes = -1\ngigabytes = -1\nsnapshots = -1\n",
            data.display()
        );
        std::fs::write(self.path("pumice.toml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub fn serve(&self) -> Result<(Child, SocketAddr)> {
        let config = self.path("pumice.toml");
        Child::serving(Command::new(PROGRAM), &config, &self.data(), &self.path("log"))
    }

    /// A command about the configuration.
    pub fn run(&self, words: &[&str]) -> Output {
        Command::new(PROGRAM)
            .args(words)
            .arg("--config")
            .arg(self.path("pumice.toml"))
            .output()
            .unwrap()
    }

    /// A command that must succeed; what it says.
    pub fn succeeds(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let text = [output.stdout.as_slice(), &output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(output.status.success(), "{words:?}: {text}");
        text
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }
}

pub fn on_etcd(cluster: &Cluster) -> String {
    format!(
        "[store]\nengine = \"etcd\"\netcd_timeout = \"6s\"\netcd_endpoints = {:?}\n",
        cluster.endpoints()
    )
}

/// Waits until no operation is open; returns the volumes.
pub fn at_rest(address: SocketAddr) -> Result<Vec<Value>> {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        let mut client = Client::connect(address)?;
        let open = client.send_raw("GET", "/inspect/operations", "")?.json()?;
        if open["operations"].as_array().is_some_and(Vec::is_empty) {
            let checked = client.send_raw("GET", "/inspect/fsck", "")?.json()?;
            ensure!(
                checked["findings"].as_array().is_some_and(Vec::is_empty),
                "{checked}"
            );
            let listed = client.send("GET", "/volumes/detail", "")?.json()?;
            return Ok(listed["volumes"].as_array().context("no volumes")?.clone());
        }
        ensure!(Instant::now() < limit, "operations are still open: {open}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn create(address: SocketAddr, name: &str) -> Result<String> {
    let created = Client::connect(address)?.create(name)?;
    ensure!(created.status == 202, "{} {}", created.status, created.text());
    Ok(created.json()?["volume"]["id"]
        .as_str()
        .context("no id")?
        .to_owned())
}

/// A service and its supervisor.
struct Supervised<'p> {
    place: &'p Place,
    child: Child,
    address: SocketAddr,
}

impl Supervised<'_> {
    /// Asks for a volume until it is answered 202. A service that ends since a change that was answered as unknown was made is started
    /// again.
    fn creates(&mut self, name: &str) -> Result<()> {
        let limit = Instant::now() + Duration::from_secs(60);
        while let Err(error) = create(self.address, name) {
            ensure!(Instant::now() < limit, "{error}: {}", self.place.log());
            if let Some(status) = self.child.ended()? {
                ensure!(
                    status.code() == Some(STORE_FAILED),
                    "it ended with {status}: {}",
                    self.place.log()
                );
                (self.child, self.address) = self.place.serve()?;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

fn names(volumes: &[Value]) -> Vec<&str> {
    let mut names: Vec<&str> = volumes
        .iter()
        .filter_map(|volume| volume["name"].as_str())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn a_service_on_etcd_creates_attaches_and_deletes_and_survives_kills_of_itself_and_of_etcd() -> Result<()> {
    let mut cluster = Cluster::start(3);
    let place = Place::on(&cluster);
    let (pumice, address) = place.serve()?;
    let ids = ["a", "b", "c"].map(|name| create(address, name));
    let [a, b, _] = ids;
    let (a, b) = (a?, b?);
    ensure!(at_rest(address)?.len() == 3);
    let mut client = Client::connect(address)?;
    let attach = json!({"attachment": {"volume_uuid": a, "instance_uuid": "11111111-1111-4111-8111-111111111111",
        "connector": {"initiator": "iqn.a", "host": "h", "ip": "127.0.0.1"}}});
    let attached = client.send("POST", "/attachments", &attach.to_string())?;
    ensure!(attached.status == 200, "{}", attached.text());
    ensure!(client.send("DELETE", &format!("/volumes/{b}"), "")?.status == 202);
    // Killed while the last create and the delete are under way.
    create(address, "d")?;
    pumice.kill()?;
    let (pumice, address) = place.serve()?;
    let volumes = at_rest(address)?;
    ensure!(names(&volumes) == ["a", "c", "d"], "{volumes:?}");
    ensure!(
        volumes
            .iter()
            .any(|volume| volume["id"] == a.as_str() && volume["status"] != "available")
    );

    let mut service = Supervised {
        place: &place,
        child: pumice,
        address,
    };
    for at in 0..3 {
        cluster.kill(at);
        service.creates(&format!("without {at}"))?;
        cluster.restart(at);
        cluster.wait_ready();
    }
    for at in 0..3 {
        cluster.kill(at);
    }
    let mut client = Client::connect(service.address)?;
    let refused = client.create("refused")?;
    refused.must_be_unavailable()?;
    // What was read last can be read, and a health check says what is wrong.
    let shown = client.send("GET", &format!("/volumes/{a}"), "")?;
    ensure!(shown.status == 200 && shown.is_stale, "{}", shown.text());
    let begun = Instant::now();
    client.create("refused")?.must_be_unavailable()?;
    ensure!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    // Another control node may have made it: that it is not known here is no answer.
    let unknown = "7caf6b57-1871-4d38-b1ea-3d5c36c88901";
    for kind in ["volumes", "snapshots", "attachments"] {
        // Each on a connection of its own: one that was refused before its body was read is closed.
        Client::connect(service.address)?
            .send("DELETE", &format!("/{kind}/{unknown}"), "")?
            .must_be_unavailable()?;
    }
    for at in 0..3 {
        cluster.restart(at);
    }
    cluster.wait_ready();
    service.creates("after")?;
    let (pumice, address) = (service.child, service.address);
    let volumes = at_rest(address)?;
    let mut found = names(&volumes);
    found.retain(|name| *name != "refused");
    // What was answered as unknown was asked for again.
    found.dedup();
    ensure!(
        found == ["a", "after", "c", "d", "without 0", "without 1", "without 2"],
        "{found:?}"
    );
    pumice.stop()?;
    place.succeeds(&["fsck"]);
    let (pumice, address) = place.serve()?;
    ensure!(at_rest(address)?.len() == volumes.len());
    pumice.stop()
}

/// One transaction of etcd takes 128 operations: the deletion of all is journaled, and made in parts.
#[test]
fn a_volume_is_deleted_with_its_500_snapshots() -> Result<()> {
    const SNAPSHOTS: usize = 500;
    let cluster = Cluster::start(1);
    let place = Place::on(&cluster);
    place.configure_driver(&on_etcd(&cluster), "fake");
    let (pumice, address) = place.serve()?;
    let volume = create(address, "v")?;
    let kept = create(address, "kept")?;
    at_rest(address)?;
    let mut client = Client::connect(address)?;
    for number in 0..SNAPSHOTS {
        let body = json!({"snapshot": {"volume_id": volume, "name": format!("s{number}")}});
        let made = client.send("POST", "/snapshots", &body.to_string())?;
        ensure!(made.status == 202, "{}", made.text());
    }
    at_rest(address)?;
    let limits = |client: &mut Client| -> Result<Value> {
        let shown = client.send("GET", "/limits", "")?.json()?;
        Ok(shown["limits"]["absolute"].clone())
    };
    ensure!(limits(&mut client)?["totalSnapshotsUsed"] == SNAPSHOTS);
    let begun = Instant::now();
    let deleted = client.send("DELETE", &format!("/volumes/{volume}?cascade=true"), "")?;
    ensure!(deleted.status == 202, "{}", deleted.text());
    // Killed on the way: what is left is deleted after the start.
    pumice.kill()?;
    let (pumice, address) = place.serve()?;
    let left = at_rest(address)?;
    println!(
        "{SNAPSHOTS} snapshots and their volume are gone after {:?}",
        begun.elapsed()
    );
    ensure!(left.len() == 1 && left[0]["id"] == kept.as_str(), "{left:?}");
    let mut client = Client::connect(address)?;
    let snapshots = client.send("GET", "/snapshots", "")?;
    ensure!(!snapshots.is_stale, "etcd can be reached");
    let snapshots = snapshots.json()?;
    ensure!(
        snapshots["snapshots"].as_array().is_some_and(Vec::is_empty),
        "{snapshots}"
    );
    ensure!(limits(&mut client)?["totalSnapshotsUsed"] == 0);
    ensure!(limits(&mut client)?["totalVolumesUsed"] == 1);
    pumice.stop()
}

#[test]
fn a_configuration_of_etcd_is_checked_before_anything_is_done() {
    let place = Place::new(
        "[store]\nengine = \"etcd\"\netcd_endpoints = [\"localhost:2379\"]\netcd_prefix = \"\"\netcd_certfile = \"a.pem\"\n",
    );
    let output = place.run(&["fsck"]);
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    for key in ["store.etcd_endpoints", "store.etcd_prefix", "store.etcd_certfile"] {
        assert!(text.contains(key), "{key}: {text}");
    }
}

#[test]
fn a_store_is_migrated_to_etcd_and_back_and_half_a_migration_is_not_used() -> Result<()> {
    let cluster = Cluster::start(1);
    let of_sled = on_etcd(&cluster).replace("\"etcd\"", "\"sled\"");
    let place = Place::new(&of_sled);
    let (pumice, address) = place.serve()?;
    for number in 0..30 {
        create(address, &format!("v{number}"))?;
    }
    let volumes = at_rest(address)?;
    let refused = place.run(&["store", "migrate", "--from", "sled", "--to", "etcd"]);
    ensure!(!refused.status.success(), "it migrates under a service that runs");
    pumice.stop()?;

    // A migration that was killed in its middle.
    cluster.ctl(&[
        "put",
        "/pumice/f",
        "pumice-etcd-restoring 1 11111111-1111-4111-8111-111111111111",
    ]);
    cluster.ctl(&["put", "/pumice/dleft", "over"]);
    place.configure(&on_etcd(&cluster));
    ensure!(String::from_utf8_lossy(&place.run(&["fsck"]).stderr).contains("do that again"));
    place.configure(&of_sled);
    let text = place.succeeds(&["store", "migrate", "--from", "sled", "--to", "etcd"]);
    ensure!(text.contains("are equal and consistent"), "{text}");
    let again = place.run(&["store", "migrate", "--from", "sled", "--to", "etcd"]);
    let text = String::from_utf8_lossy(&again.stderr).into_owned();
    ensure!(
        !again.status.success() && text.contains("there is a store"),
        "{text}"
    );

    place.configure(&on_etcd(&cluster));
    place.succeeds(&["fsck"]);
    let (pumice, address) = place.serve()?;
    ensure!(at_rest(address)? == volumes);
    let added = create(address, "added")?;
    ensure!(at_rest(address)?.len() == volumes.len() + 1);
    pumice.stop()?;

    let back = ["store", "migrate", "--from", "etcd", "--to", "sled"];
    ensure!(!place.run(&back).status.success(), "it replaces a store");
    std::fs::rename(place.data().join("store"), place.data().join("store.before"))?;
    place.succeeds(&back);
    place.configure(&of_sled);
    place.succeeds(&["fsck"]);
    let (pumice, address) = place.serve()?;
    let after = at_rest(address)?;
    ensure!(after.iter().any(|volume| volume["id"] == added.as_str()));
    ensure!(after.len() == volumes.len() + 1);
    pumice.stop()?;

    // An export is restored to an etcd of its own prefix.
    place.configure(&format!("{}etcd_prefix = \"/restored/\"\n", on_etcd(&cluster)));
    place.succeeds(&["store", "restore"]);
    place.succeeds(&["fsck"]);
    Ok(())
}
