//! What the validity of tokens of the embedded identity depends on: the keys that seal them, and the revoked tokens.
//! The tokens themselves are not stored: their holders have them.

use uuid::Uuid;

use super::identity::identity_key;
use super::keys::TIME_BYTES;
use super::prelude::*;
use super::role_assignments::assignment_key;
use crate::model::identity::{RevokedToken, TokenGeneration, TokenKeys};
use crate::model::{ApplicationCredential, ApplicationCredentialId, Project, RoleAssignment, User, UserId};
use crate::store::record::Record;

/// What a token is about.
#[derive(Clone, Copy, Debug)]
pub struct TokenSubject<'a> {
    /// Its user.
    pub user: &'a UserId,
    /// Its project, if it is scoped.
    pub project: Option<&'a ProjectId>,
    /// The application credential that it was issued for.
    pub credential: Option<&'a ApplicationCredentialId>,
    /// Its audit id.
    pub audit_id: Uuid,
}

/// What the validity of one token depends on. Records are missing if they are deleted, or those of the configuration.
#[derive(Clone, Debug, Default)]
pub struct TokenState {
    /// The keys; `None` before the first start has created them.
    pub keys: Option<TokenKeys>,
    /// How often the tokens of its user, of its project, or of its user for its project were revoked: each only grows, so
    /// that their sum changes with any of them.
    pub generation: u64,
    /// Whether it was revoked individually.
    pub is_revoked: bool,
    /// Its user.
    pub user: Option<User>,
    /// Its project.
    pub project: Option<Project>,
    /// The roles of its user in its project.
    pub assignment: Option<RoleAssignment>,
    /// Its application credential.
    pub credential: Option<ApplicationCredential>,
}

impl Catalog {
    /// The state for a token, in one read.
    pub async fn token_state(&self, token: TokenSubject<'_>) -> Result<TokenState, StoreError> {
        // A missing part is replaced by the key of the keys, which is read anyway, and ignored.
        let or_keys = |key: Option<Key>| key.unwrap_or_else(keys_key);
        let wanted = [
            keys_key(),
            generation_key(token.user),
            revoked_key(token.user, token.audit_id),
            identity_key::<User>(token.user.as_str()),
            or_keys(
                token
                    .project
                    .map(|project| identity_key::<Project>(project.as_str())),
            ),
            or_keys(token.project.map(|project| assignment_key(token.user, project))),
            or_keys(
                token
                    .credential
                    .map(|id| identity_key::<ApplicationCredential>(id.as_str())),
            ),
        ];
        let mut found = wanted.iter().zip(self.store.get_many(&wanted).await?);
        let mut next = || found.next().and_then(|(key, entry)| Some((key, entry?)));
        let keys = record_in::<TokenKeys>(next())?;
        let of_user = record_in::<TokenGeneration>(next())?;
        let is_revoked = next().is_some();
        let user = record_in(next())?;
        let (project, assignment) = (next(), next());
        let in_scope = token.project.is_some();
        let project: Option<Project> = record_in(project.filter(|_| in_scope))?;
        let assignment: Option<RoleAssignment> = record_in(assignment.filter(|_| in_scope))?;
        let credential = record_in(next().filter(|_| token.credential.is_some()))?;
        let generations = [
            of_user.map_or(0, |of_user| of_user.generation),
            project.as_ref().map_or(0, |project| project.token_generation),
            assignment
                .as_ref()
                .map_or(0, |assignment| assignment.token_generation),
        ];
        Ok(TokenState {
            keys,
            generation: generations.into_iter().fold(0, u64::saturating_add),
            is_revoked,
            user,
            project,
            assignment,
            credential,
        })
    }

    /// The keys of tokens, once they are created.
    pub async fn token_keys(&self) -> Result<Option<Stored<TokenKeys>>, StoreError> {
        self.record(&keys_key()).await
    }

    /// How often all tokens of a user were revoked; `None` if never.
    pub async fn token_generation(
        &self,
        user: &UserId,
    ) -> Result<Option<Stored<TokenGeneration>>, StoreError> {
        self.record(&generation_key(user)).await
    }

    /// Up to `limit` revoked tokens of a user.
    pub async fn revoked_tokens(
        &self,
        user: &UserId,
        limit: usize,
    ) -> Result<Vec<Stored<RevokedToken>>, StoreError> {
        let of_user = key(keys::REVOKED_TOKEN).text(user.as_str()).prefix();
        let entries = self.range(of_user, None, false, limit).await?;
        entries.iter().map(|(key, entry)| stored(key, entry)).collect()
    }

    /// Expired revocations, the longest expired first, of up to `limit` rows. A caller that deletes them calls again
    /// from the beginning while there is a `next`.
    pub async fn expired_revocations(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Page<Stored<RevokedToken>, Timestamp>, StoreError> {
        self.expired(keys::REVOKED_TOKEN_BY_EXPIRY, now, limit).await
    }
}

impl Changes {
    /// Replaces the keys; a conflict if they have changed since they were read.
    pub fn put_token_keys(&mut self, keys: &TokenKeys, was: Option<&Stored<TokenKeys>>) -> &mut Self {
        let key = keys_key();
        self.expect_as_read(&key, was);
        self.put(key, keys);
        self
    }

    /// Revokes all tokens of a user by a new generation; a conflict if it has changed since it was read.
    pub fn put_token_generation(
        &mut self,
        generation: &TokenGeneration,
        was: Option<&Stored<TokenGeneration>>,
    ) -> &mut Self {
        let key = generation_key(&generation.user_id);
        self.expect_as_read(&key, was);
        self.put(key, generation);
        self
    }

    /// Deletes the generation of a user, with the user.
    pub fn delete_token_generation(&mut self, was: &Stored<TokenGeneration>) -> &mut Self {
        let key = generation_key(&was.user_id);
        self.unchanged(&key, was.revision);
        self.delete_key(key);
        self
    }
}

impl Indexed for RevokedToken {
    fn key(&self) -> Key {
        revoked_key(&self.user_id, self.audit_id)
    }
}

/// The record in an entry that was found.
fn record_in<R: Record>(found: Option<(&Key, Entry)>) -> Result<Option<R>, StoreError> {
    let record = found.map(|(key, entry)| stored::<R>(key, &entry)).transpose()?;
    Ok(record.map(|stored| stored.record))
}

fn keys_key() -> Key {
    key(keys::TOKEN_KEYS).end()
}

fn generation_key(user: &UserId) -> Key {
    key(keys::TOKEN_GENERATION).text(user.as_str()).end()
}

fn revoked_key(user: &UserId, audit_id: Uuid) -> Key {
    key(keys::REVOKED_TOKEN).text(user.as_str()).id(audit_id).end()
}

impl Kind for RevokedToken {
    const TABLES: &'static [Table] = &[keys::REVOKED_TOKEN];
    const INDEXES: &'static [Table] = &[keys::REVOKED_TOKEN_BY_EXPIRY];

    fn rows(&self) -> Rows {
        let row = key(keys::REVOKED_TOKEN_BY_EXPIRY)
            .time(self.expires_at)
            .text(self.user_id.as_str())
            .id(self.audit_id)
            .end();
        Rows::from([(row, Vec::new())])
    }

    /// The key of the record is the rest of the row after the time.
    fn record_of(row: &Key, _value: &[u8]) -> Option<Key> {
        let record = row.0.get(keys::REVOKED_TOKEN_BY_EXPIRY.len() + TIME_BYTES..)?;
        Some(key(keys::REVOKED_TOKEN).bytes(record).end())
    }
}
