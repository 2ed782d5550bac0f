//! `pumice store`: exports and restores the state as one file. For a stopped service; a running one exports by itself.
//!
//! Exit codes: 0 done, 1 failed, 2 the configuration cannot be read.

mod migrate;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};

use super::serve::store::{etcd_options, is_there, open_etcd, store_options, store_path};
use super::serve::{exports, own};
use super::{answer, refuse};
use crate::config::store::Engine;
use crate::config::{Config, Surroundings};
use crate::store::Store;
use crate::store::catalog::IndexRows;
use crate::store::etcd::{EtcdOptions, EtcdStore};
use crate::store::export::{self, Exported};
use crate::store::sled::{OpenError, SledStore};

pub(super) type BoxError = Box<dyn std::error::Error>;

/// Options of `pumice store`.
#[derive(Debug, Args)]
pub struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Write all of the store to a file. It has the secrets that the store has.
    Export {
        /// The configuration, which says where the store is.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The file; if not given, one in `exports` of node.data_dir, named by the time.
        #[arg(value_name = "TO")]
        to: Option<PathBuf>,
    },
    /// Make the store from such a file. There must be none, unless it is to be replaced.
    Restore {
        /// The configuration, which says where the store is.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Put the store that there is aside, as `store.replaced-<time>`.
        #[arg(long)]
        replace: bool,
        /// The file; if not given, the newest in `exports` of node.data_dir.
        #[arg(value_name = "FROM")]
        from: Option<PathBuf>,
    },
    /// Copy the store from one engine to the other, and compare the two. All control nodes must be stopped.
    Migrate {
        /// The configuration, which says where both stores are.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The engine of the store that there is.
        #[arg(long, value_name = "ENGINE")]
        from: Named,
        /// The engine of the store that is made.
        #[arg(long, value_name = "ENGINE")]
        to: Named,
    },
    /// Accept the state of etcd for this node, after a backup of it was restored. All control nodes must be stopped.
    Adopt {
        /// The configuration, which says where etcd is.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Say whether such a file is whole.
    Verify {
        /// The file.
        #[arg(value_name = "EXPORT")]
        export: PathBuf,
    },
}

/// The name of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Named {
    Sled,
    Etcd,
}

/// Runs one of the commands.
pub fn store(args: &StoreArgs, surroundings: &Surroundings) -> ExitCode {
    let file = match &args.command {
        StoreCommand::Verify { export } => return answer(verify(export)),
        StoreCommand::Export { config, .. }
        | StoreCommand::Restore { config, .. }
        | StoreCommand::Migrate { config, .. }
        | StoreCommand::Adopt { config } => config.as_deref(),
    };
    let config = match Config::load(file, surroundings, &[]) {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    let system = actix_rt::System::new();
    answer(match &args.command {
        StoreCommand::Export { to, .. } => system.block_on(export_store(&config, to.as_deref())),
        StoreCommand::Restore { from, replace, .. } => {
            system.block_on(restore_store(&config, from.as_deref(), *replace))
        }
        StoreCommand::Migrate { from, to, .. } => system.block_on(migrate::migrate(&config, *from, *to)),
        StoreCommand::Adopt { .. } => system.block_on(adopt(&config)),
        StoreCommand::Verify { export } => verify(export),
    })
}

fn summary(exported: Exported) -> String {
    format!(
        "{} entries, up to commit {}",
        exported.entries, exported.revision.0
    )
}

fn verify(file: &Path) -> Result<String, BoxError> {
    let exported = export::verify(file)?;
    Ok(format!("{}: whole, {}", file.display(), summary(exported)))
}

/// Opens the store of a stopped service.
pub(super) async fn open(config: &Config) -> Result<Arc<dyn Store>, BoxError> {
    match config.store.engine {
        Engine::Sled => Ok(Arc::new(open_sled(config)?)),
        Engine::Etcd => Ok(open_etcd(command_options(config)).await?.store),
    }
}

/// The options for a command, which has a name of its own in etcd: it must not take the place of a node that runs.
fn command_options(config: &Config) -> EtcdOptions {
    let options = etcd_options(config, &config.node.data_dir);
    EtcdOptions {
        node: format!("{}#command", options.node),
        position: None,
        ..options
    }
}

fn open_sled(config: &Config) -> Result<SledStore, BoxError> {
    let data_dir = &config.node.data_dir;
    let path = store_path(data_dir);
    if !is_there(&path) {
        return Err(format!("there is no store in {}", path.display()).into());
    }
    SledStore::open(&path, &store_options(config)).map_err(|error| match error {
        OpenError::Locked { .. } => format!(
            "{error}; it exports by itself, into {}, and `pumice fsck --running` asks it whether all agrees",
            exports::folder(data_dir).display()
        )
        .into(),
        other => other.into(),
    })
}

async fn adopt(config: &Config) -> Result<String, BoxError> {
    let data_dir = &config.node.data_dir;
    std::fs::create_dir_all(data_dir)?;
    // The service of this node must not run.
    let _owner = own(data_dir)?;
    let accepted = EtcdStore::adopt(&etcd_options(config, data_dir)).await?;
    Ok(format!("accepted: {accepted}"))
}

async fn export_store(config: &Config, to: Option<&Path>) -> Result<String, BoxError> {
    let folder = exports::folder(&config.node.data_dir);
    let store = open(config).await?;
    let (file, exported) = match to {
        Some(file) => (file.to_owned(), export::export(store.as_ref(), file).await?),
        None => exports::take(store.as_ref(), &folder, 0).await?,
    };
    Ok(format!("{}: {}", file.display(), summary(exported)))
}

async fn restore_store(config: &Config, from: Option<&Path>, replace: bool) -> Result<String, BoxError> {
    let data_dir = &config.node.data_dir;
    let (path, folder) = (store_path(data_dir), exports::folder(data_dir));
    let from = match from {
        Some(from) => from.to_owned(),
        None => exports::newest(&folder)?,
    };
    export::verify(&from)?;
    std::fs::create_dir_all(data_dir)?;
    // A service must not start meanwhile.
    let _owner = own(data_dir)?;
    if config.store.engine == Engine::Etcd {
        return restore_to_etcd(config, &from).await;
    }
    let mut aside = String::new();
    if path.exists() && !SledStore::is_half_restored(&path) {
        if !replace {
            return Err(format!(
                "there is a store in {} already; --replace puts it aside",
                path.display()
            )
            .into());
        }
        SledStore::must_not_be_in_use(&path)?;
        let old = data_dir.join(format!("store.replaced-{}", exports::now()));
        std::fs::rename(&path, &old)?;
        aside = format!("; the store that was there is now {}", old.display());
    }
    let exported = SledStore::restore(&path, &store_options(config), &from).await?;
    Ok(format!(
        "{} restored from {}: {}{aside}",
        path.display(),
        from.display(),
        summary(exported)
    ))
}

async fn restore_to_etcd(config: &Config, from: &Path) -> Result<String, BoxError> {
    let store = EtcdStore::open_to_restore(command_options(config), Arc::new(IndexRows)).await?;
    let exported = export::restore(from, &store).await?;
    store.restored().await?;
    Ok(format!(
        "etcd restored from {}: {}",
        from.display(),
        summary(exported)
    ))
}
