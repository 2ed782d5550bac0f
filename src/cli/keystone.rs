//! `pumice keystone register`: puts this service into the catalog of a Keystone, where clients look for it.
//!
//! It changes what differs and nothing else, so it can be repeated. Exit codes: 0 done, 1 refused or not reached, 2 the
//! configuration cannot be read.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use actix_web::http::StatusCode;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{AskError, Login, words};
use super::serve::control::local_url;
use super::{answer, refuse};
use crate::config::{Config, Surroundings};
use crate::model::volume::Secret;
use crate::web::auth::keystone::KeystoneError;
use crate::web::auth::keystone::http::{Http, tls};

/// The time limit of a request.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The types of the service with their names. Both have the same API: old clients look for `volumev3`, new ones for `block-storage`
/// (cinder: the installation guide).
const SERVICES: [(&str, &str); 2] = [("block-storage", "cinder"), ("volumev3", "cinderv3")];

/// Options of `pumice keystone`.
#[derive(Debug, Args)]
pub struct KeystoneArgs {
    #[command(subcommand)]
    command: KeystoneCommand,
}

#[derive(Debug, Subcommand)]
enum KeystoneCommand {
    /// Create or correct the services block-storage and volumev3, with their endpoints in a region. It needs an administrator of
    /// Keystone in OS_CLOUD, or in OS_AUTH_URL, OS_USERNAME, OS_PASSWORD and OS_PROJECT_NAME or OS_SYSTEM_SCOPE.
    Register(RegisterArgs),
}

#[derive(Debug, Args)]
struct RegisterArgs {
    /// The configuration of the service: its address (web.public_endpoint, web.listen), region and Keystone's certificates.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where clients reach the service; by default as in the configuration.
    #[arg(long, value_name = "http://HOST:PORT")]
    url: Option<String>,
    /// Where other services reach it; by default as clients do.
    #[arg(long, value_name = "http://HOST:PORT")]
    internal_url: Option<String>,
    /// Where administrators reach it; by default as other services do.
    #[arg(long, value_name = "http://HOST:PORT")]
    admin_url: Option<String>,
    /// The region; by default as in the configuration.
    #[arg(long, value_name = "ID")]
    region: Option<String>,
    /// End the URLs with /v3 instead of /v3/PROJECT, so that they are in the catalog of tokens without a project, too. Clients
    /// older than microversion 3.67 do not understand it.
    #[arg(long)]
    without_project: bool,
    /// Print what would be changed.
    #[arg(long)]
    dry_run: bool,
}

/// Does what was asked for, and prints it.
pub fn keystone(args: &KeystoneArgs, surroundings: &Surroundings) -> ExitCode {
    let KeystoneCommand::Register(args) = &args.command;
    let config = match Config::load(args.config.as_deref(), surroundings, &[]) {
        Ok(config) => config,
        Err(faults) => return refuse(&faults),
    };
    answer(actix_rt::System::new().block_on(register(args, &config)))
}

async fn register(args: &RegisterArgs, config: &Config) -> Result<String, AskError> {
    let public = args.url.clone().unwrap_or_else(|| local_url(config));
    let internal = args.internal_url.clone().unwrap_or_else(|| public.clone());
    let admin = args.admin_url.clone().unwrap_or_else(|| internal.clone());
    let path = if args.without_project {
        "/v3"
    } else {
        "/v3/$(project_id)s"
    };
    let urls = [("public", public), ("internal", internal), ("admin", admin)];
    let urls = urls.map(|(interface, url)| (interface, format!("{}{path}", url.trim_end_matches('/'))));
    let mut registry = Registry {
        admin: Admin::log_in(config).await?,
        region: args.region.clone().unwrap_or_else(|| config.auth.region.clone()),
        dry_run: args.dry_run,
        report: String::new(),
        changes: 0,
    };
    registry.region().await?;
    for (kind, name) in SERVICES {
        let service = registry.service(kind, name).await?;
        let endpoints = registry.endpoints(service.as_deref()).await?;
        for (interface, url) in &urls {
            let known = endpoints
                .iter()
                .find(|endpoint| endpoint["interface"] == *interface);
            registry
                .endpoint(kind, service.as_deref(), known, interface, url)
                .await?;
        }
    }
    Ok(registry.finish())
}

/// An administrator of Keystone.
struct Admin {
    http: Http,
    token: Secret,
}

impl Admin {
    async fn log_in(config: &Config) -> Result<Self, AskError> {
        let login = Login::of_this_process()?;
        let missing = "OS_AUTH_URL or OS_CLOUD must say where Keystone is, and who its administrator is.";
        let auth_url = login.auth_url.clone();
        let auth_url = auth_url.ok_or_else(|| AskError::Unknown(missing.to_owned()))?;
        let cafile = Some(config.keystone.cafile.clone()).filter(|path| !path.as_os_str().is_empty());
        let cafile = login.cacert.clone().or(cafile);
        let tls = tls(&auth_url, cafile.as_deref()).map_err(|error| AskError::Unknown(error.to_string()))?;
        let http = Http::new(&auth_url, tls, TIMEOUT);
        let token = match &login.token {
            Some(token) => Secret::new(token),
            None => {
                let body = login.request();
                let sent = http
                    .send("the login", "POST", "/auth/tokens?nocatalog", &[], Some(&body))
                    .await;
                let answer = sent.map_err(unreachable)?;
                refused(answer.status, &answer.body)?;
                let token = answer.header("X-Subject-Token").map(Secret::new);
                token.ok_or_else(|| AskError::Unknown(format!("{} answered without a token", http.base())))?
            }
        };
        Ok(Self { http, token })
    }

    /// The body of the answer; `None` if it is 404.
    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Option<Value>, AskError> {
        let headers = [("X-Auth-Token", self.token.reveal())];
        let answer = self
            .http
            .send("a request", method, path, &headers, body)
            .await
            .map_err(unreachable)?;
        if answer.status == StatusCode::NOT_FOUND && method == "GET" {
            return Ok(None);
        }
        refused(answer.status, &answer.body)?;
        Ok(Some(serde_json::from_slice(&answer.body).unwrap_or(Value::Null)))
    }

    /// The items of a list.
    async fn list(&self, of: &str, query: &str) -> Result<Vec<Value>, AskError> {
        let answer = self.ask("GET", &format!("/{of}?{query}"), None).await?;
        let items = answer.and_then(|mut answer| match answer[of].take() {
            Value::Array(items) => Some(items),
            _ => None,
        });
        items.ok_or_else(|| AskError::Unknown(format!("{} has no list of {of}", self.http.base())))
    }
}

fn unreachable(error: KeystoneError) -> AskError {
    AskError::Unknown(error.to_string())
}

fn refused(status: StatusCode, body: &[u8]) -> Result<(), AskError> {
    if status.is_success() {
        return Ok(());
    }
    let body = serde_json::from_slice(body).unwrap_or(Value::Null);
    Err(AskError::Refused {
        status: status.as_u16(),
        message: words(&body).unwrap_or_else(|| status.to_string()),
    })
}

/// What is in the catalog, and how it is brought to what it should be.
struct Registry {
    admin: Admin,
    region: String,
    dry_run: bool,
    report: String,
    changes: usize,
}

impl Registry {
    async fn region(&mut self) -> Result<(), AskError> {
        let path = format!("/regions/{}", escaped(&self.region));
        if self.admin.ask("GET", &path, None).await?.is_some() {
            return Ok(());
        }
        let (id, body) = (self.region.clone(), json!({"region": {"id": self.region}}));
        self.change("create", &format!("region {id}"), "POST", "/regions", &body)
            .await?;
        Ok(())
    }

    /// The id of the service of this type; `None` if it would be created.
    async fn service(&mut self, kind: &str, name: &str) -> Result<Option<String>, AskError> {
        let found = self.admin.list("services", &format!("type={kind}")).await?;
        let named = found
            .iter()
            .find(|service| service["name"] == name)
            .or(found.first());
        let Some(service) = named.filter(|service| service["type"] == kind) else {
            let body = json!({"service": {
                "type": kind, "name": name, "description": "Block storage", "enabled": true}});
            let made = self
                .change(
                    "create",
                    &format!("service {kind} ({name})"),
                    "POST",
                    "/services",
                    &body,
                )
                .await?;
            return Ok(made["service"]["id"].as_str().map(str::to_owned));
        };
        let id = service["id"].as_str().unwrap_or_default().to_owned();
        if service["enabled"] == json!(false) {
            let body = json!({"service": {"enabled": true}});
            self.change(
                "enable",
                &format!("service {kind}"),
                "PATCH",
                &format!("/services/{id}"),
                &body,
            )
            .await?;
        }
        Ok(Some(id))
    }

    /// The endpoints of the service in the region.
    async fn endpoints(&self, service: Option<&str>) -> Result<Vec<Value>, AskError> {
        let Some(id) = service else {
            return Ok(Vec::new());
        };
        let query = format!("service_id={id}&region_id={}", escaped(&self.region));
        let mut found = self.admin.list("endpoints", &query).await?;
        found.retain(|endpoint| endpoint["region_id"] == self.region.as_str());
        Ok(found)
    }

    async fn endpoint(
        &mut self,
        kind: &str,
        service: Option<&str>,
        known: Option<&Value>,
        interface: &str,
        url: &str,
    ) -> Result<(), AskError> {
        let what = format!("endpoint {kind} {interface} {url}");
        let Some(endpoint) = known else {
            let body = json!({"endpoint": {"service_id": service, "interface": interface, "url": url,
                "region_id": self.region, "enabled": true}});
            self.change("create", &what, "POST", "/endpoints", &body).await?;
            return Ok(());
        };
        let is_right = endpoint["url"] == url && endpoint["enabled"] != json!(false);
        if is_right {
            let _ = writeln!(self.report, "unchanged: {what}");
            return Ok(());
        }
        let path = format!("/endpoints/{}", endpoint["id"].as_str().unwrap_or_default());
        let what = format!("{what} (was {})", endpoint["url"].as_str().unwrap_or_default());
        let body = json!({"endpoint": {"url": url, "enabled": true}});
        self.change("update", &what, "PATCH", &path, &body).await?;
        Ok(())
    }

    /// Makes a change, unless it is only to be printed.
    async fn change(
        &mut self,
        verb: &str,
        what: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Value, AskError> {
        self.changes += 1;
        let would = if self.dry_run { "would " } else { "" };
        let _ = writeln!(self.report, "{would}{verb}: {what}");
        match self.dry_run {
            true => Ok(Value::Null),
            false => Ok(self
                .admin
                .ask(method, path, Some(body))
                .await?
                .unwrap_or_default()),
        }
    }

    fn finish(mut self) -> String {
        let (changes, region) = (self.changes, &self.region);
        let _ = match (changes, self.dry_run) {
            (0, _) => writeln!(self.report, "Region {region} has all of it."),
            (_, true) => writeln!(self.report, "{changes} to change in region {region}."),
            (_, false) => writeln!(self.report, "{changes} changed in region {region}."),
        };
        self.report
    }
}

fn escaped(text: &str) -> impl std::fmt::Display + '_ {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
}
