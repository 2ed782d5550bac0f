//! Initialize connection, the manager's flow: export the volume and let an initiator in.
//!
//! | step | what is true after it | taken back by |
//! |---|---|---|
//! | `initialize_connection` | the volume is exported, the initiator may log in, and we know what to tell it | letting the initiator in no longer, unless another operation let it in; removing the export if nobody else has the volume |
//!
//! It is one step, for a client waits for it: the export and the way into it are made in one go of one worker.

use async_trait::async_trait;

use super::ledger::Leftover;
use super::task::Task;
use crate::drivers::DriverError;
use crate::drivers::target::{Export, outliving};
use crate::flow::{Flow, Step};
use crate::messages::api::Outcome;
use crate::model::{AttachMode, ConnectionInfo, Connector, VolumeSpec};

type Connecting = Task<Connection>;

/// What is to be connected.
pub struct Connection {
    connector: Connector,
    mode: AttachMode,
    made: Option<(Export, ConnectionInfo)>,
}

impl Connection {
    /// A connection of this initiator.
    #[must_use]
    pub fn new(connector: Connector, mode: AttachMode) -> Self {
        Self {
            connector,
            mode,
            made: None,
        }
    }

    /// What came of it.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        match self.made {
            Some((export, connection_info)) => Outcome::Connected {
                connection_info,
                provider_location: export.provider_location,
                provider_auth: export.provider_auth,
            },
            // Only after a failure, where the outcome is not looked at.
            None => Outcome::Disconnected { export_removed: true },
        }
    }
}

/// The flow.
#[must_use]
pub fn flow() -> Flow<Connecting, DriverError> {
    Flow::new("initialize_connection").then(InitializeConnection)
}

struct InitializeConnection;

#[async_trait(?Send)]
impl Step<Connecting, DriverError> for InitializeConnection {
    fn name(&self) -> &'static str {
        "initialize_connection"
    }

    async fn execute(&self, connecting: &mut Connecting) -> Result<(), DriverError> {
        let volume = connecting.volume.clone();
        let (target, path) = connecting.parts.export_parts(&volume)?;
        // Nothing is exported for one who could not come in (cinder: `volume/manager.py`, `validate_connector`).
        target.check_connector(&connecting.about.connector)?;
        let (connector, mode) = (connecting.about.connector.clone(), connecting.about.mode);
        let (parts, operation) = (connecting.parts.clone(), connecting.command.operation);
        let made = connecting
            .drive(volume.id, move |driver, work| {
                // A delete that overtook this may have been done first.
                if parts.ledger().is_deleted(volume.id.0) {
                    let client = "The volume was deleted meanwhile.".to_owned();
                    return Err(DriverError::Refused { client });
                }
                // In the book before it is looked whether the daemon is still the same: one that was started anew meanwhile has
                // been given all that was in the book, and no more.
                outliving(target.as_ref(), work, || {
                    driver.activate(work, &volume)?;
                    let export = target.ensure_export(work, &volume, &path)?;
                    let exported = with_export(&volume, &export);
                    let info = target.initialize_connection(work, &exported, &export, &connector, mode)?;
                    parts
                        .ledger()
                        .connected(exported, connector.clone(), mode, operation);
                    Ok((export, info))
                })
            })
            .await;
        let (export, info) = match made {
            Ok(made) => made,
            Err(error) => {
                take_back(connecting).await;
                return Err(error);
            }
        };
        // From here on every verb speaks of this export and its secret.
        connecting.volume = with_export(&connecting.volume, &export);
        connecting.about.made = Some((export, info));
        Ok(())
    }

    async fn revert(&self, connecting: &mut Connecting, _cause: &DriverError) {
        take_back(connecting).await;
    }
}

fn with_export(volume: &VolumeSpec, export: &Export) -> VolumeSpec {
    VolumeSpec {
        provider_location: Some(export.provider_location.clone()),
        provider_auth: export.provider_auth.clone(),
        ..volume.clone()
    }
}

/// Takes away what this connection has made and nobody else uses. What that is is asked when this is alone on the volume: others
/// may have been connected since. Nothing, if the manager is stopping: the command comes again.
async fn take_back(connecting: &mut Connecting) {
    connecting.about.made = None;
    let Some(target) = connecting.parts.target.clone() else {
        return;
    };
    let (volume, connector) = (connecting.volume.clone(), connecting.about.connector.clone());
    let (parts, operation) = (connecting.parts.clone(), connecting.command.operation);
    let id = volume.id;
    let taken_back = connecting
        .drive(id, move |_, work| {
            let leftover = parts.ledger().leftover(id, &connector, operation);
            match leftover {
                Leftover::Nothing => Ok(()),
                Leftover::Connector => {
                    parts.ledger().disconnected(id, Some(&connector), false);
                    outliving(target.as_ref(), work, || {
                        target.terminate_connection(work, &volume, Some(&connector))
                    })
                }
                Leftover::Export => {
                    parts.ledger().disconnected(id, None, true);
                    outliving(target.as_ref(), work, || target.remove_export(work, &volume))
                }
            }
        })
        .await;
    if let Err(error) = taken_back {
        tracing::warn!(volume = %id, %error, "a connection could not be taken back");
    }
}
