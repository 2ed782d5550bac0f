//! Tokens: 256 random bits to whoever logged in, their SHA-256 in the catalog, the latest used ones in memory.
//!
//! A token survives a restart, because the catalog has it; who reads the catalog holds none, because it has the hash
//! only. What it is worth is looked up when it is used: a user or project that is gone, or a role that was taken away,
//! ends it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::bounded::Bounded;
use super::directory::Directory;
use crate::model::volume::Secret;
use crate::model::{ProjectId, Timestamp, Token, TokenHash, UserId};
use crate::store::catalog::Catalog;
use crate::store::{CommitError, StoreError};
use crate::web::auth::Principal;

/// After so long a token in memory is read again, so that what another node revoked ends here, too.
const TRUSTED_FOR: Duration = Duration::from_secs(60);

/// How many expired tokens are removed in one commit.
const SWEPT_AT_ONCE: usize = 200;

/// A token in use.
#[derive(Debug)]
pub struct Session {
    /// What is stored of it.
    pub token: Token,
    /// Who holds it, for handlers.
    pub principal: Principal,
}

/// What a new token shall be.
pub struct Wish {
    /// For whom.
    pub user_id: UserId,
    /// For which project.
    pub project_id: Option<ProjectId>,
    /// With which roles there.
    pub roles: Vec<String>,
    /// How the user was known.
    pub methods: Vec<String>,
    /// The token that was shown to get it, if one was: its end is the new one's, too.
    pub parent: Option<Token>,
}

struct Remembered {
    session: Arc<Session>,
    read_at: Instant,
}

/// All tokens.
pub struct Tokens {
    catalog: Catalog,
    lifetime: Duration,
    cache: Mutex<Bounded<TokenHash, Remembered>>,
    /// Grows with each revocation: who read a token before one must not remember it after.
    revocations: AtomicU64,
}

impl Tokens {
    /// Tokens kept in this catalog.
    #[must_use]
    pub fn new(catalog: Catalog, lifetime: Duration, cached: usize) -> Self {
        Self {
            catalog,
            lifetime,
            cache: Mutex::new(Bounded::new(cached)),
            revocations: AtomicU64::new(0),
        }
    }

    /// Makes a token and stores it; its text is nowhere else.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn issue(&self, wish: Wish) -> Result<(Secret, Token), CommitError> {
        let bytes: [u8; 32] = rand::random();
        let text = base64_url(&bytes);
        // Whole seconds: Keystone's tokens end so, and some clients compare texts.
        let now = Timestamp::now();
        let end = now.plus(self.lifetime);
        let end = Timestamp(end.0 - end.0.rem_euclid(1_000_000));
        let token = Token {
            hash: hash(&text),
            user_id: wish.user_id,
            project_id: wish.project_id,
            roles: wish.roles.into_iter().collect(),
            issued_at: now,
            expires_at: wish
                .parent
                .as_ref()
                .map_or(end, |parent| parent.expires_at.min(end)),
            audit_id: Uuid::new_v4(),
            audit_chain: wish
                .parent
                .map(|parent| parent.audit_chain.unwrap_or(parent.audit_id)),
            methods: wish.methods,
        };
        let mut changes = self.catalog.change();
        changes.put_token(&token);
        changes.commit().await?;
        Ok((Secret::new(text), token))
    }

    /// What a token is worth now; `None` if nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn resolve(
        &self,
        text: &str,
        directory: &Directory,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        // Ours are shorter; hashing much longer ones is work for nothing.
        if text.len() > 256 {
            return Ok(None);
        }
        let hash = hash(text);
        if let Some(session) = self.remembered(&hash) {
            return Ok((session.token.expires_at > Timestamp::now()).then_some(session));
        }
        let revocations = self.revocations.load(Ordering::Acquire);
        let Some(stored) = self.catalog.token(&hash).await? else {
            return Ok(None);
        };
        let token = stored.record;
        if token.expires_at <= Timestamp::now() {
            return Ok(None);
        }
        let Some(principal) = worth(&token, directory) else {
            return Ok(None);
        };
        let session = Arc::new(Session { token, principal });
        let mut cache = self.lock();
        if self.revocations.load(Ordering::Acquire) == revocations {
            cache.insert(
                hash,
                Remembered {
                    session: Arc::clone(&session),
                    read_at: Instant::now(),
                },
            );
        }
        Ok(Some(session))
    }

    /// Ends a token. Whether it was there.
    ///
    /// # Errors
    /// When the store fails; the token may still be good.
    pub async fn revoke(&self, hash: &TokenHash) -> Result<bool, CommitError> {
        let Some(stored) = self.catalog.token(hash).await? else {
            return Ok(false);
        };
        let mut changes = self.catalog.change();
        changes.delete_token(&stored);
        let done = match changes.commit().await {
            // Somebody else ended it first.
            Err(CommitError::Conflict(_)) => false,
            done => done.map(|_| true)?,
        };
        let mut cache = self.lock();
        self.revocations.fetch_add(1, Ordering::AcqRel);
        cache.remove(hash);
        Ok(done)
    }

    /// Removes tokens that have expired. How many.
    ///
    /// # Errors
    /// When the store fails; those not yet removed will be the next time.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, CommitError> {
        let mut swept = 0;
        loop {
            let expired = self.catalog.expired_tokens(now, SWEPT_AT_ONCE).await?;
            let mut changes = self.catalog.change();
            for token in &expired.records {
                changes.delete_token(token);
            }
            if !expired.records.is_empty() {
                match changes.commit().await {
                    Ok(_) => swept += expired.records.len(),
                    // One of them was revoked meanwhile: the others are read again.
                    Err(CommitError::Conflict(_)) => continue,
                    Err(error) => return Err(error),
                }
            }
            if expired.next.is_none() {
                return Ok(swept);
            }
        }
    }

    fn remembered(&self, hash: &TokenHash) -> Option<Arc<Session>> {
        let mut cache = self.lock();
        let known = cache.get_mut(hash)?;
        (known.read_at.elapsed() < TRUSTED_FOR).then(|| Arc::clone(&known.session))
    }

    fn lock(&self) -> MutexGuard<'_, Bounded<TokenHash, Remembered>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who a token stands for, given who there is now.
fn worth(token: &Token, directory: &Directory) -> Option<Principal> {
    let user = directory.user(&token.user_id)?;
    let (project_id, roles) = match &token.project_id {
        None => (ProjectId(String::new()), Vec::new()),
        Some(project) => {
            let project = directory.project(project)?;
            let roles = directory.roles_in(&user.id, &project.id);
            if roles.is_empty() {
                return None;
            }
            (project.id.clone(), roles)
        }
    };
    let is_admin = roles.iter().any(|role| role == "admin");
    Some(Principal {
        user_id: user.id.clone(),
        project_id,
        roles,
        is_admin,
    })
}

/// What is stored instead of a token.
#[must_use]
pub fn hash(text: &str) -> TokenHash {
    TokenHash(Sha256::digest(text.as_bytes()).into())
}

/// Base64 for URLs, without padding (RFC 4648, 5).
#[must_use]
pub fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0u32, |group, byte| group << 8 | u32::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            let six = group >> (18 - 6 * place) & 63;
            text.push(char::from(ALPHABET[six as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64_url;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
        ] {
            assert_eq!(base64_url(bytes.as_bytes()), text);
        }
        assert_eq!(base64_url(&[0xfb, 0xff]), "-_8");
        assert_eq!(base64_url(&[0; 32]).len(), 43);
    }
}
