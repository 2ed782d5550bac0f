//! A control and a volume process with certificates: enrolled with a token, used, replaced and revoked while both run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::child::{Child, PROGRAM, own_address};
use crate::client::Client;

const LIMIT: Duration = Duration::from_secs(30);

struct Cluster {
    folder: PathBuf,
}

impl Cluster {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn run(&self, words: &[&str], token: Option<&str>) -> Result<Output> {
        let mut command = Command::new(PROGRAM);
        command.args(words);
        if let Some(token) = token {
            command.env("PUMICE_ENROLLMENT_TOKEN", token);
        }
        Ok(command.output()?)
    }

    fn succeeds(&self, words: &[&str]) -> Result<String> {
        let output = self.run(words, None)?;
        let said = String::from_utf8(output.stdout)?;
        ensure!(
            output.status.success(),
            "{words:?}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(said.trim().to_owned())
    }

    fn ca(&self, words: &[&str]) -> Result<String> {
        self.succeeds(&[&["ca", "--dir", &self.text("ca")], words].concat())
    }

    fn config(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(&format!("{name}.toml"));
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// The configuration of the transport, as a command has said it.
    fn transport(&self, node: &str) -> String {
        let of = |name: &str| self.text(&format!("{node}/{name}"));
        format!(
            "[transport]\ncertificate = {:?}\nkey = {:?}\nca = {:?}\ncrl = {:?}\nping_interval = \"500ms\"\n",
            of("node.pem"),
            of("node.key"),
            of("ca.pem"),
            of("crl.pem")
        )
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Waits for another line of a log that has all of these.
    fn wait_for(&self, log: &str, parts: &[&str], more_than: usize) -> Result<()> {
        self.wait(&format!("a line of {log} with {parts:?}"), || {
            self.count(log, parts) > more_than
        })
    }

    fn count(&self, log: &str, parts: &[&str]) -> usize {
        let text = self.log(log);
        text.lines()
            .filter(|line| parts.iter().all(|part| line.contains(part)))
            .count()
    }

    fn wait(&self, what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
        let until = Instant::now() + LIMIT;
        while !condition() {
            ensure!(
                Instant::now() < until,
                "waited in vain for {what}\n{}\n{}",
                self.log("ctl.log"),
                self.log("vol.log")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The volume node gets a certificate by a token.
    fn enroll(&self) -> Result<()> {
        let (address, log) = (own_address()?.to_string(), self.path("enrollment.log"));
        let token = self.ca(&["token", "--host", "vol", "--role", "volume", "--backend", "file"])?;
        let folder = self.text("ca");
        let server = Command::new(PROGRAM)
            .args(["ca", "--dir", &folder, "serve", "--listen", &address])
            .stderr(std::fs::File::create(log)?)
            .spawn()?;
        let server = Child(server);
        self.wait_for("enrollment.log", &["waiting for nodes to be enrolled"], 0)?;
        let words = [
            "node",
            "enroll",
            "--address",
            &address,
            "--out",
            &self.text("vol"),
        ];
        let enrolled = self.run(&words, Some(&token))?;
        ensure!(
            enrolled.status.success(),
            "{}",
            String::from_utf8_lossy(&enrolled.stderr)
        );
        let again = self.run(&words, Some(&token))?;
        let said = String::from_utf8(again.stderr)?;
        ensure!(said.contains("used already"), "{said}");
        server.stop()
    }

    /// Gives a node the authority's present list of revoked certificates.
    fn give_list(&self, node: &str) -> Result<()> {
        replace(&self.path("ca/crl.pem"), &self.path(&format!("{node}/crl.pem")))
    }
}

/// Replaces a file as a whole.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let next = to.with_extension("next");
    std::fs::copy(from, &next)?;
    Ok(std::fs::rename(next, to)?)
}

fn creates(client: &mut Client, name: &str) -> Result<()> {
    let answer = client.create(name)?;
    ensure!(answer.status == 202, "{}", answer.text());
    let id = answer.json()?["volume"]["id"]
        .as_str()
        .context("no id")?
        .to_owned();
    let until = Instant::now() + LIMIT;
    loop {
        let shown = client.send("GET", &format!("/volumes/{id}"), "")?.json()?;
        if shown["volume"]["status"] == "available" {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{shown}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_processes_with_certificates_make_volumes_until_one_is_revoked() -> Result<()> {
    let home = tempfile::tempdir()?;
    let cluster = Cluster {
        folder: home.path().to_owned(),
    };
    cluster.ca(&["init", "--cluster", "test"])?;
    let control = [
        "issue",
        "--host",
        "ctl",
        "--role",
        "control",
        "--out",
        &cluster.text("ctl"),
    ];
    cluster.ca(&control)?;
    cluster.enroll()?;

    let address = own_address()?;
    let control = format!(
        "[node]\nhost = \"ctl\"\nroles = [\"control\"]\n[auth]\nstrategy = \"noauth\"\n{}listen = \"{address}\"\n",
        cluster.transport("ctl")
    );
    let control = cluster.config("ctl", &control)?;
    let volume = |backend: &str| {
        format!(
            "[node]\nhost = \"vol\"\nroles = [\"volume\"]\ndata_dir = {:?}\n{}join = [\"{address}\"]\n\
             [backend.{backend}]\npath = {:?}\ntarget = \"none\"\n",
            cluster.text("vol-data"),
            cluster.transport("vol"),
            cluster.text("storage")
        )
    };
    let other = cluster.config("other", &volume("other"))?;
    let refused = cluster.run(&["check-config", &other.display().to_string()], None)?;
    let said = String::from_utf8(refused.stdout)?;
    ensure!(refused.status.code() == Some(2), "{said}");
    ensure!(said.contains("it does not name the backends vol@other"), "{said}");
    let volume = cluster.config("vol", &volume("file"))?;
    cluster.succeeds(&["check-config", &volume.display().to_string()])?;
    cluster.succeeds(&["check-config", &control.display().to_string()])?;

    let (_control, api) = Child::serving(
        Command::new(PROGRAM),
        &control,
        &cluster.path("ctl-data"),
        &cluster.path("ctl.log"),
    )?;
    let _volume = Child::serve(Command::new(PROGRAM), &volume, &[], &cluster.path("vol.log"))?;
    let mut client = Client::connect(api)?;
    cluster.wait_for("ctl.log", &["connected to another node", "vol/volume"], 0)?;
    creates(&mut client, "first")?;

    // Another certificate, while it runs; then the former one is revoked.
    let former = cluster.ca(&["list"])?;
    let former = former
        .lines()
        .find(|line| line.contains(" vol/volume "))
        .context("no certificate")?;
    let serial = former.split(' ').next().context("no serial number")?;
    let issue = [
        "issue",
        "--host",
        "vol",
        "--role",
        "volume",
        "--backend",
        "file",
        "--out",
    ];
    cluster.ca(&[&issue[..], &[&cluster.text("next")]].concat())?;
    let read_again = ["certificates of the transport read again"];
    for name in ["node.key", "node.pem"] {
        replace(&cluster.path("next").join(name), &cluster.path("vol").join(name))?;
    }
    cluster.wait_for("vol.log", &read_again, 0)?;
    cluster.ca(&["revoke", serial])?;
    cluster.give_list("ctl")?;
    let connected = ["connected to another node", "vol/volume", "incarnation"];
    cluster.wait_for("ctl.log", &["disconnecting another node", "is revoked"], 0)?;
    cluster.wait_for("ctl.log", &connected, 1)?;
    creates(&mut client, "second")?;

    cluster.ca(&["revoke", "vol/volume"])?;
    cluster.give_list("ctl")?;
    cluster.wait_for("ctl.log", &["disconnecting another node", "is revoked"], 1)?;
    cluster.wait_for(
        "vol.log",
        &[
            "the peer said goodbye",
            "the certificate of node 'vol/volume' is revoked",
        ],
        1,
    )?;
    cluster.wait_for(
        "vol.log",
        &["no connection to the other node", "it is revoked"],
        0,
    )?;
    Ok(())
}
