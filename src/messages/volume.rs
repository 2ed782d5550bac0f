//! To a **VolumeManager** (`volume@host/backend`): questions about its storage, and what all commands have. The commands that change
//! storage are with their verbs ([`crate::verbs`]).
//!
//! A command carries all that it needs, for the manager has no catalog; and the id and attempt of its operation, so that
//! having done it already, the manager answers the same report again. The outcome of each comes as a
//! [`super::api::Report`]; no command is answered directly, so that a lost reply is a lost report and nothing else.

use serde::{Deserialize, Serialize};

use super::{call, cast, topic};
use crate::model::{Existing, OperationId};

topic!(
    /// A VolumeManager.
    VolumeTopic = "volume", versions 1..=5
);

/// Which operation a command belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CommandId {
    /// The operation.
    pub operation: OperationId,
    /// Its attempt. A manager never goes back to an earlier one.
    pub attempt: u32,
}

/// End a command that is in work; its report says what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelOperation {
    /// Which.
    pub command: CommandId,
}
cast!(CancelOperation => VolumeTopic, "cancel_operation", since 3);

/// What lies on the backend, ours or not, by name, in pages: each must fit a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListExisting {
    /// The last name of the page before.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
}
call!(ListExisting => VolumeTopic, "list_existing", since 2, reply Vec<Existing>);

/// The same, with an answer that says whether there is more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListExistingPage {
    /// What the page before had as its `next`.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// Part of what lies on a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExistingPage {
    /// What lies there, by name.
    pub existing: Vec<Existing>,
    /// Where the next page begins; `None` if this is the last.
    pub next: Option<String>,
}
call!(ListExistingPage => VolumeTopic, "list_existing_page", since 4, reply ExistingPage);
