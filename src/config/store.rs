//! `[store]`: where state lives.

use serde::Deserialize;

use super::reading::{plain, section};
use super::units::{ByteSize, Duration};

/// A store engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Embedded, in `node.data_dir`; for one control node.
    Sled,
}

plain! { Engine: "\"sled\"" }

section! {
    /// Where the state of a control node lives.
    Store {
        /// The engine.
        engine: Engine = Engine::Sled,
        /// How much of it is kept in memory.
        cache_size: ByteSize = ByteSize::mib(16),
        /// How long a commit may wait for others to share its flush. `"0s"`: only for those that wait already.
        flush_window: Duration = Duration::from_millis(0),
        /// The most commits that share one flush.
        max_batch: usize = 256,
    }
}
