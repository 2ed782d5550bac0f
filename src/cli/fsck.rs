//! `pumice fsck`: checks the consistency of all records (with index rows, operations, quota), and compares them with the storage
//! and the exports of this node's backends.
//!
//! It reads the store of a stopped service, or an export; a running service checks a snapshot of its records itself
//! (`--running`).
//!
//! Exit codes: 0 everything is consistent, or was repaired; 1 there are findings, or something could not be checked; 2 the
//! configuration cannot be read.

mod storage;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::refuse;
use super::serve::exports;
use super::store::{self, BoxError};
use crate::config::node::Role;
use crate::config::{Config, Surroundings};
use crate::store::Store;
use crate::store::catalog::Catalog;
use crate::store::catalog::verify::{self, Finding, Repair};
use crate::store::export;
use crate::store::memory::MemoryStore;

/// Options of `pumice fsck`.
#[derive(Debug, Args)]
pub struct FsckArgs {
    /// The configuration, which says where the store is.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask the service that runs, as an administrator. Who asks is said by OS_CLOUD, OS_TOKEN or OS_AUTH_URL.
    #[arg(long, conflicts_with_all = ["config", "export", "repair"])]
    running: bool,
    /// Where that service is, if the identity service does not say.
    #[arg(long, requires = "running", value_name = "http://HOST:PORT")]
    url: Option<String>,
    /// Look at this export instead of the store; `newest` is the newest in `exports` of node.data_dir.
    #[arg(long, value_name = "FILE", conflicts_with = "repair")]
    export: Option<PathBuf>,
    /// Leave the storage of this node's backends alone. An export is not held against it: it is of another moment.
    #[arg(long)]
    records_only: bool,
    /// Mend what can be right in only one way: counters and index rows.
    #[arg(long)]
    repair: bool,
    /// Print a list of { finding, what, mended }.
    #[arg(long)]
    json: bool,
}

/// Runs the check, and prints the findings.
pub fn fsck(args: FsckArgs, surroundings: &Surroundings) -> ExitCode {
    let system = actix_rt::System::new();
    let found = if args.running {
        system.block_on(ask(args.url))
    } else {
        let config = match Config::load(args.config.as_deref(), surroundings, &[]) {
            Ok(config) => config,
            Err(faults) => return refuse(&faults),
        };
        system.block_on(look(&args, &config)).map(|repair| rows(&repair))
    };
    print(found, args.json)
}

/// Prints findings, or why there are none to print.
#[expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "this prints the command's output"
)]
pub(super) fn print(found: Result<Vec<Row>, impl Display>, json: bool) -> ExitCode {
    match found {
        Ok(rows) => {
            let show = if json { in_json } else { in_words };
            print!("{}", show(&rows));
            match rows.iter().all(|row| row.mended) {
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

/// A printed finding.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    /// Its kind.
    pub(super) finding: String,
    /// Its text.
    pub(super) what: String,
    /// Whether it was repaired.
    #[serde(default)]
    pub(super) mended: bool,
}

/// The findings of a running service.
async fn ask(url: Option<String>) -> Result<Vec<Row>, BoxError> {
    let mut answer = Client::log_in(url).await?.ask("GET", "/inspect/fsck").await?;
    Ok(serde_json::from_value(answer["findings"].take())?)
}

async fn look(args: &FsckArgs, config: &Config) -> Result<Repair, BoxError> {
    let folder = exports::folder(&config.node.data_dir);
    let store: Arc<dyn Store> = match &args.export {
        Some(file) => Arc::new(exported(file, &folder).await?),
        None => store::open(config).await?,
    };
    let catalog = Catalog::open(store).await?;
    let mut repair = match args.repair {
        true => verify::repair(&catalog).await?,
        false => Repair {
            repaired: Vec::new(),
            left: verify::verify(&catalog).await?,
        },
    };
    if args.export.is_none() && !args.records_only && config.node.has(Role::Volume) {
        repair.left.extend(storage::look(&catalog, config).await?);
    }
    Ok(repair)
}

async fn exported(file: &Path, folder: &Path) -> Result<MemoryStore, BoxError> {
    let file = match file == Path::new("newest") {
        true => exports::newest(folder)?,
        false => file.to_owned(),
    };
    export::verify(&file)?;
    let store = MemoryStore::default();
    export::restore(&file, &store).await?;
    Ok(store)
}

/// The findings, repaired ones first.
fn rows(repair: &Repair) -> Vec<Row> {
    let row = |finding: &Finding, mended| Row {
        finding: finding.kind().to_owned(),
        what: finding.to_string(),
        mended,
    };
    let mended = repair.repaired.iter().map(|finding| row(finding, true));
    mended
        .chain(repair.left.iter().map(|finding| row(finding, false)))
        .collect()
}

fn in_words(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let word = if row.mended { "mended" } else { "WRONG " };
        text.push_str(&format!("{word}  {}\n", row.what));
    }
    let mended = rows.iter().filter(|row| row.mended).count();
    let several = |count: usize| format!("{count} finding{}", if count == 1 { "" } else { "s" });
    text.push_str(&match (mended, rows.len() - mended) {
        (0, 0) => "all agrees\n".to_owned(),
        (mended, 0) => format!("{} mended, all agrees now\n", several(mended)),
        (0, left) => format!("{}\n", several(left)),
        (mended, left) => format!("{} mended, {left} left\n", several(mended)),
    });
    text
}

fn in_json(rows: &[Row]) -> String {
    serde_json::to_string_pretty(rows).unwrap_or_else(|_| "[]".to_owned()) + "\n"
}

#[cfg(test)]
mod tests {
    use super::{in_json, in_words, rows};
    use crate::model::VolumeId;
    use crate::store::Key;
    use crate::store::catalog::verify::{Finding, Repair};

    #[test]
    fn findings_are_printed_as_text_and_json() {
        assert_eq!(in_words(&[]), "all agrees\n");
        assert_eq!(in_json(&[]), "[]\n");
        let row = Key(b"r".to_vec());
        let volume = VolumeId::new();
        let repair = Repair {
            repaired: vec![Finding::StrayRow { row }],
            left: vec![Finding::AttachmentWithoutVolume { volume }],
        };
        let repair = rows(&repair);
        assert_eq!(
            in_words(&repair),
            format!(
                "mended  the index row r belongs to no record\n\
                 WRONG   an attachment is of volume {volume}, which is not there\n\
                 1 finding mended, 1 left\n"
            )
        );
        let rows: serde_json::Value = serde_json::from_str(&in_json(&repair)).unwrap();
        assert_eq!(rows[0]["finding"], "stray_row");
        assert_eq!(rows[0]["mended"], true);
        assert_eq!(rows[1]["finding"], "attachment_without_volume");
    }
}
