//! `[store]`: where state lives.

use serde::Deserialize;

use super::reading::{section, settings};
use super::units::{ByteSize, Duration};

/// A store engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Embedded, in `node.data_dir`; for one control node.
    Sled,
}

settings! { read_plain; Engine: "\"sled\"" }

section! {
    /// Where the state of a control node lives.
    Store {
        /// The engine.
        engine: Engine = Engine::Sled,
        /// How much of it is kept in memory.
        cache_size: ByteSize = ByteSize::mib(4),
        /// How much memory tables of lists may take, of each kind of record; lists that fit into none walk through their records.
        list_memory: ByteSize = ByteSize::mib(128),
        /// Changes are refused while the disk has less room than this, so that it never runs full in the middle of one.
        min_free_space: ByteSize = ByteSize::mib(64),
        /// How many changes may wait for the disk; further changes wait for a free place.
        queue: usize = 1024,
        /// How often all of it is written to a file in `exports` of `node.data_dir`, as at each clean stop.
        export_interval: Duration = Duration::from_hours(1),
        /// How many of those files are kept.
        export_keep: usize = 24,
    }
}
