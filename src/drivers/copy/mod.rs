//! Data transfers: copies from one file or device to another, and wipes.
//!
//! | module | content |
//! |---|---|
//! | `data` | copying chunk by chunk, with holes, within the rate limit |
//! | `bucket` | a token bucket |
//! | `throttle` | a backend's limit, divided among its copies |
//! | [`program`] | `pumice copy` and `pumice wipe`: the child process |
//! | [`process`] | the parent: starts the child, receives its progress, sends it its rate |
//! | `block_file` | a file or device that a worker reads and writes directly, for copies between backends |
//!
//! **Devices are copied by a separate process.** A device may hang, and a thread that waits for it cannot be ended; a
//! process can be killed without blocking its parent. The child reads `limit <bytes per second>` from its standard
//! input, at the start and whenever it changes; when the input ends, its parent has ended, so it stops at once. A copy
//! that outlived a killed Pumice would write into a volume that the next process already uses.
//!
//! **The limit is divided, not distributed as tokens**: a backend's copies get equal shares, and each gets its new
//! share when one begins or ends. So nothing is sent while nothing changes, and a child that reads late has a wrong
//! share only briefly.
//!
//! Files that a driver keeps open itself (the file driver's) are copied in the worker's thread, by the same `data` and
//! with the same kind of limit.

pub(crate) mod block_file;
mod bucket;
pub(crate) mod data;
pub mod process;
pub mod program;
pub(crate) mod throttle;

pub(crate) use self::data::is_zeros;

/// The default size of a chunk (cinder: `volume_dd_blocksize`).
pub const BLOCK: usize = 1 << 20;

/// What is known about the target, and so need not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Target {
    /// It reads as zeros: zeros are not written.
    Zeros,
    /// It may have any content: everything is written.
    Anything,
    /// It may be mostly equal: it is read, and only differences are written. The cheapest for snapshots: equal data
    /// needs no space in them.
    Alike,
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
