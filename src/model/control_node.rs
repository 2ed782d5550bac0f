//! Control nodes that share one store: which of their processes may commit, and which are alive.
//!
//! The record of a node names its current incarnation. Every commit of a node requires that the record has not changed since that
//! process wrote it, so a process whose record was changed by another node (because it was silent for too long, or because
//! the node was started again) can change nothing any more. No correctness rests on clocks: a clock only decides when it is tried.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// One run of a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeIncarnation {
    /// The node's name.
    pub node: String,
    /// How often it was started, counted on its disk; 0 if that is not counted.
    pub boot: u64,
    /// Chosen at random at each start.
    pub random: u64,
}

impl fmt::Display for NodeIncarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}-{:016x})", self.node, self.boot, self.random)
    }
}

/// Whether a control node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlNodeState {
    /// It runs, as far as is known.
    Up,
    /// It said that it ends.
    Stopped,
    /// It was silent for too long, and another node has taken over.
    Down,
}

/// The record of a control node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlNode {
    /// The run that may commit while the state is `Up`.
    pub incarnation: NodeIncarnation,
    /// Its state.
    pub state: ControlNodeState,
    /// The number of its data folder, which was chosen at random. Only one process at a time owns the folder.
    pub data_folder: u64,
    /// The version of its program.
    pub version: String,
    /// When that run began.
    pub started_at: Timestamp,
}

/// How often a control node has said that it runs. Others compare it with what they have read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlNodeBeat(pub u64);

/// What one run of a control node can do, which others have to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlNodeAbilities {
    /// The run.
    pub incarnation: NodeIncarnation,
    /// The newest version that it reads of each kind of record.
    pub reads: BTreeMap<u8, u8>,
    /// The sinks of notifications that it is configured with.
    pub sinks: Vec<String>,
}

/// The newest version that every control node reads, of each kind of record. No control node that does not read them may join, and none
/// of them decreases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordVersions(pub BTreeMap<u8, u8>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_bytes_they_had() {
        let node = ControlNode {
            incarnation: NodeIncarnation {
                node: "c1".to_owned(),
                boot: 3,
                random: 0x0123_4567_89ab_cdef,
            },
            state: ControlNodeState::Down,
            data_folder: 5,
            version: "0.1.0".to_owned(),
            started_at: Timestamp(1_700_000_000_000_000),
        };
        assert_eq!(node.incarnation.to_string(), "c1 (3-0123456789abcdef)");
        crate::golden::record("full", &node);
        crate::golden::record("full", &ControlNodeBeat(7));
        let abilities = ControlNodeAbilities {
            incarnation: node.incarnation,
            reads: BTreeMap::from([(1, 1), (4, 3)]),
            sinks: vec!["log".to_owned()],
        };
        crate::golden::record("full", &abilities);
        crate::golden::record("full", &RecordVersions(BTreeMap::from([(1, 1), (4, 3)])));
    }
}
