//! A volume whose content a worker reads and writes directly: for copies between backends, which no single driver can
//! do.
//!
//! The volume stays open between the calls of several workers: closing a written device triggers udev. It must be
//! dropped in a worker, too, because a close may block.

use super::{DriverResult, Work};

/// The access to an open volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its content is read.
    Read,
    /// Its content is read and written. Fails with `Busy` for a device in use.
    Write,
}

/// An open volume. Each method blocks, and checks its [`Work`] before it waits for the storage.
pub trait OpenVolume: Send {
    /// Its size in bytes.
    fn length(&self) -> u64;

    /// Whether unwritten parts of a new empty volume read as zeros.
    fn reads_zeros_when_new(&self) -> bool;

    /// The first byte at or after `offset` that may be something else than zero; the length if there is none. This is
    /// determined without reading the data.
    fn next_data(&mut self, work: &Work, offset: u64) -> DriverResult<u64>;

    /// Reads `length` bytes. Fails if the volume ends before.
    fn read(&mut self, work: &Work, offset: u64, length: usize) -> DriverResult<Vec<u8>>;

    /// Writes these bytes; not synced yet. Where a new volume reads as zeros, zeros need not be written.
    fn write(&mut self, work: &Work, offset: u64, bytes: &[u8]) -> DriverResult<()>;

    /// Makes `length` bytes read as zeros; not synced yet.
    fn write_zeros(&mut self, work: &Work, offset: u64, length: u64) -> DriverResult<()>;

    /// Returns when all that was written is durable.
    fn sync(&mut self, work: &Work) -> DriverResult<()>;
}
