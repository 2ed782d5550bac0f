//! Read a piece of the source of a copy: the request of the copying backend to the source's backend.
//!
//! The copying backend reads; the source never writes to it: a late read is harmless, a late write would not be.
//!
//! - **Only what is open is read.** The operation's id must be one that the volume was opened for
//!   ([`super::open_source`]). That is checked while the content is locked, so that no read sees changes of a later
//!   command.
//! - **Reads are short.** One piece at a time holds the content's lock and a worker; a few wait, further ones are
//!   refused and retried. Commands of other volumes get their workers in turn.
//! - **Zeros are not transferred.** A piece of zeros is reported as such, together with all known zeros after it. So is
//!   the range between the end of the storage and the volume's size in GiB, which a managed volume may have.
//! - **Pieces have checksums**, because TCP's is weak and frames have none.

use std::sync::Arc;

use tokio::time::Instant;

use crate::backend::{BackendState, Readiness};
use crate::drivers::copy::is_zeros;
use crate::drivers::{Access, VolumeDriver, Work};
use crate::messages::relay::RelayTopic;
use crate::model::{BackendName, OperationId, VolumeId};
use crate::transport::codec::plain_bytes;
use crate::verbs::prelude::*;

/// The most bytes that are read at once.
const LONGEST: u64 = 1 << 20;

/// Read so many bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadVolumeData {
    /// The operation that the volume was opened for.
    pub operation: OperationId,
    /// The volume.
    pub volume: VolumeId,
    /// The first byte.
    pub offset: u64,
    /// How many; at most 1 MiB, and no more than fit a frame.
    pub length: u64,
}
call!(ReadVolumeData => VolumeTopic, "read_volume_data", since 5, reply VolumeData);

/// The same, through a control node that knows the backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayedRead {
    /// The backend of the volume.
    pub source: BackendName,
    /// The request.
    pub question: ReadVolumeData,
}
call!(RelayedRead => RelayTopic, "read_volume_data", since 1, reply VolumeData);

/// The result of a read. Variants are only appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeData {
    /// This operation may not read this volume: it was never opened for it, or that was lost in a restart.
    NotOpen,
    /// All of it is zeros.
    Zeros {
        /// The number of bytes; at least as many as requested.
        length: u64,
    },
    /// These bytes; as many as requested.
    Bytes {
        /// See [`ReadVolumeData::checksum`].
        checksum: u32,
        /// The bytes.
        #[serde(with = "plain_bytes")]
        bytes: Vec<u8>,
    },
}

impl VolumeData {
    /// The answer with these bytes.
    pub fn of(question: &ReadVolumeData, bytes: Vec<u8>) -> Self {
        let checksum = question.checksum(&bytes);
        Self::Bytes { checksum, bytes }
    }
}

impl ReadVolumeData {
    /// The time limit of one read, from the request to the answer.
    pub const LIMIT: Duration = Duration::from_secs(30);

    /// CRC-32 of the volume's id, the offset and the bytes: so the answer to another request does not match either.
    pub fn checksum(&self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(self.volume.0.as_bytes());
        hasher.update(&self.offset.to_le_bytes());
        hasher.update(bytes);
        hasher.finalize()
    }

    /// Answers the question.
    ///
    /// # Errors
    /// 503 if a retry can succeed: the backend is starting, too many reads wait, the storage did not answer in time.
    /// 500 if the storage failed. 400 if the range is not within the volume.
    pub async fn answer(self, backend: &Arc<BackendState>) -> Result<VolumeData> {
        let question = self;
        let open = find(backend, &question);
        let Some(volume) = open else {
            tracing::info!(
                volume = %question.volume,
                operation = %question.operation,
                "a read of a volume that is not open for this operation is refused"
            );
            return Ok(VolumeData::NotOpen);
        };
        let end = question.offset.checked_add(question.length);
        if question.length == 0 || question.length > LONGEST || end.is_none_or(|end| end > bytes_of(&volume))
        {
            return Err(Error::bad_request("No such part of the volume."));
        }
        if let Readiness::Down(why) = backend.readiness.borrow().clone() {
            return Err(unavailable(why));
        }
        let Ok(_place) = backend.reads.try_acquire() else {
            return Err(unavailable("too many reads wait".to_owned()));
        };
        let state = Arc::clone(backend);
        let locks = LockSet::content_of(question.volume);
        let read = backend.drive(locks, Self::LIMIT, move |driver, work| {
            match find(&state, &question) {
                Some(volume) => read(driver, work, &volume, &question),
                None => Ok(VolumeData::NotOpen),
            }
        });
        read.await.map_err(|error| match error {
            None => unavailable("the backend is stopping".to_owned()),
            Some(
                error @ (DriverError::Busy { .. } | DriverError::TimedOut | DriverError::Unavailable { .. }),
            ) => unavailable(error.to_string()),
            Some(error) => Error::backend("The storage backend failed.").with_operator(error),
        })
    }
}

fn find(backend: &BackendState, question: &ReadVolumeData) -> Option<VolumeSpec> {
    let sources = backend.copy_sources();
    sources
        .find(question.operation, question.volume, Instant::now())
        .cloned()
}

fn unavailable(why: String) -> Error {
    Error::unavailable("The service is temporarily unable to handle the request.", 1).with_operator(why)
}

fn bytes_of(volume: &VolumeSpec) -> u64 {
    u64::from(volume.size) << 30
}

fn read(
    driver: &dyn VolumeDriver,
    work: &Work,
    volume: &VolumeSpec,
    question: &ReadVolumeData,
) -> DriverResult<VolumeData> {
    let (offset, length) = (question.offset, question.length);
    let mut open = driver.open_volume(work, volume, Access::Read)?;
    let end = open.length().min(bytes_of(volume));
    let mut data = offset;
    if offset < end {
        data = open.next_data(work, offset)?;
    }
    if data >= end {
        // Only zeros to its end.
        let length = bytes_of(volume) - offset;
        return Ok(VolumeData::Zeros { length });
    }
    if data - offset >= length {
        return Ok(VolumeData::Zeros {
            length: data - offset,
        });
    }
    let as_usize = |length: u64| usize::try_from(length).unwrap_or(usize::MAX);
    let mut bytes = open.read(work, offset, as_usize(length.min(end - offset)))?;
    if is_zeros(&bytes) {
        return Ok(VolumeData::Zeros { length });
    }
    bytes.resize(as_usize(length), 0);
    Ok(VolumeData::of(question, bytes))
}
