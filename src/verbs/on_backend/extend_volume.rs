//! Extend volume, on the backend. It only goes forward: storage that has grown is not shrunk again.
//!
//! | step | what is true after it |
//! |---|---|
//! | `notify_resize_start` | `volume.resize.start` was emitted |
//! | `extend_volume` | the storage and the inventory have the new size |
//! | `announce_size` | an initiator that has it can see the new size |
//! | `notify_resize_end` | `volume.resize.end` was emitted |

use crate::backend::command::command_fields;
use crate::backend::notify::Notify;
use crate::backend::{BackendCommand, DriverCall, LockSet, SpaceEffect, Task, WhenDown};
use crate::drivers::target::outliving;
use crate::drivers::{DriverError, DriverResult};
use crate::flow::{Flow, step};
use crate::messages::api::Outcome;
use crate::messages::volume::ExtendVolume;

impl BackendCommand for ExtendVolume {
    const WHEN_DOWN: WhenDown = WhenDown::Wait;
    const SPACE: SpaceEffect = SpaceEffect::TakesPromised;
    type Output = ();
    command_fields!();

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("extend_volume")
            .then(Notify("notify_resize_start", &["volume.resize.start"]))
            .then(step("extend_volume", extend_volume))
            .then(step("announce_size", announce_size))
            .then(Notify("notify_resize_end", &["volume.resize.end"]))
    }

    fn outcome(&self, (): ()) -> Outcome {
        Outcome::Extended
    }
}

async fn extend_volume(task: &mut Task<ExtendVolume>) -> DriverResult<()> {
    let id = task.volume.id;
    task.drive(LockSet::volume(id).and(LockSet::content_of(id)), |call| {
        let new_size = call.command.new_size;
        call.driver
            .extend_volume(call.work, call.volume, new_size)
            .or_else(|error| check_size(call, error))?;
        let pool = &call.volume.pool.pool;
        call.backend.inventory().insert(call.volume.id, pool, new_size);
        Ok(())
    })
    .await?;
    task.volume.size = task.command.new_size;
    Ok(())
}

/// Looks at the size after an extend that failed: a driver may fail after it has done its work. If the volume has its old size,
/// the extend surely failed; if the size is another or unknown, so is the outcome.
fn check_size(call: &DriverCall<'_, ExtendVolume>, error: DriverError) -> DriverResult<()> {
    let is_certain = matches!(
        error,
        DriverError::NoSpace { .. } | DriverError::Busy { .. } | DriverError::Refused { .. }
    );
    let name = call.volume.storage_name();
    let existing = call.driver.list_existing(call.work).ok();
    let found = existing.and_then(|all| all.into_iter().find(|found| found.name == name));
    match found.map(|found| found.gib()) {
        Some(size) if size == call.command.new_size => Ok(()),
        Some(size) if size == call.volume.size => Err(error),
        _ if is_certain => Err(DriverError::Failed {
            client: "The storage backend failed.".to_owned(),
            operator: format!("{error}; its size is not known now"),
        }),
        _ => Err(error),
    }
}

async fn announce_size(task: &mut Task<ExtendVolume>) -> DriverResult<()> {
    let announced = task.drive_target(|call, target| {
        if !call.backend.inventory().is_exported(call.volume.id) {
            return Ok(());
        }
        outliving(target, call.work, || target.resized(call.work, call.volume))
    });
    match announced.await {
        // The storage has grown: it is no failure if the initiator sees the new size only at its next login.
        Err(error) if !task.is_stopping() => {
            tracing::warn!(volume = %task.volume.id, %error, "the new size was not announced to an initiator");
            Ok(())
        }
        announced => announced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, first};

    #[actix::test]
    async fn a_volume_grows_and_a_failed_extend_can_be_repeated() {
        Recipe {
            command: |fixture| ExtendVolume {
                command: first(),
                volume: fixture.volume.clone(),
                new_size: 6,
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, command| {
                fixture.driver.size(command.volume.id) == Some(6) && fixture.has_allocated(6)
            },
            after_failure: |fixture, _| fixture.driver.exists(fixture.volume.id),
            is_repeatable: true,
        }
        .check()
        .await;
    }
}
