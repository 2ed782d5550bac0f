//! A volume node as operators treat it: drained, stopped, removed, and back, by the commands that ask a running service.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::child::{Child, PROGRAM, own_address};
use crate::client::Client;

const LIMIT: Duration = Duration::from_secs(60);

/// A control node and a volume node, `v1`, as processes.
struct Nodes {
    folder: PathBuf,
    _control: Child,
    volume: Option<Child>,
    address: SocketAddr,
}

impl Nodes {
    fn start(folder: &Path) -> Result<Self> {
        let transport = own_address()?;
        let secret = "secret = \"what both of them know\"";
        let control = format!(
            "[node]\nhost = \"c1\"\nroles = [\"control\"]\n[auth]\nstrategy = \"noauth\"\n[service]\nreport_interval = \"1s\"\n\
             [transport]\nlisten = \"{transport}\"\n{secret}\n[operations]\nresend_after = \"500ms\"\n"
        );
        std::fs::write(folder.join("control.toml"), control)?;
        let volume = format!(
            "[node]\nhost = \"v1\"\nroles = [\"volume\"]\n[service]\nreport_interval = \"1s\"\n[transport]\njoin = [\"{transport}\"]\n\
             {secret}\n[backend.file]\ndriver = \"file\"\ntarget = \"fake\"\nmax_over_subscription_ratio = \"1000000.0\"\n"
        );
        std::fs::write(folder.join("volume.toml"), volume)?;
        let config = folder.join("control.toml");
        let data = folder.join("control");
        let (control, address) =
            Child::serving(Command::new(PROGRAM), &config, &data, &folder.join("control.log"))?;
        let mut nodes = Self {
            folder: folder.to_owned(),
            _control: control,
            volume: None,
            address,
        };
        nodes.begin()?;
        Ok(nodes)
    }

    /// Starts the volume node.
    fn begin(&mut self) -> Result<()> {
        let data = self.folder.join("volume");
        let words = ["--data-dir", data.to_str().context("a path")?];
        let log = self.folder.join("volume.log");
        let config = self.folder.join("volume.toml");
        self.volume = Some(Child::serve(Command::new(PROGRAM), &config, &words, &log)?);
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let volume = self.volume.as_ref().context("it runs")?;
        let pid = Pid::from_raw(i32::try_from(volume.0.id())?).context("a pid")?;
        Ok(kill_process(pid, signal)?)
    }

    fn stop(&mut self) -> Result<()> {
        self.volume.take().context("it runs")?.stop()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(words)
            .args(["--url", &format!("http://{}", self.address)]);
        command
    }

    fn run(&self, words: &[&str]) -> Result<(Option<i32>, String)> {
        said(&self.command(words).output()?)
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        Client::connect(self.address)?.send(method, path, body)?.json()
    }

    /// Asks for a volume; its id.
    fn create(&self, name: &str) -> Result<String> {
        let created = Client::connect(self.address)?.create(name)?;
        ensure!(created.status == 202, "{}", created.text());
        let id = created.json()?["volume"]["id"].as_str().map(str::to_owned);
        id.context("no id")
    }

    fn until_volume(&self, id: &str, status: &str) -> Result<()> {
        self.until(&format!("{id} to be {status}"), || {
            Ok(self.ask("GET", &format!("/volumes/{id}"), "")?["volume"]["status"] == status)
        })
    }

    /// The service of the volume node in `os-services`.
    fn service(&self) -> Result<Option<Value>> {
        let listed = self.ask("GET", "/os-services?binary=cinder-volume", "")?;
        Ok(listed["services"]
            .as_array()
            .and_then(|services| services.first().cloned()))
    }

    fn until_state(&self, state: &str) -> Result<()> {
        self.until(&format!("the service to be {state}"), || {
            Ok(self.service()?.is_some_and(|service| service["state"] == state))
        })
    }

    fn until(&self, what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
        let limit = Instant::now() + LIMIT;
        while !is_so()? {
            if Instant::now() > limit {
                let log = std::fs::read_to_string(self.folder.join("volume.log"))?;
                bail!("waited in vain for {what}: {log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

fn said(output: &Output) -> Result<(Option<i32>, String)> {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    Ok((output.status.code(), String::from_utf8(text)?))
}

#[test]
fn a_volume_node_is_drained_stopped_brought_back_and_removed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut nodes = Nodes::start(folder.path())?;
    nodes.until_state("up")?;
    let first = nodes.create("first")?;
    nodes.until_volume(&first, "available")?;
    let (code, text) = nodes.run(&["cluster", "status"])?;
    ensure!(code == Some(0) && text.contains("Everything is up"), "{text}");
    ensure!(
        text.contains("c1/control") && text.contains("so there is one control node"),
        "{text}"
    );

    // It stands still with work under way: draining waits for that, as long as it may.
    nodes.signal(Signal::STOP)?;
    let second = nodes.create("second")?;
    nodes.until("the second to be placed", || {
        let node = Client::connect(nodes.address)?.send_raw("GET", "/inspect/nodes/v1", "")?;
        Ok(node.json()?["operations"]
            .as_array()
            .is_some_and(|open| open.len() == 1))
    })?;
    let (code, text) = nodes.run(&["node", "drain", "v1", "--timeout", "1s", "--reason", "new disks"])?;
    ensure!(code == Some(3), "{code:?} {text}");
    ensure!(
        text.contains("waiting for 1 operation on v1") && text.contains("not drained yet"),
        "{text}"
    );
    let draining = nodes
        .command(&["node", "drain", "v1"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()?;
    nodes.signal(Signal::CONT)?;
    let (code, text) = said(&draining.wait_with_output()?)?;
    ensure!(code == Some(0), "{text}");
    ensure!(
        text.contains("v1 is drained: its work has ended. 2 volumes are on it"),
        "{text}"
    );
    nodes.until_volume(&second, "available")?;
    let service = nodes.service()?.context("no service")?;
    ensure!(
        service["status"] == "disabled" && service["disabled_reason"] == "drained",
        "{service}"
    );

    // No volume is placed on it, and those that are there can be deleted.
    let third = nodes.create("third")?;
    nodes.until_volume(&third, "error")?;

    // It is not removed while it is up, nor while volumes are on it, and is as it was afterwards.
    nodes.until_state("up")?;
    let (code, text) = nodes.run(&["node", "remove", "v1"])?;
    ensure!(code == Some(1) && text.contains("is up: stop it first"), "{text}");
    nodes.stop()?;
    nodes.until_state("down")?;
    let (code, text) = nodes.run(&["node", "remove", "v1"])?;
    ensure!(
        code == Some(1) && text.contains("2 volumes are on host v1"),
        "{text}"
    );
    let (code, text) = nodes.run(&["cluster", "status"])?;
    ensure!(
        code == Some(1) && text.contains("volume node v1 is stopped"),
        "{text}"
    );
    ensure!(text.contains("disabled: drained"), "{text}");

    // It is back, and gets its commands.
    let (code, text) = nodes.run(&["node", "enable", "v1"])?;
    ensure!(code == Some(0), "{text}");
    nodes.begin()?;
    nodes.until_state("up")?;
    let fourth = nodes.create("fourth")?;
    nodes.until_volume(&fourth, "available")?;
    let (code, text) = nodes.run(&["node", "disable", "v1", "--reason", "for good"])?;
    ensure!(code == Some(0), "{text}");
    for id in [&first, &second, &third, &fourth] {
        Client::connect(nodes.address)?.send("DELETE", &format!("/volumes/{id}"), "")?;
    }
    nodes.until("all volumes to be gone", || {
        let listed = nodes.ask("GET", "/volumes", "")?;
        Ok(listed["volumes"].as_array().is_some_and(Vec::is_empty))
    })?;

    nodes.stop()?;
    nodes.until_state("down")?;
    let (code, text) = nodes.run(&["node", "remove", "v1"])?;
    ensure!(
        code == Some(0) && text.contains("removed cinder-volume on v1@file"),
        "{text}"
    );
    ensure!(nodes.service()?.is_none());
    let (code, text) = nodes.run(&["node", "drain", "v1"])?;
    ensure!(
        code == Some(1) && text.contains("could not be found on host v1"),
        "{text}"
    );
    nodes.begin()?;
    nodes.until_state("up")?;
    let service = nodes.service()?.context("no service")?;
    ensure!(service["status"] == "enabled", "{service}");
    Ok(())
}
