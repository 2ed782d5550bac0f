//! What the validity of tokens of the embedded identity depends on: the keys that seal them, and the revoked tokens.
//! The tokens themselves are not stored: their holders have them.

use super::changes::{Changes, Indexed};
use super::keys::{self, Table, bytes_time, key};
use super::kinds::{Kind, Rows};
use super::read::stored;
use super::{Catalog, Page, Stored};
use crate::model::identity::{RevokedToken, TokenGeneration, TokenKeys};
use crate::model::{Timestamp, UserId};
use crate::store::{Condition, Key, StoreError};
use uuid::Uuid;

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
        let (keys, generation, revoked) = (
            found.next().flatten(),
            found.next().flatten(),
            found.next().flatten(),
        );
        let keys = keys
            .map(|entry| stored::<TokenKeys>(&wanted[0], &entry))
            .transpose()?;
        let generation = generation
            .map(|entry| stored::<TokenGeneration>(&wanted[1], &entry))
            .transpose()?;
        Ok(TokenState {
            keys: keys.map(|keys| keys.record),
            generation: generation.map_or(0, |stored| stored.record.generation),
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
        let table = key(keys::REVOKED_TOKEN_BY_EXPIRY).prefix();
        let rows = self.range(table, None, false, limit).await?;
        let expired: Vec<(Timestamp, Key)> = rows
            .iter()
            .filter_map(|(row, _)| Some((expiry(row)?, revoked_key_of_row(row)?)))
            .take_while(|(expiry, _)| *expiry <= now)
            .collect();
        let keys: Vec<Key> = expired.iter().map(|(_, key)| key.clone()).collect();
        Ok(Page {
            records: self.records(&keys).await?,
            next: expired
                .last()
                .map(|(expiry, _)| *expiry)
                .filter(|_| expired.len() >= limit),
        })
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

    fn expect_as_read<R>(&mut self, key: &Key, was: Option<&Stored<R>>) {
        match was {
            Some(was) => self.unchanged(key, was.revision),
            None => self.condition(Condition::Absent(key.clone())),
        }
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
        revoked_rows(self)
    }

    fn record_of(row: &Key, _value: &[u8]) -> Option<Key> {
        revoked_key_of_row(row)
    }
}

/// All index rows of a revoked token.
fn revoked_rows(token: &RevokedToken) -> Rows {
    let row = key(keys::REVOKED_TOKEN_BY_EXPIRY)
        .time(token.expires_at)
        .text(token.user_id.as_str())
        .id(token.audit_id)
        .end();
    Rows::from([(row, Vec::new())])
}

fn expiry(row: &Key) -> Option<Timestamp> {
    let (expiry, _) = row
        .0
        .get(keys::REVOKED_TOKEN_BY_EXPIRY.len()..)?
        .split_at_checked(8)?;
    bytes_time(expiry)
}

/// The record of a row of the expiry index: its key is the rest after the time.
fn revoked_key_of_row(row: &Key) -> Option<Key> {
    let record = row.0.get(keys::REVOKED_TOKEN_BY_EXPIRY.len() + 8..)?;
    Some(key(keys::REVOKED_TOKEN).bytes(record).end())
}
