//! The tokens of a Keystone (`auth.strategy = "keystone"`), validated as keystonemiddleware does (`auth_token/__init__.py`).
//!
//! ```text
//!   request ── cache ── found ──────────────────────────────────────────── Principal, or 401
//!                └─ not found ── questions (one thread) ── one question for each token
//!                                   └─ client ── GET /v3/auth/tokens, with the service's own token
//! ```
//!
//! | Keystone answers | the client gets |
//! |---|---|
//! | 200 with a token | its request is served; the answer holds for `cache_time`, at most until the token expires |
//! | 404 | 401; held for `cache::INVALID` |
//! | anything else, late, or nothing | 503 with `Retry-After`; nothing is held |
//!
//! So a revocation is noticed after `cache_time` at the latest, and while Keystone is down the tokens it has validated work for
//! that time.

mod access_rules;
mod cache;
mod client;
pub mod http;
mod question;
mod token;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::ArbiterHandle;
use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::cache::{Key, TokenCache};
use self::client::Client;
use self::http::{Http, TlsError};
use self::question::{Question, Questions};
use self::token::ValidToken;
use super::{Authenticator, Credentials, Principal};
use crate::model::ProjectId;
use crate::model::volume::Secret;
use crate::web::fault::Fault;

/// How many questions may wait for the thread that asks them.
const QUESTIONS: usize = 1024;

/// The text for clients while Keystone does not answer (keystonemiddleware: `auth_token/__init__.py`).
const UNAVAILABLE: &str = "The Keystone service is temporarily unavailable.";

/// `Retry-After` of that, in seconds.
const RETRY_AFTER: u32 = 2;

/// Where the password of the service's user is.
#[derive(Clone, Debug)]
pub enum Password {
    /// This text.
    Text(Secret),
    /// In this file, with at most one newline at its end.
    File(PathBuf),
}

/// The options, as in `[auth.keystone]`.
#[derive(Clone, Debug)]
pub struct KeystoneOptions {
    /// Keystone's address, with or without `/v3`.
    pub url: String,
    /// The address to log in at, for clients.
    pub www_authenticate_uri: String,
    /// The name of the service's user.
    pub username: String,
    /// Its password.
    pub password: Password,
    /// The name of the user's domain.
    pub user_domain_name: String,
    /// The name of the project that it logs in to.
    pub project_name: String,
    /// The name of the project's domain.
    pub project_domain_name: String,
    /// PEM certificates that Keystone's is checked with; `None`: those of the system.
    pub cafile: Option<PathBuf>,
    /// The time limit of a question, with login and waiting.
    pub timeout: Duration,
    /// How long an answer is used.
    pub cache_time: Duration,
    /// How many valid tokens are kept.
    pub cache_size: usize,
    /// The roles of service tokens.
    pub service_token_roles: Vec<String>,
    /// Whether a service token must have one of them.
    pub service_token_roles_required: bool,
    /// The type of this service in access rules.
    pub service_type: String,
}

impl Default for KeystoneOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            www_authenticate_uri: String::new(),
            username: "cinder".to_owned(),
            password: Password::Text(Secret::new("")),
            user_domain_name: "Default".to_owned(),
            project_name: "service".to_owned(),
            project_domain_name: "Default".to_owned(),
            cafile: None,
            timeout: Duration::from_secs(10),
            cache_time: Duration::from_secs(300),
            cache_size: 10_000,
            service_token_roles: vec!["service".to_owned()],
            service_token_roles_required: true,
            service_type: "block-storage".to_owned(),
        }
    }
}

/// Why Keystone's answer is not known. The text is for operators; it has no token and no password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeystoneError {
    /// No connection, or it ended.
    #[error("Keystone at {url} does not answer: {why}")]
    Unreachable {
        /// Keystone's address.
        url: String,
        /// What the connection ended with.
        why: String,
    },
    /// No answer in time.
    #[error("Keystone did not answer within {0:?} (auth.keystone.timeout)")]
    Late(Duration),
    /// An answer that cannot be read.
    #[error("Keystone's answer to {to} cannot be used: {why}")]
    Garbled {
        /// The request.
        to: &'static str,
        /// What is wrong with the answer.
        why: String,
    },
    /// Another status than expected.
    #[error("Keystone answered {to} with HTTP {status}")]
    Status {
        /// The request.
        to: &'static str,
        /// The status of the answer.
        status: u16,
    },
    /// The service's own login failed.
    #[error(
        "Keystone refuses the login of user {username} to project {project_name}: correct auth.keystone.username, password and \
         project_name"
    )]
    Login {
        /// The user.
        username: String,
        /// The project.
        project_name: String,
    },
    /// The service's user may not validate tokens.
    #[error(
        "Keystone does not let user {0} do {1}: give it the role service or admin in auth.keystone.project_name"
    )]
    Forbidden(String, &'static str),
    /// The file with the password cannot be read.
    #[error("the password of Keystone's user cannot be read (auth.keystone.password_file): {0}")]
    PasswordFile(String),
    /// Too many questions wait.
    #[error("too many tokens wait for Keystone's answer")]
    Overloaded,
}

impl From<KeystoneError> for Fault {
    fn from(error: KeystoneError) -> Self {
        Self {
            message: UNAVAILABLE.to_owned(),
            ..Self::unavailable(RETRY_AFTER)
        }
        .with_operator(error)
    }
}

/// Validates tokens by asking Keystone.
pub struct Keystone {
    options: KeystoneOptions,
    cache: Arc<TokenCache>,
    questions: mpsc::Sender<Question>,
}

impl Keystone {
    /// Starts the task that asks Keystone, on this arbiter. It ends with this value.
    ///
    /// # Errors
    /// If the certificates cannot be read.
    pub fn start(options: KeystoneOptions, arbiter: &ArbiterHandle) -> Result<Self, TlsError> {
        let tls = http::tls(&options.url, options.cafile.as_deref())?;
        let cache = Arc::new(TokenCache::new(options.cache_size, options.cache_time));
        let (questions, waiting) = mpsc::channel(QUESTIONS);
        let (asked, cached) = (options.clone(), Arc::clone(&cache));
        arbiter.spawn_fn(move || {
            let http = Http::new(&asked.url, tls, asked.timeout);
            let questions = Questions::new(Client::new(http, asked), cached);
            tokio::task::spawn_local(questions.answer(waiting));
        });
        Ok(Self {
            options,
            cache,
            questions,
        })
    }

    /// Logs the service in and validates its own token: whether the configuration is right.
    ///
    /// # Errors
    /// Why tokens cannot be validated.
    pub async fn check(&self) -> Result<(), KeystoneError> {
        self.ask(|reply| Question::Check { reply }).await
    }

    /// The token, if it is valid.
    async fn validate(
        &self,
        text: &str,
        allow_expired: bool,
    ) -> Result<Option<Arc<ValidToken>>, KeystoneError> {
        let key = Key::of(text, allow_expired);
        if let Some(known) = self.cache.get(&key, Instant::now()) {
            return Ok(known);
        }
        let text = Secret::new(text);
        self.ask(|reply| Question::Token {
            key,
            text,
            allow_expired,
            reply,
        })
        .await
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<Result<T, KeystoneError>>) -> Question,
    ) -> Result<T, KeystoneError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.questions.try_send(question(reply));
        sent.map_err(|_| KeystoneError::Overloaded)?;
        // The questions have their own time limit; this one is for a thread that does not run.
        match tokio::time::timeout(self.options.timeout.saturating_mul(2), answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(KeystoneError::Late(self.options.timeout)),
        }
    }

    /// Whether one of the roles is that of a service.
    fn is_service(&self, token: &ValidToken) -> bool {
        let roles = &self.options.service_token_roles;
        token.roles.iter().any(|role| roles.contains(role))
    }
}

#[async_trait]
impl Authenticator for Keystone {
    async fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Option<Principal>, Fault> {
        let mut allow_expired = false;
        if let Some(text) = credentials.service_token {
            let Some(service) = self.validate(text, false).await? else {
                return Ok(None);
            };
            allow_expired = self.is_service(&service);
            if self.options.service_token_roles_required && !allow_expired {
                return Ok(None);
            }
        }
        let Some(token) = self.validate(credentials.token, allow_expired).await? else {
            return Ok(None);
        };
        // The request of a service need not be one that the user may make.
        let is_allowed = credentials.service_token.is_some()
            || access_rules::allow(&token.access_rules, &self.options.service_type, credentials);
        Ok(is_allowed.then(|| token.principal()))
    }

    async fn has_project(&self, project: &ProjectId) -> Result<bool, Fault> {
        let id = project.clone();
        Ok(self.ask(|reply| Question::Project { id, reply }).await?)
    }

    fn login_uri(&self, _base_url: &str) -> String {
        match self.options.www_authenticate_uri.as_str() {
            "" => self.options.url.clone(),
            uri => uri.to_owned(),
        }
    }
}
