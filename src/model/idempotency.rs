//! Idempotency keys: a client that repeats a request with the same key gets the answer of the first one, and nothing is made
//! twice (the header `Idempotency-Key`; Cinder has none).

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{OperationId, ProjectId, Timestamp, UserId};

/// The key of a request, and what it asks for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// The client's text.
    pub key: String,
    /// A hash of method, path, version and body.
    pub fingerprint: [u8; 32],
}

/// The key is as secret as what can be had with it.
impl std::fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdempotencyKey")
    }
}

impl IdempotencyKey {
    /// The longest key, in characters.
    pub const LONGEST: usize = 255;

    /// A key for a request.
    ///
    /// # Errors
    /// With the reason if the text is not a key: 1 to 255 printable ASCII characters.
    pub fn new(text: &str, of: [&[u8]; 4]) -> Result<Self, &'static str> {
        // The draft of the header has a string in quotes, most clients send the bare text.
        let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let key = bare.unwrap_or(text);
        if key.is_empty() || key.len() > Self::LONGEST || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("Idempotency-Key must be 1 to 255 printable ASCII characters without spaces.");
        }
        Ok(Self {
            key: key.to_owned(),
            fingerprint: hash(&of),
        })
    }

    /// Its name in the store: keys of two users, and of one user in two projects, are different.
    pub fn name(&self, user: &UserId) -> KeyName {
        KeyName(hash(&[user.as_str().as_bytes(), self.key.as_bytes()]))
    }
}

/// The hash of a user's key, by which it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyName(pub [u8; 32]);

/// A request that was answered, as stored in the catalog (version 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotentRequest {
    /// The project.
    pub project_id: ProjectId,
    /// The hash of the user's key.
    pub name: KeyName,
    /// A hash of what was asked for.
    pub fingerprint: [u8; 32],
    /// The name of its message.
    pub request: String,
    /// The encoded reply.
    pub reply: Vec<u8>,
    /// The answer, as it was sent.
    pub answer: Option<StoredAnswer>,
    /// The operation whose end is the answer, if the client waited for it.
    pub operation: Option<OperationId>,
    /// When it is forgotten.
    pub expires_at: Timestamp,
}

/// An answer with a JSON body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// A hash of texts, and of where each ends.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<IdempotencyKey, &'static str> {
        IdempotencyKey::new(text, [b"POST", b"/v3/volumes", b"3.0", b"{}"])
    }

    #[test]
    fn a_key_is_printable_and_short() {
        assert_eq!(key("a-1").unwrap(), key("\"a-1\"").unwrap());
        for bad in ["", "\"\"", "a b", "\u{7f}", "é", &"k".repeat(256)] {
            assert!(key(bad).is_err(), "{bad:?}");
        }
        assert!(key(&"k".repeat(255)).is_ok());
    }

    #[test]
    fn each_part_of_a_request_and_each_user_makes_a_difference() {
        let of = |parts| IdempotencyKey::new("k", parts).unwrap().fingerprint;
        assert_ne!(of([b"ab", b"c", b"", b""]), of([b"a", b"bc", b"", b""]));
        let key = key("k").unwrap();
        assert_ne!(key.name(&"u".into()), key.name(&"v".into()));
        assert_eq!(format!("{key:?}"), "IdempotencyKey");
    }

    #[test]
    fn its_record_has_the_bytes_it_had() {
        let record = IdempotentRequest {
            project_id: "p".into(),
            name: KeyName([1; 32]),
            fingerprint: [2; 32],
            request: "make_it".to_owned(),
            reply: vec![3, 4],
            answer: None,
            operation: Some(OperationId(uuid::Uuid::from_u128(5))),
            expires_at: Timestamp(1_700_000_000_000_001),
        };
        crate::golden::record("begun", &record);
        let answer = StoredAnswer {
            status: 202,
            body: b"{}".to_vec(),
        };
        let answered = IdempotentRequest {
            answer: Some(answer),
            ..record
        };
        crate::golden::record("answered", &answered);
    }
}
