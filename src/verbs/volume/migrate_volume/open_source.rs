//! Open the source of a copy, on its backend: afterwards the copying backend may read it with the operation's id
//! ([`super::ReadVolumeData`]).
//!
//! | step | what is true after it | reverted by |
//! |---|---|---|
//! | `activate_source` | the volume exists and is readable | – |
//! | `allow_reads` | the operation may read it until its deadline | removing that |
//!
//! Nothing on the storage has to be reverted: the permission is in memory only, and removed by the next command about
//! the volume.

use tokio::time::Instant;

use crate::drivers::Access;
use crate::verbs::prelude::*;

/// Allow this operation to read the volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCopySourceCommand {
    /// Whose command this is; the operation's id is what reads are allowed by.
    pub command: CommandId,
    /// The volume.
    pub volume: VolumeSpec,
    /// Time left for the operation, in milliseconds: reads are allowed for this time.
    pub remaining_ms: u64,
}
cast!(OpenCopySourceCommand => VolumeTopic, "open_copy_source", since 5);

impl BackendCommand for OpenCopySourceCommand {
    const WHEN_DOWN: WhenDown = WhenDown::Wait;
    const SPACE: SpaceEffect = SpaceEffect::Unchanged;
    type Output = ();
    command_fields!();

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("open_copy_source")
            .then(step("activate_source", activate_source))
            .then(step("allow_reads", allow_reads).reverted_by(forbid_reads))
    }

    fn outcome(&self, (): ()) -> Outcome {
        Outcome::CopySourceOpened
    }
}

async fn activate_source(task: &mut Task<OpenCopySourceCommand>) -> DriverResult<()> {
    let id = task.volume.id;
    task.drive(LockSet::volume(id).and(LockSet::content_of(id)), |call| {
        // Opened once here, so that an unreadable volume is reported before anything is copied.
        call.driver
            .open_volume(call.work, call.volume, Access::Read)
            .map(drop)
    })
    .await
}

async fn allow_reads(task: &mut Task<OpenCopySourceCommand>) -> DriverResult<()> {
    let (now, within) = (Instant::now(), task.command.remaining());
    let operation = task.command.command.operation;
    let mut sources = task.backend.copy_sources();
    sources.open(operation, task.volume.clone(), now, within);
    Ok(())
}

async fn forbid_reads(task: &mut Task<OpenCopySourceCommand>) {
    task.backend.copy_sources().close(task.volume.id);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, first};

    #[actix::test]
    async fn a_volume_is_opened_for_one_operation_or_for_none() {
        Recipe {
            command: |fixture| OpenCopySourceCommand {
                command: first(),
                volume: fixture.volume.clone(),
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, command| {
                let sources = fixture.state.copy_sources();
                sources.find(command.command.operation, command.volume.id, Instant::now())
                    == Some(&command.volume)
            },
            after_failure: |fixture, command| {
                let sources = fixture.state.copy_sources();
                sources
                    .find(command.command.operation, command.volume.id, Instant::now())
                    .is_none()
            },
        }
        .check()
        .await;
    }
}
