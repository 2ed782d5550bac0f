//! Moving data: copies from one file or device to another, and wipes. Volume owners' bytes, so: exact, bounded, resumable.
//!
//! | room | what lives there |
//! |---|---|
//! | `data` | what is read, what is written: chunk by chunk, holes kept, only as fast as it may be |
//! | `bucket` | how long to wait, that so many bytes a second are not exceeded |
//! | `throttle` | a backend's limit, divided among its copies |
//! | [`program`] | `pumice copy` and `pumice wipe`: the child that does it |
//! | [`process`] | the parent: starts the child, hears how far it is, tells it how fast it may be |
//! | `block_file` | a file or device that a worker reads and writes itself, for copies between backends |
//!
//! **Devices are copied by a process of their own.** A device may hang, and a thread that waits for it cannot be ended; a
//! process can, and whoever started it is not stuck with it. The child reads its standard input: first and then whenever it
//! changes comes `limit <bytes per second>`, and when the input ends its parent is gone, so it stops at once. A copy that
//! outlived a killed Pumice would write into a volume that the next one works on already.
//!
//! **The limit is divided, not handed out in tokens**: a backend's copies get equal shares, and each is told its new share when
//! one begins or ends. That needs no conversation while nothing changes, and a child that is slow to listen is off by one
//! share for a moment only.
//!
//! Files that a driver keeps open itself (the file driver's) are copied in the worker's thread, by the same `data` and within the
//! same kind of limit.

pub(crate) mod block_file;
mod bucket;
pub(crate) mod data;
pub mod process;
pub mod program;
pub(crate) mod throttle;

pub(crate) use self::data::is_zeros;

/// How much is copied at once, unless told otherwise (cinder: `volume_dd_blocksize`).
pub const BLOCK: usize = 1 << 20;

/// What is known of the target, and so what need not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// It reads as zeros all over: zeros are not written.
    Zeros,
    /// It may hold anything: all is written.
    Anything,
    /// It may be much the same: it is read, and what differs is written. The cheapest for snapshots: what is the same needs no
    /// room in them.
    Alike,
}

impl Target {
    fn word(self) -> &'static str {
        match self {
            Self::Zeros => "zeros",
            Self::Anything => "anything",
            Self::Alike => "alike",
        }
    }
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
