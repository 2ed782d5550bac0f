//! What logs in: the file with the administrator's password must be its owner's alone.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::finding::Told;
use crate::config::auth::Strategy;
use crate::config::{Config, Role};
use crate::web::identity::CLOUDS;

const CHECK: &str = "identity";

/// Tells of `clouds.yaml`.
pub fn check(config: &Config, told: &Told) {
    if !config.node.has(Role::Control) || config.auth.strategy != Strategy::Embedded {
        return;
    }
    let path = config.node.data_dir.join(CLOUDS);
    match std::fs::metadata(&path) {
        Ok(found) => judge(
            &path,
            found.mode() & 0o777,
            found.uid(),
            rustix::process::geteuid().as_raw(),
            told,
        ),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if config.auth.users.is_empty() {
                told.ok(CHECK, format!("{} is made at the first start", path.display()));
            } else {
                told.ok(CHECK, format!("{} users are configured", config.auth.users.len()));
            }
        }
        Err(error) => told.warn(
            CHECK,
            format!("{} cannot be looked at: {error}", path.display()),
            "run pumice doctor as the user that serves",
        ),
    }
}

fn judge(path: &Path, mode: u32, owner: u32, user: u32, told: &Told) {
    let path = path.display();
    if mode & 0o077 != 0 {
        told.fault(
            CHECK,
            format!("{path} holds a password, and others may read it (mode {mode:04o})"),
            format!("chmod 600 {path}"),
        );
    } else if owner != user && user != 0 {
        told.fault(
            CHECK,
            format!("{path} belongs to user {owner}, not to user {user}"),
            format!("chown {user} {path}"),
        );
    } else {
        told.ok(CHECK, format!("{path} is its owner's alone"));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::judge;
    use crate::cli::doctor::finding::{Outcome, Told};

    #[test]
    fn a_password_that_others_may_read_is_a_fault() {
        let judged = |mode, owner, user| {
            let path = Path::new("/d/clouds.yaml");
            Told::collect(None, |told| judge(path, mode, owner, user, told)).remove(0)
        };
        assert_eq!(judged(0o600, 7, 7).outcome, Outcome::Ok);
        assert_eq!(judged(0o600, 7, 0).outcome, Outcome::Ok);
        assert_eq!(
            judged(0o640, 7, 7).mend.as_deref(),
            Some("chmod 600 /d/clouds.yaml")
        );
        assert_eq!(judged(0o600, 7, 8).outcome, Outcome::Fault);
    }
}
