//! Programs that a backend needs: whether they are installed, and in which package they are.

use super::finding::Told;
use crate::drivers::command::{Command, CommandError};

/// Tells which of them are missing; true if none is.
pub fn check(check: &str, key: Option<&str>, commands: &[Command], told: &Told) -> bool {
    let missing: Vec<CommandError> = commands
        .iter()
        .filter_map(|command| command.find().err())
        .collect();
    for error in &missing {
        tell(check, key, error, told);
    }
    if missing.is_empty() {
        let names: Vec<String> = commands.iter().map(ToString::to_string).collect();
        told.ok(check, format!("{} installed", names.join(", ")));
    }
    missing.is_empty()
}

/// Tells why a program did not do its work.
pub fn tell(check: &str, key: Option<&str>, error: &CommandError, told: &Told) {
    let mend = match error {
        CommandError::Missing { program, package } => match key.filter(|_| program.contains('/')) {
            Some(key) => {
                format!("set {key} to where it is, or to its name alone after: apt install {package}")
            }
            None => format!("apt install {package}"),
        },
        CommandError::TimedOut { .. } | CommandError::Cancelled { .. } => super::limited::HANGS.to_owned(),
        CommandError::Start { command, .. } | CommandError::Exit { command, .. } => {
            format!("see what it says, as root: {command}")
        }
    };
    told.fault(check, with_cause(error), mend);
}

/// An error and what is behind it.
#[must_use]
pub fn with_cause(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::cli::doctor::finding::Told;
    use crate::drivers::command::Command;

    #[test]
    fn a_missing_program_is_told_with_its_package_or_its_key() {
        let commands = [
            Command::new("sh", "dash"),
            Command::new("no-such-program", "some-package"),
            Command::new("/nowhere/tgtd", "tgt"),
        ];
        let findings = Told::collect(None, |told| {
            assert!(!check("tgt.programs", Some("backend.a.tgtd"), &commands, told));
        });
        assert_eq!(findings.len(), 2);
        assert_eq!(findings[0].mend.as_deref(), Some("apt install some-package"));
        assert!(
            findings[1]
                .mend
                .as_deref()
                .unwrap()
                .contains("set backend.a.tgtd")
        );
    }
}
