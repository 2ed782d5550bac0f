//! `[auth.keystone]`: the Keystone whose tokens are accepted.

use std::path::PathBuf;

use super::Config;
use super::auth::Strategy;
use super::reading::{Notes, section};
use super::units::Duration;
use crate::model::volume::Secret;

section! {
    /// The Keystone whose tokens are accepted (keystonemiddleware: `keystone_authtoken`).
    Keystone {
        /// Its address, with or without `/v3`.
        url: String = String::new(),
        /// The address that clients without a valid token are sent to, in `WWW-Authenticate`. Empty: `url`.
        www_authenticate_uri: String = String::new(),
        /// Pumice's own user, who validates the tokens of others: it has the role `service` or `admin` in the project.
        username: String = "cinder".to_owned(),
        /// Its password.
        password: Secret = Secret::new(""),
        /// A file with the password, read at each login.
        password_file: PathBuf = PathBuf::new(),
        /// The domain of the user, by name.
        user_domain_name: String = "Default".to_owned(),
        /// The project that it logs in to.
        project_name: String = "service".to_owned(),
        /// The domain of the project, by name.
        project_domain_name: String = "Default".to_owned(),
        /// PEM certificates that Keystone's is checked with. Empty: those of the system.
        cafile: PathBuf = PathBuf::new(),
        /// How long a question to Keystone may take, login and waiting included.
        timeout: Duration = Duration::from_secs(10),
        /// How long an answer of Keystone holds, and so after which time a revocation is noticed at the latest.
        token_cache_time: Duration = Duration::from_secs(300),
        /// How many valid tokens are kept.
        token_cache_size: usize = 10_000,
        /// The roles of service tokens: one of them is enough.
        service_token_roles: Vec<String> = vec!["service".to_owned()],
        /// Whether service tokens without such a role are refused.
        service_token_roles_required: bool = true,
        /// The service type that access rules of application credentials name.
        service_type: String = "block-storage".to_owned(),
    }
}

/// Records what would keep the service from asking Keystone.
pub(super) fn check(config: &Config, notes: &mut Notes) {
    if config.auth.strategy != Strategy::Keystone {
        return;
    }
    let keystone = &config.keystone;
    if !is_url(&keystone.url) {
        let problem = "must be Keystone's URL, such as https://keystone.example.org:5000/v3";
        notes.invalid(&["auth.keystone.url"], problem);
    }
    let login = &keystone.www_authenticate_uri;
    if !login.is_empty() && !is_url(login) {
        let problem = "must be a URL, such as https://keystone.example.org:5000/v3";
        notes.invalid(&["auth.keystone.www_authenticate_uri"], problem);
    }
    let names = [
        ("username", &keystone.username),
        ("user_domain_name", &keystone.user_domain_name),
        ("project_name", &keystone.project_name),
        ("project_domain_name", &keystone.project_domain_name),
        ("service_type", &keystone.service_type),
    ];
    for (key, name) in names {
        if name.is_empty() {
            notes.invalid(&[&format!("auth.keystone.{key}")], "must not be empty");
        }
    }
    let in_file = !keystone.password_file.as_os_str().is_empty();
    match (keystone.password.reveal().is_empty(), in_file) {
        (true, false) => notes.invalid(
            &["auth.keystone.password"],
            "is missing: give password or password_file",
        ),
        (false, true) => notes.invalid(
            &["auth.keystone.password_file"],
            "stands beside password: give one of them",
        ),
        _ => {}
    }
    let key = "auth.keystone.timeout";
    notes.within(
        key,
        keystone.timeout,
        Duration::from_millis(100)..=Duration::from_mins(1),
    );
    let key = "auth.keystone.token_cache_time";
    notes.within(
        key,
        keystone.token_cache_time,
        Duration::from_secs(0)..=Duration::from_hours(1),
    );
    notes.within(
        "auth.keystone.token_cache_size",
        keystone.token_cache_size,
        1..=1_000_000,
    );
    if keystone.service_token_roles.is_empty() && keystone.service_token_roles_required {
        let problem = "is empty, so that no service token would be accepted";
        notes.invalid(&["auth.keystone.service_token_roles"], problem);
    }
    if !config.auth.users.is_empty() {
        let problem = "is for the strategy \"embedded\"; the users are those of Keystone";
        notes.invalid(&["auth.users"], problem);
    }
}

/// Whether a text is the URL of a service: with a host, without credentials, query or fragment.
fn is_url(text: &str) -> bool {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '@' | '"' | '\\' | '<' | '>');
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', ':']) && rest.chars().all(is_plain))
}

impl Keystone {
    /// Warnings about valid but risky settings.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let host = self.url.strip_prefix("http://").map(|rest| {
            let authority = rest.split('/').next().unwrap_or(rest);
            let host = authority.strip_prefix('[').map_or_else(
                || authority.split(':').next().unwrap_or(authority),
                |address| address.split(']').next().unwrap_or(address),
            );
            host.to_owned()
        });
        if let Some(host) = host
            && host != "localhost"
            && !host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
        {
            warnings.push(format!(
                "auth.keystone.url asks {host} over plain HTTP: tokens and a password can be read on the way"
            ));
        }
        if !self.service_token_roles_required {
            warnings.push(
                "auth.keystone.service_token_roles_required is false: any valid token is accepted as a service token, \
                 which then is not bound by access rules"
                    .to_owned(),
            );
        }
        warnings
    }
}
