//! Tokens in the former format, which are deleted: they have an index by expiry.

use super::keys::TIME_BYTES;
use super::prelude::*;
use crate::model::{Token, TokenHash};

impl Catalog {
    /// A token by its hash. It may have expired: the caller compares the time.
    pub async fn token(&self, hash: &TokenHash) -> Result<Option<Stored<Token>>, StoreError> {
        self.record(&token_key(hash)).await
    }

    /// Expired tokens, the longest expired first, of up to `limit` rows. A caller that deletes them calls again from
    /// the beginning while there is a `next`.
    pub async fn expired_tokens(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Page<Stored<Token>, Timestamp>, StoreError> {
        self.expired(keys::TOKEN_BY_EXPIRY, now, limit).await
    }
}

impl Indexed for Token {
    fn key(&self) -> Key {
        token_key(&self.hash)
    }
}

fn token_key(hash: &TokenHash) -> Key {
    key(keys::TOKEN).bytes(&hash.0).end()
}

impl Kind for Token {
    const TABLES: &'static [Table] = &[keys::TOKEN];
    const INDEXES: &'static [Table] = &[keys::TOKEN_BY_EXPIRY];

    fn rows(&self) -> Rows {
        let by_expiry = key(keys::TOKEN_BY_EXPIRY).time(self.expires_at);
        Rows::from([(by_expiry.bytes(&self.hash.0).end(), Vec::new())])
    }

    fn record_of(row: &Key, _value: &[u8]) -> Option<Key> {
        let hash = row.0.get(keys::TOKEN_BY_EXPIRY.len() + TIME_BYTES..)?;
        Some(token_key(&TokenHash(hash.try_into().ok()?)))
    }
}
