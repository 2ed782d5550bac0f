//! Enrollment tokens: each lets one node have one certificate, once, for a while.
//!
//! A token is `FINGERPRINT.SECRET`: the fingerprint of the authority's certificate, by which the node knows that it talks to the
//! authority, and a secret, of which the authority keeps the hash. What the certificate will say is recorded with the hash when the
//! token is made; the node has no say in it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::folder::{lock, read_json, write_json};
use super::signing::PublicKey;
use super::{Authority, AuthorityError, NodeFiles, Result};
use crate::model::{NodeIdentity, Timestamp};

const TOKENS: &str = "tokens.json";

/// A token that was not used yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredToken {
    /// The SHA-256 of its secret, hexadecimal.
    hash: String,
    /// What the certificate will say.
    names: Vec<String>,
    /// How long the certificate is valid, in seconds.
    valid_seconds: u64,
    expires_at: Timestamp,
}

/// The parts of a token.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrollmentToken {
    /// The fingerprint of the authority's certificate.
    pub fingerprint: String,
    secret: String,
}

impl std::fmt::Debug for EnrollmentToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnrollmentToken")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

impl EnrollmentToken {
    /// Reads its text.
    ///
    /// # Errors
    /// If it is no token.
    pub fn parse(text: &str) -> Result<Self> {
        let is_fingerprint =
            |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text.trim().split_once('.') {
            Some((fingerprint, secret)) if is_fingerprint(fingerprint) && !secret.is_empty() => Ok(Self {
                fingerprint: fingerprint.to_ascii_lowercase(),
                secret: secret.to_owned(),
            }),
            _ => Err(AuthorityError::new(
                "this is not an enrollment token: that is FINGERPRINT.SECRET",
            )),
        }
    }

    /// Its secret, for the authority alone.
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// Its text, for the node that is to be enrolled.
    pub fn reveal(&self) -> String {
        format!("{}.{}", self.fingerprint, self.secret)
    }
}

fn hash_of(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

impl Authority {
    /// Makes a token that can be used for so long, for a certificate that is then valid for so long.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn make_token(
        &self,
        identity: &NodeIdentity,
        usable: Duration,
        valid: Duration,
    ) -> Result<EnrollmentToken> {
        let bytes = crate::rng::secret::<32>().map_err(AuthorityError::new)?;
        let token = EnrollmentToken {
            fingerprint: self.fingerprint(),
            secret: URL_SAFE_NO_PAD.encode(bytes),
        };
        let _lock = lock(&self.folder)?;
        let now = Timestamp::now();
        let mut tokens = self.tokens(now)?;
        tokens.push(StoredToken {
            hash: hash_of(&token.secret),
            names: identity.uris(),
            valid_seconds: valid.as_secs(),
            expires_at: now.plus(usable),
        });
        write_json(&self.folder.join(TOKENS), &tokens)?;
        Ok(token)
    }

    /// Uses a token up: issues its certificate for this key.
    ///
    /// # Errors
    /// If there is no such token, it is expired, or it was used.
    pub(super) fn redeem(&self, secret: &str, key: &PublicKey) -> Result<(NodeIdentity, NodeFiles)> {
        let lock = lock(&self.folder)?;
        let mut tokens = self.tokens(Timestamp::now())?;
        let hash = hash_of(secret);
        let is_it = |token: &StoredToken| bool::from(token.hash.as_bytes().ct_eq(hash.as_bytes()));
        let Some(found) = tokens.iter().position(is_it) else {
            return Err(AuthorityError::public(
                "the token is unknown, expired, or was used already",
            ));
        };
        let token = tokens.remove(found);
        let identity =
            NodeIdentity::from_uris(token.names.iter().map(String::as_str)).map_err(AuthorityError::new)?;
        // First: a token whose certificate is lost must be made again, not one that makes two.
        write_json(&self.folder.join(TOKENS), &tokens)?;
        let valid = Duration::from_secs(token.valid_seconds);
        let files = self.issue_locked(&lock, &identity, key, valid)?;
        Ok((identity, files))
    }

    /// The tokens that can be used.
    fn tokens(&self, now: Timestamp) -> Result<Vec<StoredToken>> {
        let path = self.folder.join(TOKENS);
        let mut tokens: Vec<StoredToken> = match path.exists() {
            true => read_json(&path)?,
            false => Vec::new(),
        };
        tokens.retain(|token| token.expires_at > now);
        Ok(tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::super::signing::NodeKey;
    use super::super::tests::identity;
    use super::*;

    #[test]
    fn a_token_is_used_once_and_in_time() {
        let home = tempfile::tempdir().unwrap();
        let authority = Authority::init(home.path(), "c1").unwrap();
        let hour = Duration::from_secs(3600);
        let key = NodeKey::generate().unwrap().public();
        let made = authority.make_token(&identity("a"), hour, hour).unwrap();
        let late = authority
            .make_token(&identity("b"), Duration::ZERO, hour)
            .unwrap();
        let token = EnrollmentToken::parse(&format!(" {}\n", made.reveal())).unwrap();
        assert_eq!(token, made);
        assert!(!format!("{token:?}").contains(token.secret()));
        let stored = std::fs::read_to_string(home.path().join(TOKENS)).unwrap();
        assert!(!stored.contains(token.secret()));
        assert!(authority.redeem(late.secret(), &key).is_err());
        assert!(authority.redeem("another", &key).is_err());
        let (of, files) = authority.redeem(token.secret(), &key).unwrap();
        assert_eq!(of, identity("a"));
        assert!(files.certificate.contains("BEGIN CERTIFICATE"));
        assert!(authority.redeem(token.secret(), &key).is_err());
        for text in ["", "x.y", "abc"] {
            assert!(EnrollmentToken::parse(text).is_err());
        }
    }
}
