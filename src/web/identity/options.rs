//! What the operator says about users and tokens.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::volume::Secret;

/// A user of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserOptions {
    /// The name to log in with. One name may come several times, with other projects.
    pub name: String,
    /// The password in the clear; hashed at start and then forgotten.
    pub password: Option<Secret>,
    /// The password's argon2 hash, as a PHC string.
    pub password_hash: Option<Secret>,
    /// The project's name.
    pub project: String,
    /// The roles there: `admin`, `member`, `reader` or any other word.
    pub roles: Vec<String>,
}

/// What a password costs to check: memory in KiB and passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    /// KiB of memory.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

impl Default for PasswordCost {
    /// OWASP's second choice for argon2id: 19 MiB, two passes.
    fn default() -> Self {
        Self {
            memory_kib: 19 * 1024,
            passes: 2,
        }
    }
}

/// Options of the embedded identity service.
#[derive(Clone, Debug)]
pub struct IdentityOptions {
    /// The users; if there are none, `admin` is made at the first start and `clouds.yaml` says how to log in.
    pub users: Vec<UserOptions>,
    /// How long a token is good.
    pub token_lifetime: Duration,
    /// The region in the catalog.
    pub region: String,
    /// Where `clouds.yaml` goes; `None` writes none (and then nobody knows the password of a new `admin`).
    pub clouds_dir: Option<PathBuf>,
    /// How clients on this machine reach us, for `clouds.yaml`: `http://127.0.0.1:8776`.
    pub url: String,
    /// What a password costs to check.
    pub password_cost: PasswordCost,
    /// How many passwords are checked at once.
    pub password_workers: usize,
}

impl Default for IdentityOptions {
    fn default() -> Self {
        Self {
            users: Vec::new(),
            token_lifetime: Duration::from_secs(12 * 3600),
            region: "RegionOne".to_owned(),
            clouds_dir: None,
            url: "http://127.0.0.1:8776".to_owned(),
            password_cost: PasswordCost::default(),
            password_workers: 2,
        }
    }
}
