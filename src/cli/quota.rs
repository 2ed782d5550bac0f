//! `pumice quota`: compares the usage of projects in a running service with their records, and repairs it (cinder-manage:
//! `quota check`, `quota sync`). Of a stopped service, `pumice fsck` does it.
//!
//! Exit codes: 0 all usage is right, or was repaired; 1 some is not, or the service refused or was not reached.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::client::{AskError, Client};
use super::fsck::{self, Row};

/// Options of `pumice quota`.
#[derive(Debug, Args)]
pub struct QuotaArgs {
    /// Where the service is, if the identity service does not say. Who asks is said by OS_CLOUD, OS_TOKEN or OS_AUTH_URL.
    #[arg(long, global = true, value_name = "http://HOST:PORT")]
    url: Option<String>,
    /// Only the usage of this project.
    #[arg(long, global = true, value_name = "ID")]
    project: Option<String>,
    /// Print a list of { finding, what, mended }.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: QuotaCommand,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum QuotaCommand {
    /// Say whether the usage of projects is what their volumes, snapshots and operations sum up to.
    Check,
    /// Set it to that. Requests go on meanwhile, and are counted.
    Repair,
}

/// Sends the request, and prints the findings.
pub fn quota(args: &QuotaArgs) -> ExitCode {
    fsck::print(actix_rt::System::new().block_on(ask(args)), args.json)
}

async fn ask(args: &QuotaArgs) -> Result<Vec<Row>, AskError> {
    let client = Client::log_in(args.url.clone()).await?;
    let (method, path) = match args.command {
        QuotaCommand::Check => ("GET", "/inspect/quota"),
        QuotaCommand::Repair => ("POST", "/inspect/quota/repair"),
    };
    let project = args.project.as_ref();
    let query = project.map(|id| format!("?project_id={}", utf8_percent_encode(id, NON_ALPHANUMERIC)));
    let answer = client
        .ask(method, &format!("{path}{}", query.unwrap_or_default()))
        .await?;
    Ok([("repaired", true), ("left", false)]
        .into_iter()
        .flat_map(|(list, mended)| rows(&answer[list], mended))
        .collect())
}

fn rows(findings: &Value, mended: bool) -> Vec<Row> {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let findings = findings.as_array().into_iter().flatten();
    findings
        .map(|row| Row {
            finding: text(row, "finding"),
            what: text(row, "what"),
            mended,
        })
        .collect()
}
