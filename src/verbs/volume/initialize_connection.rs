//! `os-initialize_connection`: export, and say how to connect. The old way, which leaves no attachment.
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | the volume's record names the initiator | nothing has changed |
//! | connect (backend) | the volume is exported to the initiator, whose client is told how to connect | the initiator is not named, unless nobody knows |

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::control::bounds::check_volume;
use crate::control::{Deadlines, Interrupt, old_connectors};
use crate::messages::api::{ApiTopic, FailureKind, Outcome};
use crate::messages::{call, volume};
use crate::model::bounds::check_connector;
use crate::model::role::Level;
use crate::model::transitions::{Verb as Asked, decide, must_have_storage};
use crate::model::volume::Secret;
use crate::model::{
    AttachMode, ConnectionInfo, Connector, Error, Operation, Result, Subject, Timestamp, Volume,
};
use crate::verbs::transition::client_error;
use crate::verbs::{
    Answer, Began, BeginContext, Command, CommandHeader, Entry, OperationContext, ReadAttachments, Reads,
    RecordChange, Records, Request, Transition, Verb,
};

/// Export a volume to an initiator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitializeConnection {
    /// Which, as the client wrote it.
    pub volume_id: String,
    /// The initiator.
    pub connector: Connector,
}
call!(InitializeConnection => ApiTopic, "initialize_connection", since 1, reply ConnectionInfo);

/// What the journal keeps of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitializeConnectionEntry {
    /// The initiator.
    pub connector: Connector,
}

impl Request for InitializeConnection {
    fn level(&self) -> Level {
        Level::Member
    }

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
        // Noted before it is so: whoever would take the export away at this moment meets a conflict, and sees it then.
        old_connectors::note(&mut volume, &self.connector);
        check_volume(&was, &volume)?;
        volume.updated_at = Some(Timestamp::now());
        let mut changes = at.control.catalog.change();
        changes.update_volume(&was, &volume).insert_operation(&operation);
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
            Answer::Done => Err(Error::internal("connected, but to what?")),
        }
    }
}

impl Entry for InitializeConnectionEntry {
    const NAME: &'static str = "initialize_connection";
}

#[async_trait(?Send)]
impl Verb for InitializeConnectionEntry {
    fn deadline(&self, deadlines: &Deadlines, _size: u32) -> Duration {
        deadlines.initialize_connection
    }

    fn reads(&self, _volume: &Volume) -> Reads {
        Reads {
            attachments: ReadAttachments::All,
            ..Reads::default()
        }
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        let spec = records.spec()?;
        let backend = spec.pool.backend.clone();
        let command = volume::InitializeConnection {
            command: header.id,
            mode: if spec.readonly {
                AttachMode::Ro
            } else {
                AttachMode::Rw
            },
            volume: spec,
            attachment: None,
            connector: self.connector.clone(),
            remaining_ms: header.remaining_ms,
        };
        Some(Command::to_backend(&backend, command))
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

/// The volume, now that it is exported there.
pub(in crate::verbs) fn exported(
    mut volume: Volume,
    provider_location: &str,
    provider_auth: Option<&Secret>,
) -> RecordChange<Volume> {
    volume.provider_location = Some(provider_location.to_owned());
    volume.provider_auth = provider_auth.cloned();
    RecordChange::Update(Box::new(volume))
}
