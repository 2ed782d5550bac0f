//! `pumice check-config`: prints all faults of a configuration, or that it is valid.

use std::process::ExitCode;

use super::CheckConfigArgs;
use super::serve::{keystone, notifications, transport};
use crate::config::{Config, DEFAULTS, Surroundings};
use crate::web::policy::file::PolicyFile;
use crate::web::tls::Certificate;

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
            if !config.auth.policy_file.as_os_str().is_empty() {
                match PolicyFile::read(&config.auth.policy_file) {
                    Ok(policy) => policy.warnings.iter().for_each(|warning| {
                        println!("{}: warning: {warning}", config.auth.policy_file.display())
                    }),
                    Err(faults) => {
                        faults
                            .iter()
                            .for_each(|fault| println!("{}: auth.policy_file: {fault}", file.display()));
                        return ExitCode::from(super::EXIT_USAGE);
                    }
                }
            }
            let mut faults = keystone::faults(&config);
            faults.extend(notifications::fault(&config));
            if !faults.is_empty() {
                faults
                    .iter()
                    .for_each(|fault| println!("{}: {fault}", file.display()));
                return ExitCode::from(super::EXIT_USAGE);
            }
            if config.web.has_tls()
                && let Err(fault) = Certificate::read(&config.web.tls_certificate, &config.web.tls_key)
            {
                println!("{}: web.tls_certificate: {fault}", file.display());
                return ExitCode::from(super::EXIT_USAGE);
            }
            match transport::read(&config) {
                Ok(credentials) => {
                    if let Some(warning) = credentials.as_ref().and_then(transport::warning) {
                        println!("{}: warning: transport.certificate: {warning}", file.display());
                    }
                }
                Err(fault) => {
                    println!("{}: transport.certificate: {fault}", file.display());
                    return ExitCode::from(super::EXIT_USAGE);
                }
            }
            println!("{}: right", file.display());
            ExitCode::SUCCESS
        }
        Err(faults) => super::refuse(&faults),
    }
}
