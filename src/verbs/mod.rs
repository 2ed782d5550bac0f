//! What can be done to each kind of resource: one file for each verb, which tells its whole story.
//!
//! A verb that takes a backend is a state machine in the journal ([`Operation`]):
//!
//! ```text
//!   request ── begin: checks, record changes, journal entry: one commit ──┐
//!                                                                         v
//!                 ┌─────────── stage: one command to one actor ───────────┤
//!                 v                                                       │
//!   report, deadline or cancel ── next: Transition { records, operation } ┴─> ended: who waits is answered
//! ```
//!
//! | in a verb's file | what it says |
//! |---|---|
//! | the request's type | what clients may ask, as it travels to the Api actor |
//! | [`Request::begin`] | checks and record changes, in one commit; decided anew on a conflict |
//! | [`Entry`] | what the journal keeps of it, with its stage |
//! | [`Verb::command`] | what the current stage asks of which actor |
//! | [`BackendCommand`](crate::backend::BackendCommand) | that command as it travels, and its steps on the backend, each above what takes it back |
//! | [`Verb::next`] | what a success, a failure, the deadline or a cancel make of the records, and which stage follows |
//!
//! Actors are the engines: the Api actor begins operations, journals, resumes and ends them; a VolumeManager runs commands. A
//! resource's `mod.rs` has its verbs' rows: each verb's request, if it has operations its entry, and if a backend takes part in it
//! its commands. It re-exports what others need of a verb, so that nobody else names the verb's file.

pub mod attachment;
pub mod command;
pub mod followers;
pub mod message;
pub mod operation_context;
pub mod record_changes;
pub mod request;
pub mod snapshot;
pub mod supersede;
#[cfg(test)]
mod tests;
pub mod transfer;
pub mod transition;
pub mod volume;
pub mod volume_type;

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::command::{Command, Records};
pub use self::operation_context::OperationContext;
pub use self::request::{Began, BeginContext, Known, Request, RequestVisitor, Started, Superseded};
pub use self::transition::{Answer, RecordChange, Transition, UserMessageDraft};
use crate::backend::CommandVisitor;
use crate::control::{Control, Deadlines};
use crate::messages::api::Outcome;
use crate::messages::volume::CommandId;
use crate::model::{
    AttachmentStatus, Error, Operation, Result, SnapshotStatus, Volume, VolumeId, VolumeTypeId,
};
use crate::store::record::{decode_part, encode_part};

/// A verb's own part of an open operation.
#[async_trait(?Send)]
pub trait Verb: Debug {
    /// How long an operation about a volume of `size` GiB may take, all stages together, before it is ended with an error.
    fn deadline(&self, deadlines: &Deadlines, size: u32) -> Duration;

    /// Whether it may take so long that its owner may want to end it: what may move data. Anything else ends sooner than a
    /// request to end it would be written down.
    fn may_be_cancelled(&self) -> bool {
        false
    }

    /// Whether it deletes its subject: what asks for that again repeats it.
    fn deletes_its_subject(&self) -> bool {
        false
    }

    /// The type whose extra specs its commands tell of.
    fn volume_type(&self, volume: &Volume) -> Option<VolumeTypeId> {
        volume.volume_type_id
    }

    /// Which records it looks at, beside its volume.
    fn reads(&self, volume: &Volume) -> Reads;

    /// What goes with its volume; `None` where the volume does not go.
    fn takes_along(&self) -> Option<followers::Followers> {
        None
    }

    /// Whether its command has to wait for another operation's end: for one that copies what this one changes.
    async fn must_wait(&self, control: &Control, operation: &Operation) -> Result<bool> {
        let _ = (control, operation);
        Ok(false)
    }

    /// The command of the current stage; `None` if there is nobody to send it to.
    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command>;

    /// Asks other actors what a report has to be judged by. The outcome that counts is the result.
    async fn examine(&self, control: &Control, operation: &Operation, outcome: Outcome) -> Result<Outcome> {
        let _ = (control, operation);
        Ok(outcome)
    }

    /// What the outcome of the current stage makes of the records, and what follows; `None` if it is not one of this stage. A
    /// deadline and a cancel come as failures. Pure.
    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition>;

    /// The entry after so many bytes of what its current command copies are safe, so that they are not copied again; `None` where
    /// that is of no use.
    fn progressed(&self, bytes: u64) -> Option<Vec<u8>> {
        let _ = bytes;
        None
    }

    /// The hidden volume that is deleted when a stronger request ends it.
    fn hidden_copy(&self) -> Option<VolumeId> {
        None
    }

    /// The status of its attachment when a stronger request ends it.
    fn superseded_attachment(&self) -> AttachmentStatus {
        AttachmentStatus::ErrorAttaching
    }

    /// The status of the snapshots that name it when a stronger request ends it; `None` if they stay as they are.
    fn superseded_snapshot(&self) -> Option<SnapshotStatus> {
        None
    }

    /// The room in its pool that the scheduler has promised to it.
    fn promised_space(&self, volume: &Volume) -> Option<PromisedSpace> {
        let _ = volume;
        None
    }
}

/// What the journal keeps of a verb's operations. Its form in bincode is stored: a changed form is a new name.
pub trait Entry: Verb + Serialize + DeserializeOwned + 'static {
    /// The verb, as it is named everywhere.
    const NAME: &'static str;
}

/// Whose command one is, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandHeader {
    /// The operation, and the number of its command.
    pub id: CommandId,
    /// Time left for it, in milliseconds.
    pub remaining_ms: u64,
}

/// Records that an operation looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Which of the volume's attachments.
    pub attachments: ReadAttachments,
    /// Which of the volume's snapshots.
    pub snapshots: ReadSnapshots,
    /// Another volume: the one that this one is made from, or whose snapshot it is made from; the copy that it becomes.
    pub other: Option<VolumeId>,
}

/// Which attachments of a volume an operation looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadAttachments {
    /// None.
    #[default]
    None,
    /// All, if the volume is attached.
    IfAttached,
    /// All.
    All,
}

/// Which snapshots of a volume an operation looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadSnapshots {
    /// The one that the operation names, if it names one.
    #[default]
    Named,
    /// All of the volume.
    All,
}

/// Room in a pool that is promised and may not be taken yet, in GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromisedSpace {
    /// For a new volume.
    New(u32),
    /// For the growth of a volume.
    Growth(u32),
}

/// Reads the verb's own part of an operation.
///
/// # Errors
/// When the verb is not known to this program (it was downgraded), or the entry is damaged.
pub fn verb_of(operation: &Operation) -> Result<Box<dyn Verb>> {
    let unreadable = |why: &str| {
        Error::internal(format!(
            "operation {} ({}) cannot be read: {why}",
            operation.id, operation.verb
        ))
    };
    let (_, decode) = ENTRIES
        .iter()
        .copied()
        .flatten()
        .find(|(name, _)| *name == operation.verb)
        .ok_or_else(|| unreadable("this version does not know the verb"))?;
    decode(&operation.entry).ok_or_else(|| unreadable("its entry is damaged"))
}

/// The verb's own part of an operation, if it is one of this verb.
#[must_use]
pub fn entry_of<E: Entry>(operation: &Operation) -> Option<E> {
    (operation.verb == E::NAME)
        .then(|| decode_part(&operation.entry).ok())
        .flatten()
}

/// The operation at its next stage: the same with this entry, of this or of another verb, and another command.
#[must_use]
pub fn next_stage<E: Entry>(operation: &Operation, entry: &E) -> Option<Operation> {
    let entry = encode_part(entry).ok()?;
    Some(Operation {
        verb: E::NAME.to_owned(),
        entry,
        attempt: operation.attempt.saturating_add(1),
        ..operation.clone()
    })
}

type Decode = fn(&[u8]) -> Option<Box<dyn Verb>>;

/// A verb that has operations: its name, and how its entry is read.
type EntryRow = (&'static str, Decode);

const fn entry<E: Entry>() -> EntryRow {
    (E::NAME, |bytes| {
        decode_part::<E>(bytes)
            .ok()
            .map(|entry| Box::new(entry) as Box<dyn Verb>)
    })
}

/// The verbs that have operations, by resource.
const ENTRIES: &[&[EntryRow]] = &[volume::ENTRIES, attachment::ENTRIES, snapshot::ENTRIES];

/// Shows every request that the Api actor serves by running its verb.
pub fn every_request(visitor: &mut impl RequestVisitor) {
    volume::requests(visitor);
    attachment::requests(visitor);
    snapshot::requests(visitor);
    transfer::requests(visitor);
    volume_type::requests(visitor);
    message::requests(visitor);
}

/// Shows every command that a VolumeManager runs. One that is missing here is not served.
#[must_use]
pub fn every_command<V: CommandVisitor>(visitor: V) -> V {
    snapshot::commands(volume::commands(visitor))
}
