//! What `docs/operate/three-nodes.md` says: the commands of the page and the files of `config/three-nodes` make three machines, one of
//! them dies, and comes back. Addresses and paths are the test's; nothing else is changed.

#![expect(
    clippy::disallowed_types,
    reason = "the programs under test are killed, not waited for"
)]

use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::child::{Child, PROGRAM};
use crate::network::{Network, address};

/// The hosts: 192.0.2.11 to 192.0.2.13 of the page.
const HOSTS: [u8; 3] = [11, 12, 13];

/// Within this what is waited for must be, however much else this machine does.
const LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// A request that another machine than the dead one answers takes no longer.
const SERVED_AGAIN: Duration = Duration::from_secs(3);

struct Machine {
    host: u8,
    folder: PathBuf,
    etcd: Option<Process>,
    pumice: Option<Child>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.die();
    }
}

fn file(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The addresses of the page are those of the test's hosts.
fn with_addresses(text: &str) -> String {
    text.replace("192.0.2.", "10.77.0.")
}

/// A file for the machine with this number: the lines below a mark are its own.
fn of_machine(text: &str, number: usize) -> String {
    let mut is_own = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        is_own = match line.trim() {
            mark if mark.starts_with("# Of each machine its own") => true,
            "" => false,
            // One line of a TOML file, all up to the next empty line of the environment of etcd.
            _ if line.contains(" = ") => {
                lines.push(if is_own {
                    own(line, number)
                } else {
                    line.to_owned()
                });
                is_own = false;
                continue;
            }
            _ => is_own,
        };
        lines.push(if is_own {
            own(line, number)
        } else {
            line.to_owned()
        });
    }
    lines.join("\n")
}

fn own(line: &str, number: usize) -> String {
    line.replace("node-1", &format!("node-{number}"))
        .replace("192.0.2.11", &format!("192.0.2.1{number}"))
}

/// The commands in the first block of the page, with `/root` here.
fn make_certificates(root: &Path) -> Result<()> {
    let page = file("docs/operate/three-nodes.md")?;
    let (_, rest) = page.split_once("```sh\n").context("a block of commands")?;
    let (block, _) = rest.split_once("```").context("its end")?;
    for line in with_addresses(block).lines() {
        let line = line.replace("/root", root.to_str().context("a path")?);
        let mut words = line.split_whitespace();
        ensure!(words.next() == Some("pumice"), "{line}");
        let output = Command::new(PROGRAM).args(words).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{line}: {said}");
    }
    Ok(())
}

impl Machine {
    fn new(root: &Path, number: usize) -> Result<Self> {
        let folder = root.join(format!("node-{number}"));
        let host = HOSTS[number - 1];
        let here = |text: &str| {
            let at = |name: &str| folder.join(name).display().to_string();
            with_addresses(&of_machine(text, number))
                .replace("/etc/pumice", &folder.display().to_string())
                .replace("/etc/etcd/tls", &at("etcd"))
                .replace("/var/lib/etcd/pumice", &at("member"))
                .replace("/var/lib/pumice", &at("data"))
                .replace("/srv/fast", &at("fast"))
        };
        std::fs::write(
            folder.join("node.toml"),
            here(&file("config/three-nodes/node.toml")?),
        )?;
        std::fs::write(
            folder.join("etcd.env"),
            here(&file("config/three-nodes/etcd.env")?),
        )?;
        let unit = file("config/three-nodes/pumice.service")?;
        ensure!(
            unit.contains("ExecStart=/usr/local/bin/pumice serve --config /etc/pumice/node.toml\n"),
            "{unit}"
        );
        let checked = Command::new(PROGRAM)
            .arg("check-config")
            .arg(folder.join("node.toml"))
            .output()?;
        let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
        ensure!(checked.status.success(), "{said}");
        Ok(Self {
            host,
            folder,
            etcd: None,
            pumice: None,
        })
    }

    fn start(&mut self, network: &Network) -> Result<()> {
        let environment = std::fs::read_to_string(self.folder.join("etcd.env"))?;
        let lines = environment.lines().filter_map(|line| line.split_once('='));
        let log = std::fs::File::create(self.folder.join("etcd.log"))?;
        let etcd = network
            .command(self.host, "etcd")
            .envs(lines.filter(|(name, _)| !name.starts_with('#')))
            .args(["--logger", "zap", "--log-outputs", "stderr"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        self.etcd = Some(etcd);
        self.pumice = Some(Child::serve(
            network.command(self.host, PROGRAM),
            &self.folder.join("node.toml"),
            &[],
            &self.log(),
        )?);
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.folder.join("pumice.log")
    }

    /// As without power.
    fn die(&mut self) {
        if let Some(mut etcd) = self.etcd.take() {
            let _ = etcd.kill();
            let _ = etcd.wait();
        }
        drop(self.pumice.take());
    }

    /// As systemd does, with `Restart=on-failure`.
    fn supervise(&mut self, network: &Network) -> Result<()> {
        let Some(child) = &mut self.pumice else {
            return Ok(());
        };
        if let Some(status) = child.ended()? {
            ensure!(!status.success(), "it ended with {status}");
            self.pumice = Some(Child::serve(
                network.command(self.host, PROGRAM),
                &self.folder.join("node.toml"),
                &[],
                &self.log(),
            )?);
        }
        Ok(())
    }

    /// A request, by `curl` as an operator types it: status, headers, body.
    fn ask(
        &self,
        root: &Path,
        token: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<(u16, String, Value)> {
        let mut command = Command::new("curl");
        command
            .args([
                "--silent",
                "--show-error",
                "--max-time",
                "30",
                "--dump-header",
                "-",
            ])
            .arg("--cacert")
            .arg(root.join("pumice-ca/ca.pem"))
            .args(["--request", method, "--header", &format!("X-Auth-Token: {token}")])
            .args(["--header", "OpenStack-API-Version: volume 3.71"])
            .arg(format!("https://{}:8776{path}", address(self.host)));
        if !body.is_null() {
            command.args(["--json", &body.to_string()]);
        }
        let output = command.output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout)?;
        let (head, body) = text.split_once("\r\n\r\n").context("no head")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok((
            status,
            head.to_owned(),
            serde_json::from_str(body).unwrap_or(Value::Null),
        ))
    }
}

fn wait(
    what: &str,
    machines: &mut [Machine],
    network: &Network,
    mut is_so: impl FnMut(&[Machine]) -> Result<bool>,
) -> Result<()> {
    let limit = Instant::now() + LIMIT;
    let mut last = None;
    while !is_so(machines).unwrap_or_else(|error| {
        last = Some(error);
        false
    }) {
        if Instant::now() > limit {
            let log = std::fs::read_to_string(machines[0].log())?;
            bail!(
                "not after {LIMIT:?}: {what}: {last:?}: {}",
                &log[log.len().saturating_sub(4000)..]
            );
        }
        for machine in machines.iter_mut() {
            machine.supervise(network)?;
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// The password of `admin`, which the machine that started first has in its `clouds.yaml`, and no other.
fn password(machines: &[Machine]) -> Result<String> {
    let found: Vec<String> = machines
        .iter()
        .filter_map(|machine| std::fs::read_to_string(machine.folder.join("data/clouds.yaml")).ok())
        .collect();
    let [clouds] = found.as_slice() else {
        bail!("{} machines have a clouds.yaml", found.len());
    };
    let line = clouds
        .lines()
        .find_map(|line| line.trim().strip_prefix("password: "))
        .context("no password")?;
    Ok(line.trim_matches('"').to_owned())
}

/// How many schedulers and volume services are up.
fn services(shown: &Value) -> (usize, usize) {
    let all = shown["services"].as_array().map_or(&[][..], Vec::as_slice);
    let up = |binary: &str| {
        let of = all
            .iter()
            .filter(|one| one["binary"] == binary && one["state"] == "up");
        of.count()
    };
    (up("cinder-scheduler"), up("cinder-volume"))
}

fn status(root: &Path, machine: &Machine, token: &str, id: &str) -> Result<Value> {
    let (_, _, mut shown) = machine.ask(root, token, "GET", &format!("/v3/volumes/{id}"), &Value::Null)?;
    Ok(shown["volume"]["status"].take())
}

fn create(root: &Path, machine: &Machine, token: &str, name: &str) -> Result<String> {
    let body = json!({"volume": {"size": 1, "name": name}});
    let (status, head, made) = machine.ask(root, token, "POST", "/v3/volumes", &body)?;
    ensure!(status == 202, "{head} {made}");
    Ok(made["volume"]["id"].as_str().context("no id")?.to_owned())
}

#[test]
fn the_page_leads_to_three_machines_of_which_one_dies_and_comes_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path();
    make_certificates(root)?;
    let network = Network::enter(&HOSTS)?;
    let mut machines = (1..=3)
        .map(|number| Machine::new(root, number))
        .collect::<Result<Vec<_>>>()?;
    for machine in &mut machines {
        machine.start(&network)?;
    }
    wait("all are healthy", &mut machines, &network, |machines| {
        let health = |machine: &Machine| machine.ask(root, "", "GET", "/healthcheck", &Value::Null);
        Ok(machines
            .iter()
            .all(|machine| health(machine).is_ok_and(|(status, ..)| status == 200)))
    })?;

    let password = password(&machines)?;
    let token = log_in(root, &machines[1], &password)?;
    let all_are_up = |machines: &[Machine]| {
        for machine in machines {
            let (_, _, shown) = machine.ask(root, &token, "GET", "/v3/os-services", &Value::Null)?;
            ensure!(services(&shown) == (3, 3), "{shown}");
        }
        Ok(true)
    };
    wait("three of each are up", &mut machines, &network, all_are_up)?;
    let first = create(root, &machines[1], &token, "first")?;
    wait("a volume", &mut machines, &network, |machines| {
        Ok(status(root, &machines[2], &token, &first)? == "available")
    })?;

    machines[0].die();
    let died = Instant::now();
    let second = create(root, &machines[1], &token, "second")?;
    ensure!(died.elapsed() < SERVED_AGAIN, "{:?}", died.elapsed());
    // It may be placed on the dead machine, of which it is not known yet that it is: it is made when that is back.
    machines[0].start(&network)?;
    wait(
        "both volumes, by the machine that is back",
        &mut machines,
        &network,
        |machines| {
            let both = [&first, &second].map(|id| status(root, &machines[0], &token, id));
            Ok(both.into_iter().collect::<Result<Vec<_>>>()? == ["available", "available"])
        },
    )?;
    wait("three of each are up again", &mut machines, &network, all_are_up)?;

    // Two of three are dead: nothing can be changed, and what was read last is shown, also after a login.
    for machine in &mut machines[1..] {
        machine.die();
    }
    let refused = json!({"volume": {"size": 1, "name": "refused"}});
    wait("changes are refused", &mut machines, &network, |machines| {
        let (status, head, _) = machines[0].ask(root, &token, "POST", "/v3/volumes", &refused)?;
        ensure!(status == 503, "{head}");
        Ok(true)
    })?;
    let token = log_in(root, &machines[0], &password)?;
    ensure!(status(root, &machines[0], &token, &first)? == "available");
    Ok(())
}

/// A token of the administrator.
fn log_in(root: &Path, machine: &Machine, password: &str) -> Result<String> {
    let user = json!({"name": "admin", "domain": {"id": "default"}, "password": password});
    let body = json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
    }});
    let (status, head, said) = machine.ask(root, "", "POST", "/identity/v3/auth/tokens", &body)?;
    ensure!(status == 201, "{head} {said}");
    let token = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let is_it = name.eq_ignore_ascii_case("x-subject-token");
        is_it.then(|| value.trim().to_owned())
    });
    token.context("no token")
}
