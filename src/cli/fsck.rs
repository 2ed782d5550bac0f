//! `pumice fsck`: whether all that is recorded agrees with itself (records, index rows, operations, quota) and with the storage and
//! the exports of this node's backends.
//!
//! It looks at the store of a service that stands still, or at an export of one that runs: exports tell of one moment.
//!
//! Exit codes: 0 all agrees, or was mended; 1 something does not, or could not be looked at; 2 the configuration cannot be read.

mod storage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

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

/// Checks, and tells.
#[must_use]
#[expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "this is where the command's answer goes"
)]
pub fn fsck(args: &FsckArgs, surroundings: &Surroundings) -> ExitCode {
    let config = match Config::load(args.config.as_deref(), surroundings, &[]) {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    match actix_rt::System::new().block_on(look(args, &config)) {
        Ok(repair) => {
            print!(
                "{}",
                if args.json {
                    in_json(&repair)
                } else {
                    in_words(&repair)
                }
            );
            match repair.left.is_empty() {
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

async fn look(args: &FsckArgs, config: &Config) -> Result<Repair, BoxError> {
    let folder = exports::folder(&config.node.data_dir);
    let store: Arc<dyn Store> = match &args.export {
        Some(file) => Arc::new(exported(file, &folder).await?),
        None => Arc::new(store::open(config)?),
    };
    let catalog = Catalog::open(store).await?;
    let mut repair = match args.repair {
        true => verify::repair(&catalog).await?,
        false => Repair {
            mended: Vec::new(),
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
        true => exports::all(folder)
            .pop()
            .ok_or_else(|| format!("there is no export in {}", folder.display()))?,
        false => file.to_owned(),
    };
    export::verify(&file)?;
    let store = MemoryStore::default();
    export::restore(&file, &store).await?;
    Ok(store)
}

fn in_words(repair: &Repair) -> String {
    let mut text = String::new();
    for finding in &repair.mended {
        text.push_str(&format!("mended  {finding}\n"));
    }
    for finding in &repair.left {
        text.push_str(&format!("WRONG   {finding}\n"));
    }
    let several = |count: usize| format!("{count} finding{}", if count == 1 { "" } else { "s" });
    text.push_str(&match (repair.mended.len(), repair.left.len()) {
        (0, 0) => "all agrees\n".to_owned(),
        (mended, 0) => format!("{} mended, all agrees now\n", several(mended)),
        (0, left) => format!("{}\n", several(left)),
        (mended, left) => format!("{} mended, {left} left\n", several(mended)),
    });
    text
}

fn in_json(repair: &Repair) -> String {
    let row = |finding: &Finding, mended: bool| json!({"finding": finding.kind(), "what": finding.to_string(), "mended": mended});
    let mended = repair.mended.iter().map(|finding| row(finding, true));
    let rows: Vec<_> = mended
        .chain(repair.left.iter().map(|finding| row(finding, false)))
        .collect();
    serde_json::to_string_pretty(&rows).unwrap_or_else(|_| "[]".to_owned()) + "\n"
}

#[cfg(test)]
mod tests {
    use super::{in_json, in_words};
    use crate::model::VolumeId;
    use crate::store::Key;
    use crate::store::catalog::verify::{Finding, Repair};

    #[test]
    fn what_is_found_is_told_in_words_and_for_programs() {
        assert_eq!(in_words(&Repair::default()), "all agrees\n");
        assert_eq!(in_json(&Repair::default()), "[]\n");
        let row = Key(b"r".to_vec());
        let volume = VolumeId::new();
        let repair = Repair {
            mended: vec![Finding::StrayRow { row }],
            left: vec![Finding::AttachmentWithoutVolume { volume }],
        };
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
