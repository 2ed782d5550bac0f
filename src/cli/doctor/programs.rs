//! Programs that a backend needs: whether they are installed, and their packages.

use std::collections::BTreeMap;

use super::finding::Reporter;
use crate::drivers::command::{Command, CommandError};

/// Reports missing programs, grouped by package; true if none is missing.
pub fn check(check: &str, commands: &[Command], reporter: &Reporter) -> bool {
    let mut missing: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for command in commands {
        match command.find() {
            Ok(_) => {}
            Err(CommandError::Missing { program, package }) => {
                missing.entry(package).or_default().push(program)
            }
            Err(error) => report(check, None, &error, reporter),
        }
    }
    for (package, programs) in &missing {
        reporter.fault(
            check,
            format!("not installed, of the package {package}: {}", programs.join(", ")),
            format!("apt install {package}"),
        );
    }
    if missing.is_empty() {
        let names: Vec<String> = commands.iter().map(ToString::to_string).collect();
        reporter.ok(check, format!("{} installed", names.join(", ")));
    }
    missing.is_empty()
}

/// Reports why a program failed.
pub fn report(check: &str, key: Option<&str>, error: &CommandError, reporter: &Reporter) {
    let mend = match error {
        CommandError::Missing { program, package } => match key.filter(|_| program.contains('/')) {
            Some(key) => {
                format!("set {key} to where it is, or to its name alone after: apt install {package}")
            }
            None => format!("apt install {package}"),
        },
        CommandError::TimedOut { .. } | CommandError::Cancelled { .. } => super::limited::HANGS.to_owned(),
        CommandError::Start { command, .. }
        | CommandError::Exit { command, .. }
        | CommandError::NotOwned { command, .. }
        | CommandError::Superseded { command, .. } => {
            format!("see what it says, as root: {command}")
        }
    };
    reporter.fault(check, with_cause(error), mend);
}

/// An error with its causes.
pub fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{check, report};
    use crate::cli::doctor::finding::Reporter;
    use crate::drivers::command::Command;

    #[test]
    fn missing_programs_are_reported_by_package() {
        let commands = [
            Command::new("sh", "dash"),
            Command::new("no-such-program", "some-package"),
            Command::new("no-such-other", "some-package"),
            Command::new("no-such-third", "another"),
        ];
        let findings = Reporter::collect(None, |reporter| assert!(!check("programs", &commands, reporter)));
        assert_eq!(findings.len(), 2);
        assert_eq!(findings[0].correction(), "apt install another");
        let package = "some-package: no-such-program, no-such-other";
        assert!(findings[1].what.ends_with(package));
        let found = Reporter::first(|reporter| assert!(check("programs", &commands[..1], reporter)));
        assert_eq!(found.what, "sh installed");
    }

    #[test]
    fn a_program_at_a_wrong_path_is_reported_with_its_key() {
        let error = Command::new("/nowhere/tgtd", "tgt").find().unwrap_err();
        let key = Some("backend.a.tgtd");
        let found = Reporter::first(|reporter| report("programs", key, &error, reporter));
        assert!(found.correction().contains("set backend.a.tgtd"));
    }
}
