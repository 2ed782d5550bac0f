//! `pumice serve`: puts the rooms together.

use std::process::ExitCode;

use crate::config::Config;

/// Runs the service until it is told to stop.
///
/// # Errors
/// Something that must be there at start is not: a port, the data directory, the store.
pub fn serve(config: Config) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let _ = config;
    Err("serving is not wired yet".into())
}
