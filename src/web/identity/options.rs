//! Configuration of users and tokens.

use std::path::PathBuf;
use std::time::Duration;

use crate::model::volume::Secret;

/// A configured user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserOptions {
    /// The login name. A name may be repeated with other projects.
    pub name: String,
    /// The plain password; hashed at start and then dropped.
    pub password: Option<Secret>,
    /// The password's argon2 hash, as a PHC string.
    pub password_hash: Option<Secret>,
    /// The project's name.
    pub project: String,
    /// The roles there: `admin`, `member`, `reader` or any other name.
    pub roles: Vec<String>,
}

/// The cost of a password check: memory in KiB and passes.
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
    /// The users; if there are none, `admin` is created at the first start and `clouds.yaml` has the login data.
    pub users: Vec<UserOptions>,
    /// How long a token is valid.
    pub token_lifetime: Duration,
    /// The region in the catalog.
    pub region: String,
    /// The folder of `clouds.yaml`; with `None` it is not written (and the password of a new `admin` is unknown).
    pub clouds_dir: Option<PathBuf>,
    /// The URL for clients on this machine, for `clouds.yaml`: `http://127.0.0.1:8776`.
    pub url: String,
    /// The cost of a password check.
    pub password_cost: PasswordCost,
    /// How many passwords are checked at once.
    pub password_workers: usize,
    /// How long a change may take.
    pub call_timeout: Duration,
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
            call_timeout: Duration::from_secs(60),
        }
    }
}
