//! `os-initialize_connection`: export a volume, and return the connection data. The old API, which creates no
//! attachment.
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the initiator is in the volume's record | nothing has changed |
//! | connect (backend) | the volume is exported to the initiator, and the client gets the connection data | the initiator is removed from the record, unless the result is unknown |
//!
//! The steps on the backend. It is one step, because a client waits for it: one worker creates export and access.
//!
//! | step | what is true after it | reverted by |
//! |---|---|---|
//! | `initialize_connection` | the volume is exported, the initiator may log in, and the connection's properties are known | removing the initiator's access, unless another operation gave it access; removing the export if no other initiator is connected |

use crate::backend::inventory::Leftover;
use crate::control::bounds::check_volume;
use crate::control::old_connectors;
use crate::drivers::targets::{Export, retry_across_daemon_restart};
use crate::model::bounds::check_connector;
use crate::model::transitions::must_have_storage;
use crate::model::volume::Secret;
use crate::model::{AttachMode, AttachmentId, ConnectionInfo, Connector};
use crate::verbs::prelude::*;
use crate::verbs::transition::client_error;

/// Export a volume to an initiator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitializeConnection {
    /// Its id, as the client wrote it.
    pub volume_id: String,
    /// The initiator.
    pub connector: Connector,
}
call!(InitializeConnection => ApiTopic, "initialize_connection", since 1, reply ConnectionInfo);

/// The journal entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitializeConnectionEntry {
    /// The initiator.
    pub connector: Connector,
}

impl Request for InitializeConnection {
    const LEVEL: Level = Level::Member;

    fn may_wait(&self) -> bool {
        true
    }

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<ConnectionInfo>, Interrupt> {
        check_connector(&self.connector)?;
        let was = at.control.settled_volume(at.context, &self.volume_id).await?;
        decide(&was, &[], Asked::InitializeConnection)?;
        must_have_storage(&was)?;
        let entry = InitializeConnectionEntry {
            connector: self.connector.clone(),
        };
        let operation = at.operation(&entry, Subject::Export(was.id), &was)?;
        let mut volume = was.record.clone();
        // Recorded in advance, so that a concurrent removal of the export gets a conflict, and then sees it.
        old_connectors::note(&mut volume, &self.connector);
        check_volume(&was, &volume)?;
        volume.updated_at = Some(Timestamp::now());
        let mut changes = at.control.catalog.change();
        changes.update(&was, &volume).insert(&operation);
        changes.commit().await?;
        Ok(Began::awaited(operation, volume))
    }

    async fn reply(
        &self,
        _at: &BeginContext<'_>,
        _operation: Option<&Operation>,
        answer: Result<Answer>,
    ) -> Result<ConnectionInfo> {
        match answer? {
            Answer::Connected(connection_info) => Ok(*connection_info),
            Answer::Done => Err(Error::internal("connected without connection data")),
        }
    }
}

impl Entry for InitializeConnectionEntry {
    const NAME: &'static str = "initialize_connection";
}

#[async_trait(?Send)]
impl Verb for InitializeConnectionEntry {
    fn deadline(&self, deadlines: &Deadlines, _size: u32) -> Duration {
        deadlines.attachment
    }

    fn reads(&self, _volume: &Volume) -> Reads {
        Reads::attachments(ReadAttachments::All)
    }

    fn events(&self) -> OperationEvents {
        OperationEvents::NONE
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        records.to_backend(|volume| InitializeConnectionCommand {
            command: header.id,
            mode: if volume.readonly {
                AttachMode::Ro
            } else {
                AttachMode::Rw
            },
            volume,
            attachment: None,
            connector: self.connector.clone(),
            remaining_ms: header.remaining_ms,
        })
    }

    async fn examine(&self, control: &Control, operation: &Operation, outcome: Outcome) -> Result<Outcome> {
        control.with_qos_specs(operation, outcome).await
    }

    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
        match outcome {
            Outcome::Connected {
                connection_info,
                provider_location,
                provider_auth,
            } => Some(Transition {
                volume: exported(at.released(), provider_location, provider_auth.as_ref()),
                ..Transition::done(Answer::Connected(Box::new(connection_info.clone())))
            }),
            Outcome::Failed(failure) => {
                let mut volume = at.released();
                if failure.kind != FailureKind::TimedOut {
                    old_connectors::forget(&mut volume, Some(&self.connector));
                }
                let text = "Unable to fetch connection information from backend.";
                Some(Transition::failed_with(volume, client_error(failure, text), None))
            }
            _ => None,
        }
    }
}

/// The volume with its export.
pub(in crate::verbs) fn exported(
    mut volume: Volume,
    provider_location: &str,
    provider_auth: Option<&Secret>,
) -> RecordChange<Volume> {
    volume.provider_location = Some(provider_location.to_owned());
    volume.provider_auth = provider_auth.cloned();
    RecordChange::Update(Box::new(volume))
}

/// Export the volume (once for all attachments) and give this initiator access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitializeConnectionCommand {
    /// The operation and attempt.
    pub command: CommandId,
    /// The volume.
    pub volume: VolumeSpec,
    /// The attachment, unless the old actions are used.
    pub attachment: Option<AttachmentId>,
    /// The initiator.
    pub connector: Connector,
    /// Read-write or read-only.
    pub mode: AttachMode,
    /// The time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(InitializeConnectionCommand => VolumeTopic, "initialize_connection", since 1);

impl BackendCommand for InitializeConnectionCommand {
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
            // Only after a failure, which has no outcome.
            None => Outcome::Disconnected { export_removed: true },
        }
    }
}

async fn initialize_connection(task: &mut Task<InitializeConnectionCommand>) -> DriverResult<()> {
    let (target, path) = task.backend.export_target(&task.volume)?;
    // Nothing is exported for an initiator that could not log in (cinder: `volume/manager.py`, `validate_connector`).
    target.check_connector(&task.command.connector)?;
    let made = task.drive(task.volume.id, move |call| {
        let (volume, work, inventory) = (call.volume, call.work, || call.backend.inventory());
        let (connector, mode) = (&call.command.connector, call.command.mode);
        // A later delete may have been executed first.
        if inventory().is_deleted(volume.id.0) {
            let client = "The volume was deleted meanwhile.".to_owned();
            return Err(DriverError::Refused { client });
        }
        // Inserted before it is checked whether the daemon is still the same: after a restart meanwhile only the
        // exports in the inventory were restored.
        retry_across_daemon_restart(target.as_ref(), work, || {
            call.driver.activate(work, volume)?;
            let export = target.ensure_export(work, volume, &path)?;
            let exported = with_export(volume, &export);
            let info = target.grant_access(work, &exported, &export, connector, mode)?;
            inventory().connected(exported, connector.clone(), mode, call.command.command.operation);
            Ok((export, info))
        })
    });
    match made.await {
        Ok((export, info)) => {
            // From here on every driver verb gets this export and its secret.
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

/// Removes what this connection has created and no other connection uses. This is determined while the volume is
/// locked, because others may have been connected since. Nothing is removed if the manager is stopping: the command is
/// sent again.
async fn take_back(task: &mut Task<InitializeConnectionCommand>) {
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
                retry_across_daemon_restart(target, work, || {
                    target.revoke_access(work, volume, Some(connector))
                })
            }
            Leftover::Export => {
                backend.inventory().disconnected(volume.id, None, true);
                retry_across_daemon_restart(target, work, || target.remove_export(work, volume))
            }
        }
    });
    if let Err(error) = taken_back.await {
        tracing::warn!(volume = %task.volume.id, %error, "a connection could not be reverted");
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
            command: |fixture| InitializeConnectionCommand {
                command: first(),
                volume: fixture.volume.clone(),
                attachment: None,
                connector: connector_of("a"),
                mode: AttachMode::Rw,
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, command| fixture.target.initiators(&command.volume).len() == 1,
            after_failure: |fixture, _| fixture.target.exports().is_empty(),
        }
        .check()
        .await;
    }
}
