//! Initialize connection, the manager's flow: export the volume and let an initiator in.
//!
//! | step | what is true after it | taken back by |
//! |---|---|---|
//! | `ensure_export` | the volume is exported | removing the export, if nobody had it before |
//! | `initialize_connection` | the initiator may log in, and we know what to tell it | letting it in no longer |

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::delete_volume::park;
use super::parts::Parts;
use crate::drivers::target::Export;
use crate::drivers::{DriverError, DriverResult};
use crate::flow::{Flow, FlowReport, Observer, Step};
use crate::messages::api::Outcome;
use crate::model::{AttachMode, ConnectionInfo, Connector, VolumeSpec};

/// What the steps share.
pub struct Connecting {
    parts: Arc<Parts>,
    volume: VolumeSpec,
    connector: Connector,
    mode: AttachMode,
    limit: Duration,
    exported_before: bool,
    export: Option<Export>,
    connection_info: Option<ConnectionInfo>,
    /// What letting the initiator in came to, where the export's worker did that as well.
    let_in: Option<DriverResult<ConnectionInfo>>,
    parked: bool,
}

/// Runs the flow for one command. `None` if the manager is stopping.
pub async fn run(
    parts: Arc<Parts>,
    volume: VolumeSpec,
    connector: Connector,
    mode: AttachMode,
    limit: Duration,
    attempt: u32,
    observer: Rc<dyn Observer<DriverError>>,
) -> Option<FlowReport<DriverError, Outcome>> {
    let exported_before = parts.ledger().is_exported(volume.id);
    let mut connecting = Connecting {
        parts,
        volume,
        connector,
        mode,
        limit,
        exported_before,
        export: None,
        connection_info: None,
        let_in: None,
        parked: false,
    };
    let report = flow().run(&mut connecting, attempt, observer).await;
    if connecting.parked {
        return None;
    }
    let outcome = match (connecting.export, connecting.connection_info) {
        (Some(export), Some(connection_info)) => Outcome::Connected {
            connection_info,
            provider_location: export.provider_location,
            provider_auth: export.provider_auth,
        },
        // Only after a failure, where the outcome is not looked at.
        _ => Outcome::Disconnected { export_removed: true },
    };
    Some(report.map(|()| outcome))
}

/// The flow.
#[must_use]
pub fn flow() -> Flow<Connecting, DriverError> {
    Flow::new("initialize_connection")
        .then(EnsureExport)
        .then(InitializeConnection)
}

struct EnsureExport;

#[async_trait(?Send)]
impl Step<Connecting, DriverError> for EnsureExport {
    fn name(&self) -> &'static str {
        "ensure_export"
    }

    async fn execute(&self, connecting: &mut Connecting) -> Result<(), DriverError> {
        let volume = connecting.volume.clone();
        let (target, path) = connecting.parts.export_parts(&volume)?;
        let (connector, mode) = (connecting.connector.clone(), connecting.mode);
        // The next step's work is done in the same go: a client waits for both, and for each change of threads.
        let (export, let_in) = connecting
            .parts
            .drive(volume.id, connecting.limit, move |driver, work| {
                driver.activate(work, &volume)?;
                let export = target.ensure_export(work, &volume, &path)?;
                let exported = with_export(&volume, &export);
                let let_in = target.initialize_connection(work, &exported, &export, &connector, mode);
                Ok((export, let_in))
            })
            .await
            .map_err(|error| park(error, &mut connecting.parked))?;
        connecting.let_in = Some(let_in);
        // From here on every verb speaks of this export and its secret.
        connecting.volume = with_export(&connecting.volume, &export);
        connecting.export = Some(export);
        Ok(())
    }

    async fn revert(&self, connecting: &mut Connecting, _cause: &DriverError) {
        if connecting.exported_before {
            if let Some(Ok(_)) = connecting.let_in.take() {
                shut_out(connecting).await;
            }
            return;
        }
        let Some(target) = connecting.parts.target.clone() else {
            return;
        };
        let volume = connecting.volume.clone();
        let removed = connecting
            .parts
            .drive(volume.id, connecting.limit, move |_, work| {
                target.remove_export(work, &volume)
            })
            .await;
        if let Err(Some(error)) = removed {
            tracing::warn!(volume = %connecting.volume.id, %error, "an export could not be taken back");
        }
        connecting
            .parts
            .ledger()
            .disconnected(connecting.volume.id, None, true);
        connecting.export = None;
    }
}

fn with_export(volume: &VolumeSpec, export: &Export) -> VolumeSpec {
    VolumeSpec {
        provider_location: Some(export.provider_location.clone()),
        provider_auth: export.provider_auth.clone(),
        ..volume.clone()
    }
}

struct InitializeConnection;

#[async_trait(?Send)]
impl Step<Connecting, DriverError> for InitializeConnection {
    fn name(&self) -> &'static str {
        "initialize_connection"
    }

    async fn execute(&self, connecting: &mut Connecting) -> Result<(), DriverError> {
        let (volume, connector, mode) = (
            connecting.volume.clone(),
            connecting.connector.clone(),
            connecting.mode,
        );
        let (target, _) = connecting.parts.export_parts(&volume)?;
        let Some(export) = connecting.export.clone() else {
            return Err(DriverError::Failed {
                client: "The volume is not exported.".to_owned(),
                operator: "initialize_connection ran without an export".to_owned(),
            });
        };
        let info = match connecting.let_in.take() {
            Some(let_in) => let_in?,
            None => connecting
                .parts
                .drive(volume.id, connecting.limit, move |_, work| {
                    target.initialize_connection(work, &volume, &export, &connector, mode)
                })
                .await
                .map_err(|error| park(error, &mut connecting.parked))?,
        };
        connecting.connection_info = Some(info);
        connecting.parts.ledger().connected(
            connecting.volume.clone(),
            connecting.connector.clone(),
            connecting.mode,
        );
        Ok(())
    }

    async fn revert(&self, connecting: &mut Connecting, _cause: &DriverError) {
        shut_out(connecting).await;
        connecting.connection_info = None;
    }
}

async fn shut_out(connecting: &Connecting) {
    let Some(target) = connecting.parts.target.clone() else {
        return;
    };
    let (volume, connector) = (connecting.volume.clone(), connecting.connector.clone());
    let out = connecting
        .parts
        .drive(volume.id, connecting.limit, move |_, work| {
            target.terminate_connection(work, &volume, Some(&connector))
        })
        .await;
    if let Err(Some(error)) = out {
        tracing::warn!(volume = %connecting.volume.id, %error, "an initiator could not be shut out again");
    }
    connecting
        .parts
        .ledger()
        .disconnected(connecting.volume.id, Some(&connecting.connector), false);
}
