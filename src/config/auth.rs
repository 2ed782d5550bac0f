//! `[auth]`: who may call.

use std::path::PathBuf;

use serde::Deserialize;

use super::reading::{section, settings};
use super::units::Duration;
use crate::model::volume::Secret;

/// How a caller is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// The identity service of our own, with the users below.
    Embedded,
    /// The tokens of a Keystone.
    Keystone,
    /// Everyone is believed and is an administrator. For trying things out.
    Noauth,
}

settings! { read_plain; Strategy: "\"embedded\", \"keystone\" or \"noauth\"" }

section! {
    /// A user of the embedded identity service.
    User as "{ name = \"…\", password = \"…\" or password_hash = \"…\", project = \"…\", roles = [\"…\"] }" {
        /// The name to log in with.
        name: String = String::new(),
        /// The password in the clear. Prefer `password_hash`. A name that comes again, for another project, has the same or none.
        password: Option<Secret> = None,
        /// The password's argon2 hash in PHC form (`$argon2id$v=19$…`).
        password_hash: Option<Secret> = None,
        /// The project the user's tokens are for; made when it is first named.
        project: String = "admin".to_owned(),
        /// The user's roles in it: `admin`, `member`, `reader`. Each includes those after it.
        roles: Vec<String> = vec!["member".to_owned()],
    }
}

section! {
    /// Who may call.
    Auth {
        /// How a caller is known.
        strategy: Strategy = Strategy::Embedded,
        /// How long a token holds.
        token_lifetime: Duration = Duration::from_hours(12),
        /// A policy file: YAML with a check for each rule that is not as by default, in the syntax of oslo.policy (cinder: `policy.yaml`). Empty: none.
        policy_file: PathBuf = PathBuf::new(),
        /// The region's name in the service catalog.
        region: String = "RegionOne".to_owned(),
        /// Users that are defined here, besides those that administrators make over the API. Empty: `admin` with a random password is made at
        /// the first start, and `clouds.yaml` says how to log in.
        users: Vec<User> = Vec::new(),
    }
}
