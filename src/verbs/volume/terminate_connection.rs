//! `os-terminate_connection`, and the storage part of `os-force_detach`: disconnect an initiator.
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | if it is the last user of the export, no connection is made until the operation has ended | nothing has changed |
//! | disconnect (backend) | the initiator is disconnected, and the export removed if it was the last | the record is as before |
//! | reply | a volume that was reserved by the old API is available again | the client may retry |
//!
//! The steps on the backend. They have no reverts.
//!
//! | step | what is true after it |
//! |---|---|
//! | `terminate_connection` | the initiator has no access (unless another attachment of its host needs it) |
//! | `remove_export` | the export is removed (unless another attachment needs it) |

use crate::control::{old_connectors, retry_on_conflict};
use crate::drivers::targets::retry_across_daemon_restart;
use crate::model::Connector;
use crate::model::bounds::check_connector;
use crate::verbs::command::{holds_the_export, is_of};
use crate::verbs::prelude::*;
use crate::verbs::transition::client_error;

/// Disconnect an initiator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminateConnection {
    /// Its id, as the client wrote it.
    pub volume_id: String,
    /// The initiator; `None` means all.
    pub connector: Option<Connector>,
}
call!(TerminateConnection => ApiTopic, "terminate_connection", since 1, reply ());

/// The journal entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminateConnectionEntry {
    /// The initiator; `None` means all of them.
    pub connector: Option<Connector>,
}

impl Request for TerminateConnection {
    const LEVEL: Level = Level::Member;

    fn may_wait(&self) -> bool {
        true
    }

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        if let Some(connector) = &self.connector {
            check_connector(connector)?;
        }
        let was = at.control.find_volume(at.context, &self.volume_id).await?;
        decide(&was, &[], Asked::TerminateConnection)?;
        if was.host.is_none() || was.provider_location.is_none() {
            // Nothing was ever exported.
            return Ok(Began::Ended);
        }
        let entry = TerminateConnectionEntry {
            connector: self.connector.clone(),
        };
        let operation = at.operation(&entry, Subject::Export(was.id), &was)?;
        let attachments = at.control.plain_attachments(was.id).await?;
        let mut volume = was.record.clone();
        let stays =
            old_connectors::others(&was, self.connector.as_ref()) || attachments.iter().any(holds_the_export);
        if !stays && volume.operation.is_none() {
            // It removes the export, too: no connection is made until it has ended.
            volume.operation = Some(operation.id);
        }
        volume.updated_at = Some(Timestamp::now());
        let mut changes = at.control.catalog.change();
        changes.update(&was, &volume).insert(&operation);
        changes.commit().await?;
        Ok(Began::awaited(operation, volume))
    }

    async fn reply(
        &self,
        at: &BeginContext<'_>,
        _operation: Option<&Operation>,
        answer: Result<Answer>,
    ) -> Result<()> {
        answer?;
        retry_on_conflict!(unreserve(at, &self.volume_id).await)
    }
}

async fn unreserve(at: &BeginContext<'_>, id: &str) -> Result<(), Interrupt> {
    let was = at.control.find_volume(at.context, id).await?;
    let attachments = at.control.plain_attachments(was.id).await?;
    let mut volume = was.record.clone();
    volume.status = decide(&was, &attachments, Asked::Unreserve)?;
    at.control.commit_volume(&was, volume).await?;
    Ok(())
}

impl Entry for TerminateConnectionEntry {
    const NAME: &'static str = "terminate_connection";
}

#[async_trait(?Send)]
impl Verb for TerminateConnectionEntry {
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
        let same_host =
            |other: &Attachment| other.connection_info.is_some() && is_of(other, self.connector.as_ref());
        records.to_backend(|volume| TerminateConnectionCommand {
            command: header.id,
            volume,
            connector_stays: records.attachments.iter().any(same_host),
            export_stays: records.volume.operation != Some(header.id.operation),
            connector: self.connector.clone(),
            remaining_ms: header.remaining_ms,
        })
    }

    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
        match outcome {
            Outcome::Disconnected { export_removed } => {
                let mut volume = at.released();
                old_connectors::forget(&mut volume, self.connector.as_ref());
                if *export_removed {
                    forget_export(&mut volume);
                }
                Some(Transition::done_with(volume))
            }
            Outcome::Failed(failure) => {
                let text = "Unable to terminate volume connection from backend.";
                Some(Transition::failed_with(
                    at.released(),
                    client_error(failure, text),
                    None,
                ))
            }
            _ => None,
        }
    }
}

/// Removes the export from the volume's record.
pub(in crate::verbs) fn forget_export(volume: &mut Volume) {
    volume.provider_location = None;
    volume.provider_auth = None;
    old_connectors::forget(volume, None);
}

/// Remove this initiator's access, and the export unless others need it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminateConnectionCommand {
    /// The operation and attempt.
    pub command: CommandId,
    /// The volume.
    pub volume: VolumeSpec,
    /// The initiator; `None` means all of them.
    pub connector: Option<Connector>,
    /// Whether another attachment of this initiator's host stays, so that it must keep its access.
    pub connector_stays: bool,
    /// Whether any attachment stays, so that the export must stay.
    pub export_stays: bool,
    /// The time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(TerminateConnectionCommand => VolumeTopic, "terminate_connection", since 1);

impl BackendCommand for TerminateConnectionCommand {
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

async fn terminate_connection(task: &mut Task<TerminateConnectionCommand>) -> DriverResult<()> {
    // Removing an export disconnects its initiators.
    if task.command.connector_stays || !task.command.export_stays {
        return Ok(());
    }
    task.drive_target(|call, target| {
        let (volume, connector) = (call.volume, call.command.connector.as_ref());
        retry_across_daemon_restart(target, call.work, || {
            target.revoke_access(call.work, volume, connector)
        })?;
        let mut inventory = call.backend.inventory();
        inventory.disconnected(volume.id, connector, false);
        Ok(())
    })
    .await
}

async fn remove_export(task: &mut Task<TerminateConnectionCommand>) -> DriverResult<()> {
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
    use crate::drivers::targets::TargetDriver;

    #[actix::test]
    async fn a_connection_is_ended_and_a_failed_end_can_be_repeated() {
        Recipe {
            command: |fixture| {
                let work = Work::within(Duration::from_millis(LONG_MS));
                let path = Path::new("/dev/null");
                let export = fixture.target.ensure_export(&work, &fixture.volume, path);
                export.unwrap();
                TerminateConnectionCommand {
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
        }
        .check()
        .await;
    }
}
