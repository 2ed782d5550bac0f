//! `pumice node drain`, `disable`, `enable` and `remove`: asks a running service about one of its hosts.
//!
//! Exit codes: 0 done; 1 refused or not reached; 3 (`drain` with `--timeout`): work is still under way.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::cli::answer;
use crate::cli::client::{AskError, Client};
use crate::config::units;

/// How often the work on a host is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often it is said how much work is left, if that does not change.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// `drain`: the time is over.
const EXIT_NOT_YET: u8 = 3;

/// What is written as the reason if none is given.
const DRAINED: &str = "drained";

/// A host of a running service.
#[derive(Debug, Args)]
pub struct HostArgs {
    /// The host (node.host), or one of its backends: HOST@BACKEND.
    host: String,
    /// Where the service is, if the identity service does not say. Who asks is said by OS_CLOUD, OS_TOKEN or OS_AUTH_URL.
    #[arg(long, value_name = "http://HOST:PORT")]
    url: Option<String>,
}

/// Options of `pumice node disable`.
#[derive(Debug, Args)]
pub struct DisableArgs {
    #[command(flatten)]
    host: HostArgs,
    /// Why, for those who list the services.
    #[arg(long)]
    reason: Option<String>,
}

/// Options of `pumice node drain`.
#[derive(Debug, Args)]
pub struct DrainArgs {
    #[command(flatten)]
    host: HostArgs,
    /// Why, for those who list the services.
    #[arg(long, default_value = DRAINED)]
    reason: String,
    /// How long to wait; without it as long as it takes. The host stays disabled.
    #[arg(long, value_name = "SPAN")]
    timeout: Option<units::Duration>,
}

impl HostArgs {
    async fn client(&self) -> Result<Client, AskError> {
        Client::log_in(self.url.clone()).await
    }

    fn path(&self) -> String {
        format!(
            "/inspect/nodes/{}",
            utf8_percent_encode(&self.host, NON_ALPHANUMERIC)
        )
    }
}

/// Runs the command.
pub fn disable(args: &DisableArgs) -> ExitCode {
    answer(actix_rt::System::new().block_on(async {
        let client = args.host.client().await?;
        set_disabled(&client, &args.host.host, true, args.reason.as_deref()).await?;
        Ok::<_, AskError>(format!(
            "{} is disabled: no volume is placed on it.",
            args.host.host
        ))
    }))
}

/// Runs the command.
pub fn enable(args: &HostArgs) -> ExitCode {
    answer(actix_rt::System::new().block_on(async {
        set_disabled(&args.client().await?, &args.host, false, None).await?;
        Ok::<_, AskError>(format!("{} is enabled.", args.host))
    }))
}

/// Runs the command.
pub fn remove(args: &HostArgs) -> ExitCode {
    answer(actix_rt::System::new().block_on(async {
        let removed = args.client().await?.ask("DELETE", &args.path()).await?;
        let services = removed["removed"].as_array().into_iter().flatten();
        let lines = services.map(|service| {
            let text = |key: &str| service[key].as_str().unwrap_or_default();
            format!("removed {} on {}\n", text("binary"), text("host"))
        });
        Ok::<_, AskError>(lines.collect::<String>())
    }))
}

/// Runs the command.
pub fn drain(args: &DrainArgs) -> ExitCode {
    match actix_rt::System::new().block_on(drain_and_wait(args)) {
        Ok(Drained { text, is_done }) => {
            let said = answer(Ok::<_, AskError>(text));
            if is_done {
                said
            } else {
                ExitCode::from(EXIT_NOT_YET)
            }
        }
        Err(error) => answer(Err(error)),
    }
}

/// The end of a wait.
struct Drained {
    text: String,
    is_done: bool,
}

async fn drain_and_wait(args: &DrainArgs) -> Result<Drained, AskError> {
    let host = &args.host.host;
    let client = args.host.client().await?;
    set_disabled(&client, host, true, Some(&args.reason)).await?;
    say(&format!("{host} is disabled: no volume is placed on it."));
    let begun = Instant::now();
    let mut left: Option<BTreeSet<String>> = None;
    let mut said: Option<(usize, Instant)> = None;
    loop {
        let node = client.ask("GET", &args.host.path()).await?;
        let open = operations(&node);
        // What begins later is for volumes that are on it, and may never end.
        let waited_for = match left {
            None => open.clone(),
            Some(left) => left.intersection(&open).cloned().collect(),
        };
        let newer = open.len() - waited_for.len();
        if waited_for.is_empty() {
            let volumes = node["volumes"].as_u64().unwrap_or_default();
            return Ok(Drained {
                text: format!(
                    "{host} is drained: its work has ended. {}",
                    what_stays(volumes, newer)
                ),
                is_done: true,
            });
        }
        if args
            .timeout
            .is_some_and(|timeout| begun.elapsed() >= timeout.get())
        {
            return Ok(Drained {
                text: format!(
                    "{host} is disabled and not drained yet: {} still open. `pumice operations list` shows them.",
                    operations_text(waited_for.len())
                ),
                is_done: false,
            });
        }
        let count = waited_for.len();
        if said.is_none_or(|(was, at)| was != count || at.elapsed() >= SAY_EVERY) {
            say(&format!("waiting for {} on {host}", operations_text(count)));
            said = Some((count, Instant::now()));
        }
        left = Some(waited_for);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The ids of the open operations.
fn operations(node: &Value) -> BTreeSet<String> {
    let operations = node["operations"].as_array().into_iter().flatten();
    operations
        .filter_map(|operation| operation["id"].as_str().map(str::to_owned))
        .collect()
}

fn operations_text(count: usize) -> String {
    match count {
        1 => "1 operation".to_owned(),
        count => format!("{count} operations"),
    }
}

fn what_stays(volumes: u64, newer: usize) -> String {
    let volumes = match volumes {
        0 => "No volume is on it.".to_owned(),
        1 => "1 volume is on it, and is served on.".to_owned(),
        volumes => format!("{volumes} volumes are on it, and are served on."),
    };
    match newer {
        0 => volumes,
        newer => format!("{volumes} {} for them began meanwhile.", operations_text(newer)),
    }
}

/// Cinder's request; the services of the host's backends are meant.
async fn set_disabled(
    client: &Client,
    host: &str,
    disabled: bool,
    reason: Option<&str>,
) -> Result<(), AskError> {
    let mut body = json!({"binary": "cinder-volume", "host": host});
    let action = match (disabled, reason) {
        (false, _) => "enable",
        (true, None) => "disable",
        (true, Some(reason)) => {
            body["disabled_reason"] = json!(reason);
            "disable-log-reason"
        }
    };
    let path = format!("/v3/os-services/{action}");
    client.ask_with("PUT", &path, &body).await.map(drop)
}

/// Says at once what goes on.
#[expect(clippy::print_stderr, reason = "progress of the command, beside its output")]
fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_names_the_numbers() {
        let node = json!({"operations": [{"id": "a"}, {"id": "b"}]});
        assert_eq!(operations(&node).len(), 2);
        assert_eq!(what_stays(0, 0), "No volume is on it.");
        assert_eq!(
            what_stays(2, 1),
            "2 volumes are on it, and are served on. 1 operation for them began meanwhile."
        );
    }
}
