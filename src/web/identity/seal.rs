//! The format of a token: its claims and a seal over them (HMAC-SHA256), as text.
//!
//! ```text
//!   version u8 · key u32 · flags u8 · issued i64 · expires i64 · generation u64 · credential [8] · audit [16]
//!   · chain [16] if flagged · user · project if flagged · application credential if flagged
//!   · seal [16]                                                                              (numbers big-endian)
//! ```
//!
//! A token that contains all of this needs no row in the store, so issuing tokens writes nothing. It is sealed, not encrypted:
//! its holder can read its ids. An id of 32 hexadecimal digits, as Pumice's are, takes 17 bytes, any other its length plus one:
//! about 160 characters in all.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::model::identity::TokenKeys;
use crate::model::volume::Secret;
use crate::model::{ApplicationCredentialId, ProjectId, Timestamp, UserId};
use crate::store::catalog::TokenSubject;

/// The format that is written, and the only one that is read.
const VERSION: u8 = 1;

/// Longer texts are not valid tokens.
const LONGEST: usize = 1024;

/// Half of HMAC-SHA256 (RFC 2104, 5).
const SEAL: usize = 16;

const HAS_PROJECT: u8 = 1;
const HAS_CHAIN: u8 = 2;
const BY_TOKEN: u8 = 4;
const BY_PASSWORD: u8 = 8;
const HAS_APPLICATION_CREDENTIAL: u8 = 16;

/// Set in the length of an id that is written as half as many bytes.
const HEXADECIMAL: u8 = 0x80;

/// A user's credential as stored in a token.
pub type Fingerprint = [u8; 8];

/// The claims of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The user.
    pub user_id: UserId,
    /// The project it is for; `None` for one without a scope.
    pub project_id: Option<ProjectId>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// Identifies the token in logs and audits, where its text must not be (Keystone: `audit_ids`).
    pub audit_id: Uuid,
    /// The `audit_id` of the first of a chain of tokens, each issued for the one before; `None` for the first itself.
    pub audit_chain: Option<Uuid>,
    /// Whether it was issued for a token.
    pub by_token: bool,
    /// Whether it was issued for a password, directly or by the chain of tokens.
    pub by_password: bool,
    /// The application credential that it was issued for, directly or by the chain of tokens.
    pub application_credential: Option<ApplicationCredentialId>,
    /// How often tokens of the user, of the project, or of the user for the project had been revoked before.
    pub generation: u64,
    /// The fingerprint of the user's password at that time.
    pub credential: Fingerprint,
}

impl Claims {
    /// What the token is about.
    pub fn subject(&self) -> TokenSubject<'_> {
        TokenSubject {
            user: &self.user_id,
            project: self.project_id.as_ref(),
            credential: self.application_credential.as_ref(),
            audit_id: self.audit_id,
        }
    }

    /// The methods of authentication, by Keystone's names.
    pub fn methods(&self) -> Vec<&'static str> {
        let methods = [
            (self.by_token, "token"),
            (self.by_password, "password"),
            (self.application_credential.is_some(), "application_credential"),
        ];
        methods
            .into_iter()
            .filter_map(|(is_so, method)| is_so.then_some(method))
            .collect()
    }
}

/// A text in the format of a token. Its seal is not verified yet.
#[derive(Debug)]
pub struct Unproven {
    bytes: Vec<u8>,
    key: u32,
    claims: Claims,
}

impl Unproven {
    /// Parses a text; `None` if it is not a token of this service.
    pub fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let bytes = from_base64_url(text)?;
        let (body, _) = bytes.split_at_checked(bytes.len().checked_sub(SEAL)?)?;
        let mut reader = Reader(body);
        if reader.byte()? != VERSION {
            return None;
        }
        let key = u32::from_be_bytes(reader.array()?);
        let flags = reader.byte()?;
        let has = |flag: u8| flags & flag != 0;
        let claims = Claims {
            issued_at: Timestamp(i64::from_be_bytes(reader.array()?)),
            expires_at: Timestamp(i64::from_be_bytes(reader.array()?)),
            generation: u64::from_be_bytes(reader.array()?),
            credential: reader.array()?,
            audit_id: Uuid::from_bytes(reader.array()?),
            audit_chain: match has(HAS_CHAIN) {
                true => Some(Uuid::from_bytes(reader.array()?)),
                false => None,
            },
            user_id: UserId(reader.id()?),
            project_id: match has(HAS_PROJECT) {
                true => Some(ProjectId(reader.id()?)),
                false => None,
            },
            application_credential: match has(HAS_APPLICATION_CREDENTIAL) {
                true => Some(ApplicationCredentialId(reader.id()?)),
                false => None,
            },
            by_token: has(BY_TOKEN),
            by_password: has(BY_PASSWORD),
        };
        let is_read = reader.0.is_empty();
        is_read.then_some(Self { bytes, key, claims })
    }

    /// What it claims to be about.
    pub fn subject(&self) -> TokenSubject<'_> {
        self.claims.subject()
    }

    /// The claims, if one of these keys sealed them.
    pub fn proven(self, keys: &TokenKeys) -> Option<Claims> {
        let key = keys.keys.iter().find(|key| key.number == self.key)?;
        let (body, seal) = self.bytes.split_at(self.bytes.len() - SEAL);
        let is_ours = mac(&key.secret, &[b"token\0", body])
            .verify_truncated_left(seal)
            .is_ok();
        is_ours.then_some(self.claims)
    }
}

/// The text of a token, sealed with the newest key; `None` if there is no key, or an id is too long.
pub fn seal(claims: &Claims, keys: &TokenKeys) -> Option<Secret> {
    let key = keys.keys.first()?;
    let flags = [
        (claims.project_id.is_some(), HAS_PROJECT),
        (claims.audit_chain.is_some(), HAS_CHAIN),
        (claims.by_token, BY_TOKEN),
        (claims.by_password, BY_PASSWORD),
        (
            claims.application_credential.is_some(),
            HAS_APPLICATION_CREDENTIAL,
        ),
    ];
    let flags = flags
        .into_iter()
        .fold(0, |all, (is_so, flag)| if is_so { all | flag } else { all });
    let mut bytes = vec![VERSION];
    bytes.extend(key.number.to_be_bytes());
    bytes.push(flags);
    bytes.extend(claims.issued_at.0.to_be_bytes());
    bytes.extend(claims.expires_at.0.to_be_bytes());
    bytes.extend(claims.generation.to_be_bytes());
    bytes.extend(claims.credential);
    bytes.extend(claims.audit_id.as_bytes());
    bytes.extend(claims.audit_chain.iter().flat_map(|id| *id.as_bytes()));
    write_id(&mut bytes, claims.user_id.as_str())?;
    if let Some(project) = &claims.project_id {
        write_id(&mut bytes, project.as_str())?;
    }
    if let Some(credential) = &claims.application_credential {
        write_id(&mut bytes, credential.as_str())?;
    }
    let seal = mac(&key.secret, &[b"token\0", &bytes]).finalize().into_bytes();
    bytes.extend(&seal[..SEAL]);
    Some(Secret::new(base64_url(&bytes)))
}

/// The fingerprint of a user's password: different for each user, and useless without the key.
pub fn fingerprint(keys: &TokenKeys, user: &UserId, password_hash: &Secret) -> Fingerprint {
    derive(keys, b"credential\0", user, password_hash.reveal())
}

/// The salt for a user whose password is in the configuration: the same at each start, so that tokens stay valid.
pub fn salt(keys: &TokenKeys, user: &UserId) -> [u8; 16] {
    derive(keys, b"salt\0", user, "")
}

fn derive<const N: usize>(keys: &TokenKeys, label: &[u8], user: &UserId, of: &str) -> [u8; N] {
    let digest = mac(
        &keys.credentials,
        &[label, user.as_str().as_bytes(), b"\0", of.as_bytes()],
    )
    .finalize()
    .into_bytes();
    let mut derived = [0; N];
    derived.copy_from_slice(&digest[..N]);
    derived
}

fn mac(secret: &Secret, parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac
}

fn write_id(bytes: &mut Vec<u8>, id: &str) -> Option<()> {
    let lower = id
        .bytes()
        .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let (written, flag) = match hex::decode(id) {
        Ok(half) if lower => (half, HEXADECIMAL),
        _ => (id.as_bytes().to_vec(), 0),
    };
    let length = u8::try_from(written.len())
        .ok()
        .filter(|length| *length < HEXADECIMAL)?;
    bytes.push(length | flag);
    bytes.extend(written);
    Some(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn id(&mut self) -> Option<String> {
        let length = self.byte()?;
        let bytes = self.take(usize::from(length & !HEXADECIMAL))?;
        match length & HEXADECIMAL {
            0 => String::from_utf8(bytes.to_vec()).ok(),
            _ => Some(hex::encode(bytes)),
        }
    }
}

/// Base64 for URLs, without padding (RFC 4648, 5).
pub fn base64_url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of such a text; `None` for any text that [`base64_url`] does not write: there is one text for each token.
fn from_base64_url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::identity::TokenKey;

    fn keys(numbers: &[u32]) -> TokenKeys {
        TokenKeys {
            credentials: Secret::new("credentials"),
            keys: numbers
                .iter()
                .map(|number| TokenKey {
                    number: *number,
                    secret: Secret::new(format!("secret {number}")),
                    made_at: Timestamp(0),
                })
                .collect(),
        }
    }

    fn claims() -> Claims {
        Claims {
            user_id: "0123456789abcdef0123456789abcdef".into(),
            project_id: Some("fedcba9876543210fedcba9876543210".into()),
            issued_at: Timestamp(1),
            expires_at: Timestamp(2),
            audit_id: Uuid::from_u128(3),
            audit_chain: Some(Uuid::from_u128(4)),
            by_token: true,
            by_password: false,
            application_credential: Some("00000000000000000000000000000007".into()),
            generation: 5,
            credential: [6; 8],
        }
    }

    #[test]
    fn a_token_is_worth_what_it_was_sealed_for_and_fits_in_a_header() {
        let text = seal(&claims(), &keys(&[2, 1])).unwrap();
        assert!(text.reveal().len() < 200, "{}", text.reveal().len());
        let read = || Unproven::read(text.reveal()).unwrap();
        assert_eq!(read().proven(&keys(&[2, 1])), Some(claims()));
        assert_eq!(
            read().proven(&keys(&[3, 2])),
            Some(claims()),
            "an older key still verifies it"
        );
        assert_eq!(read().proven(&keys(&[1])), None, "no key, no token");
        assert_eq!(read().proven(&keys(&[])), None);
        let mut other = keys(&[2]);
        other.keys[0].secret = Secret::new("another");
        assert_eq!(read().proven(&other), None);
    }

    #[test]
    fn a_token_in_which_any_letter_is_changed_is_none() {
        let keys = keys(&[1]);
        let text = seal(&claims(), &keys).unwrap();
        let text = text.reveal();
        for place in 0..text.len() {
            for letter in ["A", "B", "_", "é", ""] {
                let forged = format!("{}{letter}{}", &text[..place], &text[place + 1..]);
                let worth = Unproven::read(&forged).and_then(|token| token.proven(&keys));
                assert!(forged == text || worth.is_none(), "{place} {letter}");
            }
        }
        for forged in [
            format!("{text}A"),
            format!("{text}AAAA"),
            format!("{text}="),
            "A".repeat(5000),
        ] {
            assert!(
                Unproven::read(&forged)
                    .and_then(|token| token.proven(&keys))
                    .is_none()
            );
        }
    }

    #[test]
    fn fingerprints_tell_passwords_and_users_apart() {
        let of = |user: &str, hash: &str| fingerprint(&keys(&[1]), &user.into(), &Secret::new(hash));
        assert_eq!(of("u", "h"), of("u", "h"));
        assert_ne!(of("u", "h"), of("u", "i"));
        assert_ne!(of("u", "h"), of("v", "h"));
        assert_ne!(salt(&keys(&[1]), &"u".into()), salt(&keys(&[1]), &"v".into()));
    }

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
            assert_eq!(from_base64_url(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(base64_url(&[0xfb, 0xff]), "-_8");
        for text in ["Z", "Zh", "Zm9", "Zg=", "Zg ", "Z+", "é"] {
            assert_eq!(from_base64_url(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_ids_come_back(user in ".{0,20}|[0-9a-fA-F]{0,40}", project in proptest::option::of("[0-9a-f]{1,8}"), generation: u64) {
            let claims = Claims {
                user_id: user.as_str().into(),
                project_id: project.as_deref().map(ProjectId::from),
                generation,
                audit_chain: None,
                application_credential: None,
                ..claims()
            };
            let text = seal(&claims, &keys(&[1])).unwrap();
            let read = Unproven::read(text.reveal()).unwrap();
            prop_assert_eq!(read.subject().user, &claims.user_id);
            prop_assert_eq!(read.proven(&keys(&[1])), Some(claims));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[A-Za-z0-9_-]{0,200}|.{0,20}") {
            let _ = Unproven::read(&text).and_then(|token| token.proven(&keys(&[1])));
        }

        #[test]
        fn what_is_read_as_base64_is_written_the_same(text in "[A-Za-z0-9_-]{0,12}") {
            if let Some(bytes) = from_base64_url(&text) {
                prop_assert_eq!(base64_url(&bytes), text);
            }
        }
    }
}
