//! Reads pieces of a volume from its backend, with retries for a bounded time.

use std::cell::Cell;
use std::rc::Rc;

use tokio::time::Instant;

use super::CopyVolumeDataCommand;
use crate::backoff::Backoff;
use crate::messages::relay::RelayTopic;
use crate::model::{BackendName, Context, ErrorKind, OperationId, VolumeId};
use crate::transport::{CallError, Handle};
use crate::verbs::prelude::*;
use crate::verbs::volume::{ReadVolumeData, RelayedRead, VolumeData};

/// The size of a read, if it fits into a frame,
const CHUNK: u64 = 512 << 10;

/// and the smallest.
const SMALLEST_CHUNK: u64 = 32 << 10;

/// The first and the longest pause between retries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// A part of the volume.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) length: u64,
    /// `None` for zeros.
    pub(super) bytes: Option<Vec<u8>>,
    /// Everything from its end to here is known to be zeros.
    pub(super) zeros_until: u64,
}

impl Piece {
    pub(super) fn zeros(offset: u64, length: u64) -> Self {
        Self {
            offset,
            length,
            bytes: None,
            zeros_until: 0,
        }
    }

    pub(super) fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// Reads the source: directly if the nodes are connected, else through a control node.
pub(super) struct Reader {
    manager: Handle<VolumeTopic>,
    relay: Handle<RelayTopic>,
    /// Whether the nodes were not connected at the last attempt.
    through_relay: Cell<bool>,
    source: BackendName,
    context: Context,
    operation: OperationId,
    volume: VolumeId,
    patience: Duration,
    deadline: Instant,
    chunk: Cell<u64>,
}

/// Why a read failed.
enum Trouble {
    /// It may be retried.
    Passing(String),
    /// The answer does not fit a frame.
    TooLarge(String),
    /// A retry cannot succeed.
    Lasting(DriverError),
}

impl Reader {
    pub(super) fn new(task: &Task<CopyVolumeDataCommand>, deadline: Instant) -> Self {
        let command = &task.command;
        Self {
            manager: task.router.server(&command.source.to_string()),
            relay: task.router.any(),
            through_relay: Cell::new(false),
            source: command.source.clone(),
            context: task.context.clone(),
            operation: command.command.operation,
            volume: command.source_volume,
            patience: task.backend.options.copy_source_patience,
            deadline,
            chunk: Cell::new(CHUNK),
        }
    }

    /// The current size of a read.
    pub(super) fn chunk(&self) -> u64 {
        self.chunk.get()
    }

    /// Reads so many bytes, in one piece if it fits a frame.
    pub(super) async fn read(self: Rc<Self>, offset: u64, length: u64) -> DriverResult<Vec<Piece>> {
        let end = offset + length;
        let mut pieces: Vec<Piece> = Vec::new();
        let mut at = offset;
        while at < end {
            let piece = self.read_piece(at, end).await?;
            at = piece.end();
            pieces.push(piece);
        }
        Ok(pieces)
    }

    async fn read_piece(&self, offset: u64, end: u64) -> DriverResult<Piece> {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        let begun = Instant::now();
        loop {
            let question = ReadVolumeData {
                operation: self.operation,
                volume: self.volume,
                offset,
                length: (end - offset).min(self.chunk.get()),
            };
            let why = match self.ask(&question).await {
                Ok(piece) => return Ok(piece),
                Err(Trouble::Lasting(error)) => return Err(error),
                Err(Trouble::TooLarge(why)) => {
                    let smaller = question.length / 2;
                    if smaller < SMALLEST_CHUNK {
                        return Err(self.failed(&why));
                    }
                    self.chunk.set(self.chunk.get().min(smaller));
                    continue;
                }
                Err(Trouble::Passing(why)) => why,
            };
            tracing::debug!(volume = %self.volume, source = %self.source, offset, why, "a read is tried again");
            if begun.elapsed() >= self.patience {
                return Err(self.unavailable(&why));
            }
            backoff.pause().await;
        }
    }

    async fn call(&self, question: &ReadVolumeData, limit: Duration) -> Result<VolumeData, CallError> {
        if !self.through_relay.get() {
            match self.manager.call(&self.context, question.clone(), limit).await {
                Err(CallError::Unreachable(_)) => self.through_relay.set(true),
                answer => return answer,
            }
        }
        let relayed = RelayedRead {
            source: self.source.clone(),
            question: question.clone(),
        };
        let answer = self.relay.call(&self.context, relayed, limit).await;
        if answer.is_err() {
            // They may be connected now.
            self.through_relay.set(false);
        }
        answer
    }

    async fn ask(&self, question: &ReadVolumeData) -> Result<Piece, Trouble> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Trouble::Lasting(DriverError::TimedOut));
        }
        let answer = self.call(question, ReadVolumeData::LIMIT.min(left)).await;
        let (offset, length) = (question.offset, question.length);
        let is_whole = |bytes: &[u8]| u64::try_from(bytes.len()).is_ok_and(|read| read == length);
        match answer {
            Ok(VolumeData::Zeros { length: zeros }) if zeros >= length => Ok(Piece {
                zeros_until: offset.saturating_add(zeros),
                ..Piece::zeros(offset, length)
            }),
            Ok(VolumeData::Bytes { checksum: sum, bytes }) if is_whole(&bytes) => {
                if question.checksum(&bytes) != sum {
                    tracing::warn!(volume = %self.volume, source = %self.source, offset, "a piece of a volume arrived damaged");
                    return Err(Trouble::Passing("it arrived damaged".to_owned()));
                }
                Ok(Piece {
                    bytes: Some(bytes),
                    ..Piece::zeros(offset, length)
                })
            }
            Ok(VolumeData::Zeros { .. } | VolumeData::Bytes { .. }) => Err(Trouble::Lasting(
                self.failed(&format!("it answered less than the {length} bytes at {offset}")),
            )),
            Ok(VolumeData::NotOpen) => Err(Trouble::Lasting(
                self.unavailable(&"it is not open for this operation there"),
            )),
            Err(error @ CallError::TooLarge { .. }) => Err(Trouble::TooLarge(error.to_string())),
            Err(
                error @ (CallError::Unreachable(_)
                | CallError::Overloaded(_)
                | CallError::Timeout(_)
                | CallError::Lost(_)),
            ) => Err(Trouble::Passing(error.to_string())),
            Err(CallError::Refused(error)) if error.kind == ErrorKind::TooLarge => {
                Err(Trouble::TooLarge(error.to_string()))
            }
            Err(CallError::Refused(error)) if matches!(error.kind, ErrorKind::Unavailable { .. }) => {
                Err(Trouble::Passing(error.for_operator().to_owned()))
            }
            Err(CallError::Refused(error)) => Err(Trouble::Lasting(self.failed(&error.for_operator()))),
            Err(error @ CallError::UnsupportedVersion { .. }) => Err(Trouble::Lasting(self.failed(&error))),
        }
    }

    fn unavailable(&self, why: &impl std::fmt::Display) -> DriverError {
        DriverError::unavailable(
            "The backend that has the volume does not answer at present.",
            format!(
                "volume {} cannot be read from {} now: {why}",
                self.volume, self.source
            ),
        )
    }

    fn failed(&self, why: &impl std::fmt::Display) -> DriverError {
        DriverError::failed(
            "The volume's data could not be read on its backend.",
            format!(
                "volume {} cannot be read from {}: {why}",
                self.volume, self.source
            ),
        )
    }
}
