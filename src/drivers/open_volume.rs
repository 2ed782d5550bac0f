//! A volume whose content a worker reads and writes itself: for copies between backends, where no driver has both ends.
//!
//! The volume stays open between the calls of several workers: closing a device that was written has udev look at it. Whoever
//! opens it closes it (drops it) in a worker too, for a close may block.

use super::{DriverResult, Work};

/// What a volume is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its content is read.
    Read,
    /// Its content is read and written. A device that something else holds is busy.
    Write,
}

/// An open volume. Each method blocks, and looks at its [`Work`] before it waits for the storage.
pub trait OpenVolume: Send {
    /// How many bytes it has.
    fn length(&self) -> u64;

    /// Whether a volume that was made empty reads as zeros wherever nothing was written since.
    fn reads_zeros_when_new(&self) -> bool;

    /// The first byte at or after `offset` that may be something else than zero; the length if there is none. What the storage
    /// knows without reading.
    fn next_data(&mut self, work: &Work, offset: u64) -> DriverResult<u64>;

    /// Reads `length` bytes. Fails where the volume ends before.
    fn read(&mut self, work: &Work, offset: u64, length: usize) -> DriverResult<Vec<u8>>;

    /// Writes these bytes; not synced yet. Where a new volume reads as zeros, zeros need not be written.
    fn write(&mut self, work: &Work, offset: u64, bytes: &[u8]) -> DriverResult<()>;

    /// Makes `length` bytes read as zeros; not synced yet.
    fn write_zeros(&mut self, work: &Work, offset: u64, length: u64) -> DriverResult<()>;

    /// Returns when all that was written is durable.
    fn sync(&mut self, work: &Work) -> DriverResult<()>;
}
