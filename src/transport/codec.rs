//! The only use of bincode on the wire.
//!
//! The format is bincode 1.3 with fixed-size integers, little-endian, trailing bytes refused. It is defined in
//! one place, because `DefaultOptions` alone writes other bytes than bincode's free functions. Its properties:
//!
//! - Its `with_limit` is ignored when decoding from a slice. The size of a message is bounded by its frame
//!   ([`super::frame`]); the memory of the decoded value is bounded because frames are small, that serde reserves
//!   at most 1 MiB ahead for a claimed length, and that no element of a list is of size zero: eight bytes of
//!   `Vec<()>` spin for seconds. Lists in headers, which every peer can send, are also [`bounded`].
//! - A field added at the end breaks old readers, and old bytes break the new one, `serde(default)` or not. So a message
//!   never changes; a new one gets a new name.
//! - `skip_serializing_if` corrupts; `flatten`, `untagged`, internal tags and `serde_json::Value` cannot be decoded.
//! - Enum variants are encoded as their index: only append.

use bincode::Options;
use serde::{Deserialize, Serialize};

/// The bytes are not a value of the type, or the value cannot be encoded.
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
/// If bincode cannot encode it (a sequence of unknown length, for example): a fault of its type, not of its value.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    Ok(options().serialize(value)?)
}

/// Writes a value's bytes.
///
/// # Errors
/// As [`encode`], and the writer's.
pub fn encode_into<T: Serialize + ?Sized>(
    into: &mut impl std::io::Write,
    value: &T,
) -> Result<(), CodecError> {
    Ok(options().serialize_into(into, value)?)
}

/// How many bytes a value takes, without writing them.
///
/// # Errors
/// As [`encode`].
pub fn encoded_size<T: Serialize + ?Sized>(value: &T) -> Result<usize, CodecError> {
    Ok(usize::try_from(options().serialized_size(value)?).unwrap_or(usize::MAX))
}

/// Decodes a value from all of these bytes, from which it may borrow.
///
/// # Errors
/// If they do not decode, or bytes are left over.
pub fn decode<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, CodecError> {
    Ok(options().deserialize(bytes)?)
}

/// `#[serde(with = "bounded")]` for a list that an unauthenticated peer may send: its length is checked before memory is
/// reserved.
pub mod bounded {
    use std::fmt;
    use std::marker::PhantomData;

    use serde::de::{DeserializeOwned, Error, SeqAccess, Visitor};
    use serde::{Deserializer, Serialize, Serializer};

    /// The most elements such a list may have.
    pub const MOST: usize = 4096;

    /// Writes the list as any other.
    ///
    /// # Errors
    /// The serializer's, or if the list is too long.
    pub fn serialize<T: Serialize, S: Serializer>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
        if list.len() > MOST {
            return Err(serde::ser::Error::custom(format_args!(
                "{} elements, {MOST} may be",
                list.len()
            )));
        }
        list.serialize(serializer)
    }

    /// Reads a list of at most [`MOST`] elements.
    ///
    /// # Errors
    /// The deserializer's, or if the list claims more.
    pub fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(Bounded(PhantomData))
    }

    struct Bounded<T>(PhantomData<T>);

    impl<'de, T: DeserializeOwned> Visitor<'de> for Bounded<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MOST} elements")
        }

        fn visit_seq<S: SeqAccess<'de>>(self, mut sequence: S) -> Result<Vec<T>, S::Error> {
            if let Some(claimed) = sequence.size_hint()
                && claimed > MOST
            {
                return Err(S::Error::invalid_length(claimed, &self));
            }
            let mut list = Vec::new();
            while let Some(element) = sequence.next_element()? {
                if list.len() == MOST {
                    return Err(S::Error::invalid_length(MOST + 1, &self));
                }
                list.push(element);
            }
            Ok(list)
        }
    }
}

/// `#[serde(with = "plain_bytes")]` for large byte lists: written and read as a whole, in the same format as any list of bytes.
pub mod plain_bytes {
    use std::fmt;

    use serde::de::{Error, SeqAccess, Visitor};
    use serde::{Deserializer, Serializer};

    /// Writes the bytes.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// The deserializer's.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_byte_buf(Bytes)
    }

    struct Bytes;

    impl<'de> Visitor<'de> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<u8>, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = sequence.next_element()? {
                bytes.push(byte);
            }
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::{bounded, decode, encode, encode_into, encoded_size, plain_bytes};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Listed {
        before: u8,
        #[serde(with = "bounded")]
        list: Vec<u16>,
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Plain {
        #[serde(with = "plain_bytes")]
        bytes: Vec<u8>,
        after: u8,
    }

    #[test]
    fn plain_bytes_are_written_as_a_list_is_and_no_more_is_read_than_there_is() {
        let plain = Plain {
            bytes: vec![1, 2, 3],
            after: 4,
        };
        let bytes = encode(&plain).unwrap();
        assert_eq!(bytes, encode(&(vec![1_u8, 2, 3], 4_u8)).unwrap());
        assert_eq!(decode::<Plain>(&bytes).unwrap(), plain);
        let mut claims = u64::MAX.to_le_bytes().to_vec();
        claims.push(1);
        assert!(decode::<Plain>(&claims).is_err());
    }

    #[test]
    fn integers_are_fixed_and_little_endian_and_trailing_bytes_are_refused() {
        assert_eq!(
            encode(&(1_u8, 2_u32, "ab")).unwrap(),
            [1, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b']
        );
        assert_eq!(decode::<u16>(&[1, 0]).unwrap(), 1);
        assert!(decode::<u16>(&[1, 0, 0]).is_err());
        assert!(decode::<u16>(&[1]).is_err());
    }

    #[test]
    fn a_list_that_claims_too_much_is_refused_before_it_is_read() {
        let mut bytes = vec![0];
        bytes.extend_from_slice(&u64::MAX.to_le_bytes());
        assert!(decode::<Listed>(&bytes).is_err());
        let full = Listed {
            before: 1,
            list: vec![7; bounded::MOST],
        };
        assert_eq!(decode::<Listed>(&encode(&full).unwrap()).unwrap(), full);
        assert!(
            encode(&Listed {
                before: 1,
                list: vec![7; bounded::MOST + 1]
            })
            .is_err()
        );
        let mut bytes = vec![0];
        encode_into(&mut bytes, &vec![7_u16; bounded::MOST + 1]).unwrap();
        assert!(decode::<Listed>(&bytes).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_every_cut_is_noticed(
            value: (u64, Option<String>, Vec<(bool, i32)>), cut: prop::sample::Index,
        ) {
            let bytes = encode(&value).unwrap();
            prop_assert_eq!(bytes.len(), encoded_size(&value).unwrap());
            prop_assert_eq!(decode::<(u64, Option<String>, Vec<(bool, i32)>)>(&bytes).unwrap(), value);
            let cut = cut.index(bytes.len());
            prop_assert!(decode::<(u64, Option<String>, Vec<(bool, i32)>)>(&bytes[..cut]).is_err());
        }
    }
}
