//! The levels of this process's log, by target, which administrators change while it runs (`/os-services/set-log`). After a restart
//! they are those of `log.filter` again.

use std::collections::BTreeMap;
use std::fmt;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// The targets that are listed: the folders of `src`, and libraries that write to the log.
const TARGETS: [&str; 15] = [
    "actix_http",
    "actix_server",
    "pumice::actors",
    "pumice::authority",
    "pumice::backend",
    "pumice::cli",
    "pumice::config",
    "pumice::control",
    "pumice::drivers",
    "pumice::flow",
    "pumice::model",
    "pumice::store",
    "pumice::transport",
    "pumice::verbs",
    "pumice::web",
];

/// The most directives of a filter.
const MOST_DIRECTIVES: usize = 64;

/// A level, as Cinder names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogLevel {
    /// Details for developers.
    Debug,
    /// What the service does.
    Info,
    /// What may need attention.
    Warning,
    /// What has failed.
    Error,
}

impl LogLevel {
    const ALL: [Self; 4] = [Self::Debug, Self::Info, Self::Warning, Self::Error];

    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
        }
    }

    /// The level with this name, in upper or lower case.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(name))
    }

    /// Its name in a filter.
    fn directive(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warn",
            Self::Error => "error",
        }
    }
}

/// Why levels cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// The prefix cannot be part of a target.
    #[error("'{0}' is not the beginning of a target such as pumice::web")]
    Prefix(String),
    /// The filter has too many directives.
    #[error("more than {MOST_DIRECTIVES} levels are set: set one without a prefix first")]
    TooMany,
    /// The log of this process is not Pumice's.
    #[error("the levels of this process's log cannot be changed")]
    NotInstalled,
}

/// Directives in the order of the filter: `info`, `pumice::web=debug`.
#[derive(Clone, Default)]
struct Directives(Vec<String>);

impl Directives {
    fn read(filter: &str) -> Self {
        let parts = filter.split(',').map(str::trim);
        Self(parts.filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }

    /// Targets and levels, without directives about spans and fields; the default level has an empty target.
    fn levels(&self) -> impl Iterator<Item = (&str, &str)> {
        let plain = self.0.iter().filter(|directive| !directive.contains('['));
        plain.map(|directive| {
            directive
                .split_once('=')
                .unwrap_or_else(|| match level_of(directive) {
                    Some(_) => ("", directive.as_str()),
                    None => (directive.as_str(), "trace"),
                })
        })
    }

    /// The level of a target: that of the longest directive that it begins with.
    fn level(&self, target: &str) -> &'static str {
        let matching = self
            .levels()
            .filter(|(beginning, _)| target.starts_with(beginning));
        let longest = matching.max_by_key(|(beginning, _)| beginning.len());
        longest.and_then(|(_, level)| level_of(level)).unwrap_or("ERROR")
    }

    fn set(&mut self, prefix: &str, level: LogLevel) -> Result<(), SetError> {
        if prefix.is_empty() {
            self.0 = vec![level.directive().to_owned()];
            return Ok(());
        }
        if !prefix
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
        {
            return Err(SetError::Prefix(prefix.to_owned()));
        }
        self.0.retain(|directive| {
            directive.contains('[') || !directive.starts_with(prefix) || !directive.contains('=')
        });
        if self.0.len() >= MOST_DIRECTIVES {
            return Err(SetError::TooMany);
        }
        self.0.push(format!("{prefix}={}", level.directive()));
        Ok(())
    }
}

/// The name of a level of a filter; Cinder has neither `trace` nor `off`.
fn level_of(directive: &str) -> Option<&'static str> {
    Some(match directive.to_ascii_lowercase().as_str() {
        "trace" | "debug" => "DEBUG",
        "info" => "INFO",
        "warn" => "WARNING",
        "error" => "ERROR",
        "off" => "CRITICAL",
        _ => return None,
    })
}

impl fmt::Display for Directives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// Makes the log use a filter.
type Apply = Box<dyn Fn(EnvFilter) + Send>;

/// The log of the process.
static LOG: Mutex<Option<(Directives, Apply)>> = Mutex::new(None);

/// Makes [`set`] change the log of this process, whose filter is this one; `apply` makes it use another.
pub fn install(filter: &str, apply: impl Fn(EnvFilter) + Send + 'static) {
    *LOG.lock() = Some((Directives::read(filter), Box::new(apply)));
}

/// The levels of targets that begin with `prefix`, by target.
pub fn levels(prefix: &str) -> BTreeMap<String, String> {
    let prefix = target_of(prefix);
    let log = LOG.lock();
    let directives = log
        .as_ref()
        .map_or_else(Directives::default, |(directives, _)| directives.clone());
    let own = directives
        .levels()
        .map(|(target, _)| target)
        .filter(|target| !target.is_empty());
    let targets = TARGETS
        .into_iter()
        .chain(own)
        .filter(|target| target.starts_with(&prefix));
    targets
        .map(|target| (target.to_owned(), directives.level(target).to_owned()))
        .collect()
}

/// Sets the level of all targets that begin with `prefix`. Nothing happens if none does.
///
/// # Errors
/// See [`SetError`].
pub fn set(prefix: &str, level: LogLevel) -> Result<(), SetError> {
    let prefix = target_of(prefix);
    let mut log = LOG.lock();
    let (directives, apply) = log.as_mut().ok_or(SetError::NotInstalled)?;
    let is_known = prefix.starts_with("pumice") || TARGETS.iter().any(|target| target.starts_with(&prefix));
    if !is_known {
        return Ok(());
    }
    let mut changed = directives.clone();
    changed.set(&prefix, level)?;
    let filter = EnvFilter::try_new(changed.to_string()).map_err(|_| SetError::Prefix(prefix.clone()))?;
    apply(filter);
    *directives = changed;
    tracing::warn!(prefix, level = level.as_str(), filter = %directives, "log levels were changed");
    Ok(())
}

/// A target may be written with dots, as Python's loggers are.
fn target_of(prefix: &str) -> String {
    prefix.replace('.', "::")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_directive_decides() {
        let mut directives =
            Directives::read("info, actix_server=warn,pumice::web::identity=trace,pumice[s]=debug");
        for (target, level) in [
            ("pumice::store", "INFO"),
            ("actix_server", "WARNING"),
            ("pumice::web", "INFO"),
            ("pumice::web::identity::login", "DEBUG"),
        ] {
            assert_eq!(directives.level(target), level, "{target}");
        }
        directives.set("pumice::web", LogLevel::Error).unwrap();
        assert_eq!(
            directives.to_string(),
            "info,actix_server=warn,pumice[s]=debug,pumice::web=error"
        );
        directives.set("pumice::web", LogLevel::Debug).unwrap();
        assert_eq!(directives.level("pumice::web::identity"), "DEBUG");
        for bad in ["a b", "pumice=", "pumice[x]", "ä"] {
            let refused = directives.set(bad, LogLevel::Info);
            assert_eq!(refused, Err(SetError::Prefix(bad.to_owned())));
        }
        let mut refused = Ok(());
        for n in 0..=MOST_DIRECTIVES {
            refused = directives.set(&format!("pumice::m{n}_"), LogLevel::Info);
        }
        assert_eq!(refused, Err(SetError::TooMany));
        directives.set("", LogLevel::Warning).unwrap();
        assert_eq!(
            (directives.to_string().as_str(), directives.level("x")),
            ("warn", "WARNING")
        );
        assert_eq!(Directives::default().level("x"), "ERROR");
    }

    #[test]
    fn the_folders_of_the_sources_are_listed() {
        let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for entry in std::fs::read_dir(sources).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            // Messages are plain data.
            if path.is_dir() && name != "messages" {
                let target = format!("pumice::{name}");
                assert!(TARGETS.contains(&target.as_str()), "{target}");
            }
        }
    }
}
