//! The start of the identity service: the users of the configuration, or the first `admin`.

use super::bootstrap;
use super::directory::{self, Configured};
use super::options::{IdentityOptions, UserOptions};
use super::password::{Passwords, check_hash};
use super::password_error::PasswordError;
use super::seal;
use crate::model::identity::{DEFAULT_DOMAIN, TokenKeys, role_id};
use crate::model::{Project, RoleAssignment, User};
use crate::rng;
use crate::store::catalog::Catalog;
use crate::store::{CommitError, StoreError};

/// Why the identity service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A user without a password.
    #[error("user '{0}' has neither password nor password_hash")]
    NoPassword(String),
    /// A user with two passwords.
    #[error("user '{0}' has both password and password_hash: which one counts?")]
    TwoPasswords(String),
    /// A user that is defined twice, with different passwords.
    #[error("user '{0}' is defined twice, with different passwords")]
    DifferentPasswords(String),
    /// A password that cannot be hashed, or an invalid hash.
    #[error("user '{0}'")]
    Password(String, #[source] PasswordError),
    /// The password cost is invalid.
    #[error("invalid password cost")]
    Cost(#[source] PasswordError),
    /// The catalog failed.
    #[error("reading users from the catalog")]
    Store(#[from] StoreError),
    /// The first user could not be stored.
    #[error("storing the first user")]
    Commit(#[from] CommitError),
    /// `clouds.yaml` could not be written.
    #[error("cannot write {0}")]
    Clouds(String, #[source] std::io::Error),
}

/// The users of the configuration, with the hashes of their passwords.
pub(super) async fn configured(
    users: &[UserOptions],
    passwords: &Passwords,
    keys: &TokenKeys,
) -> Result<Configured, OpenError> {
    let mut directory = Configured::default();
    for (place, user) in users.iter().enumerate() {
        let failed = |error| OpenError::Password(user.name.clone(), error);
        let first = users[..place].iter().find(|other| other.name == user.name);
        let hash = match (&user.password, &user.password_hash) {
            (Some(_), Some(_)) => return Err(OpenError::TwoPasswords(user.name.clone())),
            // The same user, for another project.
            (password, hash) if let Some(first) = first => {
                let is_given = password.is_some() || hash.is_some();
                if is_given && (password, hash) != (&first.password, &first.password_hash) {
                    return Err(OpenError::DifferentPasswords(user.name.clone()));
                }
                let known = directory.named::<User>(&user.name);
                known
                    .map(|known| known.password_hash.clone())
                    .ok_or_else(|| OpenError::NoPassword(user.name.clone()))?
            }
            (Some(password), None) => {
                let salt = seal::salt(keys, &directory::user_id(&user.name));
                passwords.hash(password, salt).await.map_err(failed)?
            }
            (None, Some(hash)) => {
                check_hash(hash).map_err(failed)?;
                hash.clone()
            }
            (None, None) => return Err(OpenError::NoPassword(user.name.clone())),
        };
        directory.add(user, hash);
    }
    Ok(directory)
}

/// Creates the first `admin` if there are no users, and corrects the address in `clouds.yaml`.
pub(super) async fn first_admin(
    catalog: &Catalog,
    options: &IdentityOptions,
    passwords: &Passwords,
) -> Result<(), OpenError> {
    let clouds = options
        .clouds_dir
        .as_ref()
        .map(|folder| folder.join(bootstrap::CLOUDS));
    if catalog.has_identity_records::<User>(1).await? {
        if let Some(path) = clouds {
            let auth_url = bootstrap::auth_url(options);
            on_disk(&path, move |path| match std::fs::read_to_string(path) {
                Ok(text) => match bootstrap::readdress(&text, &auth_url) {
                    Some(text) => bootstrap::write_private(path, &text),
                    None => Ok(()),
                },
                // The operator may have moved it; nothing depends on it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            })
            .await?;
        }
        return Ok(());
    }
    let password = bootstrap::random_password();
    // An earlier one remains if all users were deleted, or there is one that an administrator has created.
    let new = directory::project(bootstrap::ADMIN);
    let stored = match catalog.identity_record::<Project>(new.id.as_str()).await? {
        Some(stored) => Some(stored),
        None => {
            catalog
                .identity_record_named::<Project>(DEFAULT_DOMAIN, bootstrap::ADMIN)
                .await?
        }
    };
    let project = stored.as_ref().map_or(&new, |stored| &stored.record);
    let hash = passwords
        .hash(&password, rng::number())
        .await
        .map_err(|error| OpenError::Password(bootstrap::ADMIN.to_owned(), error))?;
    let user = directory::user(bootstrap::ADMIN, hash, project.id.clone());
    let assignment = RoleAssignment {
        user_id: user.id.clone(),
        project_id: project.id.clone(),
        roles: [role_id(bootstrap::ADMIN)].into(),
        token_generation: 0,
    };
    if let Some(path) = &clouds {
        let text = bootstrap::clouds_yaml(options, &password);
        on_disk(path, move |path| bootstrap::write_private(path, &text)).await?;
    }
    let mut changes = catalog.change();
    changes.insert(&user);
    if stored.is_none() {
        changes.insert(project);
    }
    match catalog.role_assignment(&user.id, &project.id).await? {
        Some(was) => changes.update(&was, &assignment),
        None => changes.insert(&assignment),
    };
    match (changes.commit().await, &clouds) {
        (Ok(_), Some(path)) => {
            tracing::info!(user = bootstrap::ADMIN, path = %path.display(), "first user created; its password is in this file");
        }
        (Ok(_), None) => tracing::warn!(
            user = bootstrap::ADMIN,
            "first user created, but no folder is configured for the file with its password"
        ),
        // Another control node has created it at the same moment, with the password that is in its file.
        (Err(CommitError::Conflict(_)), Some(path)) => {
            on_disk(path, |path| std::fs::remove_file(path)).await?
        }
        (Err(CommitError::Conflict(_)), None) => {}
        (Err(error), _) => return Err(error.into()),
    }
    Ok(())
}

/// Runs a file operation on a blocking thread.
async fn on_disk(
    path: &std::path::Path,
    work: impl FnOnce(&std::path::Path) -> std::io::Result<()> + Send + 'static,
) -> Result<(), OpenError> {
    let owned = path.to_owned();
    let done = tokio::task::spawn_blocking(move || work(&owned)).await;
    done.unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(|error| OpenError::Clouds(path.display().to_string(), error))
}
