//! Credentials: only its owner may read the file with a password; and the files that are named for Keystone.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::finding::Reporter;
use crate::cli::serve;
use crate::config::auth::Strategy;
use crate::config::{Config, Role};
use crate::web::identity::CLOUDS;

const CHECK: &str = "identity";

/// Checks `clouds.yaml`, or what is named for Keystone.
pub fn check(config: &Config, reporter: &Reporter) {
    if !config.node.has(Role::Control) {
        return;
    }
    match config.auth.strategy {
        Strategy::Embedded => clouds(config, reporter),
        Strategy::Keystone => keystone(config, reporter),
        Strategy::Noauth => {}
    }
}

fn keystone(config: &Config, reporter: &Reporter) {
    let faults = serve::keystone::faults(config);
    if faults.is_empty() {
        reporter.ok(CHECK, format!("tokens are those of {}", config.keystone.url));
    }
    for fault in faults {
        reporter.fault(
            CHECK,
            fault,
            "correct the file, or name another in the configuration",
        );
    }
    let path = &config.keystone.password_file;
    if let Ok(found) = std::fs::metadata(path) {
        let user = rustix::process::geteuid().as_raw();
        assess(path, found.mode() & 0o777, found.uid(), user, reporter);
    }
}

fn clouds(config: &Config, reporter: &Reporter) {
    let path = config.node.data_dir.join(CLOUDS);
    match std::fs::metadata(&path) {
        Ok(found) => {
            let user = rustix::process::geteuid().as_raw();
            assess(&path, found.mode() & 0o777, found.uid(), user, reporter);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if config.auth.users.is_empty() {
                reporter.ok(CHECK, format!("{} is made at the first start", path.display()));
            } else {
                reporter.ok(CHECK, format!("{} users are configured", config.auth.users.len()));
            }
        }
        Err(error) => reporter.warn(
            CHECK,
            format!("{} cannot be looked at: {error}", path.display()),
            "run pumice doctor as the user that serves",
        ),
    }
}

fn assess(path: &Path, mode: u32, owner: u32, user: u32, reporter: &Reporter) {
    let path = path.display();
    if mode & 0o077 != 0 {
        reporter.fault(
            CHECK,
            format!("{path} holds a password, and others may read it (mode {mode:04o})"),
            format!("chmod 600 {path}"),
        );
    } else if owner != user && user != 0 {
        reporter.fault(
            CHECK,
            format!("{path} belongs to user {owner}, not to user {user}"),
            format!("chown {user} {path}"),
        );
    } else {
        reporter.ok(CHECK, format!("{path} is its owner's alone"));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{assess, check};
    use crate::cli::doctor::finding::{Outcome, Reporter};
    use crate::config::{Config, Surroundings};

    #[test]
    fn the_files_for_keystone_are_looked_at() {
        let text = "[auth]\nstrategy = \"keystone\"\n[auth.keystone]\nurl = \"https://k\"\npassword_file = \"/nonexistent/p\"\n\
                    cafile = \"/nonexistent/c\"\n[node]\ndata_dir = \"/d\"\n";
        let config = Config::from_layers(Some(("p.toml", text)), &Surroundings::default(), &[]).unwrap();
        let findings = Reporter::collect(None, |reporter| check(&config, reporter));
        let faults: Vec<_> = findings.iter().map(|finding| finding.outcome).collect();
        assert_eq!(faults, [Outcome::Fault, Outcome::Fault]);
    }

    #[test]
    fn a_password_that_others_may_read_is_a_fault() {
        let assessed = |mode, owner, user| {
            let path = Path::new("/d/clouds.yaml");
            Reporter::first(|reporter| assess(path, mode, owner, user, reporter))
        };
        assert_eq!(assessed(0o600, 7, 7).outcome, Outcome::Ok);
        assert_eq!(assessed(0o600, 7, 0).outcome, Outcome::Ok);
        assert_eq!(assessed(0o640, 7, 7).correction(), "chmod 600 /d/clouds.yaml");
        assert_eq!(assessed(0o600, 7, 8).outcome, Outcome::Fault);
    }
}
