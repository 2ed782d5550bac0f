//! What Keystone is asked, with the service's own token.
//!
//! The service logs in when it needs a token, again before that one expires, and again when Keystone refuses it. A refused login is not
//! repeated at once, for Keystone may lock a user after some of them.

use std::time::Duration;

use actix_web::http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::http::{Answer, Http, garbled};
use super::token::ValidToken;
use super::{KeystoneError, KeystoneOptions, Password};
use crate::model::volume::Secret;
use crate::model::{ProjectId, Timestamp};

/// How long before its end the service's token is renewed (keystoneauth1: 30 s).
const RENEWED_BEFORE: Duration = Duration::from_secs(30);

/// How long a refused login is not repeated; each further refusal doubles it, up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);

const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A client with the service's token. It belongs to one thread.
pub(super) struct Client {
    http: Http,
    options: KeystoneOptions,
    login: Mutex<Login>,
}

#[derive(Default)]
struct Login {
    token: Option<ServiceToken>,
    /// Until when a refused login is not repeated, and how long the next pause is.
    refused: Option<(Instant, Duration)>,
}

#[derive(Clone)]
struct ServiceToken {
    text: Secret,
    renewed_at: Instant,
}

impl Client {
    pub(super) fn new(http: Http, options: KeystoneOptions) -> Self {
        Self {
            http,
            options,
            login: Mutex::default(),
        }
    }

    /// The time limit of a question.
    pub(super) fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// The token; `None` if Keystone does not know it, or if it has expired.
    pub(super) async fn token(
        &self,
        text: &Secret,
        allow_expired: bool,
    ) -> Result<Option<ValidToken>, KeystoneError> {
        const VALIDATION: &str = "the validation of a token";
        let path = match allow_expired {
            true => "/auth/tokens?nocatalog&allow_expired=1",
            false => "/auth/tokens?nocatalog",
        };
        // The second header says that access rules are enforced here: else Keystone refuses tokens that have some.
        let headers = [
            ("X-Subject-Token", text.reveal()),
            ("OpenStack-Identity-Access-Rules", "1.0"),
        ];
        let answer = self.ask(VALIDATION, path, &headers).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(self.unexpected(VALIDATION, status)),
        }
        if answer
            .header("X-Subject-Token")
            .is_some_and(|subject| subject != text.reveal())
        {
            return Err(garbled(VALIDATION, "it is about another token"));
        }
        let token = ValidToken::read(&answer.body).map_err(|why| garbled(VALIDATION, why))?;
        let is_over = token.expires_at <= Timestamp::now();
        Ok((allow_expired || !is_over).then_some(token))
    }

    /// Whether there is this project. If the service's user may not know, it is taken to be there.
    pub(super) async fn has_project(&self, id: &ProjectId) -> Result<bool, KeystoneError> {
        const LOOKUP: &str = "the look-up of a project";
        let path = format!("/projects/{}", utf8_percent_encode(id.as_str(), NON_ALPHANUMERIC));
        match self.ask(LOOKUP, &path, &[]).await?.status {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            StatusCode::FORBIDDEN => {
                let error = self.unexpected(LOOKUP, StatusCode::FORBIDDEN);
                tracing::warn!(%error, "whether a project exists is not known");
                Ok(true)
            }
            status => Err(self.unexpected(LOOKUP, status)),
        }
    }

    /// Validates the service's own token.
    pub(super) async fn check(&self) -> Result<(), KeystoneError> {
        let own = self.own_token(None).await?;
        match self.token(&own.text, false).await? {
            Some(_) => Ok(()),
            None => Err(garbled(
                "the validation of a token",
                "the token it gave out is not valid",
            )),
        }
    }

    /// Sends a GET with the service's token; with a new one, if it is refused.
    async fn ask(
        &self,
        to: &'static str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, KeystoneError> {
        let mut refused = None;
        loop {
            let own = self.own_token(refused.as_ref()).await?;
            let headers = [headers, &[("X-Auth-Token", own.text.reveal())]].concat();
            let answer = self.http.send(to, "GET", path, &headers, None).await?;
            if answer.status == StatusCode::UNAUTHORIZED && refused.is_none() {
                refused = Some(own.text);
                continue;
            }
            return Ok(answer);
        }
    }

    fn unexpected(&self, to: &'static str, status: StatusCode) -> KeystoneError {
        match status {
            StatusCode::FORBIDDEN => KeystoneError::Forbidden(self.options.username.clone(), to),
            status => KeystoneError::Status {
                to,
                status: status.as_u16(),
            },
        }
    }

    /// The service's token: another than `refused`, and one that holds a while.
    async fn own_token(&self, refused: Option<&Secret>) -> Result<ServiceToken, KeystoneError> {
        // Held during the login, so that there is one at a time.
        let mut login = self.login.lock().await;
        let known = login.token.as_ref().filter(|token| {
            token.renewed_at > Instant::now() && refused.is_none_or(|refused| *refused != token.text)
        });
        if let Some(token) = known {
            return Ok(token.clone());
        }
        login.token = None;
        if login.refused.is_some_and(|(until, _)| until > Instant::now()) {
            return Err(self.refusal());
        }
        let found = self.log_in().await;
        match &found {
            Ok(token) => {
                *login = Login {
                    token: Some(token.clone()),
                    refused: None,
                };
            }
            Err(KeystoneError::Login { .. }) => {
                let pause = login.refused.map_or(PAUSE, |(_, pause)| pause);
                let next = pause.saturating_mul(2).min(LONGEST_PAUSE);
                login.refused = Some((Instant::now() + pause, next));
            }
            Err(_) => {}
        }
        found
    }

    async fn log_in(&self) -> Result<ServiceToken, KeystoneError> {
        const LOGIN: &str = "the service's login";
        #[derive(Deserialize)]
        struct Body {
            token: Token,
        }
        #[derive(Deserialize)]
        struct Token {
            expires_at: String,
        }
        let options = &self.options;
        let password = self.password().await?;
        let body = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": options.username,
                "domain": {"name": options.user_domain_name},
                "password": password.reveal(),
            }}},
            "scope": {"project": {
                "name": options.project_name,
                "domain": {"name": options.project_domain_name},
            }},
        }});
        let asked_at = Instant::now();
        let answer = self
            .http
            .send(LOGIN, "POST", "/auth/tokens?nocatalog", &[], Some(&body))
            .await?;
        match answer.status {
            StatusCode::CREATED => {}
            StatusCode::UNAUTHORIZED => return Err(self.refusal()),
            status => return Err(self.unexpected(LOGIN, status)),
        }
        let text = answer.header("X-Subject-Token").filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| garbled(LOGIN, "it has no token"))?;
        let token: Option<Body> = serde_json::from_slice(&answer.body).ok();
        let expires_at = token.and_then(|body| Timestamp::parse(&body.token.expires_at));
        let expires_at =
            expires_at.ok_or_else(|| garbled(LOGIN, "it does not say when the token expires"))?;
        let left = expires_at.since(Timestamp::now());
        // A token that holds for a short time is used for half of it.
        let used = left.saturating_sub(RENEWED_BEFORE).max(left / 2);
        Ok(ServiceToken {
            text: Secret::new(text),
            renewed_at: asked_at + used,
        })
    }

    fn refusal(&self) -> KeystoneError {
        KeystoneError::Login {
            username: self.options.username.clone(),
            project_name: self.options.project_name.clone(),
        }
    }

    async fn password(&self) -> Result<Secret, KeystoneError> {
        match &self.options.password {
            Password::Text(text) => Ok(text.clone()),
            Password::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || {
                    Password::read(&path).map_err(|error| format!("{}: {error}", path.display()))
                });
                let read = read.await.unwrap_or_else(|error| Err(error.to_string()));
                read.map_err(KeystoneError::PasswordFile)
            }
        }
    }
}

impl Password {
    /// The password in a file, without the newline at its end.
    ///
    /// # Errors
    /// If it cannot be read, or is empty.
    pub fn read(path: &std::path::Path) -> std::io::Result<Secret> {
        let text = std::fs::read_to_string(path)?;
        let password = text.strip_suffix('\n').unwrap_or(&text);
        match password {
            "" => Err(std::io::Error::other("is empty")),
            password => Ok(Secret::new(password)),
        }
    }
}
