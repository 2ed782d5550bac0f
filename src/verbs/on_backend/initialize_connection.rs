//! Initialize connection, on the backend: export the volume and let an initiator in.
//!
//! | step | what is true after it | taken back by |
//! |---|---|---|
//! | `initialize_connection` | the volume is exported, the initiator may log in, and the connection's properties are known | removing the initiator's access, unless another operation gave it access; removing the export if nobody else has the volume |
//!
//! It is one step, for a client waits for it: export and access are made by one worker in one go.

use crate::backend::command::command_fields;
use crate::backend::inventory::Leftover;
use crate::backend::{BackendCommand, SpaceEffect, Task, WhenDown};
use crate::drivers::target::{Export, outliving};
use crate::drivers::{DriverError, DriverResult};
use crate::flow::{Flow, step};
use crate::messages::api::Outcome;
use crate::messages::volume::InitializeConnection;
use crate::model::{ConnectionInfo, VolumeSpec};

impl BackendCommand for InitializeConnection {
    const WHEN_DOWN: WhenDown = WhenDown::Refuse;
    const SPACE: SpaceEffect = SpaceEffect::Unchanged;
    type Output = Option<(Export, ConnectionInfo)>;
    command_fields!();

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("initialize_connection")
            .then(step("initialize_connection", initialize_connection).reverted_by(take_back))
    }

    fn outcome(&self, made: Self::Output) -> Outcome {
        match made {
            Some((export, connection_info)) => Outcome::Connected {
                connection_info,
                provider_location: export.provider_location,
                provider_auth: export.provider_auth,
            },
            // Only after a failure, whose report has no outcome of its own.
            None => Outcome::Disconnected { export_removed: true },
        }
    }
}

async fn initialize_connection(task: &mut Task<InitializeConnection>) -> DriverResult<()> {
    let (target, path) = task.backend.export_target(&task.volume)?;
    // Nothing is exported for an initiator that could not log in (cinder: `volume/manager.py`, `validate_connector`).
    target.check_connector(&task.command.connector)?;
    let made = task.drive(task.volume.id, move |call| {
        let (volume, work, inventory) = (call.volume, call.work, || call.backend.inventory());
        let (connector, mode) = (&call.command.connector, call.command.mode);
        // A delete that was sent later may have been done first.
        if inventory().is_deleted(volume.id.0) {
            let client = "The volume was deleted meanwhile.".to_owned();
            return Err(DriverError::Refused { client });
        }
        // Inserted before it is checked whether the daemon is still the same: one that was restarted meanwhile has been given
        // what was in the inventory, and no more.
        outliving(target.as_ref(), work, || {
            call.driver.activate(work, volume)?;
            let export = target.ensure_export(work, volume, &path)?;
            let exported = with_export(volume, &export);
            let info = target.initialize_connection(work, &exported, &export, connector, mode)?;
            inventory().connected(exported, connector.clone(), mode, call.command.command.operation);
            Ok((export, info))
        })
    });
    match made.await {
        Ok((export, info)) => {
            // From here on every verb is given this export and its secret.
            task.volume = with_export(&task.volume, &export);
            task.output = Some((export, info));
            Ok(())
        }
        Err(error) => {
            take_back(task).await;
            Err(error)
        }
    }
}

/// Removes what this connection has made and nobody else uses. What that is is looked up while the volume is locked: others may
/// have been connected since. Nothing is removed if the manager is stopping: the command is sent again.
async fn take_back(task: &mut Task<InitializeConnection>) {
    task.output = None;
    let taken_back = task.drive_target(|call, target| {
        let (volume, work, backend) = (call.volume, call.work, call.backend);
        let connector = &call.command.connector;
        let operation = call.command.command.operation;
        let leftover = backend.inventory().leftover(volume.id, connector, operation);
        match leftover {
            Leftover::Nothing => Ok(()),
            Leftover::Connector => {
                backend
                    .inventory()
                    .disconnected(volume.id, Some(connector), false);
                outliving(target, work, || {
                    target.terminate_connection(work, volume, Some(connector))
                })
            }
            Leftover::Export => {
                backend.inventory().disconnected(volume.id, None, true);
                outliving(target, work, || target.remove_export(work, volume))
            }
        }
    });
    if let Err(error) = taken_back.await {
        tracing::warn!(volume = %task.volume.id, %error, "a connection could not be taken back");
    }
}

fn with_export(volume: &VolumeSpec, export: &Export) -> VolumeSpec {
    VolumeSpec {
        provider_location: Some(export.provider_location.clone()),
        provider_auth: export.provider_auth.clone(),
        ..volume.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, connector_of, first};
    use crate::model::AttachMode;

    #[actix::test]
    async fn an_initiator_is_connected_or_no_export_is_left() {
        Recipe {
            command: |fixture| InitializeConnection {
                command: first(),
                volume: fixture.volume.clone(),
                attachment: None,
                connector: connector_of("a"),
                mode: AttachMode::Rw,
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, command| fixture.target.initiators(&command.volume).len() == 1,
            after_failure: |fixture, _| fixture.target.exports().is_empty(),
            is_repeatable: true,
        }
        .check()
        .await;
    }
}
