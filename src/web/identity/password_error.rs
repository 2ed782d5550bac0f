//! Errors of password checks and of the queue for their permits.

/// Why a password could not be checked or hashed.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// Too many logins are waiting.
    #[error("too many logins are waiting for their permit")]
    Busy,
    /// The configured or stored hash is invalid.
    #[error("the stored password hash is not a valid argon2 string: {0}")]
    BadHash(String),
    /// Hashing failed.
    #[error("cannot hash a password: {0}")]
    Hashing(String),
}
