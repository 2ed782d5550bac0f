//! The encoding of records, readable by later versions of the program.
//!
//! A stored record is `kind u8 · version u8 · bincode`: little-endian integers of fixed width, no trailing bytes. The
//! kind identifies the type of the record from its bytes; the version determines the struct to decode it with.
//!
//! # Changing a record
//!
//! bincode does not encode field names, so *any* change of a record's fields is a new version:
//! 1. copy the previous struct into `src/store/record/` as `VolumeV1` (with the types it is made of, if they change
//!    too);
//! 2. raise [`Record::VERSION`] and read the older form in [`Record::upgrade`];
//! 3. keep the golden file of the old version in `tests/golden/records` and add one for the new: the test reads both.
//!
//! Records of all old versions can be read. Enums only get new variants at their end, which is a new version of the record, too. A record of
//! a newer version is refused with [`RecordError::Newer`]: the program was downgraded.
//!
//! 4. write the version before it in [`Record::downgrade`], as long as nodes of the release before may run beside this one.
//!
//! # Which version is written
//!
//! The newest that every control node reads which shares the store ([`limit_written`]; `catalog/versions.rs` finds it), or the one in which
//! a record of that kind was read, for that shows that they do. So an older node never meets what it cannot read, and drops nothing that it does
//! not know. What a record of the older version cannot hold is [`RecordError::NotYet`]: it is possible once all nodes are upgraded.

mod identity_v1;
pub mod operation_v1;
mod operation_v2;
mod raised;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};

use bincode::Options;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use self::identity_v1::{ProjectV1, RoleAssignmentV1, UserV1};
use self::operation_v1::OperationV1;
use self::operation_v2::OperationV2;
use super::{MAX_VALUE, StoreError};
use crate::model::control_node::{ControlNode, ControlNodeAbilities, ControlNodeBeat, RecordVersions};
use crate::model::idempotency::IdempotentRequest;
use crate::model::identity::{
    ApplicationCredential, PendingCleanup, Project, RevokedToken, Role, RoleAssignment, Token,
    TokenGeneration, TokenKeys, User,
};
use crate::model::quota::Resource;
use crate::model::{
    Attachment, ClusterTask, Notification, Operation, ProjectDefaultType, QosSpecs, Service, Snapshot,
    Transfer, TypeEncryption, UserMessage, Volume, VolumeType,
};

/// A stored type.
pub trait Record: Serialize + DeserializeOwned {
    /// Identifies the kind of record. Never reused.
    const KIND: u8;
    /// The version that is written.
    const VERSION: u8;
    /// Its name in errors.
    const NAME: &'static str;

    /// Encodes the version before, without kind and version, while nodes that know only that one share the store.
    ///
    /// # Errors
    /// [`RecordError::NotYet`] if that version cannot hold what this record has.
    fn downgrade(&self, version: u8) -> Result<Vec<u8>, RecordError> {
        Err(RecordError::NotYet {
            name: Self::NAME,
            version,
        })
    }

    /// Decodes an older version. Called only with versions below [`Record::VERSION`].
    ///
    /// # Errors
    /// If the bytes are damaged, or the version never existed.
    fn upgrade(version: u8, bytes: &[u8]) -> Result<Self, RecordError> {
        let _ = bytes;
        Err(RecordError::NeverWas {
            name: Self::NAME,
            version,
        })
    }
}

/// Why bytes are not a record, or a record cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Too few bytes.
    #[error("a {0} of less than two bytes")]
    Short(&'static str),
    /// It is a record of another kind.
    #[error("a record of kind {found} where a {name} is expected")]
    OtherKind {
        /// The expected kind.
        name: &'static str,
        /// The found kind.
        found: u8,
    },
    /// It was written by a later version of this program.
    #[error(
        "a {name} of version {version}, but this program knows versions up to {known}: was it downgraded?"
    )]
    Newer {
        /// The kind of record.
        name: &'static str,
        /// Its version.
        version: u8,
        /// The newest supported version.
        known: u8,
    },
    /// The version that all nodes read cannot hold it.
    #[error("a {name} that version {version} cannot hold, which is the newest that all control nodes read")]
    NotYet {
        /// The kind of record.
        name: &'static str,
        /// The version that has to be written.
        version: u8,
    },
    /// The version never existed.
    #[error("a {name} of version {version}, which never existed")]
    NeverWas {
        /// The kind of record.
        name: &'static str,
        /// Its version.
        version: u8,
    },
    /// The bytes are damaged.
    #[error("a damaged {name}")]
    Damaged {
        /// The kind of record.
        name: &'static str,
        /// The cause.
        #[source]
        source: bincode::Error,
    },
    /// It would be larger than [`MAX_VALUE`].
    #[error("a {name} of {size} bytes, over {MAX_VALUE}")]
    TooLarge {
        /// The kind of record.
        name: &'static str,
        /// Its size.
        size: u64,
    },
}

impl From<RecordError> for StoreError {
    fn from(error: RecordError) -> Self {
        Self {
            not_yet: matches!(error, RecordError::NotYet { .. }),
            too_large: matches!(error, RecordError::TooLarge { .. }),
            ..Self::new(error.to_string()).caused_by(error)
        }
    }
}

/// The size of a stored record in bytes, even beyond the limit.
pub fn size_of<R: Record>(record: &R) -> usize {
    let size = options().serialized_size(record).unwrap_or(u64::MAX);
    usize::try_from(size).unwrap_or(usize::MAX).saturating_add(2)
}

/// Encodes a record.
///
/// # Errors
/// If it is too large: [`RecordError::TooLarge`].
pub fn encode<R: Record>(record: &R) -> Result<Vec<u8>, RecordError> {
    let version = written::<R>();
    let mut bytes = vec![R::KIND, version];
    let damaged = |source| RecordError::Damaged {
        name: R::NAME,
        source,
    };
    match version {
        version if version == R::VERSION => write(record, &mut bytes).map_err(damaged)?,
        version if version > R::VERSION => {
            write(&raised::Raised::new(record), &mut bytes).map_err(damaged)?
        }
        version => bytes.extend(record.downgrade(version)?),
    }
    if bytes.len() > MAX_VALUE {
        return Err(RecordError::TooLarge {
            name: R::NAME,
            size: bytes.len() as u64,
        });
    }
    Ok(bytes)
}

/// Decodes a record.
///
/// # Errors
/// Each [`RecordError`] except `TooLarge`.
pub fn decode<R: Record>(bytes: &[u8]) -> Result<R, RecordError> {
    let [kind, version, body @ ..] = bytes else {
        return Err(RecordError::Short(R::NAME));
    };
    if *kind != R::KIND {
        return Err(RecordError::OtherKind {
            name: R::NAME,
            found: *kind,
        });
    }
    if *version <= newest::<R>() {
        was_read(*kind, *version);
    }
    match *version {
        version if version == R::VERSION => read(R::NAME, body),
        version if version == newest::<R>() => {
            read::<raised::Raised<R>>(R::NAME, body).map(|raised| raised.record)
        }
        version if version > R::VERSION => Err(RecordError::Newer {
            name: R::NAME,
            version,
            known: R::VERSION,
        }),
        version => R::upgrade(version, body),
    }
}

/// For each kind of record, the newest version that all nodes read; 0 if that is not known, and any may be written. Of the process, which is
/// one node.
static LIMITS: [AtomicU8; 256] = [const { AtomicU8::new(0) }; 256];

/// Writes records of this kind in this version at most, from now on. Later limits are higher.
pub fn limit_written(kind: u8, version: u8) {
    LIMITS[usize::from(kind)].fetch_max(version, Ordering::AcqRel);
}

/// The newest version that this program reads.
pub fn newest<R: Record>() -> u8 {
    R::VERSION + u8::from(raised::is_raised(R::KIND))
}

/// The version that is written.
pub fn written<R: Record>() -> u8 {
    match LIMITS[usize::from(R::KIND)].load(Ordering::Acquire) {
        0 => newest::<R>(),
        limit => limit.min(newest::<R>()),
    }
}

/// A record of this version is in the store, so all nodes read it: this process has not read the new limit yet. An older version
/// would lose what the newer one holds.
fn was_read(kind: u8, version: u8) {
    let limit = &LIMITS[usize::from(kind)];
    let present = limit.load(Ordering::Acquire);
    if present != 0 && present < version {
        limit.fetch_max(version, Ordering::AcqRel);
    }
}

/// Encodes a part of a record, without kind and version: the golden tests verify with it that the variants of stored
/// enums keep their numbers.
///
/// # Errors
/// If bincode cannot encode the type.
pub fn encode_part(part: &impl Serialize) -> Result<Vec<u8>, RecordError> {
    let mut bytes = Vec::new();
    write(part, &mut bytes).map_err(|source| RecordError::Damaged { name: "part", source })?;
    Ok(bytes)
}

/// Decodes a part of a record that [`encode_part`] encoded.
///
/// # Errors
/// If the bytes do not decode.
pub fn decode_part<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RecordError> {
    read("part", bytes)
}

fn options() -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .reject_trailing_bytes()
}

fn write(value: &impl Serialize, to: &mut Vec<u8>) -> bincode::Result<()> {
    options().serialize_into(to, value)
}

/// Decodes a stored struct; also used by [`Record::upgrade`]. The length of the slice bounds the number of allocated
/// elements, and values are bounded by [`MAX_VALUE`].
fn read<T: DeserializeOwned>(name: &'static str, bytes: &[u8]) -> Result<T, RecordError> {
    options()
        .deserialize(bytes)
        .map_err(|source| RecordError::Damaged { name, source })
}

/// A limit of a project or a quota class, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit(pub i64);

/// All limits of a project or a quota class, as layout 1 of the catalog stored them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits(pub BTreeMap<Resource, i64>);

/// The record of the catalog's layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The version of the layout of keys.
    pub version: u32,
}

macro_rules! records {
    ($($kind:literal $name:literal $record:ty, version $version:literal;)+) => {
        $(impl Record for $record {
            const KIND: u8 = $kind;
            const VERSION: u8 = $version;
            const NAME: &'static str = $name;
        })+
    };
    ($($kind:literal $name:literal $record:ty, version 2 from $first:ty;)+) => {
        $(impl Record for $record {
            const KIND: u8 = $kind;
            const VERSION: u8 = 2;
            const NAME: &'static str = $name;

            fn upgrade(version: u8, bytes: &[u8]) -> Result<Self, RecordError> {
                match version {
                    1 => read::<$first>(Self::NAME, bytes).map(Self::from),
                    _ => Err(RecordError::NeverWas { name: Self::NAME, version }),
                }
            }
        })+
    };
}

records! {
    1 "volume" Volume, version 1;
    2 "attachment" Attachment, version 1;
    3 "volume type" VolumeType, version 1;
    5 "limits" Limits, version 1;
    6 "service" Service, version 1;
    7 "user message" UserMessage, version 1;
    8 "layout" Layout, version 1;
    12 "token" Token, version 1;
    13 "snapshot" Snapshot, version 1;
    14 "limit" Limit, version 1;
    15 "transfer" Transfer, version 1;
    16 "type encryption" TypeEncryption, version 1;
    17 "QoS specs" QosSpecs, version 1;
    18 "project default type" ProjectDefaultType, version 1;
    20 "token keys" TokenKeys, version 1;
    21 "token generation" TokenGeneration, version 1;
    22 "revoked token" RevokedToken, version 1;
    23 "role" Role, version 1;
    24 "application credential" ApplicationCredential, version 1;
    25 "pending cleanup" PendingCleanup, version 1;
    26 "notification" Notification, version 1;
    27 "idempotent request" IdempotentRequest, version 1;
    28 "control node" ControlNode, version 1;
    29 "control node beat" ControlNodeBeat, version 1;
    30 "cluster task" ClusterTask, version 1;
    31 "control node abilities" ControlNodeAbilities, version 1;
    32 "record versions" RecordVersions, version 1;
}

records! {
    9 "user" User, version 2 from UserV1;
    10 "project" Project, version 2 from ProjectV1;
    11 "role assignment" RoleAssignment, version 2 from RoleAssignmentV1;
}

impl Record for Operation {
    const KIND: u8 = 4;
    const VERSION: u8 = 3;
    const NAME: &'static str = "operation";

    fn upgrade(version: u8, bytes: &[u8]) -> Result<Self, RecordError> {
        match version {
            1 => read::<OperationV1>(Self::NAME, bytes)?.upgrade(),
            2 => read::<OperationV2>(Self::NAME, bytes).map(Self::from),
            _ => Err(RecordError::NeverWas {
                name: Self::NAME,
                version,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
