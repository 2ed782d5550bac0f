//! A client of a running service, with the credentials of the environment: it reads the same variables and
//! files as OpenStack's clients.
//!
//! In this order: `OS_TOKEN`; `OS_CLOUD`, a cloud of `clouds.yaml` (`OS_CLIENT_CONFIG_FILE`, else the default places of those
//! clients); `OS_AUTH_URL` with `OS_USERNAME`, `OS_PASSWORD`, `OS_PROJECT_NAME` and the domains. `OS_CACERT` has the certificates of authorities. For a service without login
//! (`noauth`) only its address is needed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::model::volume::Secret;
use crate::web::auth::keystone::http;

/// The time limit of a request.
const PATIENCE: Duration = Duration::from_secs(65);

/// The largest answer: a page of operations with all their steps has some megabytes.
const LONGEST_ANSWER: usize = 64 << 20;

/// A request without an answer, or with an error.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The service or the credentials are unknown.
    #[error("{0}")]
    Unknown(String),
    /// No answer was received.
    #[error("{url}: {why}")]
    Unreachable {
        /// The URL of the request.
        url: String,
        /// The network error.
        why: String,
    },
    /// The answer is an error.
    #[error("{message} (HTTP {status})")]
    Refused {
        /// The status of the answer.
        status: u16,
        /// The message of the answer.
        message: String,
    },
}

/// A client with a token.
pub(super) struct Client {
    http: awc::Client,
    url: String,
    token: Secret,
}

#[derive(Debug, Default, Deserialize)]
struct Clouds {
    clouds: BTreeMap<String, Cloud>,
}

#[derive(Debug, Default, Deserialize)]
struct Cloud {
    #[serde(default)]
    auth: Login,
    cacert: Option<PathBuf>,
}

/// The login data, in the format of `clouds.yaml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Login {
    pub(super) auth_url: Option<String>,
    pub(super) token: Option<String>,
    username: Option<String>,
    password: Option<String>,
    project_name: Option<String>,
    project_id: Option<String>,
    user_domain_name: Option<String>,
    user_domain_id: Option<String>,
    project_domain_name: Option<String>,
    project_domain_id: Option<String>,
    system_scope: Option<String>,
    /// PEM certificates that a server's is checked with, instead of those of the system.
    pub(super) cacert: Option<PathBuf>,
}

impl Client {
    /// Logs in, if needed. `url` is the service's address, `http://host:port`; by default it is read from the identity
    /// service's catalog.
    ///
    /// # Errors
    /// If the service or the credentials are unknown, or the login fails.
    pub(super) async fn log_in(url: Option<String>) -> Result<Self, AskError> {
        let login = Login::of_this_process()?;
        let (token, found) = match (&login.token, &login.auth_url) {
            (Some(token), _) => (Secret::new(token), None),
            (None, Some(auth_url)) => login.tokens(&login.http(auth_url)?, auth_url).await?,
            // A service without login accepts any token.
            (None, None) => (Secret::new("admin:admin"), None),
        };
        let url = url.or(found).ok_or_else(|| {
            AskError::Unknown("Say where the service is: --url, or OS_CLOUD or OS_AUTH_URL.".to_owned())
        })?;
        let url = url.trim_end_matches('/').to_owned();
        let http = login.http(&url)?;
        Ok(Self { http, url, token })
    }

    /// The answer's body; `Null` if it is empty.
    ///
    /// # Errors
    /// If there is no answer, or it is an error.
    pub(super) async fn ask(&self, method: &str, path: &str) -> Result<Value, AskError> {
        let url = format!("{}{path}", self.url);
        let request = self
            .http
            .request(method.parse().unwrap_or_default(), &url)
            .insert_header(("X-Auth-Token", self.token.reveal()));
        Ok(answer(&url, request.send().await).await?.1)
    }
}

impl Client {
    /// The same, with a body.
    ///
    /// # Errors
    /// If there is no answer, or it is an error.
    pub(super) async fn ask_with(&self, method: &str, path: &str, body: &Value) -> Result<Value, AskError> {
        let url = format!("{}{path}", self.url);
        let request = self
            .http
            .request(method.parse().unwrap_or_default(), &url)
            .insert_header(("X-Auth-Token", self.token.reveal()));
        Ok(answer(&url, request.send_json(body).await).await?.1)
    }
}

impl Login {
    /// The settings of this process's environment.
    ///
    /// # Errors
    /// If the cloud that it names is not there.
    pub(super) fn of_this_process() -> Result<Self, AskError> {
        Self::of(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// The settings of the environment.
    fn of(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, AskError> {
        let mut login = match variable("OS_CLOUD") {
            Some(name) if variable("OS_TOKEN").is_none() => Self::of_cloud(&name, variable)?,
            _ => Self::default(),
        };
        for (name, place) in [
            ("OS_AUTH_URL", &mut login.auth_url),
            ("OS_TOKEN", &mut login.token),
            ("OS_USERNAME", &mut login.username),
            ("OS_PASSWORD", &mut login.password),
            ("OS_PROJECT_NAME", &mut login.project_name),
            ("OS_PROJECT_ID", &mut login.project_id),
            ("OS_USER_DOMAIN_NAME", &mut login.user_domain_name),
            ("OS_USER_DOMAIN_ID", &mut login.user_domain_id),
            ("OS_PROJECT_DOMAIN_NAME", &mut login.project_domain_name),
            ("OS_PROJECT_DOMAIN_ID", &mut login.project_domain_id),
            ("OS_SYSTEM_SCOPE", &mut login.system_scope),
        ] {
            *place = variable(name).or(place.take());
        }
        login.cacert = variable("OS_CACERT").map(PathBuf::from).or(login.cacert);
        Ok(login)
    }

    fn of_cloud(name: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, AskError> {
        let home = variable("HOME").map(|home| PathBuf::from(home).join(".config/openstack/clouds.yaml"));
        let places = match variable("OS_CLIENT_CONFIG_FILE") {
            Some(file) => vec![PathBuf::from(file)],
            None => [
                Some("clouds.yaml".into()),
                home,
                Some("/etc/openstack/clouds.yaml".into()),
            ]
            .into_iter()
            .flatten()
            .collect(),
        };
        for path in &places {
            let text = match std::fs::read_to_string(path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(AskError::Unknown(format!("{}: {error}", path.display()))),
            };
            // The fault may be next to a password, so the parser's message is not shown.
            let mut clouds: Clouds = serde_saphyr::from_str(&text).map_err(|_| {
                AskError::Unknown(format!("{} cannot be read as a list of clouds", path.display()))
            })?;
            if let Some(cloud) = clouds.clouds.remove(name) {
                return Ok(Self {
                    cacert: cloud.cacert.or(cloud.auth.cacert),
                    ..cloud.auth
                });
            }
        }
        let places: Vec<String> = places.iter().map(|path| path.display().to_string()).collect();
        Err(AskError::Unknown(format!(
            "There is no cloud {name} in {}.",
            places.join(", ")
        )))
    }

    /// A client of the server at this address.
    fn http(&self, url: &str) -> Result<awc::Client, AskError> {
        let tls = http::tls(url, self.cacert.as_deref());
        let tls = tls.map_err(|error| AskError::Unknown(error.to_string()))?;
        Ok(http::client(tls, PATIENCE))
    }

    /// The body of the request for a token.
    pub(super) fn request(&self) -> Value {
        let domain = |name: &Option<String>, id: &Option<String>| match id {
            Some(id) => json!({"id": id}),
            None => json!({"name": name.as_deref().unwrap_or("Default")}),
        };
        let mut wanted = json!({"auth": {"identity": {"methods": ["password"], "password": {"user": {
            "name": self.username,
            "domain": domain(&self.user_domain_name, &self.user_domain_id),
            "password": self.password,
        }}}}});
        let project_domain = domain(&self.project_domain_name, &self.project_domain_id);
        let scope = match (&self.system_scope, &self.project_id, &self.project_name) {
            (Some(_), ..) => Some(json!({"system": {"all": true}})),
            (None, Some(id), _) => Some(json!({"project": {"id": id}})),
            (None, None, Some(name)) => Some(json!({"project": {"name": name, "domain": project_domain}})),
            (None, None, None) => None,
        };
        if let Some(scope) = scope {
            wanted["auth"]["scope"] = scope;
        }
        wanted
    }

    /// A token, and the service's address in the catalog.
    async fn tokens(&self, http: &awc::Client, auth_url: &str) -> Result<(Secret, Option<String>), AskError> {
        let wanted = self.request();
        let url = format!("{}/auth/tokens", auth_url.trim_end_matches('/'));
        let (token, body) = answer(&url, http.post(&url).send_json(&wanted).await).await?;
        let token = token.ok_or_else(|| AskError::Unknown(format!("{url} answered without a token")))?;
        Ok((token, address(&body)))
    }
}

/// The service's address in a token's catalog, without the version and the project.
fn address(token: &Value) -> Option<String> {
    let catalog = token["token"]["catalog"].as_array()?;
    let service = ["block-storage", "volumev3", "volume"]
        .iter()
        .find_map(|kind| catalog.iter().find(|service| service["type"] == *kind))?;
    let endpoints = service["endpoints"].as_array()?;
    let public = endpoints
        .iter()
        .find(|endpoint| endpoint["interface"] == "public")?;
    let url = public["url"].as_str()?;
    Some(url.split("/v3").next().unwrap_or(url).to_owned())
}

/// The token in the header of an answer, if any, and its body.
async fn answer<S>(
    url: &str,
    sent: Result<awc::ClientResponse<S>, awc::error::SendRequestError>,
) -> Result<(Option<Secret>, Value), AskError>
where
    S: Stream<Item = Result<Bytes, awc::error::PayloadError>> + Unpin,
{
    let unreachable = |why: String| AskError::Unreachable {
        url: url.to_owned(),
        why,
    };
    let mut response = sent.map_err(|error| unreachable(error.to_string()))?;
    let body = response.body().limit(LONGEST_ANSWER).await;
    let body = body.map_err(|error| unreachable(error.to_string()))?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let status = response.status();
    if !status.is_success() {
        return Err(AskError::Refused {
            status: status.as_u16(),
            message: words(&body).unwrap_or_else(|| status.to_string()),
        });
    }
    let token = response.headers().get("x-subject-token");
    let token = token.and_then(|token| token.to_str().ok()).map(Secret::new);
    Ok((token, body))
}

/// The message of a fault: `{"itemNotFound": {"code": 404, "message": "…"}}`.
pub(super) fn words(fault: &Value) -> Option<String> {
    let (_, fault) = fault.as_object()?.iter().next()?;
    fault["message"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Login, address, words};

    fn login(variables: &[(&str, &str)]) -> Result<Login, super::AskError> {
        Login::of(&|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_goes_before_the_cloud_and_a_token_before_both() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clouds.yaml");
        let text = "# mine\nclouds:\n  there:\n    auth:\n      auth_url: \"http://a/v3\"\n      username: ann\n      password: 'p: w'\n    region_name: x\n    cacert: /ca\n";
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let cloud = [("OS_CLOUD", "there"), ("OS_CLIENT_CONFIG_FILE", file)];
        let found = login(&cloud).unwrap();
        assert_eq!(found.auth_url.as_deref(), Some("http://a/v3"));
        assert_eq!(found.password.as_deref(), Some("p: w"));
        assert_eq!(found.cacert.as_deref(), Some(std::path::Path::new("/ca")));
        let found = login(&[cloud[0], cloud[1], ("OS_USERNAME", "bob")]).unwrap();
        assert_eq!(found.username.as_deref(), Some("bob"));
        let found = login(&[("OS_CLOUD", "nowhere"), ("OS_TOKEN", "t")]).unwrap();
        assert_eq!((found.token.as_deref(), found.auth_url), (Some("t"), None));
        let error = login(&[("OS_CLOUD", "here"), cloud[1]]).unwrap_err();
        assert_eq!(error.to_string(), format!("There is no cloud here in {file}."));
    }

    #[test]
    fn a_file_that_cannot_be_read_keeps_its_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clouds.yaml");
        std::fs::write(&file, "clouds:\n  here:\n    auth: [hunter2\n").unwrap();
        let file = file.to_str().unwrap();
        let error = login(&[("OS_CLOUD", "here"), ("OS_CLIENT_CONFIG_FILE", file)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{file} cannot be read as a list of clouds")
        );
    }

    #[test]
    fn the_address_is_that_of_the_catalog_without_version_and_project() {
        let endpoints = json!([
            {"interface": "admin", "url": "http://in:1/v3/p"},
            {"interface": "public", "url": "http://out:8776/v3/p"},
        ]);
        let token = json!({"token": {"catalog": [{"type": "volumev3", "endpoints": endpoints}]}});
        assert_eq!(address(&token).as_deref(), Some("http://out:8776"));
        assert_eq!(address(&json!({"token": {}})), None);
    }

    #[test]
    fn a_fault_is_shown_with_its_message() {
        let fault = json!({"itemNotFound": {"code": 404, "message": "Gone."}});
        assert_eq!(words(&fault).as_deref(), Some("Gone."));
        assert_eq!(words(&json!("x")), None);
    }
}
