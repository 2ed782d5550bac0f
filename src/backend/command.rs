//! What a command to a backend declares: what it is about, its steps, and what its success means. The VolumeManager runs all
//! commands alike.

use std::time::Duration;

use super::task::Task;
use crate::drivers::DriverError;
use crate::flow::Flow;
use crate::messages::Message;
use crate::messages::api::Outcome;
use crate::messages::volume::{CommandId, VolumeTopic};
use crate::model::{SnapshotId, VolumeSpec};

/// A message that changes storage. It is run once, in workers, and ends with a report.
pub trait BackendCommand: Message<To = VolumeTopic, Reply = ()> {
    /// What becomes of it while the driver does not work.
    const WHEN_DOWN: WhenDown;
    /// What its success does to the free space that the schedulers know of.
    const SPACE: SpaceEffect;
    /// What its steps find out, for the outcome.
    type Output: Default;

    /// Which operation it belongs to.
    fn id(&self) -> CommandId;

    /// The volume that it is about, or whose snapshot it is about.
    fn volume(&self) -> &VolumeSpec;

    /// How much time is left for it.
    fn remaining(&self) -> Duration;

    /// The snapshot that it is about.
    fn snapshot(&self) -> Option<SnapshotId> {
        None
    }

    /// Its steps.
    fn flow() -> Flow<Task<Self>, DriverError>;

    /// What is reported after all steps have succeeded.
    fn outcome(&self, output: Self::Output) -> Outcome;
}

/// The accessors of [`BackendCommand`] for a message with the fields `command`, `volume` and `remaining_ms`.
macro_rules! command_fields {
    () => {
        fn id(&self) -> $crate::messages::volume::CommandId {
            self.command
        }

        fn volume(&self) -> &$crate::model::VolumeSpec {
            &self.volume
        }

        fn remaining(&self) -> std::time::Duration {
            std::time::Duration::from_millis(self.remaining_ms)
        }
    };
}
pub(crate) use command_fields;

/// What becomes of a command while the driver does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenDown {
    /// It fails: another backend may do it.
    Refuse,
    /// It is dropped without an answer, to be sent again: only this backend can do it.
    Wait,
}

/// What a command's success does to the free space that the schedulers know of. After a failure they know nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceEffect {
    /// It takes and frees none.
    Unchanged,
    /// It takes what the schedulers promised: they count it until a newer look at the pools is reported.
    TakesPromised,
    /// There may be more or less than they know: the pools are looked at for the next report.
    Unknown,
}

/// Is shown each kind of command.
pub trait CommandVisitor: Sized {
    /// One of them.
    #[must_use]
    fn command<C: BackendCommand>(self) -> Self;
}
