//! `pumice operations`: lists and cancels the open operations of a running service.
//!
//! Exit codes: 0 done, 1 refused or not reached.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::answer;
use super::client::{AskError, Client};

/// How often it is checked whether an operation has ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Options of `pumice operations`.
#[derive(Debug, Args)]
pub struct OperationsArgs {
    /// Where the service is, if the identity service does not say. Who asks is said by OS_CLOUD, OS_TOKEN or OS_AUTH_URL.
    #[arg(long, global = true, value_name = "http://HOST:PORT")]
    url: Option<String>,
    /// Print what the service answers.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: OperationsCommand,
}

#[derive(Debug, Subcommand)]
enum OperationsCommand {
    /// What is under way: of your project, or as an administrator of all.
    List {
        /// Only what this volume waits for.
        #[arg(long, value_name = "ID")]
        volume: Option<String>,
    },
    /// One operation with its steps.
    Show {
        /// Its id.
        id: String,
    },
    /// End a create, a copy, a delete or a revert before it is done. The volume is left as after a failure.
    Cancel {
        /// Its id.
        id: String,
        /// Wait until it has ended.
        #[arg(long)]
        wait: bool,
    },
}

/// Sends the request, and prints the answer.
pub fn operations(args: OperationsArgs) -> ExitCode {
    answer(actix_rt::System::new().block_on(run(args)))
}

async fn run(args: OperationsArgs) -> Result<String, AskError> {
    let client = Client::log_in(args.url).await?;
    let tell = |answer: &Value, words: fn(&Value) -> String| match args.json {
        true => format!("{answer:#}\n"),
        false => words(answer),
    };
    match args.command {
        OperationsCommand::List { volume } => {
            let filter = volume.map(|id| format!("?volume_id={}", escaped(&id)));
            let path = format!("/inspect/operations{}", filter.unwrap_or_default());
            Ok(tell(&client.ask("GET", &path).await?, table))
        }
        OperationsCommand::Show { id } => {
            let answer = client.ask("GET", &path_of(&id)).await?;
            Ok(tell(&answer["operation"], whole))
        }
        OperationsCommand::Cancel { id, wait } => {
            client.ask("DELETE", &path_of(&id)).await?;
            if !wait {
                return Ok(format!("Operation {id} is being cancelled.\n"));
            }
            loop {
                match client.ask("GET", &path_of(&id)).await {
                    Ok(answer) if answer["operation"]["finished_at"].is_null() => {
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                    // It ended too long ago, or the service was restarted: ended operations are kept for a while only.
                    Ok(_) | Err(AskError::Refused { status: 404, .. }) => {
                        return Ok(format!("Operation {id} has ended.\n"));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

fn path_of(id: &str) -> String {
    format!("/inspect/operations/{}", escaped(id))
}

fn escaped(text: &str) -> percent_encoding::PercentEncode<'_> {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
}

/// A line per operation, in aligned columns.
fn table(answer: &Value) -> String {
    let mut rows = vec![["ID", "KIND", "VOLUME", "STATE", "SINCE", "PROGRESS"].map(str::to_owned)];
    for operation in answer["operations"].as_array().into_iter().flatten() {
        let text = |key: &str| operation[key].as_str().unwrap_or("-").to_owned();
        rows.push([
            text("id"),
            text("kind"),
            text("volume_id"),
            text("state"),
            format!("{:.0} s", operation["seconds"].as_f64().unwrap_or_default()),
            progress(&operation["progress"]),
        ]);
    }
    if rows.len() == 1 {
        return "Nothing is under way.\n".to_owned();
    }
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

/// One operation, and its steps in their order.
fn whole(operation: &Value) -> String {
    let mut text = String::new();
    for (key, value) in operation.as_object().into_iter().flatten() {
        let value = match value {
            Value::String(value) => value.clone(),
            Value::Null | Value::Array(_) | Value::Object(_) => continue,
            other => other.to_string(),
        };
        let _ = writeln!(text, "{key:18} {value}");
    }
    if !operation["progress"].is_null() {
        let _ = writeln!(text, "{:18} {}", "progress", progress(&operation["progress"]));
    }
    for step in operation["steps"].as_array().into_iter().flatten() {
        let word = |key: &str| step[key].as_str().unwrap_or_default();
        let seconds = step["seconds"].as_f64().unwrap_or_default();
        let _ = writeln!(
            text,
            "{:18} {:28} {:9} {seconds:9.3} s  {}",
            "step",
            word("name"),
            word("outcome"),
            word("error"),
        );
    }
    text
}

/// "42 % of 1024 MiB, 30 MiB/s".
fn progress(progress: &Value) -> String {
    let mib = |key: &str| progress[key].as_u64().map(|bytes| bytes >> 20);
    let (Some(percent), Some(total)) = (progress["percent"].as_u64(), mib("bytes_total")) else {
        return "-".to_owned();
    };
    let rate = mib("bytes_per_second").map(|rate| format!(", {rate} MiB/s"));
    format!("{percent} % of {total} MiB{}", rate.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{table, whole};

    #[test]
    fn operations_are_printed_in_columns() {
        let answer = json!({"operations": [
            {"id": "o-1", "kind": "retype_volume", "volume_id": "v", "state": "running", "seconds": 3.4,
             "progress": {"percent": 42, "bytes_total": 1_u64 << 30, "bytes_per_second": 30 << 20}},
            {"id": "o-22", "kind": "retype_volume", "volume_id": "w", "state": "cancelling", "seconds": 0, "progress": null},
        ]});
        assert_eq!(
            table(&answer),
            "ID    KIND           VOLUME  STATE       SINCE  PROGRESS\n\
             o-1   retype_volume  v       running     3 s    42 % of 1024 MiB, 30 MiB/s\n\
             o-22  retype_volume  w       cancelling  0 s    -\n"
        );
        assert_eq!(table(&json!({"operations": []})), "Nothing is under way.\n");
    }

    #[test]
    fn one_is_printed_with_its_steps() {
        let text = whole(&json!({"id": "o", "error": null, "attempt": 1, "steps": [
            {"name": "pick_pool", "outcome": "done", "seconds": 0.25, "error": null}
        ]}));
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines,
            [
                vec!["id", "o"],
                vec!["attempt", "1"],
                vec!["step", "pick_pool", "done", "0.250", "s"]
            ]
        );
    }
}
