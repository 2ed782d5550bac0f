//! CHAP secrets, which authenticate initiators (cinder: `volume/utils.py: generate_username, generate_password`).
//!
//! The name has 20 characters and the password 16, of letters and digits that are not confusable (no `0 1 I O l`). They
//! are from the operating system's generator, and every export has its own. A volume's record has them as `CHAP name
//! password` (`provider_auth`).

use crate::drivers::DriverError;
use crate::model::volume::Secret;
use crate::rng;

/// Length of a name.
pub const NAME_LENGTH: usize = 20;

/// Length of a password. RFC 7143 requires at least 12; initiators of Windows accept at most 16.
pub const PASSWORD_LENGTH: usize = 16;

const GROUPS: [&[u8]; 3] = [
    b"23456789",
    b"ABCDEFGHJKLMNPQRSTUVWXYZ",
    b"abcdefghijkmnopqrstuvwxyz",
];

/// A name and its password. It prints as stars.
#[derive(Clone, PartialEq, Eq)]
pub struct Chap {
    name: String,
    password: String,
}

impl Chap {
    /// Generates a new secret.
    ///
    /// # Errors
    /// If the operating system provides no random numbers.
    pub fn generate() -> Result<Self, DriverError> {
        let mut dice = Dice::default();
        loop {
            let (name, password) = (dice.word(NAME_LENGTH)?, dice.word(PASSWORD_LENGTH)?);
            // LIO interprets this text as no secret.
            if !name.starts_with("NULL") && !password.starts_with("NULL") {
                return Ok(Self { name, password });
            }
        }
    }

    /// Reads `CHAP name password`; `None` if it is anything else. The parts are used on command lines and in requests,
    /// so only letters, digits and a few harmless characters are accepted.
    pub fn parse(provider_auth: &Secret) -> Option<Self> {
        let mut words = provider_auth.reveal().split(' ');
        let (method, name, password) = (words.next()?, words.next()?, words.next()?);
        let plain = |word: &str| {
            !word.is_empty()
                && word.len() <= 128
                && !word.starts_with('-')
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        (method == "CHAP" && words.next().is_none() && plain(name) && plain(password)).then(|| Self {
            name: name.to_owned(),
            password: password.to_owned(),
        })
    }

    /// The secret in the record of the volume that is exported by this name.
    ///
    /// # Errors
    /// If it is not of that form.
    pub fn recorded(provider_auth: &Secret, name: &str) -> Result<Self, DriverError> {
        Self::parse(provider_auth).ok_or_else(|| {
            DriverError::failed(
                "The volume's secret could not be read.",
                format!("the provider_auth of {name} is not of the form CHAP name password"),
            )
        })
    }

    /// `CHAP name password`.
    pub fn to_provider_auth(&self) -> Secret {
        Secret::new(format!("CHAP {} {}", self.name, self.password))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The password, for the code that needs it.
    pub fn reveal_password(&self) -> &str {
        &self.password
    }
}

impl std::fmt::Debug for Chap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chap(***)")
    }
}

/// Uniformly distributed numbers: bytes that would bias them are discarded.
#[derive(Default)]
struct Dice {
    bytes: Vec<u8>,
}

impl Dice {
    /// A number below `sides` (2 to 255).
    fn roll(&mut self, sides: usize) -> Result<usize, DriverError> {
        let fair = 256 / sides * sides;
        loop {
            if self.bytes.is_empty() {
                let fresh: [u8; 64] = rng::secret().map_err(|error| {
                    DriverError::failed(
                        "The storage backend could not make a secret.",
                        format!("no random numbers for a CHAP secret: {error}"),
                    )
                })?;
                self.bytes.extend_from_slice(&fresh);
            }
            if let Some(byte) = self.bytes.pop()
                && usize::from(byte) < fair
            {
                return Ok(usize::from(byte) % sides);
            }
        }
    }

    /// A random text with at least one character of each group.
    fn word(&mut self, length: usize) -> Result<String, DriverError> {
        let all = GROUPS.concat();
        let mut word = Vec::with_capacity(length);
        for group in GROUPS {
            word.push(group[self.roll(group.len())?]);
        }
        while word.len() < length {
            word.push(all[self.roll(all.len())?]);
        }
        for place in (1..word.len()).rev() {
            let other = self.roll(place + 1)?;
            word.swap(place, other);
        }
        Ok(word.into_iter().map(char::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::{Chap, Dice};
    use crate::model::volume::Secret;

    #[test]
    fn secrets_are_long_readable_and_never_the_same() {
        let mut seen = HashSet::new();
        for _ in 0..200 {
            let chap = Chap::generate().unwrap();
            assert_eq!((chap.name().len(), chap.reveal_password().len()), (20, 16));
            for word in [chap.name(), chap.reveal_password()] {
                assert!(
                    word.bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() && !b"01IOl".contains(&byte)),
                    "{word}"
                );
                assert!(word.bytes().any(|byte| byte.is_ascii_digit()), "{word}");
                assert!(word.bytes().any(|byte| byte.is_ascii_uppercase()), "{word}");
                assert!(word.bytes().any(|byte| byte.is_ascii_lowercase()), "{word}");
                assert!(seen.insert(word.to_owned()));
            }
            assert_eq!(Chap::parse(&chap.to_provider_auth()), Some(chap));
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let chap = Chap::generate().unwrap();
        assert!(!format!("{chap:?}").contains(chap.reveal_password()));
    }

    #[test]
    fn dice_are_fair() {
        let mut dice = Dice::default();
        let mut counts = [0_u32; 3];
        for _ in 0..30_000 {
            counts[dice.roll(3).unwrap()] += 1;
        }
        assert!(
            counts.iter().all(|count| (9_000..11_000).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn what_is_no_chap_secret_is_not_taken_for_one() {
        for bad in [
            "",
            "CHAP",
            "CHAP u",
            "CHAP u p x",
            "chap u p",
            "CHAP  p",
            "CHAP u,password=x p",
            "CHAP -u p",
            "CHAP u \n",
        ] {
            assert_eq!(Chap::parse(&Secret::new(bad)), None, "{bad:?}");
        }
        assert!(Chap::parse(&Secret::new("CHAP user password")).is_some());
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(text in ".*") {
            let _ = Chap::parse(&Secret::new(text));
        }
    }
}
