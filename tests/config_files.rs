//! The configurations that come with Pumice are right, and the reference says what the documented defaults say.

#![expect(
    clippy::disallowed_types,
    reason = "a test types the commands as an operator does"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pumice(args: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_pumice"))
        .args(args)
        .env_clear()
        .env("HOME", "/home/alice")
        .output()
        .expect("the program runs")
}

fn toml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            toml_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            found.push(path);
        }
    }
}

/// A copy of a configuration, with the certificates that it names.
fn with_certificates(file: &Path, folder: &Path) -> PathBuf {
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
    let folder = folder.join(name);
    let [authority, made] = ["ca", "made"].map(|part| folder.join(part).display().to_string());
    let node: &[&str] = match name {
        "control.toml" => &["--host", "control-1", "--role", "control"],
        "node.toml" => &[
            "--host",
            "node-1",
            "--role",
            "control",
            "--role",
            "volume",
            "--backend",
            "fast",
        ],
        _ => &["--host", "volume-1", "--role", "volume", "--backend", "fast"],
    };
    let ca = ["ca", "--dir", &authority];
    for words in [
        [&ca, ["init", "--cluster", "c"].as_slice()].concat(),
        [&ca, ["issue", "--out", &made].as_slice(), node].concat(),
    ] {
        let output = pumice(&words);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let text = std::fs::read_to_string(file).expect("readable");
    let text = text
        .replace("/etc/pumice/tls", &made)
        .replace("/etc/pumice/etcd/ca", &format!("{made}/ca"))
        .replace("/etc/pumice/etcd/server", &format!("{made}/node"))
        .replace("/etc/pumice/api/server", &format!("{made}/node"))
        .replace("/etc/pumice/api", &format!("{made}/node"));
    let copy = folder.join(name);
    std::fs::write(&copy, text).expect("written");
    copy
}

#[test]
fn every_configuration_that_comes_along_is_right() {
    let mut files = Vec::new();
    toml_files(&root().join("config"), &mut files);
    assert!(files.len() >= 4, "{files:?}");
    let folder = tempfile::tempdir().expect("a folder");
    for file in files {
        let file = match file
            .parent()
            .is_some_and(|parent| parent.ends_with("two-machines") || parent.ends_with("three-nodes"))
        {
            true => with_certificates(&file, folder.path()),
            false => file,
        };
        let output = pumice(&["check-config", file.to_str().expect("text")]);
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        // Written for a target that this version may not have; nothing else in it is wrong.
        let only_its_target = file.ends_with("lvm-lio.toml")
            && printed
                .lines()
                .filter(|line| line.contains("lvm-lio.toml:"))
                .all(|line| line.contains(".target: "));
        assert!(output.status.code() == Some(0) || only_its_target, "{printed}");
    }
}

#[test]
fn a_wrong_one_is_told_and_ends_with_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wrong.toml");
    std::fs::write(&file, "[web]\nlisen = 1\n[quota]\nvolumes = \"many\"\n").expect("written");
    for command in [["check-config"].as_slice(), ["serve", "--config"].as_slice()] {
        let output = pumice(&[command, &[file.to_str().expect("text")]].concat());
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{printed}");
        assert!(
            printed.contains("wrong.toml:2: web.lisen: is no known key; did you mean 'listen'?"),
            "{printed}"
        );
        assert!(
            printed.contains("wrong.toml:4: quota.volumes: invalid type"),
            "{printed}"
        );
    }
}

#[test]
fn certificates_that_are_missing_are_found_by_the_check() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pumice.toml");
    for (sink, url, is_right) in [
        ("webhook", "http://events.example.org/", true),
        ("webhook", "https://events.example.org/", false),
        ("amqp", "amqps://broker.example.org/", false),
    ] {
        let config = format!(
            "[notifications]\nsinks = [\"{sink}\"]\n{sink}_url = \"{url}\"\ncafile = \"/nonexistent\"\n"
        );
        std::fs::write(&file, config).expect("written");
        let output = pumice(&["check-config", file.to_str().expect("text")]);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_told = printed.contains("pumice.toml: notifications: cafile /nonexistent: I/O error");
        assert_eq!(
            (output.status.code(), is_told),
            (Some(if is_right { 0 } else { 2 }), !is_right),
            "{printed}"
        );
    }
}

#[test]
fn the_printed_defaults_are_a_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("defaults.toml");
    std::fs::write(&file, pumice(&["check-config", "--defaults"]).stdout).expect("written");
    assert_eq!(
        pumice(&["check-config", file.to_str().expect("text")])
            .status
            .code(),
        Some(0)
    );
}

/// The reference page, made from the documented defaults.
fn reference(defaults: &str) -> String {
    let mut page = "# Configuration\n\n\
        Made from `config/pumice.toml` (`UPDATE=1 cargo test --test config_files` writes it anew), which is the default \
        itself. Each key can also be given in the environment as `PUMICE_<SECTION>__<KEY>`.\n"
        .to_owned();
    let mut words: Vec<&str> = Vec::new();
    for line in defaults.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            words.push(comment);
        } else if let Some(section) = line.strip_prefix('[') {
            let section = section
                .trim_end_matches(']')
                .replace("backend.file", "backend.<name>");
            let about = words.join(" ");
            write!(
                page,
                "\n## `[{section}]`\n\n{about}\n\n| key | default | meaning |\n|---|---|---|\n"
            )
            .expect("written");
            words.clear();
        } else if let Some((key, value)) = line.split_once(" = ") {
            let meaning = words.join(" ").replace('|', "\\|");
            writeln!(page, "| `{key}` | `{value}` | {meaning} |").expect("written");
            words.clear();
        } else {
            words.clear();
        }
    }
    page
}

#[test]
fn the_reference_says_what_the_documented_defaults_say() {
    let made = reference(pumice::config::DEFAULTS);
    let page = root().join("docs/reference/config.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&page, &made).expect("written");
    }
    let there = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        there == made,
        "docs/reference/config.md is behind: UPDATE=1 cargo test --test config_files"
    );
}
