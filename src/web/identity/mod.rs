//! The embedded identity service: the part of Keystone v3 that clients need to log in, for sites without Keystone.
//!
//! ```text
//!   POST /identity/v3/auth/tokens ── login (parse) ── throttle ── password (argon2) ── directory (user, project)
//!                                                                                              └─ tokens ── seal
//!   GET  /v3/…  X-Auth-Token ─────── tokens ── seal, catalog (revoked?), directory ── Principal
//! ```
//!
//! Users, projects and roles are those of the configuration, or the `admin` created at the first start; they
//! cannot be changed over HTTP. Passwords are stored as argon2 hashes, tokens not at all.

mod bootstrap;
mod bounded;
mod directory;
mod login;
mod login_queue;
mod lookups;
mod options;
mod password;
mod password_error;
mod refusal;
mod requester;
mod routes;
mod seal;
mod throttle;
mod tokens;
mod view;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use self::directory::Directory;
use self::login::{Login, Proof, Reference, Scope};
use self::password::Passwords;
use self::password_error::PasswordError;
use self::seal::Claims;
use self::throttle::Throttle;
use self::tokens::{Session, TokenRequest, Tokens};
use super::auth::{Authenticator, Principal};
use super::fault::Fault;
use crate::model::identity::TokenKeys;
use crate::model::volume::Secret;
use crate::model::{Project, RoleAssignment, Timestamp, User, UserId};
use crate::rng;
use crate::store::catalog::Catalog;
use crate::store::{CommitError, StoreError};

pub use self::bootstrap::CLOUDS;
pub use self::options::{IdentityOptions, PasswordCost, UserOptions};
pub use self::password::check_hash;
pub use self::refusal::Refusal;
pub use self::routes::{add_routes, configure};

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

/// Users, projects and tokens.
pub struct Identity {
    options: IdentityOptions,
    directory: Arc<Directory>,
    passwords: Passwords,
    throttle: Throttle,
    tokens: Tokens,
}

impl Identity {
    /// Opens the service on this catalog with the users of the options, else with those stored, else with a new
    /// `admin`.
    ///
    /// # Errors
    /// [`OpenError`]: what the operator has to correct.
    pub async fn open(catalog: Catalog, mut options: IdentityOptions) -> Result<Self, OpenError> {
        let passwords =
            Passwords::new(options.password_cost, options.password_workers).map_err(OpenError::Cost)?;
        let (tokens, keys) = Tokens::open(catalog.clone(), options.token_lifetime).await?;
        let directory = if options.users.is_empty() {
            stored_or_new(&catalog, &options, &passwords).await?
        } else {
            configured(&options.users, &passwords, &keys).await?
        };
        // From here on only the hashes are needed.
        for user in &mut options.users {
            user.password = None;
        }
        Ok(Self {
            tokens,
            directory: Arc::new(directory),
            throttle: Throttle::default(),
            passwords,
            options,
        })
    }

    /// Removes the records of expired tokens periodically, until the future is dropped.
    pub async fn keep_tidy(self: Arc<Self>, every: Duration) {
        loop {
            match self.tokens.sweep(Timestamp::now()).await {
                Ok(0) => {}
                Ok(removed) => tracing::debug!(removed, "expired tokens removed"),
                Err(error) => {
                    tracing::warn!(error = %super::fault::chain(&error), "cannot remove expired tokens")
                }
            }
            tokio::time::sleep(every).await;
        }
    }

    /// Authenticates a login and issues a token.
    ///
    /// # Errors
    /// 401 that does not say which part was wrong, 429 after too many failures, 503 if too many logins are waiting.
    async fn login(&self, login: &Login, peer: IpAddr) -> Result<(Secret, Claims), Refusal> {
        let directory = &self.directory;
        let mut who: Option<UserId> = None;
        let mut parent: Option<Claims> = None;
        for proof in &login.proofs {
            let proven = match proof {
                Proof::Password { user, password } => {
                    self.check_password(directory, user, password, peer).await?
                }
                Proof::Token(text) => {
                    let session = self.tokens.resolve(text.reveal(), directory).await?;
                    let session = session.ok_or_else(Refusal::unauthorized)?;
                    parent = Some(session.token.clone());
                    session.token.user_id.clone()
                }
            };
            if who.get_or_insert_with(|| proven.clone()) != &proven {
                return Err(Refusal::unauthorized());
            }
        }
        let user = who
            .and_then(|id| directory.user(&id))
            .ok_or_else(Refusal::unauthorized)?;
        let project = scope(directory, user, &login.scope)?;
        let request = TokenRequest {
            user_id: user.id.clone(),
            project_id: project.map(|project| project.id.clone()),
            by_password: login
                .proofs
                .iter()
                .any(|proof| matches!(proof, Proof::Password { .. })),
            parent,
        };
        let (text, token) = self.tokens.issue(request, directory).await?;
        tracing::info!(
            user_id = %token.user_id,
            project_id = token.project_id.as_ref().map(tracing::field::display),
            audit_id = %token.audit_id,
            "token issued"
        );
        Ok((text, token))
    }

    /// The user with this name and password.
    async fn check_password(
        &self,
        directory: &Directory,
        user: &Reference,
        password: &Secret,
        peer: IpAddr,
    ) -> Result<UserId, Refusal> {
        let known = match user {
            Reference::Id(id) => directory.user(&UserId::from(id.as_str())),
            Reference::Name(name) => directory.user_by_name(name),
            Reference::Elsewhere(_) => None,
        };
        let attempt = self
            .throttle
            .attempt(known.map(|user| &user.id), user.text(), peer);
        let refuse = |wait: Duration| {
            tracing::warn!(%peer, wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), "login throttled");
            Err(Refusal::slow_down(wait))
        };
        if let Some(wait) = self.throttle.wait(&attempt, Instant::now()) {
            return refuse(wait);
        }
        let permit = self.passwords.permit(&attempt).await?;
        // Other attempts may have failed while this one waited for its permit.
        if let Err(wait) = self.throttle.take(&attempt, Instant::now()) {
            return refuse(wait);
        }
        let hash = known.map(|user| &user.password_hash);
        let fits = self.passwords.verify(permit, hash, password).await?;
        match known.filter(|_| fits) {
            Some(user) => {
                self.throttle.succeeded(&attempt, &user.id);
                Ok(user.id.clone())
            }
            None => {
                // The name is not logged: people type passwords there.
                tracing::warn!(%peer, user_id = known.map(|user| user.id.as_str()), "login refused");
                Err(Refusal::unauthorized())
            }
        }
    }

    /// The session of a token, if it is valid now.
    async fn session(&self, text: &str) -> Result<Option<Session>, StoreError> {
        self.tokens.resolve(text, &self.directory).await
    }
}

#[async_trait]
impl Authenticator for Identity {
    async fn authenticate(&self, token: &str) -> Result<Option<Principal>, Fault> {
        Ok(self.session(token).await?.map(|session| session.principal))
    }

    fn login_uri(&self, base_url: &str) -> String {
        format!("{base_url}/identity/v3")
    }
}

/// The project of a scope.
fn scope<'a>(directory: &'a Directory, user: &User, scope: &Scope) -> Result<Option<&'a Project>, Refusal> {
    let with_role = |project: &&Project| !directory.roles_in(&user.id, &project.id).is_empty();
    let project = match scope {
        Scope::Unscoped => return Ok(None),
        Scope::Default => {
            let default = user.default_project.as_ref().and_then(|id| directory.project(id));
            return Ok(default.filter(with_role));
        }
        Scope::Project(Reference::Id(id)) => directory.project(&id.as_str().into()),
        Scope::Project(Reference::Name(name)) => directory.project_by_name(name),
        Scope::Project(Reference::Elsewhere(_)) => None,
        Scope::Domain => {
            return Err(Refusal::unauthorized_because(
                "Tokens are for projects here: no domain has roles to give.",
            ));
        }
        Scope::System => {
            return Err(Refusal::unauthorized_because(
                "Tokens are for projects here: there is no system scope. Ask for a project in which you are an \
                 administrator.",
            ));
        }
    };
    project
        .filter(with_role)
        .map(Some)
        .ok_or_else(Refusal::unauthorized)
}

async fn configured(
    users: &[UserOptions],
    passwords: &Passwords,
    keys: &TokenKeys,
) -> Result<Directory, OpenError> {
    let mut directory = Directory::default();
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
                let known = directory.user_by_name(&user.name);
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

async fn stored_or_new(
    catalog: &Catalog,
    options: &IdentityOptions,
    passwords: &Passwords,
) -> Result<Directory, OpenError> {
    let users: Vec<User> = catalog
        .users()
        .await?
        .into_iter()
        .map(|user| user.record)
        .collect();
    let clouds = options
        .clouds_dir
        .as_ref()
        .map(|folder| folder.join(bootstrap::CLOUDS));
    if !users.is_empty() {
        let projects = catalog
            .projects()
            .await?
            .into_iter()
            .map(|project| project.record);
        let mut assignments = Vec::new();
        for user in &users {
            assignments.extend(
                catalog
                    .roles_of(&user.id)
                    .await?
                    .into_iter()
                    .map(|roles| roles.record),
            );
        }
        let directory = Directory::of(users, projects, assignments);
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
        return Ok(directory);
    }
    let password = bootstrap::random_password();
    let project = directory::project(bootstrap::ADMIN);
    let hash = passwords
        .hash(&password, rng::number())
        .await
        .map_err(|error| OpenError::Password(bootstrap::ADMIN.to_owned(), error))?;
    let user = directory::user(bootstrap::ADMIN, hash, project.id.clone());
    let assignment = RoleAssignment {
        user_id: user.id.clone(),
        project_id: project.id.clone(),
        roles: [bootstrap::ADMIN.to_owned()].into(),
    };
    match &clouds {
        Some(path) => {
            let text = bootstrap::clouds_yaml(options, &password);
            on_disk(path, move |path| bootstrap::write_private(path, &text)).await?;
            tracing::info!(user = bootstrap::ADMIN, path = %path.display(), "first user created; its password is in this file");
        }
        None => tracing::warn!(
            user = bootstrap::ADMIN,
            "first user created, but no folder is configured for the file with its password"
        ),
    }
    let mut changes = catalog.change();
    changes
        .put_project(&project)
        .put_user(&user)
        .put_roles(&assignment);
    changes.commit().await?;
    Ok(Directory::of([user], [project], [assignment]))
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
