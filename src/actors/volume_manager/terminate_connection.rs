//! Terminate connection, the manager's flow. It only goes forward.
//!
//! | step | what is true after it |
//! |---|---|
//! | `terminate_connection` | the initiator is out (unless another attachment of its host stays) |
//! | `remove_export` | the export is gone (unless another attachment stays) |

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::delete_volume::park;
use super::parts::Parts;
use crate::drivers::DriverError;
use crate::drivers::target::outliving;
use crate::flow::{Flow, FlowReport, Observer, Step};
use crate::messages::api::Outcome;
use crate::messages::volume::TerminateConnection as Command;

/// What the steps share.
pub struct Disconnecting {
    parts: Arc<Parts>,
    command: Command,
    limit: Duration,
    parked: bool,
}

/// Runs the flow for one command. `None` if the manager is stopping.
pub async fn run(
    parts: Arc<Parts>,
    command: Command,
    limit: Duration,
    observer: Rc<dyn Observer<DriverError>>,
) -> Option<FlowReport<DriverError, Outcome>> {
    let export_removed = !command.export_stays;
    let attempt = command.command.attempt;
    let mut disconnecting = Disconnecting {
        parts,
        command,
        limit,
        parked: false,
    };
    let report = flow().run(&mut disconnecting, attempt, observer).await;
    if disconnecting.parked {
        None
    } else {
        Some(report.map(|()| Outcome::Disconnected { export_removed }))
    }
}

/// The flow.
#[must_use]
pub fn flow() -> Flow<Disconnecting, DriverError> {
    Flow::new("terminate_connection").then(ShutOut).then(RemoveExport)
}

struct ShutOut;

#[async_trait(?Send)]
impl Step<Disconnecting, DriverError> for ShutOut {
    fn name(&self) -> &'static str {
        "terminate_connection"
    }

    async fn execute(&self, state: &mut Disconnecting) -> Result<(), DriverError> {
        let command = state.command.clone();
        // An export that goes as a whole takes its initiators with it.
        let Some(target) = state
            .parts
            .target
            .clone()
            .filter(|_| !command.connector_stays && command.export_stays)
        else {
            return Ok(());
        };
        let (volume, connector) = (command.volume, command.connector);
        let id = volume.id;
        let parts = Arc::clone(&state.parts);
        state
            .parts
            .drive(id, state.limit, move |_, work| {
                outliving(target.as_ref(), work, || {
                    target.terminate_connection(work, &volume, connector.as_ref())
                })?;
                parts.ledger().disconnected(id, connector.as_ref(), false);
                Ok(())
            })
            .await
            .map_err(|error| park(error, &mut state.parked))
    }
}

struct RemoveExport;

#[async_trait(?Send)]
impl Step<Disconnecting, DriverError> for RemoveExport {
    fn name(&self) -> &'static str {
        "remove_export"
    }

    async fn execute(&self, state: &mut Disconnecting) -> Result<(), DriverError> {
        if state.command.export_stays {
            return Ok(());
        }
        let volume = state.command.volume.clone();
        let id = volume.id;
        let Some(target) = state.parts.target.clone() else {
            state.parts.ledger().disconnected(id, None, true);
            return Ok(());
        };
        let parts = Arc::clone(&state.parts);
        state
            .parts
            .drive(id, state.limit, move |_, work| {
                parts.remove_export(target.as_ref(), work, &volume)
            })
            .await
            .map_err(|error| park(error, &mut state.parked))
    }
}
