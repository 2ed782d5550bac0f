//! Tasks of which a cluster has one each, such as publishing the notifications of a sink: one node at a time does them.
//!
//! The record of a task names the run of the node that does it. It is changed when that run has ended, by one
//! commit that compares it, so of several nodes that take a task over one succeeds. Since a run that was found down can commit
//! nothing ([`super::control_node`]), nothing that the former one still does reaches the store.

use serde::{Deserialize, Serialize};

use super::{BackendName, NodeIncarnation, Timestamp};

/// The record of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterTask {
    /// Its name. Stored, so never changed.
    pub name: String,
    /// The run that does it, or did it last.
    pub owner: NodeIncarnation,
    /// Whether that run still does it.
    pub is_running: bool,
    /// Increases with each run that begins it.
    pub number: u64,
    /// When it was begun, for people.
    pub begun_at: Timestamp,
}

impl ClusterTask {
    /// The name of the task to publish the notifications of a sink.
    pub fn publishing(sink: &str) -> String {
        format!("notifications/{sink}")
    }

    /// The name of the task to serve a backend, which a run of a volume node does (`api/backend_runs.rs`).
    pub fn serving(backend: &BackendName) -> String {
        format!("backend/{backend}")
    }

    /// The name of the task to export the store.
    pub const EXPORT: &str = "export";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_bytes_they_had() {
        let task = ClusterTask {
            name: "export".to_owned(),
            owner: NodeIncarnation {
                node: "c1".to_owned(),
                boot: 3,
                random: 0x0123_4567_89ab_cdef,
            },
            is_running: true,
            number: 7,
            begun_at: Timestamp(1_700_000_000_000_000),
        };
        crate::golden::record("full", &task);
    }
}
