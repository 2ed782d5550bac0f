//! `pumice doctor` as an operator types it: what is in order is printed, each fault is reported with its remedy, and a Pumice that
//! serves is not in its way.

#![expect(
    clippy::disallowed_types,
    reason = "a test types the commands as an operator does"
)]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A folder of its own with a data directory, programs and configurations.
struct Host {
    home: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().expect("a folder"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A program with given answers.
    fn program(&self, name: &str, script: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("made executable");
        path.display().to_string()
    }

    fn config(&self, text: &str) -> PathBuf {
        let path = self.path("p.toml");
        let data_dir = self.path("data");
        let node = format!(
            "[node]\nhost = \"storage-1\"\ndata_dir = \"{}\"\n",
            data_dir.display()
        );
        std::fs::write(&path, node + text).expect("written");
        path
    }
}

fn pumice() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pumice"));
    command.env_clear().env("HOME", "/nowhere");
    command
}

fn doctor(config: &Path, more: &[&str]) -> Output {
    let config = config.to_str().expect("text");
    pumice()
        .args(["doctor", "--config", config])
        .args(more)
        .output()
        .expect("it runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn list(output: &Output) -> Vec<Value> {
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    value.as_array().expect("a list").clone()
}

fn faults(findings: &[Value]) -> Vec<&Value> {
    findings
        .iter()
        .filter(|finding| finding["outcome"] == "fault")
        .collect()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn a_host_that_can_serve_is_well_and_stays_as_it_is() {
    let host = Host::new();
    let (tgtd, tgtadm) = (
        host.program("tgtd", "echo 1.0.85"),
        host.program("tgtadm", "echo 1.0.85"),
    );
    let config = host.config(&format!(
        "[web]\nlisten = \"127.0.0.1:{}\"\n[backend.a]\ntgtd = \"{tgtd}\"\ntgtadm = \"{tgtadm}\"\ntarget_portal = \"127.0.0.1:{}\"\n",
        free_port(),
        free_port()
    ));
    let output = doctor(&config, &[]);
    let printed = text(&output);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert!(!printed.contains("FAULT"), "{printed}");
    for line in [
        "ok     configuration",
        "ok     node.host",
        "ok     a: file.path",
        "tgtd 1.0.85",
        "warn   a: portal.reach",
        "       mend: if others are to attach",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    assert!(!printed.contains('\u{1b}'), "no colours without a terminal");
    assert!(!host.path("data").exists(), "nothing was made");
}

#[test]
fn each_fault_is_told_with_how_to_mend_it() {
    let host = Host::new();
    let (tgtd, portal) = (host.program("tgtd", "echo 1.0.85"), free_port());
    let busy = TcpListener::bind("127.0.0.1:0").expect("a port");
    let config = host.config(&format!(
        "[web]\nlisten = \"{}\"\ncolour = \"blue\"\n\
         [backend.a]\npath = \"/proc/none/a\"\ntgtd = \"/nowhere/tgtd\"\ntarget_portal = \"192.0.2.7:3260\"\n\
         [backend.b]\ndriver = \"lvm\"\nvolume_group = \"no-such-group\"\ntgtd = \"{tgtd}\"\ntgtadm = \"{tgtd}\"\ntarget_portal = \"127.0.0.1:{portal}\"\n\
         [backend.c]\ntgtd = \"{tgtd}\"\ntgtadm = \"{tgtd}\"\ntarget_portal = \"127.0.0.1:{portal}\"\n",
        busy.local_addr().expect("an address"),
    ));
    let output = doctor(&config, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let findings = list(&output);
    for finding in faults(&findings) {
        assert!(finding["mend"].is_string(), "{finding}");
    }
    let expected: [(&str, Option<&str>, &str); 7] = [
        ("configuration", None, "web.colour: is no known key"),
        (
            "configuration",
            None,
            "backend.c.target_portal: is the portal of backend 'b', too",
        ),
        ("web.listen", None, "is taken by"),
        ("file.path", Some("a"), "holds no files"),
        ("tgt.programs", Some("a"), "/nowhere/tgtd"),
        ("portal", Some("a"), "192.0.2.7 is no address of this machine"),
        // Which of them depends on who runs it, and whether LVM is installed.
        ("lvm.", Some("b"), ""),
    ];
    for (check, backend, what) in expected {
        let is_told = faults(&findings).iter().any(|finding| {
            finding["check"]
                .as_str()
                .is_some_and(|printed| printed.starts_with(check))
                && finding["backend"].as_str() == backend
                && finding["what"]
                    .as_str()
                    .is_some_and(|printed| printed.contains(what))
        });
        assert!(is_told, "{check} {what}: {findings:#?}");
    }
    let printed = text(&doctor(&config, &[]));
    let lines: Vec<&str> = printed.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        if line.starts_with("FAULT") {
            assert!(lines[at + 1].starts_with("       mend: "), "{line}: {printed}");
        }
    }
}

#[test]
fn a_program_that_hangs_is_a_fault_and_not_a_wait() {
    let host = Host::new();
    let (tgtd, tgtadm) = (
        host.program("tgtd", "exec sleep 600"),
        host.program("tgtadm", "echo 1.0.85"),
    );
    let config = host.config(&format!(
        "[web]\nlisten = \"127.0.0.1:{}\"\n[backend.a]\ntgtd = \"{tgtd}\"\ntgtadm = \"{tgtadm}\"\ntarget_portal = \"127.0.0.1:{}\"\n",
        free_port(),
        free_port()
    ));
    let begun = Instant::now();
    let output = doctor(&config, &[]);
    let printed = text(&output);
    assert!(begun.elapsed() < Duration::from_secs(40), "{printed}");
    assert_eq!(output.status.code(), Some(1));
    assert!(printed.contains("took too long and was ended"), "{printed}");
    assert!(printed.contains("FAULT  a: tgt.programs"), "{printed}");
}

#[test]
fn what_cannot_be_read_ends_with_2() {
    let host = Host::new();
    let output = doctor(&host.path("none.toml"), &["--json"]);
    assert_eq!(output.status.code(), Some(2));
    let findings = list(&output);
    assert_eq!(findings.len(), 1);
    assert!(
        findings[0]["what"]
            .as_str()
            .expect("text")
            .contains("cannot be read")
    );
    let config = host.config("[web\n");
    let output = doctor(&config, &[]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(
        text(&output).starts_with("FAULT  configuration"),
        "{}",
        text(&output)
    );
}

struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the service, and waits until it says that it serves over `scheme`.
fn serve(config: &Path, scheme: &str) -> Serving {
    let mut child = pumice()
        .args(["serve", "--config", config.to_str().expect("text")])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let stderr = child.stderr.take().expect("piped");
    let serving = Serving(child);
    let mut lines = BufReader::new(stderr).lines();
    let said = lines.any(|line| line.expect("text").contains(&format!("{scheme}://")));
    assert!(said, "it serves");
    std::thread::spawn(move || lines.for_each(drop));
    serving
}

#[test]
fn a_pumice_that_serves_is_not_in_its_own_way() {
    let host = Host::new();
    let port = free_port();
    let config = host.config(&format!(
        "[web]\nlisten = \"127.0.0.1:{port}\"\n[backend.a]\ntarget = \"none\"\n"
    ));
    let serving = serve(&config, "http");
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let output = doctor(&config, &[]);
        let printed = text(&output);
        assert_eq!(output.status.code(), Some(0), "{printed}");
        assert!(
            printed.contains(&format!("127.0.0.1:{port} is ours")),
            "{printed}"
        );
        // It may answer "starting" at first.
        if printed.contains("/healthcheck says OK") {
            break;
        }
        assert!(Instant::now() < until, "{printed}");
    }
    let other = Host::new();
    let elsewhere = other.config(&format!(
        "[web]\nlisten = \"127.0.0.1:{port}\"\n[backend.a]\ntarget = \"none\"\n"
    ));
    let output = doctor(&elsewhere, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("is taken by pumice"), "{}", text(&output));
    drop(serving);
}

#[test]
fn a_pumice_that_serves_https_is_not_asked_over_http() {
    let host = Host::new();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("made");
    std::fs::write(host.path("cert.pem"), made.cert.pem()).expect("written");
    std::fs::write(host.path("key.pem"), made.signing_key.serialize_pem()).expect("written");
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(host.path("key.pem"), mode).expect("made private");
    let port = free_port();
    let config = host.config(&format!(
        "[web]\nlisten = \"127.0.0.1:{port}\"\ntls_certificate = \"{}\"\ntls_key = \"{}\"\n[backend.a]\ntarget = \"none\"\n",
        host.path("cert.pem").display(),
        host.path("key.pem").display(),
    ));
    let serving = serve(&config, "https");
    let output = doctor(&config, &[]);
    let printed = text(&output);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert!(
        printed.contains(&format!("127.0.0.1:{port} is ours")),
        "{printed}"
    );
    assert!(!printed.contains("/healthcheck"), "{printed}");
    drop(serving);
}
