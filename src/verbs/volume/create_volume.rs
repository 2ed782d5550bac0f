//! Create a volume (cinder: `volume/flows/api/create_volume.py`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | volume (`creating`), usage and operation are durable, within all limits | nothing has changed |
//! | place (scheduler) | a pool is chosen, and stored in volume and operation | `error`: no valid backend |
//! | create (backend) | the volume is `available` | it is placed again without that pool, `max_attempts` times; then `error` |
//!
//! | step of begin | what is true after it |
//! |---|---|
//! | `extract_volume_request` | everything that the request names exists, and all checks passed; nothing has changed |
//! | `check_quota` | the project's quota is sufficient at this time |
//! | `create_record` | the volume is committed within the quota |
//!
//! The steps on the backend are in `on_backend`.
//!
//! After `create_record` the volume cannot be lost, so nothing fails any more: messages that could not be sent are sent
//! again.

mod extract;
mod on_backend;

use std::collections::BTreeMap;
use std::rc::Rc;

use tracing::warn;
use uuid::Uuid;

use self::extract::Extracted;
pub use self::on_backend::CreateVolumeCommand;
use crate::control::lookup::growth_failed;
use crate::control::{retry_on_conflict, try_again};
use crate::flow::Step;
use crate::messages::quota::Ceilings;
use crate::messages::scheduler::{RequestSpec, SchedulerTopic, UnplacedVolume};
use crate::model::bounds::{ATTEMPTS, CAUSE, cut};
use crate::model::spec::VolumeSource;
use crate::model::{BackendName, OperationId};
use crate::store::CommitError;
use crate::verbs::command::spec;
use crate::verbs::prelude::*;
use crate::verbs::record_changes::remove_volume;
use crate::verbs::transition::client_error;
use crate::verbs::{Known, PromisedSpace, Started, UserMessageDraft};

/// Create a volume; the reply is its record in `creating`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateVolume {
    /// GiB; `None` takes the source's size.
    pub size: Option<u32>,
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Name or id of a type.
    pub volume_type: Option<String>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// Zone.
    pub availability_zone: Option<String>,
    /// The snapshot to create it from.
    pub snapshot_id: Option<Uuid>,
    /// The volume to clone.
    pub source_volid: Option<Uuid>,
    /// The image to create it from.
    pub image: Option<String>,
    /// The backup to create it from.
    pub backup_id: Option<Uuid>,
    /// Group, new or old (`consistencygroup_id`).
    pub group_id: Option<Uuid>,
    /// Scheduler hints as JSON text.
    pub hints: Option<String>,
}
call!(CreateVolume => ApiTopic, "create_volume", since 1, reply Volume);

/// The journal entry. Requests that would change or delete the source wait for this operation's end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateVolumeEntry {
    /// Hints of the request, as JSON text (`OS-SCH-HNT:scheduler_hints`).
    pub hints: Option<String>,
    /// The source of its content.
    pub source: VolumeSource,
}

/// The state of the steps of `begin`.
struct CreateVolumeState<'a> {
    at: &'a BeginContext<'a>,
    request: &'a CreateVolume,
    extracted: Option<Extracted>,
    ceilings: Option<Ceilings>,
    /// Whether the extracted data is outdated.
    conflict: bool,
}

impl Request for CreateVolume {
    const LEVEL: Level = Level::Member;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<Volume>, Interrupt> {
        let mut state = CreateVolumeState {
            at,
            request: self,
            extracted: None,
            ceilings: None,
            conflict: false,
        };
        let report = flow().run(&mut state, 1, Rc::clone(&at.observer)).await;
        if state.conflict {
            return Err(Interrupt::Conflict);
        }
        report.result?;
        let Extracted {
            volume,
            operation,
            volume_type,
            origin,
            ..
        } = state
            .extracted
            .ok_or_else(|| Error::internal("the flow has no result"))?;
        let started = Started {
            steps: report.steps,
            known: Known {
                extra_specs: Some(volume_type.record.extra_specs),
                other: origin.map(|origin| origin.volume.record),
            },
            ..Started::new(operation, volume.clone())
        };
        Ok(Began::Started(Box::new(started), volume))
    }
}

fn flow<'a>() -> Flow<CreateVolumeState<'a>, Error> {
    Flow::new("create_volume")
        .then(ExtractVolumeRequest)
        .then(CheckQuota)
        .then(CreateRecord)
}

impl CreateVolumeState<'_> {
    fn extracted(&self) -> Result<&Extracted> {
        self.extracted
            .as_ref()
            .ok_or_else(|| Error::internal("there is no extracted data"))
    }
}

struct ExtractVolumeRequest;

#[async_trait(?Send)]
impl<'a> Step<CreateVolumeState<'a>, Error> for ExtractVolumeRequest {
    fn name(&self) -> &'static str {
        "extract_volume_request"
    }

    async fn execute(&self, state: &mut CreateVolumeState<'a>) -> Result<()> {
        let extracted = extract::extract(state.at, state.request).await?;
        state.extracted = Some(extracted);
        Ok(())
    }
}

struct CheckQuota;

#[async_trait(?Send)]
impl<'a> Step<CreateVolumeState<'a>, Error> for CheckQuota {
    fn name(&self) -> &'static str {
        "check_quota"
    }

    async fn execute(&self, state: &mut CreateVolumeState<'a>) -> Result<()> {
        let Extracted { volume, deltas, .. } = state.extracted()?;
        let BeginContext { control, context, .. } = state.at;
        let checked = control.check_quota(context, &volume.project_id, deltas, Some(volume.size));
        state.ceilings = Some(checked.await?);
        Ok(())
    }
}

struct CreateRecord;

#[async_trait(?Send)]
impl<'a> Step<CreateVolumeState<'a>, Error> for CreateRecord {
    fn name(&self) -> &'static str {
        "create_record"
    }

    async fn execute(&self, state: &mut CreateVolumeState<'a>) -> Result<()> {
        let extracted = state.extracted()?;
        let Extracted {
            volume,
            operation,
            volume_type,
            deltas,
            ..
        } = extracted;
        let mut changes = state.at.control.catalog.change();
        changes.require(volume_type);
        extracted.require_origin(&mut changes);
        changes
            .insert(volume)
            .insert(operation)
            .add_usage(&volume.project_id, deltas);
        if let Some(ceilings) = &state.ceilings {
            ceilings.apply(&mut changes, &volume.project_id, deltas);
        }
        state.at.answer(&mut changes, volume, None)?;
        match changes.commit().await {
            Ok(_) => Ok(()),
            // Already done: the new ids are unique.
            Err(CommitError::Conflict(_)) if is_there(state.at.control, extracted).await? => Ok(()),
            Err(error) => match growth_failed(error, deltas, Some(volume_type)) {
                Interrupt::Refused(error) => Err(error),
                _ => {
                    state.conflict = true;
                    Err(try_again("the volume type or the source was changed meanwhile"))
                }
            },
        }
    }

    /// Deletes the record again, unless a host was chosen meanwhile: then the operation is continued.
    async fn revert(&self, state: &mut CreateVolumeState<'a>, cause: &Error) {
        let Ok(Extracted { operation, .. }) = state.extracted() else {
            return;
        };
        let taken: Result<()> = retry_on_conflict!(take_away(state.at.control, operation).await);
        if let Err(error) = taken {
            warn!(
                operation = %operation.id,
                %cause,
                error = error.for_operator(),
                "a record is left to its operation"
            );
        }
    }
}

async fn is_there(control: &Control, extracted: &Extracted) -> Result<bool> {
    let found = control.catalog.volume(extracted.volume.id).await?;
    Ok(found.is_some_and(|found| found.operation == Some(extracted.operation.id)))
}

async fn take_away(control: &Control, operation: &Operation) -> Result<(), Interrupt> {
    let Some(id) = operation.volume_id else {
        return Ok(());
    };
    let catalog = &control.catalog;
    let (Some(volume), Some(operation)) = (catalog.volume(id).await?, catalog.operation(operation.id).await?)
    else {
        return Ok(());
    };
    if volume.host.is_some() || operation.pool.is_some() {
        return Ok(());
    }
    let mut changes = catalog.change();
    remove_volume(&mut changes, &volume, &[]);
    changes.delete(&operation);
    changes.commit().await?;
    Ok(())
}

/// Place a new volume and have its backend create it. The Scheduler records the choice before it sends the command; the
/// outcome is reported to the Api actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleVolume {
    /// The journaled operation.
    pub operation: OperationId,
    /// Its attempt.
    pub attempt: u32,
    /// What a pool must satisfy.
    pub request: RequestSpec,
    /// The volume's spec; the Scheduler sets its `pool`.
    pub volume: UnplacedVolume,
}
cast!(ScheduleVolume => SchedulerTopic, "create_volume", since 1);

impl Entry for CreateVolumeEntry {
    const NAME: &'static str = "create_volume";
}

#[async_trait(?Send)]
impl Verb for CreateVolumeEntry {
    fn deadline(&self, deadlines: &Deadlines, size: u32) -> Duration {
        match self.source {
            VolumeSource::Raw => deadlines.create,
            _ => deadlines.create + deadlines.moving_data(size),
        }
    }

    fn may_be_cancelled(&self) -> bool {
        true
    }

    fn reads(&self, volume: &Volume) -> Reads {
        Reads {
            attachments: ReadAttachments::IfAttached,
            other: self.source.volume_id().or(volume.source_volid),
            ..Reads::default()
        }
    }

    fn events(&self) -> OperationEvents {
        OperationEvents::of(&["volume.create"])
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        let Some(pool) = &records.operation.pool else {
            return Some(Command::to_scheduler(self.placement(records, header)));
        };
        let spec = self.spec(records, spec(records.volume, records.extra_specs, pool.clone()));
        Some(Command::to_backend(CreateVolumeCommand {
            command: header.id,
            volume: spec,
            remaining_ms: header.remaining_ms,
        }))
    }

    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
        match outcome {
            Outcome::Created { provider_id } => Some(Transition::done_with(made(at, provider_id.clone()))),
            Outcome::Failed(failure) => Some(failed(at, failure)),
            _ => None,
        }
    }

    fn promised_space(&self, volume: &Volume) -> Option<PromisedSpace> {
        Some(PromisedSpace::New(volume.size))
    }
}

impl CreateVolumeEntry {
    fn placement(&self, records: &Records<'_>, header: CommandHeader) -> ScheduleVolume {
        let Records {
            operation,
            volume,
            other: source,
            extra_specs,
            ..
        } = *records;
        // The scheduler sets the pool; the type cannot represent a missing one.
        let nowhere = BackendName::new("", "").pool("");
        ScheduleVolume {
            operation: header.id.operation,
            attempt: header.id.attempt,
            request: RequestSpec {
                volume_id: volume.id,
                size: volume.size,
                availability_zone: Some(volume.availability_zone.clone()).filter(|zone| !zone.is_empty()),
                extra_specs: extra_specs.clone(),
                resource_backend: source.and_then(|source| source.host.clone()),
                hints: self.hints.clone(),
                tried: operation.tried.iter().map(|(pool, _)| pool.clone()).collect(),
            },
            volume: UnplacedVolume::new(self.spec(records, spec(volume, extra_specs, nowhere))),
        }
    }

    fn spec(&self, records: &Records<'_>, spec: VolumeSpec) -> VolumeSpec {
        let storage_of = |id| records.other.map_or(id, Volume::storage_id);
        let source = match (&self.source, records.volume.source_volid) {
            // An operation of an earlier version, whose entry has no source.
            (VolumeSource::Raw, Some(id)) => VolumeSource::Volume {
                id: storage_of(id),
                size: records.other.map_or(records.volume.size, |source| source.size),
            },
            (VolumeSource::Volume { id, size }, _) => VolumeSource::Volume {
                id: storage_of(*id),
                size: *size,
            },
            (source, _) => source.clone(),
        };
        VolumeSpec { source, ..spec }
    }
}

/// The volume after it was created on its backend.
pub(super) fn made(at: &OperationContext<'_>, provider_id: Option<String>) -> Volume {
    let mut volume = at.resting();
    volume.launched_at = volume.launched_at.or(Some(at.now));
    volume.provider_id = provider_id;
    volume.placed = true;
    // The target helpers create one target per volume (cinder: `shared_targets` of the backend's stats).
    volume.shared_targets = Some(false);
    volume
}

/// Tries another pool while attempts are left and nothing is left on this one. A backend that timed out may have, or
/// still create, parts of the volume: then the volume keeps its host, so that a delete cleans up there.
fn failed(at: &OperationContext<'_>, failure: &Failure) -> Transition {
    let operation = at.operation;
    let another_may = !operation.is_cancelled()
        && matches!(
            failure.kind,
            FailureKind::Backend | FailureKind::NoSpace | FailureKind::Busy
        );
    if let (true, Some(pool)) = (
        another_may && operation.attempt < at.max_attempts.min(ATTEMPTS),
        &operation.pool,
    ) {
        let mut again = operation.clone();
        again.attempt += 1;
        again.tried.push((pool.clone(), cut(&failure.client, CAUSE)));
        again.pool = None;
        let mut volume = at.volume.clone();
        volume.host = None;
        volume.placed = false;
        volume.scheduled_at = Some(at.now);
        volume.updated_at = Some(at.now);
        return Transition::goes_on(again, volume);
    }
    let client = Some(failure.client.clone());
    let (action, detail, cause) = match failure.kind {
        FailureKind::NoValidBackend => (
            Action::ScheduleAllocateVolume,
            Detail::NoBackendAvailable,
            operation.tried.last().map(|(_, why)| why.clone()),
        ),
        FailureKind::TimedOut if operation.pool.is_none() => {
            (Action::ScheduleAllocateVolume, Detail::UnknownError, client)
        }
        FailureKind::TimedOut => (Action::CreateVolumeFromBackend, Detail::HostUnreachable, client),
        _ => (
            Action::CreateVolumeFromBackend,
            Detail::DriverFailedCreate,
            client,
        ),
    };
    Transition::failed_with(
        at.with_status(VolumeStatus::Error),
        client_error(failure, "Unable to create the volume."),
        Some(UserMessageDraft {
            action,
            detail,
            cause,
        }),
    )
}
