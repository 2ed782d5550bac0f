//! The embedded identity service: the part of Keystone v3 that clients need to log in, and that administrators need to
//! manage users, for sites without Keystone.
//!
//! ```text
//!   POST /identity/v3/auth/tokens ── login (parse) ── authenticate ── throttle ── password (argon2)
//!                                                          └─ tokens ── seal
//!   GET  /v3/…  X-Auth-Token ─────── tokens ── seal, catalog (revoked?), directory ── Principal
//!   POST /identity/v3/users … ────── users, projects, roles, … ── resource ── verbs::identity (Api actor)
//! ```
//!
//! Users, projects and roles are those of the configuration, or the `admin` created at the first start, and those that
//! administrators create, which are in the store (`directory`). Passwords are stored as argon2 hashes, tokens not at all.

mod application_credentials;
mod assignments;
mod authenticate;
mod body;
mod bootstrap;
mod bounded;
mod directory;
mod lists;
mod login;
mod login_queue;
mod lookups;
mod open;
mod options;
mod own_password;
mod password;
mod password_error;
mod projects;
mod refusal;
mod requester;
mod resource;
mod roles;
mod routes;
mod seal;
mod shared_throttle;
mod throttle;
mod tokens;
mod users;
mod view;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::directory::{Configured, Directory};
use self::password::Passwords;
use self::shared_throttle::SharedThrottle;
use self::tokens::{Session, Tokens};
use super::auth::{Authenticator, Credentials, Principal};
use super::fault::{Fault, chain};
use crate::control::login_attempts::CountsAttempts;
use crate::messages::api::ApiTopic;
use crate::messages::logins::LoginsTopic;
use crate::model::volume::Secret;
use crate::model::{Project, ProjectId, Timestamp};
use crate::rng;
use crate::store::StoreError;
use crate::store::catalog::Catalog;
use crate::transport::Handle;

pub use self::bootstrap::CLOUDS;
pub use self::open::OpenError;
pub use self::options::{IdentityOptions, PasswordCost, UserOptions};
pub use self::password::check_hash;
pub use self::refusal::Refusal;
pub use self::routes::{add_routes, configure};

/// Users, projects and tokens.
pub struct Identity {
    options: IdentityOptions,
    directory: Directory,
    passwords: Passwords,
    throttle: Arc<SharedThrottle>,
    tokens: Tokens,
    api: Handle<ApiTopic>,
}

impl Identity {
    /// Opens the service on this catalog with the users of the options and those stored, or with a new `admin` if there
    /// are none. Changes are sent to that actor.
    ///
    /// # Errors
    /// [`OpenError`]: what the operator has to correct.
    pub async fn open(
        catalog: Catalog,
        api: Handle<ApiTopic>,
        mut options: IdentityOptions,
    ) -> Result<Self, OpenError> {
        let passwords =
            Passwords::new(options.password_cost, options.password_workers).map_err(OpenError::Cost)?;
        let (tokens, keys) = Tokens::open(catalog.clone(), options.token_lifetime).await?;
        let has_users = !options.users.is_empty();
        let configured = if has_users {
            open::configured(&options.users, &passwords, &keys).await?
        } else {
            open::first_admin(&catalog, &options, &passwords).await?;
            Configured::default()
        };
        // From here on only the hashes are needed.
        for user in &mut options.users {
            user.password = None;
        }
        Ok(Self {
            tokens,
            directory: Directory {
                configured,
                catalog,
                has_users,
            },
            throttle: Arc::default(),
            passwords,
            options,
            api,
        })
    }

    /// Counts attempts to log in together with other control nodes: those here are sent to these actors, and those of others are counted by what
    /// is returned.
    pub fn share_attempts(&self, with: Handle<LoginsTopic>) -> Arc<dyn CountsAttempts> {
        self.throttle.share_with(with);
        self.throttle.clone()
    }

    /// Removes the records of expired tokens, and what belonged to deleted users and projects, periodically until the
    /// future is dropped.
    pub async fn keep_tidy(self: Arc<Self>, every: Duration) {
        loop {
            match self.tokens.sweep(Timestamp::now()).await {
                Ok(0) => {}
                Ok(removed) => tracing::debug!(removed, "expired tokens removed"),
                Err(error) => tracing::warn!(error = %chain(&error), "cannot remove expired tokens"),
            }
            match self.directory.catalog.clean_up_identity().await {
                Ok(0) => {}
                Ok(records) => tracing::debug!(records, "deleted identity records cleaned up"),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "cannot clean up deleted identity records")
                }
            }
            tokio::time::sleep(every).await;
        }
    }

    /// Whether there is this project.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn has_project(&self, id: &ProjectId) -> Result<bool, StoreError> {
        Ok(self.directory.find::<Project>(id.as_str()).await?.is_some())
    }

    /// The hash of a new password or secret.
    async fn hash(&self, secret: &Secret) -> Result<Secret, Refusal> {
        let length = secret.reveal().len();
        if length > password::LONGEST {
            return Err(Refusal::bad_request(format!(
                "The password or secret has {length} bytes, more than {}.",
                password::LONGEST
            )));
        }
        Ok(self.passwords.hash(secret, rng::number()).await?)
    }

    /// The session of a token, if it is valid now.
    async fn session(&self, text: &str) -> Result<Option<Session>, StoreError> {
        self.tokens.resolve(text, &self.directory, Timestamp::now()).await
    }
}

#[async_trait]
impl Authenticator for Identity {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<Principal>, Fault> {
        Ok(self.session(credentials.token).await?.map(Session::principal))
    }

    async fn has_project(&self, project: &ProjectId) -> Result<bool, Fault> {
        Ok(Self::has_project(self, project).await?)
    }

    fn login_uri(&self, base_url: &str) -> String {
        format!("{base_url}/identity/v3")
    }
}
