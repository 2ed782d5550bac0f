//! Passwords: argon2id, off the arbiters, a few at a time.
//!
//! A check is expensive on purpose, so at most `workers` run at once and the others wait for a permit (`login_queue`).
//! For an unknown user the same check runs against a hash that no password matches.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

use super::login_queue::{LoginPermit, LoginQueue};
use super::options::PasswordCost;
use super::password_error::PasswordError;
use super::throttle::Attempt;
use crate::model::volume::Secret;
use crate::rng;

/// Longer passwords are rejected (Keystone: `max_password_length`).
pub(super) const LONGEST: usize = 4096;

/// Hashes and checks.
pub struct Passwords {
    cost: PasswordCost,
    queue: LoginQueue,
    /// A hash that no password matches, for unknown users.
    decoy: Secret,
}

impl Passwords {
    /// A checker that runs `workers` checks at once.
    ///
    /// # Errors
    /// If argon2 does not allow the cost.
    pub fn new(cost: PasswordCost, workers: usize) -> Result<Self, PasswordError> {
        let secret: [u8; 32] = rng::number();
        let decoy = hash(cost, &secret, &rng::number())?;
        Ok(Self {
            cost,
            queue: LoginQueue::new(workers),
            decoy,
        })
    }

    /// The PHC string of a password.
    ///
    /// # Errors
    /// When hashing fails.
    pub async fn hash(&self, password: &Secret, salt: [u8; 16]) -> Result<Secret, PasswordError> {
        let (cost, password) = (self.cost, password.clone());
        off_the_arbiter(move || hash(cost, password.reveal().as_bytes(), &salt)).await?
    }

    /// Waits for a permit to check a password.
    ///
    /// # Errors
    /// `Busy` if too many logins of the same name are waiting, or after the timeout.
    pub async fn permit(&self, attempt: &Attempt) -> Result<LoginPermit, PasswordError> {
        self.queue.permit(attempt).await
    }

    /// Whether the password matches. `None` is an unknown user: the check takes as long and never matches.
    ///
    /// # Errors
    /// If the stored hash is invalid.
    pub async fn verify(
        &self,
        permit: LoginPermit,
        stored: Option<&Secret>,
        password: &Secret,
    ) -> Result<bool, PasswordError> {
        let known = stored.is_some() && password.reveal().len() <= LONGEST;
        let stored = stored.unwrap_or(&self.decoy).clone();
        let password = if known { password.clone() } else { Secret::new("") };
        let fits = off_the_arbiter(move || {
            let fits = verify(&stored, &password);
            // The task owns the permit: a client that disconnects does not free the core that is still computing.
            drop(permit);
            fits
        });
        Ok(fits.await?? && known)
    }
}

async fn off_the_arbiter<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PasswordError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| PasswordError::Hashing(error.to_string()))
}

fn hash(cost: PasswordCost, password: &[u8], salt: &[u8; 16]) -> Result<Secret, PasswordError> {
    let params = Params::new(cost.memory_kib, cost.passes, 1, None)
        .map_err(|error| PasswordError::Hashing(error.to_string()))?;
    let hash: PasswordHash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password, salt)
        .map_err(|error| PasswordError::Hashing(error.to_string()))?;
    Ok(Secret::new(hash.to_string()))
}

fn verify(stored: &Secret, password: &Secret) -> Result<bool, PasswordError> {
    let stored =
        PasswordHash::new(stored.reveal()).map_err(|error| PasswordError::BadHash(error.to_string()))?;
    // Compares in constant time, with the cost of the stored hash.
    Ok(Argon2::default()
        .verify_password(password.reveal().as_bytes(), &stored)
        .is_ok())
}

/// Whether a text is a valid hash, so that a typing error is reported at start and not at the first login.
///
/// # Errors
/// If it is no PHC string of argon2.
pub fn check_hash(stored: &Secret) -> Result<(), PasswordError> {
    let hash =
        PasswordHash::new(stored.reveal()).map_err(|error| PasswordError::BadHash(error.to_string()))?;
    if !hash.algorithm.as_str().starts_with("argon2") || hash.hash.is_none() {
        return Err(PasswordError::BadHash(format!("algorithm {}", hash.algorithm)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::identity::throttle::Throttle;

    fn cheap() -> Passwords {
        Passwords::new(
            PasswordCost {
                memory_kib: 8,
                passes: 1,
            },
            1,
        )
        .unwrap()
    }

    fn anybody() -> Attempt {
        Throttle::default().attempt(None, "anybody", std::net::Ipv4Addr::LOCALHOST.into())
    }

    #[actix_web::test]
    async fn a_password_fits_its_own_hash_only() {
        let passwords = cheap();
        let stored = passwords.hash(&Secret::new("right"), [7; 16]).await.unwrap();
        assert!(
            stored.reveal().starts_with("$argon2id$v=19$m=8,t=1,p=1$"),
            "{}",
            stored.reveal()
        );
        let fits = async |stored, password: &str| {
            let permit = passwords.permit(&anybody()).await.unwrap();
            passwords
                .verify(permit, stored, &Secret::new(password))
                .await
                .unwrap()
        };
        assert!(fits(Some(&stored), "right").await);
        assert!(!fits(Some(&stored), "wrong").await);
        assert!(!fits(Some(&stored), "").await);
        assert!(!fits(Some(&stored), &"x".repeat(5000)).await);
        assert!(!fits(None, "right").await);
        assert!(!fits(None, "").await);
    }

    #[actix_web::test]
    async fn a_hash_of_the_configuration_is_looked_at_before_anyone_logs_in() {
        let good = cheap().hash(&Secret::new("x"), [7; 16]).await.unwrap();
        assert!(check_hash(&good).is_ok());
        for bad in [
            "",
            "secret",
            "$2b$12$abcdefghijklmnopqrstuv",
            "$argon2id$v=19$m=8,t=1,p=1",
        ] {
            assert!(check_hash(&Secret::new(bad)).is_err(), "{bad}");
        }
        let known = Secret::new("nonsense");
        let passwords = cheap();
        let permit = passwords.permit(&anybody()).await.unwrap();
        let answer = passwords.verify(permit, Some(&known), &Secret::new("x")).await;
        assert!(matches!(answer, Err(PasswordError::BadHash(_))));
    }
}
