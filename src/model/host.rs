//! `host@backend#pool`, Cinder's notation for the place of a volume.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `host@backend`: one VolumeManager.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BackendName {
    /// The machine (the service's `host`).
    pub host: String,
    /// The configuration section of the backend.
    pub backend: String,
}

/// `host@backend#pool`: one pool of one backend, as stored in a volume's `host`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PoolName {
    /// The backend that has the pool.
    pub backend: BackendName,
    /// The pool's name.
    pub pool: String,
}

/// The text is not `host@backend` or `host@backend#pool`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not of the form host@backend#pool")]
pub struct BadHost(String);

impl BackendName {
    /// Builds a backend name.
    pub fn new(host: impl Into<String>, backend: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            backend: backend.into(),
        }
    }

    /// The pool with this name on this backend.
    pub fn pool(&self, pool: impl Into<String>) -> PoolName {
        PoolName {
            backend: self.clone(),
            pool: pool.into(),
        }
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.host, self.backend)
    }
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.backend, self.pool)
    }
}

impl FromStr for BackendName {
    type Err = BadHost;
    fn from_str(text: &str) -> Result<Self, BadHost> {
        match text.split_once('@') {
            Some((host, backend)) if !host.is_empty() && !backend.is_empty() && !backend.contains('#') => {
                Ok(Self::new(host, backend))
            }
            _ => Err(BadHost(text.to_owned())),
        }
    }
}

impl FromStr for PoolName {
    type Err = BadHost;
    fn from_str(text: &str) -> Result<Self, BadHost> {
        match text.split_once('#') {
            Some((backend, pool)) if !pool.is_empty() => Ok(backend
                .parse::<BackendName>()
                .map_err(|_| BadHost(text.to_owned()))?
                .pool(pool)),
            _ => Err(BadHost(text.to_owned())),
        }
    }
}

/// Whether a host matches `wanted`: a machine with all its backends, a backend with all its pools, or one pool (cinder:
/// `db/sqlalchemy/api.py` `_filter_host`).
pub fn host_matches(host: &str, wanted: &str) -> bool {
    match host.strip_prefix(wanted) {
        Some("") => true,
        Some(rest) if wanted.contains('#') => rest.is_empty(),
        Some(rest) if wanted.contains('@') => rest.starts_with('#'),
        Some(rest) => rest.starts_with('#') || rest.starts_with('@'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{BackendName, PoolName};

    #[test]
    fn names_are_read_back_as_written() {
        let pool = BackendName::new("h", "lvm").pool("p");
        assert_eq!(pool.to_string(), "h@lvm#p");
        assert_eq!("h@lvm#p".parse(), Ok(pool));
        for bad in ["", "h", "h@", "@b", "h@b", "h@b#", "#p"] {
            assert!(bad.parse::<PoolName>().is_err(), "{bad}");
        }
    }
}
