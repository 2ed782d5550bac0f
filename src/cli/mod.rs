//! The command line.
//!
//! Exit codes: 0 done, 1 failed, 2 an invalid command line or configuration, whose faults are all reported before
//! anything is opened.

mod ca;
pub mod check_config;
mod client;
mod cluster;
pub mod doctor;
pub mod fsck;
mod keystone;
pub mod logging;
mod node;
pub mod operations;
mod policy;
mod quota;
pub mod serve;
pub mod store;
pub mod tokens;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Faults, Flag, Surroundings};
use crate::drivers::copy::program::{self, CopyArgs, WipeArgs};
use crate::private_files;

/// An invalid command line or configuration.
const EXIT_USAGE: u8 = 2;

/// A block storage service that speaks the Cinder API.
#[derive(Debug, Parser)]
#[command(name = "pumice", version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service. Without a configuration: everything in this process, state in node.data_dir.
    Serve(ServeArgs),
    /// Say what is wrong with a configuration, or that it is right.
    CheckConfig(CheckConfigArgs),
    /// Say whether this host can serve what is configured, and how to mend what keeps it from it. Changes nothing.
    Doctor(DoctorArgs),
    /// The authority of a cluster's certificates: issue and revoke those of nodes.
    Ca(ca::CaArgs),
    /// Get this node's certificate; drain, disable, enable and remove hosts of a running service.
    Node(node::NodeArgs),
    /// The nodes of a running service, their versions, and the store.
    Cluster(cluster::ClusterArgs),
    /// Say whether all that is recorded agrees with itself.
    Fsck(fsck::FsckArgs),
    /// All of the state as one file, and back.
    Store(store::StoreArgs),
    /// What is under way in a running service; how far it is; end it.
    Operations(operations::OperationsArgs),
    /// The rules of the API, and who passes them with a policy file.
    Policy(policy::PolicyArgs),
    /// Whether the usage of projects is what their records sum up to, in a running service; repair it.
    Quota(quota::QuotaArgs),
    /// Put this service into the catalog of a Keystone.
    Keystone(keystone::KeystoneArgs),
    /// End all tokens of a user of a running service.
    Tokens(tokens::TokensArgs),
    /// Copy a volume's data: what a backend's worker starts.
    #[command(hide = true)]
    Copy(CopyArgs),
    /// Overwrite a volume's data with zeros: what a backend's worker starts.
    #[command(hide = true)]
    Wipe(WipeArgs),
}

/// Options of `pumice serve`.
#[derive(Debug, Default, Args)]
pub struct ServeArgs {
    /// The configuration; `pumice check-config --defaults` shows what can be in it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where state, volumes and credentials are kept (node.data_dir).
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where the REST API listens (web.listen).
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,
}

/// Options of `pumice check-config`.
#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    /// The configuration to check, together with this environment.
    #[arg(value_name = "FILE", required_unless_present = "defaults")]
    pub file: Option<PathBuf>,
    /// Print every key with its default and what it means.
    #[arg(long, conflicts_with = "file")]
    pub defaults: bool,
}

/// Options of `pumice doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The configuration to look with, together with this environment.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print a list of { check, backend, outcome, what, mend }.
    #[arg(long)]
    pub json: bool,
}

impl ServeArgs {
    /// The options of the command line that override the configuration. Paths are relative to the current directory.
    ///
    /// # Errors
    /// If the data directory is not UTF-8, or the current directory does not exist.
    fn flags(&self) -> Result<Vec<Flag>, std::io::Error> {
        let mut flags = Vec::new();
        if let Some(path) = &self.data_dir {
            let path = std::path::absolute(path)?.into_os_string().into_string();
            let value = path.map_err(|_| std::io::Error::other("--data-dir must be UTF-8"))?;
            flags.push(Flag {
                name: "--data-dir",
                section: "node",
                key: "data_dir",
                value,
            });
        }
        if let Some(address) = self.listen {
            flags.push(Flag {
                name: "--listen",
                section: "web",
                key: "listen",
                value: address.to_string(),
            });
        }
        Ok(flags)
    }
}

/// Runs the given command.
pub fn run() -> ExitCode {
    private_files::restrict_new_files();
    match Cli::parse().command {
        Command::Ca(args) => ca::ca(&args),
        Command::Node(args) => node::node(&args),
        Command::Cluster(args) => cluster::cluster(args),
        Command::CheckConfig(args) => check_config::check_config(&args, &Surroundings::of_this_process()),
        Command::Doctor(args) => doctor::doctor(&args, &Surroundings::of_this_process()),
        Command::Fsck(args) => fsck::fsck(args, &Surroundings::of_this_process()),
        Command::Store(args) => store::store(&args, &Surroundings::of_this_process()),
        Command::Operations(args) => operations::operations(args),
        Command::Policy(args) => policy::policy(&args),
        Command::Quota(args) => quota::quota(&args),
        Command::Keystone(args) => keystone::keystone(&args, &Surroundings::of_this_process()),
        Command::Tokens(args) => tokens::tokens(args),
        Command::Serve(args) => serve_with(&args),
        Command::Copy(args) => program::copy(&args),
        Command::Wipe(args) => program::wipe(&args),
    }
}

#[expect(clippy::print_stderr, reason = "logging is not configured yet")]
fn serve_with(args: &ServeArgs) -> ExitCode {
    let flags = match args.flags() {
        Ok(flags) => flags,
        Err(error) => {
            eprintln!("pumice: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let config = match Config::load(args.config.as_deref(), &Surroundings::of_this_process(), &flags) {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    if let Err(error) = logging::start(&config.log) {
        eprintln!("pumice: {error}");
        return ExitCode::from(EXIT_USAGE);
    }
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    match serve::serve(config) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!(error = error.as_ref(), "cannot go on");
            serve::exit_code(error.as_ref())
        }
    }
}

/// Prints the output of a command, or why it failed.
#[expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "this prints the command's output"
)]
fn answer(result: Result<String, impl std::fmt::Display>) -> ExitCode {
    match result {
        Ok(text) => {
            println!("{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("pumice: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints all faults of a configuration.
#[expect(clippy::print_stderr, reason = "this prints the command's output")]
fn refuse(faults: &Faults) -> ExitCode {
    eprintln!("{faults}");
    let count = faults.0.len();
    eprintln!(
        "pumice: {count} fault{} in the configuration; nothing was started",
        if count == 1 { "" } else { "s" }
    );
    ExitCode::from(EXIT_USAGE)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Cli, Command};

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_serve_become_the_highest_layer() {
        let cli = Cli::parse_from(["pumice", "serve", "--data-dir", "d", "--listen", "127.0.0.1:0"]);
        let Command::Serve(args) = cli.command else {
            panic!("serve")
        };
        let flags = args.flags().unwrap();
        assert_eq!(flags.len(), 2);
        assert!(flags[0].value.starts_with('/') && flags[0].value.ends_with("/d"));
        assert_eq!((flags[1].key, flags[1].value.as_str()), ("listen", "127.0.0.1:0"));
    }
}
