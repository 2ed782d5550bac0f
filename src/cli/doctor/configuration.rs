//! Faults and warnings of the configuration.

use std::path::Path;

use super::finding::Reporter;
use crate::config::{Examined, Fault, Origin};

const CHECK: &str = "configuration";

/// Reports all faults and warnings.
pub fn assess(examined: &Examined, file: Option<&Path>, reporter: &Reporter) {
    for fault in &examined.faults {
        reporter.fault(CHECK, fault.to_string(), mend(fault));
    }
    if !examined.whole {
        return;
    }
    for warning in examined.config.warnings() {
        reporter.remark(CHECK, warning);
    }
    if examined.faults.is_empty() {
        let what = file.map_or_else(
            || "the defaults and the environment are right".to_owned(),
            |file| format!("{} is right", file.display()),
        );
        reporter.ok(CHECK, what);
    }
}

fn mend(fault: &Fault) -> String {
    let key = if fault.key.is_empty() {
        "it"
    } else {
        fault.key.as_str()
    };
    match &fault.origin {
        Origin::File {
            path,
            line: Some(line),
        } => format!("change {key} in line {line} of {path}, then: pumice check-config {path}"),
        Origin::File { path, line: None } => {
            format!("ls -l {path}, or name another file: pumice doctor --config FILE")
        }
        Origin::Environment(name) => format!("change or unset {name}"),
        Origin::Flag(flag) => format!("change the option {flag}"),
        Origin::Default => format!("give {key} in the configuration"),
    }
}
