//! `pumice doctor`: checks whether this host can serve the configuration, and prints how to correct faults.
//!
//! It changes nothing, needs no running service, and may run beside one: what that one holds does not matter. Each check has a
//! time limit, since a hanging check is a finding, too. Reading the state of the machine (`machine`) and assessing it (all
//! others) are separated as far as possible; the drivers define their programs, packages and modules.
//!
//! Exit codes: 0 it can serve, possibly with warnings; 1 there are faults; 2 the configuration cannot be read.

mod configuration;
mod file;
mod finding;
mod folder;
mod identity;
mod kernel_target;
mod limited;
mod listen;
mod lvm;
mod machine;
mod node;
mod portal;
mod programs;
mod report;
mod tgt;
mod web;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use super::{DoctorArgs, EXIT_USAGE};
use crate::config::backend::{Driver, Target};
use crate::config::{Config, Examined, Role, Surroundings};

use self::finding::{Finding, Outcome, Reporter};
use self::limited::Running;

/// Checks this host for a configuration.
#[expect(clippy::print_stdout, reason = "this prints the command's output")]
pub fn doctor(args: &DoctorArgs, surroundings: &Surroundings) -> ExitCode {
    let examined = Config::examine(args.config.as_deref(), surroundings, &[]);
    let mut findings = Reporter::collect(None, |reporter| {
        configuration::assess(&examined, args.config.as_deref(), reporter);
    });
    let Examined { config, whole, .. } = examined;
    if whole {
        findings.extend(look(config, &surroundings.hostname));
    }
    if args.json {
        print!("{}", report::json(&findings));
    } else {
        print!("{}", report::text(&findings, std::io::stdout().is_terminal()));
    }
    exit_code(whole, &findings)
}

fn exit_code(whole: bool, findings: &[Finding]) -> ExitCode {
    if !whole {
        ExitCode::from(EXIT_USAGE)
    } else if findings.iter().any(|finding| finding.outcome == Outcome::Fault) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Runs all checks concurrently; returns the findings in the order of the checks.
fn look(config: Config, hostname: &str) -> Vec<Finding> {
    let config = Arc::new(config);
    let mut running = of_node(&config, hostname);
    if config.node.has(Role::Volume) {
        for name in config.backend.keys() {
            running.extend(of_backend(&config, name));
        }
    }
    running.into_iter().flat_map(Running::wait).collect()
}

fn of_node(config: &Arc<Config>, hostname: &str) -> Vec<Running> {
    let shared = || Arc::clone(config);
    let (one, two, three, four) = (shared(), shared(), shared(), shared());
    let hostname = hostname.to_owned();
    vec![
        limited::start("node.data_dir", None, move |_, reporter| {
            node::data_dir(&one, reporter)
        }),
        limited::start("node.clock", None, node::clock),
        limited::start("node", None, move |_, reporter| {
            node::open_files(reporter);
            node::host(&two.node.host, &hostname, reporter);
        }),
        limited::start("web.listen", None, move |_, reporter| {
            web::check(&three, reporter)
        }),
        limited::start("identity", None, move |_, reporter| {
            identity::check(&four, reporter)
        }),
    ]
}

fn of_backend(config: &Arc<Config>, name: &str) -> Vec<Running> {
    let Some(backend) = config.backend.get(name) else {
        return Vec::new();
    };
    let mut running = Vec::new();
    let parts = || (name.to_owned(), backend.clone(), config.node.clone());
    let (own, backend_of, node) = parts();
    match backend.driver {
        Driver::File => running.push(limited::start("file", Some(name), move |_, reporter| {
            file::check(&own, &backend_of, reporter);
        })),
        Driver::Lvm => running.push(limited::start("lvm", Some(name), move |work, reporter| {
            lvm::check(&own, &backend_of, &node.host, work, reporter);
        })),
        Driver::Fake => {}
    }
    let (own, backend_of, node) = parts();
    match backend.target {
        Target::Tgt => running.push(limited::start("tgt", Some(name), move |work, reporter| {
            tgt::check(&own, &backend_of, &node.data_dir, work, reporter);
        })),
        Target::Lio | Target::Nvmet => {
            running.push(limited::start("kernel", Some(name), move |_, reporter| {
                kernel_target::check(&own, &backend_of, reporter);
            }))
        }
        Target::Fake | Target::None => {}
    }
    running
}
