//! Terminate connection, on the backend. It only goes forward.
//!
//! | step | what is true after it |
//! |---|---|
//! | `terminate_connection` | the initiator has no access (unless another attachment of its host stays) |
//! | `remove_export` | the export is gone (unless another attachment stays) |

use crate::backend::command::command_fields;
use crate::backend::{BackendCommand, SpaceEffect, Task, WhenDown};
use crate::drivers::target::outliving;
use crate::drivers::{DriverError, DriverResult};
use crate::flow::{Flow, step};
use crate::messages::api::Outcome;
use crate::messages::volume::TerminateConnection;

impl BackendCommand for TerminateConnection {
    const WHEN_DOWN: WhenDown = WhenDown::Wait;
    const SPACE: SpaceEffect = SpaceEffect::Unchanged;
    type Output = ();
    command_fields!();

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("terminate_connection")
            .then(step("terminate_connection", terminate_connection))
            .then(step("remove_export", remove_export))
    }

    fn outcome(&self, (): ()) -> Outcome {
        Outcome::Disconnected {
            export_removed: !self.export_stays,
        }
    }
}

async fn terminate_connection(task: &mut Task<TerminateConnection>) -> DriverResult<()> {
    // An export that is removed takes its initiators with it.
    if task.command.connector_stays || !task.command.export_stays {
        return Ok(());
    }
    task.drive_target(|call, target| {
        let (volume, connector) = (call.volume, call.command.connector.as_ref());
        outliving(target, call.work, || {
            target.terminate_connection(call.work, volume, connector)
        })?;
        let mut inventory = call.backend.inventory();
        inventory.disconnected(volume.id, connector, false);
        Ok(())
    })
    .await
}

async fn remove_export(task: &mut Task<TerminateConnection>) -> DriverResult<()> {
    if task.command.export_stays {
        return Ok(());
    }
    if task.backend.target.is_none() {
        task.backend.inventory().disconnected(task.volume.id, None, true);
    }
    task.drive_target(|call, target| call.backend.remove_export(target, call.work, call.volume))
        .await
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, connector_of, first};
    use crate::drivers::Work;
    use crate::drivers::target::TargetDriver;

    #[actix::test]
    async fn a_connection_is_ended_and_a_failed_end_can_be_repeated() {
        Recipe {
            command: |fixture| {
                let work = Work::within(Duration::from_millis(LONG_MS));
                let path = Path::new("/dev/null");
                let export = fixture.target.ensure_export(&work, &fixture.volume, path);
                export.unwrap();
                TerminateConnection {
                    command: first(),
                    volume: fixture.volume.clone(),
                    connector: Some(connector_of("a")),
                    connector_stays: false,
                    export_stays: false,
                    remaining_ms: LONG_MS,
                }
            },
            is_done: |fixture, _| fixture.target.exports().is_empty(),
            after_failure: |fixture, _| fixture.driver.exists(fixture.volume.id),
            is_repeatable: true,
        }
        .check()
        .await;
    }
}
