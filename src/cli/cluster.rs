//! `pumice cluster`: the nodes of a running service, their versions, who runs the open operations, and the store.
//!
//! Exit codes: 0 everything is up; 1 something is not, or the service refused or was not reached.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{AskError, Client};

/// Options of `pumice cluster`.
#[derive(Debug, Args)]
pub struct ClusterArgs {
    /// Where the service is, if the identity service does not say. Who asks is said by OS_CLOUD, OS_TOKEN or OS_AUTH_URL.
    #[arg(long, global = true, value_name = "http://HOST:PORT")]
    url: Option<String>,
    /// Print what the service answers.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum ClusterCommand {
    /// All nodes and the store. Any control node answers.
    Status,
}

/// Sends the request, and prints the answer.
#[expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "this prints the command's output"
)]
pub fn cluster(args: ClusterArgs) -> ExitCode {
    let ClusterCommand::Status = args.command;
    match actix_rt::System::new().block_on(ask(args.url)) {
        Ok(answer) => {
            match args.json {
                true => println!("{answer:#}"),
                false => print!("{}", in_words(&answer)),
            }
            match troubles(&answer).is_empty() {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            eprintln!("pumice: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn ask(url: Option<String>) -> Result<Value, AskError> {
    Client::log_in(url).await?.ask("GET", "/inspect/cluster").await
}

fn list<'a>(of: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    of[key].as_array().into_iter().flatten()
}

fn text(of: &Value, key: &str) -> String {
    match &of[key] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn in_words(answer: &Value) -> String {
    let mut words = String::new();
    let mut nodes = vec![
        [
            "CONTROL NODE",
            "STATE",
            "ADDRESS",
            "VERSION",
            "INCARNATION",
            "BEHIND",
            "OPERATIONS",
        ]
        .map(str::to_owned),
    ];
    for node in list(answer, "control_nodes") {
        let keys = [
            "node",
            "state",
            "address",
            "version",
            "incarnation",
            "behind",
            "operations",
        ];
        nodes.push(keys.map(|key| text(node, key)));
    }
    words.push_str(&table(&nodes));
    let mut volumes = vec![["VOLUME NODE", "STATE", "VERSION", "LAST REPORT", "BACKENDS"].map(str::to_owned)];
    for node in list(answer, "volume_nodes") {
        let backends: Vec<String> = list(node, "backends").map(backend).collect();
        volumes.push([
            text(node, "host"),
            text(node, "state"),
            text(node, "version"),
            text(node, "heard_at"),
            backends.join(" "),
        ]);
    }
    match volumes.len() {
        1 => words.push_str("\nThere are no volume nodes.\n"),
        _ => _ = write!(words, "\n{}", table(&volumes)),
    }
    let mut topics = vec![["TOPIC", "SPOKEN", "LOWEST"].map(str::to_owned)];
    for topic in list(answer, "topics") {
        let spoken = match topic["speaks"].as_array().map(Vec::as_slice) {
            Some([min, max]) => format!("{min} to {max}"),
            _ => "-".to_owned(),
        };
        topics.push([text(topic, "topic"), spoken, text(topic, "lowest")]);
    }
    let _ = write!(words, "\n{}", table(&topics));
    words.push_str(&store(&answer["store"]));
    let troubles = troubles(answer);
    match troubles.is_empty() {
        true => words.push_str("\nEverything is up.\n"),
        false => _ = write!(words, "\n{}\n", troubles.join("\n")),
    }
    words
}

/// A backend with what is unusual of it.
fn backend(of: &Value) -> String {
    let host = text(of, "host");
    let name = host.split_once('@').map_or(&*host, |(_, backend)| backend);
    let mut notes = Vec::new();
    if of["status"] == "disabled" {
        notes.push(match of["disabled_reason"].as_str() {
            Some(reason) => format!("disabled: {reason}"),
            None => "disabled".to_owned(),
        });
    }
    if of["backend_up"] == false {
        notes.push("driver does not work".to_owned());
    }
    match notes.is_empty() {
        true => name.to_owned(),
        false => format!("{name} ({})", notes.join(", ")),
    }
}

fn store(of: &Value) -> String {
    let mut words = format!("\nThe store is {}: {}", text(of, "engine"), text(of, "health"));
    if let Some(size) = of["size"].as_u64() {
        let _ = write!(words, ", {}", mib(size));
    }
    words.push_str(".\n");
    if of["engine"] == "sled" {
        words.push_str("It is on the disk of this control node, so there is one control node.\n");
    }
    let mut members = vec![["MEMBER", "ENDPOINT", "VERSION", "ROLE", "SIZE", "QUOTA"].map(str::to_owned)];
    for member in list(of, "members") {
        let bytes = |key: &str| member[key].as_u64().map_or_else(|| "-".to_owned(), mib);
        members.push([
            text(member, "name"),
            text(member, "endpoint"),
            text(member, "version"),
            if member["is_leader"] == true {
                "leader"
            } else {
                "-"
            }
            .to_owned(),
            bytes("size"),
            bytes("quota"),
        ]);
    }
    if members.len() > 1 {
        let _ = write!(words, "{}", table(&members));
    }
    words
}

#[expect(clippy::cast_precision_loss, reason = "a size that is shown")]
fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

/// What is not up, a line each.
fn troubles(answer: &Value) -> Vec<String> {
    let mut troubles = Vec::new();
    for (key, kind) in [("control_nodes", "control node"), ("volume_nodes", "volume node")] {
        for node in list(answer, key).filter(|node| node["state"] != "up") {
            let name = if key == "control_nodes" {
                text(node, "node")
            } else {
                text(node, "host")
            };
            troubles.push(format!("NOT UP  {kind} {name} is {}", text(node, "state")));
        }
    }
    for node in list(answer, "volume_nodes") {
        for of in list(node, "backends") {
            // A node that is down is said already.
            let is_of_node_that_is_up = node["state"] == "up";
            if is_of_node_that_is_up && (of["backend_up"] == false || of["state"] != "up") {
                troubles.push(format!("NOT UP  backend {} does not work", text(of, "host")));
            }
        }
    }
    let store = &answer["store"];
    if store["health"] != "well" {
        troubles.push(format!("NOT UP  the store is {}", text(store, "health")));
    }
    for member in list(store, "members") {
        for error in list(member, "errors") {
            let name = member["name"].as_str().or(member["endpoint"].as_str());
            let error = error.as_str().unwrap_or_default();
            troubles.push(format!("NOT UP  member {} of etcd: {error}", name.unwrap_or("-")));
        }
    }
    troubles
}

/// Aligned columns, a line for each row.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut lines = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let line: Vec<String> = cells.collect();
        let _ = writeln!(lines, "{}", line.join("  ").trim_end());
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> Value {
        json!({
            "control_nodes": [
                {"node": "c1/control", "state": "up", "address": "192.0.2.1:7776", "version": "0.1.0", "incarnation": "1-0a",
                 "behind": 0, "operations": 2},
                {"node": "c2/control", "state": "down", "address": null, "version": "0.1.0", "incarnation": "1-0b",
                 "behind": null, "operations": 0},
            ],
            "volume_nodes": [{"host": "v1", "state": "up", "version": "0.1.0", "heard_at": "2026-01-01", "backends": [
                {"host": "v1@lvm", "state": "up", "status": "disabled", "disabled_reason": "drained", "backend_up": false}]}],
            "topics": [{"topic": "api", "speaks": [1, 9], "lowest": 8}],
            "store": {"engine": "etcd", "health": "well", "size": 1_048_576, "members": [
                {"name": "m1", "endpoint": "http://192.0.2.9:2379", "version": "3.4.23", "is_leader": true, "size": 1_048_576,
                 "quota": null, "errors": ["NOSPACE"]}]},
        })
    }

    #[test]
    fn what_is_not_up_is_said_at_the_end() {
        let words = in_words(&answer());
        for part in [
            "c1/control    up     192.0.2.1:7776",
            "lvm (disabled: drained, driver does not work)",
            "api    1 to 9  8",
            "The store is etcd: well, 1.0 MiB.",
            "m1      http://192.0.2.9:2379  3.4.23   leader  1.0 MiB  -",
            "NOT UP  control node c2/control is down",
            "NOT UP  backend v1@lvm does not work",
            "NOT UP  member m1 of etcd: NOSPACE",
        ] {
            assert!(words.contains(part), "{part}\n{words}");
        }
    }

    #[test]
    fn one_node_with_its_own_store_says_so() {
        let alone = json!({
            "control_nodes": [{"node": "c", "state": "up"}],
            "volume_nodes": [],
            "topics": [],
            "store": {"engine": "sled", "health": "well", "members": []},
        });
        let words = in_words(&alone);
        assert!(words.contains("so there is one control node"), "{words}");
        assert!(words.ends_with("Everything is up.\n"), "{words}");
    }
}
