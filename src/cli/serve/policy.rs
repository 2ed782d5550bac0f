//! The policy file: read at the start, and again when it has changed. A file with a fault leaves the former policy in force.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::BoxError;
use super::watched_files::{LOOK, WatchedFiles};
use crate::web::policy::Policy;
use crate::web::policy::file::PolicyFile;

/// The policy of this file, if there is one.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn open(path: &Path) -> Result<Arc<Policy>, BoxError> {
    open_and_look(path, LOOK)
}

fn open_and_look(path: &Path, look: Duration) -> Result<Arc<Policy>, BoxError> {
    let policy = Arc::new(Policy::default());
    if !path.as_os_str().is_empty() {
        let watched = WatchedFiles::new([path]);
        policy.replace(read(path).map_err(|faults| faults.join("; "))?);
        let (policy, path) = (Arc::clone(&policy), path.to_owned());
        actix_rt::spawn(watched.watch(look, move || match read(&path) {
            Ok(file) => {
                policy.replace(file);
                tracing::info!(file = %path.display(), "policy file read again");
            }
            Err(faults) => {
                let faults = faults.join("; ");
                tracing::error!(
                    faults,
                    "the policy file is faulty; the former policy stays in force"
                );
            }
        }));
    }
    Ok(policy)
}

fn read(path: &Path) -> Result<PolicyFile, Vec<String>> {
    let file = PolicyFile::read(path)?;
    for warning in &file.warnings {
        tracing::warn!(file = %path.display(), "policy: {warning}");
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Context, ProjectId};
    use crate::web::auth::Scope;
    use crate::web::policy::member;

    #[actix::test]
    async fn a_changed_file_is_read_again_and_a_faulty_one_is_not_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.yaml");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        write("'volume:create': 'role:creator'");
        let look = Duration::from_millis(2);
        let policy = open_and_look(&path, look).unwrap();
        let create = |role: &str| {
            let context = Context {
                roles: vec![role.to_owned()],
                is_admin: false,
                ..Context::internal("test")
            };
            policy.allows(
                member("volume:create"),
                &context,
                &Scope::Project,
                &ProjectId::from("p"),
            )
        };
        assert_eq!((create("creator"), create("member")), (true, false));
        let reread = async |expected: (bool, bool)| {
            for _ in 0..5000 {
                if (create("creator"), create("maker")) == expected {
                    return;
                }
                tokio::time::sleep(look).await;
            }
            panic!("{expected:?} was not read");
        };
        write("'volume:create': 'role:maker or role:x'");
        reread((false, true)).await;
        write("'volume:create': 'role:creator or'");
        for _ in 0..10 {
            tokio::time::sleep(look).await;
        }
        reread((false, true)).await;
        write("'volume:create': 'role:creator or role:maker'");
        reread((true, true)).await;
        assert!(open(&folder.path().join("none.yaml")).is_err());
    }
}
