//! `pumice node`: what a machine does to become a node of a cluster, and what operators do with nodes of a running service.

mod host;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::authority::enroll::enroll;
use crate::authority::signing::NodeKey;
use crate::authority::tokens::EnrollmentToken;
use crate::authority::{AuthorityError, NodeFiles, write_private};
use crate::private_files;

/// Options of `pumice node`.
#[derive(Debug, Args)]
pub struct NodeArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Get this node's certificate with a token of `pumice ca token`. The private key is made here and stays here.
    Enroll {
        /// Where `pumice ca serve` listens.
        #[arg(long, value_name = "HOST:PORT")]
        address: String,
        /// A file with the token; without it, PUMICE_ENROLLMENT_TOKEN has it.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// Where node.pem, node.key, ca.pem and crl.pem are written. A running node takes new ones without a restart.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Place no more volumes on a host, and wait until the work that is under way on it has ended. Its volumes stay on it and are served on;
    /// requests for them are still done.
    Drain(host::DrainArgs),
    /// Place no more volumes on a host (cinder: service disable).
    Disable(host::DisableArgs),
    /// Place volumes on a host again.
    Enable(host::HostArgs),
    /// Remove the services of a host that is gone (cinder-manage: service remove). Refused while it may be up, or has volumes.
    Remove(host::HostArgs),
}

const TOKEN: &str = "PUMICE_ENROLLMENT_TOKEN";

/// Runs the command.
pub fn node(args: &NodeArgs) -> ExitCode {
    match &args.what {
        What::Enroll {
            address,
            token_file,
            out,
        } => super::answer(enroll_here(address, token_file.as_deref(), out)),
        What::Drain(args) => host::drain(args),
        What::Disable(args) => host::disable(args),
        What::Enable(args) => host::enable(args),
        What::Remove(args) => host::remove(args),
    }
}

fn enroll_here(address: &str, token_file: Option<&Path>, out: &Path) -> Result<String, AuthorityError> {
    let text = match token_file {
        Some(path) => std::fs::read_to_string(path).map_err(|error| AuthorityError::of(path, error))?,
        None => std::env::var(TOKEN)
            .map_err(|_| AuthorityError::new(format!("there is no token: give --token-file or {TOKEN}")))?,
    };
    let token = EnrollmentToken::parse(&text)?;
    // Before the token is used up.
    private_files::create_dir(out).map_err(|error| AuthorityError::of(out, error))?;
    let (key, files) = actix_rt::System::new().block_on(enroll(address, &token))?;
    write_files(out, Some(&key), &files)
}

/// Writes the files of a node, its key only if it was made here; returns what to put into the configuration.
pub(super) fn write_files(
    out: &Path,
    key: Option<&NodeKey>,
    files: &NodeFiles,
) -> Result<String, AuthorityError> {
    private_files::create_dir(out).map_err(|error| AuthorityError::of(out, error))?;
    let path = |name: &str| out.join(name);
    write_private(&path("ca.pem"), &files.ca)?;
    write_private(&path("crl.pem"), &files.crl)?;
    if let Some(key) = key {
        write_private(&path("node.key"), &key.pem())?;
    }
    write_private(&path("node.pem"), &files.certificate)?;
    let line = |key: &str, name: &str| format!("{key} = {:?}\n", path(name).display().to_string());
    Ok([
        "[transport]\n".to_owned(),
        line("certificate", "node.pem"),
        line("key", "node.key"),
        line("ca", "ca.pem"),
        line("crl", "crl.pem"),
    ]
    .concat())
}
