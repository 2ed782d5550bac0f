//! Typed configuration with its documentation.
//!
//! A [`Config`] has one struct for each section of the file; each field has its meaning in its documentation, its unit in
//! its type and a default. [`DEFAULTS`] (`config/pumice.toml`) has the same texts for operators; a test verifies that
//! both agree.
//!
//! Values come in layers, the higher one wins:
//!
//! 1. the defaults,
//! 2. the file (`--config`),
//! 3. the environment: `PUMICE_<SECTION>__<KEY>`, `PUMICE_BACKEND__<NAME>__<KEY>`,
//! 4. the command line.
//!
//! All faults are reported **at once**, each with its place and with what is valid, before anything is opened. If no
//! layer has a backend, there is one named `file`.

mod check;
pub mod cors;
mod fault;
mod layers;
mod reading;

pub mod auth;
pub mod backend;
pub mod keystone;
pub mod log;
pub mod node;
pub mod notifications;
pub mod operations;
pub mod quota;
pub mod scheduler;
pub mod service;
pub mod store;
pub mod transport;
pub mod units;
pub mod volume;
pub mod web;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use auth::Auth;
pub use backend::Backend;
pub use cors::Cors;
pub use fault::{Fault, Faults, Origin};
pub use keystone::Keystone;
pub use log::Log;
pub use node::{Node, Role};
pub use notifications::Notifications;
pub use operations::Operations;
pub use quota::Quota;
pub use scheduler::Scheduler;
pub use service::Service;
pub use store::Store;
pub use transport::Transport;
pub use units::{BadUnit, ByteSize, Duration};
pub use volume::Volume;
pub use web::Web;

use layers::Layers;
use reading::{FromSection, Notes, Section};

/// The documented defaults: every key with its default and a sentence.
pub const DEFAULTS: &str = include_str!("../../config/pumice.toml");

/// The whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[node]`
    pub node: Node,
    /// `[web]`
    pub web: Web,
    /// `[auth]`
    pub auth: Auth,
    /// `[auth.keystone]`
    pub keystone: Keystone,
    /// `[cors]`
    pub cors: Cors,
    /// `[log]`
    pub log: Log,
    /// `[store]`
    pub store: Store,
    /// `[transport]`
    pub transport: Transport,
    /// `[scheduler]`
    pub scheduler: Scheduler,
    /// `[service]`
    pub service: Service,
    /// `[quota]`
    pub quota: Quota,
    /// `[volume]`
    pub volume: Volume,
    /// `[operations]`
    pub operations: Operations,
    /// `[notifications]`
    pub notifications: Notifications,
    /// `[backend.<name>]`, by name.
    pub backend: BTreeMap<String, Backend>,
}

/// A configuration as far as it can be read, with all its faults.
#[derive(Clone, Debug, PartialEq)]
pub struct Examined {
    /// The configuration; a wrong value is replaced by its default.
    pub config: Config,
    /// The faults, those of the file first.
    pub faults: Vec<Fault>,
    /// Whether the file, if one was named, exists and is valid TOML. If not, missing keys are not faults.
    pub whole: bool,
}

impl Examined {
    /// The configuration, unless it has faults.
    fn into_result(self) -> Result<Config, Faults> {
        if self.faults.is_empty() {
            Ok(self.config)
        } else {
            Err(Faults(self.faults))
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::read(&mut Layers::default(), &mut Notes::default())
    }
}

/// The sections besides `[backend.<name>]`. One with a dot is within another.
const SECTIONS: &[&str] = &[
    "node",
    "web",
    "auth",
    "auth.keystone",
    "cors",
    "log",
    "store",
    "transport",
    "scheduler",
    "service",
    "quota",
    "volume",
    "operations",
    "notifications",
];

/// An option of the command line that gives a key's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Its name: `--listen`.
    pub name: &'static str,
    /// The section.
    pub section: &'static str,
    /// The key.
    pub key: &'static str,
    /// The value.
    pub value: String,
}

/// The environment of the configuration: variables and host name. Plain data, so that tests can define it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Environment variables that are text.
    pub variables: Vec<(String, String)>,
    /// The machine's name.
    pub hostname: String,
}

impl Surroundings {
    /// The environment of this process.
    pub fn of_this_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            variables,
            hostname: hostname.trim().to_owned(),
        }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let (_, value) = self.variables.iter().find(|(known, _)| known == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// `$XDG_STATE_HOME/pumice`, else `~/.local/state/pumice`.
    fn state_dir(&self) -> Option<PathBuf> {
        // The specification requires that relative paths are ignored.
        let absolute = |name| {
            self.variable(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .map(|state| state.join("pumice"))
    }
}

impl Config {
    /// Reads all layers, fills in values of this machine, and checks the result.
    ///
    /// # Errors
    /// All faults at once, those of the file first.
    pub fn load(file: Option<&Path>, surroundings: &Surroundings, flags: &[Flag]) -> Result<Self, Faults> {
        Self::examine(file, surroundings, flags).into_result()
    }

    /// As [`Config::load`], with the file's name and text.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_layers(
        file: Option<(&str, &str)>,
        surroundings: &Surroundings,
        flags: &[Flag],
    ) -> Result<Self, Faults> {
        Self::examine_layers(file, surroundings, flags).into_result()
    }

    /// As [`Config::load`], for callers that continue in spite of faults.
    pub fn examine(file: Option<&Path>, surroundings: &Surroundings, flags: &[Flag]) -> Examined {
        let Some(path) = file else {
            return Self::examine_layers(None, surroundings, flags);
        };
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::examine_layers(Some((&name, &text)), surroundings, flags),
            Err(error) => {
                let mut notes = Notes::default();
                let origin = Origin::File {
                    path: name,
                    line: None,
                };
                notes.fault(origin, "", format!("cannot be read: {error}"));
                Examined {
                    config: Self::default(),
                    faults: notes.faults,
                    whole: false,
                }
            }
        }
    }

    fn examine_layers(file: Option<(&str, &str)>, surroundings: &Surroundings, flags: &[Flag]) -> Examined {
        let mut notes = Notes::default();
        let mut layers = Layers::default();
        let whole = file.is_none_or(|(path, text)| layers.add_file(path, text, SECTIONS, &mut notes));
        for (name, value) in &surroundings.variables {
            layers.add_variable(name, value, SECTIONS, &mut notes);
        }
        for flag in flags {
            layers.add_flag(flag.name, flag.section, flag.key, &flag.value);
        }
        let mut config = Self::read(&mut layers, &mut notes);
        config.resolve(surroundings, &mut notes);
        // The checks of combinations are pointless if the file is not valid TOML.
        if whole {
            check::check(&config, &mut notes);
        }
        notes.faults.sort_by_key(|fault| match &fault.origin {
            Origin::File { line, .. } => (0, *line),
            Origin::Environment(_) => (1, None),
            Origin::Flag(_) => (2, None),
            Origin::Default => (3, None),
        });
        Examined {
            config,
            faults: notes.faults,
            whole,
        }
    }

    fn read(layers: &mut Layers<'_>, notes: &mut Notes) -> Self {
        fn section<T: FromSection>(layers: &mut Layers<'_>, name: &str, notes: &mut Notes) -> T {
            T::from_section(layers.take(name), notes)
        }
        let named = std::mem::take(&mut layers.backends);
        let mut backend: BTreeMap<String, Backend> = BTreeMap::new();
        for (name, values) in named {
            let path = format!("backend.{name}");
            backend.insert(name, Backend::from_section(Section { path, values }, notes));
        }
        if backend.is_empty() {
            backend.insert(backend::DEFAULT_BACKEND.to_owned(), Backend::default());
        }
        Self {
            node: section(layers, "node", notes),
            web: section(layers, "web", notes),
            auth: section(layers, "auth", notes),
            keystone: section(layers, "auth.keystone", notes),
            cors: section(layers, "cors", notes),
            log: section(layers, "log", notes),
            store: section(layers, "store", notes),
            transport: section(layers, "transport", notes),
            scheduler: section(layers, "scheduler", notes),
            service: section(layers, "service", notes),
            quota: section(layers, "quota", notes),
            volume: section(layers, "volume", notes),
            operations: section(layers, "operations", notes),
            notifications: section(layers, "notifications", notes),
            backend,
        }
    }

    /// Sets values of this machine where none are given.
    fn resolve(&mut self, surroundings: &Surroundings, notes: &mut Notes) {
        if self.node.host.is_empty() {
            let hostname = surroundings.hostname.as_str();
            self.node.host = if hostname.is_empty() {
                "localhost"
            } else {
                hostname
            }
            .to_owned();
        }
        if self.node.data_dir.as_os_str().is_empty() {
            match surroundings.state_dir() {
                Some(path) => self.node.data_dir = path,
                None => notes.fault(
                    Origin::Default,
                    "node.data_dir",
                    "must be given, for neither XDG_STATE_HOME nor HOME is set",
                ),
            }
        }
        if self.volume.default_availability_zone.is_empty() {
            self.volume
                .default_availability_zone
                .clone_from(&self.node.availability_zone);
        }
        for (name, backend) in &mut self.backend {
            if backend.volume_backend_name.is_empty() {
                backend.volume_backend_name.clone_from(name);
            }
            if backend.path.as_os_str().is_empty() {
                backend.path = self.node.data_dir.join("volumes").join(name);
            }
        }
    }

    /// Warnings about valid but risky settings, logged once at start.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.node.has(Role::Control) && !self.web.has_tls() && !self.web.listen.ip().is_loopback() {
            let listen = self.web.listen;
            warnings.push(format!(
                "web.listen {listen} is plain HTTP beyond the loopback: set web.tls_certificate, or put a TLS proxy in front"
            ));
        }
        if self.auth.strategy == auth::Strategy::Noauth {
            warnings.push("auth.strategy is noauth: everyone who can connect is an administrator".to_owned());
        }
        if self.auth.strategy == auth::Strategy::Keystone {
            warnings.extend(self.keystone.warnings());
        }
        if self.auth.users.iter().any(|user| user.password.is_some()) {
            warnings.push("auth.users has passwords in the clear: prefer password_hash".to_owned());
        }
        let alone = self.node.has(Role::Control) && self.node.has(Role::Volume);
        if !alone && !self.transport.has_tls() && self.transport.secret().is_none() {
            warnings.push(
                "transport.secret is empty: every process of this machine can pose as a node".to_owned(),
            );
        }
        warnings
    }
}

#[cfg(test)]
mod tests;
