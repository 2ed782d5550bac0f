//! `pumice check-config`: prints all faults of a configuration, or that it is valid.

use std::process::ExitCode;

use super::CheckConfigArgs;
use crate::config::{Config, DEFAULTS, Surroundings};

/// Checks a file together with the environment, as `pumice serve` would read it. Opens nothing but the file.
#[expect(clippy::print_stdout, reason = "this prints the command's output")]
pub fn check_config(args: &CheckConfigArgs, surroundings: &Surroundings) -> ExitCode {
    let Some(file) = &args.file else {
        print!("{DEFAULTS}");
        return ExitCode::SUCCESS;
    };
    match Config::load(Some(file), surroundings, &[]) {
        Ok(config) => {
            for warning in config.warnings() {
                println!("{}: warning: {warning}", file.display());
            }
            println!("{}: right", file.display());
            ExitCode::SUCCESS
        }
        Err(faults) => super::refuse(&faults),
    }
}
