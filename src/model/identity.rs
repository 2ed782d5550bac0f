//! Users, projects and tokens of the embedded identity: what a house without Keystone needs to know who asks.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::volume::Secret;
use super::{ProjectId, Timestamp, UserId};

/// The one domain there is (Keystone: the default domain).
pub const DEFAULT_DOMAIN: &str = "default";

/// Someone who can ask for a token (stored form of version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// The name to log in with, unique within the domain.
    pub name: String,
    /// How the password is proven (an argon2 PHC string). Never the password itself.
    pub password_hash: Secret,
    /// The domain's id.
    pub domain: String,
    /// The project a token is for when the request names none.
    pub default_project: Option<ProjectId>,
    /// Whether the user may log in.
    pub enabled: bool,
}

/// A project (tenant) of the embedded identity (stored form of version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// The project's id.
    pub id: ProjectId,
    /// Its name, unique within the domain.
    pub name: String,
    /// The domain's id.
    pub domain: String,
    /// Whether tokens for it are given.
    pub enabled: bool,
}

/// The roles that a user has in a project (stored form of version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAssignment {
    /// Who.
    pub user_id: UserId,
    /// Where.
    pub project_id: ProjectId,
    /// Which: `admin`, `member`, `reader`.
    pub roles: BTreeSet<String>,
}

/// The SHA-256 of a token. Only this is stored: who reads the store's file holds no token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(pub [u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell two apart in a log.
        write!(f, "{}…", hex::encode(&self.0[..4]))
    }
}

/// What tokens are sealed with (stored form of version 1). One for the whole service; whoever reads it can make tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenKeys {
    /// What users' credentials are fingerprinted with, in hexadecimal. Never changed.
    pub credentials: Secret,
    /// The keys, the newest first: it seals, the others open what they sealed.
    pub keys: Vec<TokenKey>,
}

/// One key (stored within [`TokenKeys`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenKey {
    /// Its number, which tokens name.
    pub number: u32,
    /// 256 bits in hexadecimal.
    pub secret: Secret,
    /// When it was made.
    pub made_at: Timestamp,
}

/// How often all tokens of a user were ended (stored form of version 1). A token of an earlier generation is worth nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenGeneration {
    /// Whose tokens.
    pub user_id: UserId,
    /// How often.
    pub generation: u64,
}

/// A token that was ended before its time (stored form of version 1). Kept until it would have ended by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedToken {
    /// Who held it.
    pub user_id: UserId,
    /// Which it was.
    pub audit_id: Uuid,
    /// When it would have ended.
    pub expires_at: Timestamp,
}

/// What a token stands for (stored form of version 1), as they were kept before they carried their own seal. None is written any
/// more; those that are still there are removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The hash of the token's text.
    pub hash: TokenHash,
    /// Who holds it.
    pub user_id: UserId,
    /// The project it is for; `None` for one without a scope.
    pub project_id: Option<ProjectId>,
    /// The roles it gives there.
    pub roles: BTreeSet<String>,
    /// When it was given.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Names the token in logs and audits, where its text must not be (Keystone: `audit_ids`).
    pub audit_id: Uuid,
    /// The `audit_id` of the first of a chain of tokens, each asked for with the one before; `None` for the first itself.
    pub audit_chain: Option<Uuid>,
    /// How the user was known: `password`, `token`.
    pub methods: Vec<String>,
}
