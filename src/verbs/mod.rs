//! The verbs of each kind of resource: one file for each verb, with everything about it.
//!
//! A verb that needs a backend is a state machine in the journal ([`Operation`]):
//!
//! ```text
//!   request ── begin: checks, record changes, journal entry: one commit ──┐
//!                                                                         v
//!                 ┌─────────── stage: one command to one actor ───────────┤
//!                 v                                                       │
//!   report, deadline or cancel ── next: Transition { records, operation } ┴─> ended: waiters are answered
//! ```
//!
//! | in a verb's file | content |
//! |---|---|
//! | the request's type | the message to the Api actor |
//! | [`Request::begin`] | checks and record changes, in one commit; repeated on a conflict |
//! | [`Entry`] | its data in the journal, with its stage |
//! | [`Verb::command`] | the command of the current stage, and its receiver |
//! | [`BackendCommand`](crate::backend::BackendCommand) | the message of that command, and its steps on the backend, each above its revert |
//! | [`Verb::next`] | the record changes after a success, a failure, the deadline or a cancellation, and the next stage |
//!
//! Actors are the engines: the Api actor begins operations, journals, resumes and ends them; a VolumeManager runs commands. A
//! resource's `mod.rs` has its verbs' rows: each verb's request, if it has operations its entry, and if a backend takes part in it
//! its commands. It re-exports what other modules need of a verb, so that they do not name the verb's file.

pub mod attachment;
pub mod command;
pub mod followers;
pub mod identity;
pub mod message;
pub mod notifications;
pub mod operation_context;
mod prelude;
pub mod qos_specs;
pub mod quota;
pub mod record_changes;
pub mod release;
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
pub use self::notifications::{EndEvent, OperationEvents};
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

    /// Whether it can be cancelled: only verbs that may move data, since all others end sooner than a cancellation
    /// would be committed.
    fn may_be_cancelled(&self) -> bool {
        false
    }

    /// Whether it deletes its subject: another request to delete repeats it.
    fn deletes_its_subject(&self) -> bool {
        false
    }

    /// The type whose extra specs are in its commands.
    fn volume_type(&self, volume: &Volume) -> Option<VolumeTypeId> {
        volume.volume_type_id
    }

    /// The records that it needs, besides its volume.
    fn reads(&self, volume: &Volume) -> Reads {
        let _ = volume;
        Reads::default()
    }

    /// What is deleted with its volume; `None` if the volume is not deleted.
    fn takes_along(&self) -> Option<followers::Followers> {
        None
    }

    /// Whether its command has to wait for the end of another operation, which copies what this one changes.
    async fn must_wait(&self, control: &Control, operation: &Operation) -> Result<bool> {
        let _ = (control, operation);
        Ok(false)
    }

    /// The command of the current stage; `None` without a receiver.
    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command>;

    /// The notifications of its operations.
    fn events(&self) -> OperationEvents;

    /// Makes the checks of an outcome that need other actors or the store. Returns the effective outcome.
    async fn examine(&self, control: &Control, operation: &Operation, outcome: Outcome) -> Result<Outcome> {
        let _ = (control, operation);
        Ok(outcome)
    }

    /// The record changes after an outcome of the current stage, and the next stage; `None` if the outcome does not
    /// belong to this stage. A deadline and a cancellation are failures. Pure.
    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition>;

    /// The entry after so many bytes of the current command's copy are durable, so that they are not copied again;
    /// `None` if that is not used.
    fn progressed(&self, bytes: u64) -> Option<Vec<u8>> {
        let _ = bytes;
        None
    }

    /// The hidden volume that must be deleted when a stronger request ends it.
    fn hidden_copy(&self) -> Option<VolumeId> {
        None
    }

    /// The status of its attachment when a stronger request ends it.
    fn superseded_attachment(&self) -> AttachmentStatus {
        AttachmentStatus::ErrorAttaching
    }

    /// The status of the snapshots that refer to it when a stronger request ends it; `None` if it does not change.
    fn superseded_snapshot(&self) -> Option<SnapshotStatus> {
        None
    }

    /// The capacity in its pool that the scheduler has reserved for it.
    fn promised_space(&self, volume: &Volume) -> Option<PromisedSpace> {
        let _ = volume;
        None
    }
}

/// The data of a verb's operations in the journal. Its bincode is stored: a changed struct needs a new name.
pub trait Entry: Verb + Serialize + DeserializeOwned + 'static {
    /// The name of the verb.
    const NAME: &'static str;
}

/// The operation of a command, and its time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandHeader {
    /// The operation, and the number of its command.
    pub id: CommandId,
    /// The time left for it, in milliseconds.
    pub remaining_ms: u64,
}

/// Records that an operation needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Which of the volume's attachments.
    pub attachments: ReadAttachments,
    /// Which of the volume's snapshots.
    pub snapshots: ReadSnapshots,
    /// Another volume: the source of this one, or the volume of its source snapshot; or its copy.
    pub other: Option<VolumeId>,
}

impl Reads {
    /// These attachments, and what is read anyway.
    pub fn attachments(attachments: ReadAttachments) -> Self {
        Self {
            attachments,
            ..Self::default()
        }
    }
}

/// Which attachments of a volume an operation needs.
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

/// Which snapshots of a volume an operation needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadSnapshots {
    /// The operation's snapshot, if it has one.
    #[default]
    Named,
    /// All of the volume.
    All,
}

/// Capacity in a pool that is reserved and may not be used yet, in GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromisedSpace {
    /// For a new volume.
    New(u32),
    /// For the growth of a volume.
    Growth(u32),
}

/// Decodes the verb's own part of an operation.
///
/// # Errors
/// If the verb is unknown to this program (it was downgraded), or the entry is damaged.
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
        .ok_or_else(|| unreadable("the verb is unknown to this version"))?;
    decode(&operation.entry).ok_or_else(|| unreadable("its entry is damaged"))
}

/// The verb's own part of an operation, if it is one of this verb.
pub fn entry_of<E: Entry>(operation: &Operation) -> Option<E> {
    (operation.verb == E::NAME)
        .then(|| decode_part(&operation.entry).ok())
        .flatten()
}

/// The operation at its next stage: with this entry, of this or another verb, and the next command number.
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

/// A verb that has operations: its name, and the decoder of its entry.
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

/// Visits every request that the Api actor serves by running its verb.
pub fn every_request(visitor: &mut impl RequestVisitor) {
    volume::requests(visitor);
    attachment::requests(visitor);
    snapshot::requests(visitor);
    transfer::requests(visitor);
    volume_type::requests(visitor);
    qos_specs::requests(visitor);
    quota::requests(visitor);
    message::requests(visitor);
    identity::requests(visitor);
}

/// Visits every command of VolumeManagers. A command that is missing here is not served.
#[must_use]
pub fn every_command<V: CommandVisitor>(visitor: V) -> V {
    snapshot::commands(volume::commands(visitor))
}
