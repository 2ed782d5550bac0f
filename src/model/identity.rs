//! Users, projects and tokens of the embedded identity: for sites without Keystone.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::volume::Secret;
use super::{ProjectId, Timestamp, UserId};

/// The only domain (Keystone: the default domain).
pub const DEFAULT_DOMAIN: &str = "default";

/// A user of the embedded identity (stored version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// The name to log in with, unique within the domain.
    pub name: String,
    /// The hash of the password (an argon2 PHC string), never the password itself.
    pub password_hash: Secret,
    /// The domain's id.
    pub domain: String,
    /// The project of a token if the request names none.
    pub default_project: Option<ProjectId>,
    /// Whether the user may log in.
    pub enabled: bool,
}

/// A project (tenant) of the embedded identity (stored version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// The project's id.
    pub id: ProjectId,
    /// Its name, unique within the domain.
    pub name: String,
    /// The domain's id.
    pub domain: String,
    /// Whether tokens for it are issued.
    pub enabled: bool,
}

/// The roles that a user has in a project (stored version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAssignment {
    /// The user.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// The roles: `admin`, `member`, `reader`.
    pub roles: BTreeSet<String>,
}

/// The SHA-256 of a token. Only this is stored, so the store's file contains no tokens.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to distinguish two in a log.
        write!(f, "{}…", hex::encode(&self.0[..4]))
    }
}

/// The keys that seal tokens (stored version 1). One record for the whole service; a reader of it can forge tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenKeys {
    /// The key of credential fingerprints, in hexadecimal. Never changed.
    pub credentials: Secret,
    /// The keys, the newest first: it seals new tokens, the others verify older ones.
    pub keys: Vec<TokenKey>,
}

/// One key (stored within [`TokenKeys`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenKey {
    /// Its number, which tokens contain.
    pub number: u32,
    /// 256 bits in hexadecimal.
    pub secret: Secret,
    /// When it was created.
    pub made_at: Timestamp,
}

/// How often all tokens of a user were revoked (stored version 1). A token of an earlier generation is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenGeneration {
    /// The user.
    pub user_id: UserId,
    /// The number of revocations.
    pub generation: u64,
}

/// A revoked token (stored version 1). Stored until it would have expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedToken {
    /// The user.
    pub user_id: UserId,
    /// The token.
    pub audit_id: Uuid,
    /// When it would have expired.
    pub expires_at: Timestamp,
}

/// A token (stored version 1), from before tokens were sealed. It is no longer written; existing records are deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The hash of the token's text.
    pub hash: TokenHash,
    /// The user.
    pub user_id: UserId,
    /// The project it is for; `None` for one without a scope.
    pub project_id: Option<ProjectId>,
    /// Its roles in the project.
    pub roles: BTreeSet<String>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// Identifies the token in logs and audits, where its text must not be (Keystone: `audit_ids`).
    pub audit_id: Uuid,
    /// The `audit_id` of the first of a chain of tokens, each issued for the one before; `None` for the first itself.
    pub audit_chain: Option<Uuid>,
    /// The methods of authentication: `password`, `token`.
    pub methods: Vec<String>,
}
