//! To a **VolumeManager** (`volume@host/backend`): queries of its storage, and common parts of commands. The commands that change
//! storage are in the files of their verbs ([`crate::verbs`]).
//!
//! A command contains everything that it needs, because the manager has no catalog, and the id and attempt of its
//! operation, so that the manager answers a repeated command with the same report. The outcome of each is sent as a
//! [`super::api::Report`]; no command is answered directly, so that only reports can be lost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{call, cast, topic};
use crate::log_levels::LogLevel;
use crate::model::{Existing, OperationId};

topic!(
    /// A VolumeManager.
    VolumeTopic = "volume", versions 1..=7
);

/// The operation and attempt of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CommandId {
    /// The operation.
    pub operation: OperationId,
    /// Its attempt. A manager ignores earlier ones.
    pub attempt: u32,
}

/// Cancel a running command; its report has the outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelOperation {
    /// The command.
    pub command: CommandId,
}
cast!(CancelOperation => VolumeTopic, "cancel_operation", since 3);

/// Lists everything on the backend, managed or not, by name, in pages: each must fit into a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListExisting {
    /// The last name of the previous page.
    pub after: Option<String>,
    /// The most entries of the page.
    pub limit: u32,
}
call!(ListExisting => VolumeTopic, "list_existing", since 2, reply Vec<Existing>);

/// The same, with an answer that says whether there is more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListExistingPage {
    /// The `next` of the previous page.
    pub after: Option<String>,
    /// The most entries of the page.
    pub limit: u32,
}

/// A page of a backend's contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExistingPage {
    /// The entries, by name.
    pub existing: Vec<Existing>,
    /// The start of the next page; `None` for the last page.
    pub next: Option<String>,
}
call!(ListExistingPage => VolumeTopic, "list_existing_page", since 4, reply ExistingPage);

/// The levels of the log of the manager's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetLogLevels {
    /// The beginning of the targets; empty for all.
    pub prefix: String,
}
call!(GetLogLevels => VolumeTopic, "get_log_levels", since 6, reply BTreeMap<String, String>);

/// Set levels of the log of the manager's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetLogLevels {
    /// The beginning of the targets; empty for all.
    pub prefix: String,
    /// The level.
    pub level: LogLevel,
}
call!(SetLogLevels => VolumeTopic, "set_log_levels", since 6, reply ());

/// Asks a volume node about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeVolumeNode {}

/// A volume node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeNodeReport {
    /// Its name.
    pub node: String,
    /// Its incarnation, `boot-random`.
    pub incarnation: String,
    /// The version of its program.
    pub version: String,
}
call!(DescribeVolumeNode => VolumeTopic, "describe_volume_node", since 7, reply VolumeNodeReport);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{message, reply};

    #[test]
    fn messages_have_the_bytes_they_had() {
        message(&[("only", DescribeVolumeNode {})]);
        let report = VolumeNodeReport {
            node: "v1/volume".to_owned(),
            incarnation: "3-0123456789abcdef".to_owned(),
            version: "0.1.0".to_owned(),
        };
        reply("volume.describe_volume_node", &[("full", report)]);
    }
}
