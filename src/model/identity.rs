//! Users, projects, roles, credentials and tokens of the embedded identity: for sites without Keystone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::volume::Secret;
use super::{ApplicationCredentialId, Error, ProjectId, RoleId, Timestamp, UserId};

/// The only domain (Keystone: the default domain).
pub const DEFAULT_DOMAIN: &str = "default";

/// Roles that always exist, without a record. Each of the first three includes those after it (Keystone: `bootstrap`).
pub const BUILT_IN_ROLES: [&str; 4] = ["admin", "member", "reader", "service"];

/// How many of [`BUILT_IN_ROLES`] include those after them.
pub const IMPLIED_ROLES: usize = 3;

/// Attributes that clients add to a record, by name, each as JSON text. They are stored and shown, and mean nothing here.
pub type Attributes = BTreeMap<String, String>;

/// 32 hexadecimal digits derived from kind and name: the format of Keystone's ids. Users, projects and roles of the configuration
/// have the same ids, and own the same volumes, after each start.
pub fn id_for(kind: &str, name: &str) -> String {
    let digest = Sha256::new()
        .chain_update(kind)
        .chain_update([0])
        .chain_update(name)
        .finalize();
    hex::encode(&digest[..16])
}

/// The id of a role that has no record.
pub fn role_id(name: &str) -> RoleId {
    RoleId(id_for("role", name))
}

/// A user of the embedded identity (stored version 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// The name to log in with, unique within the domain.
    pub name: String,
    /// The hash of the password (an argon2 PHC string), never the password itself. Empty without a password: then the user
    /// cannot log in.
    pub password_hash: Secret,
    /// The domain's id.
    pub domain: String,
    /// The project of a token if the request names none.
    pub default_project: Option<ProjectId>,
    /// Whether the user may log in.
    pub enabled: bool,
    /// Further attributes, such as `email` and `description`.
    pub attributes: Attributes,
}

/// A project (tenant) of the embedded identity (stored version 2).
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
    /// Its description.
    pub description: String,
    /// Its tags.
    pub tags: BTreeSet<String>,
    /// Further attributes.
    pub attributes: Attributes,
    /// How often all tokens for the project were revoked: when it was disabled.
    pub token_generation: u64,
}

/// A role of the embedded identity (stored version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its id.
    pub id: RoleId,
    /// Its name, unique.
    pub name: String,
    /// Its description.
    pub description: Option<String>,
    /// Further attributes.
    pub attributes: Attributes,
}

/// The roles that a user has in a project (stored version 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAssignment {
    /// The user.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// The roles. Empty after the last was removed: the record remains for its `token_generation`.
    pub roles: BTreeSet<RoleId>,
    /// How often the user's tokens for the project were revoked: when a role was removed.
    pub token_generation: u64,
}

/// A secret with which a program acts as its user in one project (stored version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationCredential {
    /// Its id.
    pub id: ApplicationCredentialId,
    /// Its name, unique for its user.
    pub name: String,
    /// Its description.
    pub description: Option<String>,
    /// The user.
    pub user_id: UserId,
    /// The project.
    pub project_id: ProjectId,
    /// The roles that it was created with. Those that the user has no more do not count.
    pub roles: BTreeSet<RoleId>,
    /// The hash of the secret (an argon2 PHC string).
    pub secret_hash: Secret,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// Whether its tokens may manage application credentials.
    pub is_unrestricted: bool,
}

/// A record that a client creates and changes (part of messages).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants are named as their records")]
pub enum IdentityRecord {
    User(User),
    Project(Project),
    Role(Role),
    ApplicationCredential(ApplicationCredential),
}

/// The id of such a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants are named as their records")]
pub enum IdentityKey {
    User(UserId),
    Project(ProjectId),
    Role(RoleId),
    ApplicationCredential(ApplicationCredentialId),
}

/// A deleted record whose dependents are not all deleted yet (stored version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingCleanup {
    /// The deleted record.
    pub of: IdentityKey,
}

impl IdentityKey {
    /// The kind, by Keystone's name, and the id.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::User(id) => ("user", id.as_str()),
            Self::Project(id) => ("project", id.as_str()),
            Self::Role(id) => ("role", id.as_str()),
            Self::ApplicationCredential(id) => ("application credential", id.as_str()),
        }
    }

    /// 404 with Keystone's text.
    pub fn not_found(&self) -> Error {
        let (kind, id) = self.parts();
        Error::not_found(format!("Could not find {kind}: {id}."))
    }
}

impl IdentityRecord {
    /// Its id.
    pub fn key(&self) -> IdentityKey {
        match self {
            Self::User(user) => IdentityKey::User(user.id.clone()),
            Self::Project(project) => IdentityKey::Project(project.id.clone()),
            Self::Role(role) => IdentityKey::Role(role.id.clone()),
            Self::ApplicationCredential(credential) => {
                IdentityKey::ApplicationCredential(credential.id.clone())
            }
        }
    }

    /// 409 with Keystone's text: another record has its name.
    pub fn name_is_taken(&self) -> Error {
        let duplicate = |kind: &str, name: &str| format!("{kind} - Duplicate entry found with name {name}");
        let what = match self {
            Self::User(user) => format!("{} at domain ID {}", duplicate("user", &user.name), user.domain),
            Self::Project(project) => format!(
                "project - it is not permitted to have two projects with the same name in the same domain: {}",
                project.name
            ),
            Self::Role(role) => duplicate("role", &role.name),
            Self::ApplicationCredential(credential) => duplicate("application_credential", &credential.name),
        };
        Error::conflict(format!("Conflict occurred attempting to store {what}."))
    }
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

#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    pub(crate) fn user() -> User {
        User {
            id: "u".into(),
            name: "admin".to_owned(),
            password_hash: Secret::new("$argon2id$"),
            domain: DEFAULT_DOMAIN.to_owned(),
            default_project: Some("p".into()),
            enabled: true,
            attributes: [("email".to_owned(), "\"a@example.org\"".to_owned())].into(),
        }
    }

    pub(crate) fn project() -> Project {
        Project {
            id: "p".into(),
            name: "admin".to_owned(),
            domain: DEFAULT_DOMAIN.to_owned(),
            enabled: true,
            description: "d".to_owned(),
            tags: ["t".to_owned()].into(),
            attributes: Attributes::new(),
            token_generation: 3,
        }
    }

    pub(crate) fn role() -> Role {
        Role {
            id: "r".into(),
            name: "auditor".to_owned(),
            description: None,
            attributes: Attributes::new(),
        }
    }

    pub(crate) fn credential() -> ApplicationCredential {
        ApplicationCredential {
            id: "c".into(),
            name: "backup".to_owned(),
            description: Some("nightly".to_owned()),
            user_id: "u".into(),
            project_id: "p".into(),
            roles: ["r".into()].into(),
            secret_hash: Secret::new("$argon2id$"),
            expires_at: Some(Timestamp(1_700_000_000_000_001)),
            is_unrestricted: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_keeps_its_form() {
        crate::golden::record("full", &samples::user());
        crate::golden::record("full", &samples::project());
        crate::golden::record("full", &samples::role());
        crate::golden::record("full", &samples::credential());
        let assignment = RoleAssignment {
            user_id: "u".into(),
            project_id: "p".into(),
            roles: [role_id("admin"), role_id("member")].into(),
            token_generation: 2,
        };
        crate::golden::record("full", &assignment);
        let of = IdentityKey::Project("p".into());
        crate::golden::record("full", &PendingCleanup { of });
    }

    #[test]
    fn the_same_name_has_the_same_id_after_a_restart() {
        assert_eq!(id_for("project", "admin"), id_for("project", "admin"));
        assert_ne!(id_for("project", "admin"), id_for("user", "admin"));
        assert_ne!(id_for("a", "bc"), id_for("ab", "c"));
        assert_eq!(id_for("project", "admin").len(), 32);
    }
}
