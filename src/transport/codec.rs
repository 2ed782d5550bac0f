//! The one door to bincode on the wire.
//!
//! The format is bincode 1.3 with fixed-size integers, little-endian, trailing bytes refused: settled once, for
//! `DefaultOptions` alone writes other bytes than bincode's free functions do. What to know of it:
//!
//! - Its `with_limit` is ignored when decoding from a slice. What bounds a message is the frame it came in
//!   ([`super::frame`]); what bounds the memory it turns into is that no element of a list may be of size zero (eight
//!   bytes of `Vec<()>` spin for seconds) and that frames are small. serde reserves at most 1 MiB ahead for a claimed
//!   length.
//! - A field added at the end breaks old readers, and old bytes break the new one, `serde(default)` or not. So a message
//!   never changes; a new one gets a new name.
//! - `skip_serializing_if` corrupts; `flatten`, `untagged`, internal tags and `serde_json::Value` do not make the trip.
//! - Enum variants travel as their index: only ever append.

use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The bytes are not a value of the type, or the value has no bytes.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(#[from] bincode::Error);

fn options() -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_little_endian()
        .reject_trailing_bytes()
}

/// A value's bytes.
///
/// # Errors
/// It cannot be written in bincode (a sequence of unknown length, say): a fault of its type, not of its value.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    Ok(options().serialize(value)?)
}

/// How many bytes a value takes, without writing them.
///
/// # Errors
/// As [`encode`].
pub fn encoded_size<T: Serialize + ?Sized>(value: &T) -> Result<u64, CodecError> {
    Ok(options().serialized_size(value)?)
}

/// The value that these bytes are, all of them.
///
/// # Errors
/// They are not one, or there are more of them than it takes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    Ok(options().deserialize(bytes)?)
}
