//! What the validity of tokens of the embedded identity depends on: the keys that seal them, and the revoked tokens.
//! The tokens themselves are not stored: their holders have them.

use uuid::Uuid;

use super::keys::TIME_BYTES;
use super::prelude::*;
use crate::model::UserId;
use crate::model::identity::{RevokedToken, TokenGeneration, TokenKeys};

/// What the validity of one token depends on.
#[derive(Clone, Debug)]
pub struct TokenState {
    /// The keys; `None` before the first start has created them.
    pub keys: Option<TokenKeys>,
    /// How often all tokens of its user were revoked.
    pub generation: u64,
    /// Whether it was revoked individually.
    pub is_revoked: bool,
}

impl Catalog {
    /// The state for the token with this user and audit id.
    pub async fn token_state(&self, user: &UserId, audit_id: Uuid) -> Result<TokenState, StoreError> {
        let wanted = [keys_key(), generation_key(user), revoked_key(user, audit_id)];
        let mut found = self.store.get_many(&wanted).await?.into_iter();
        let mut next = || found.next().flatten();
        let keys = next().map(|entry| stored::<TokenKeys>(&wanted[0], &entry));
        let generation = next().map(|entry| stored::<TokenGeneration>(&wanted[1], &entry));
        let revoked = next();
        Ok(TokenState {
            keys: keys.transpose()?.map(|keys| keys.record),
            generation: generation
                .transpose()?
                .map_or(0, |stored| stored.record.generation),
            is_revoked: revoked.is_some(),
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
}

impl Indexed for RevokedToken {
    fn key(&self) -> Key {
        revoked_key(&self.user_id, self.audit_id)
    }
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
