//! Migrate a volume to another backend (cinder: `volume/api.py` `migrate_volume`, `volume/manager.py`
//! `_migrate_volume_generic`).
//!
//! | stage | command to | what is true after it | if it fails |
//! |---|---|---|---|
//! | begin | | `migration_status` is `starting`; `maintenance`, if the volume is locked | nothing has changed |
//! | place | scheduler | capacity is reserved on the destination; a hidden volume is in the catalog | as before, `error` |
//! | create copy | destination | the hidden volume has storage there | the copy is deleted |
//! | open source | source | the destination may read the volume | the copy is deleted |
//! | copy data | destination | the copy has the volume's content; its progress is in the journal | the source is opened again, or the copy is deleted |
//! | swap | | one commit: the volume has the storage of its copy, and the hidden volume the former storage | |
//! | delete source | source | the hidden volume is deleted, with the former storage | the hidden volume is `error_deleting` |
//!
//! A migration that fails leaves the volume as it was, with the `migration_status` `error`. The hidden volume is
//! deleted like any other ([`deletion`]): after a failure the copy, after a success the former storage. So there is
//! never storage on a backend without a record.
//!
//! The copy has its own id, which is in its storage name on the destination. The volume keeps its id, and uses the
//! copy's id for its storage name (`name_id`). So both backends may export their storage by the same target daemon, and
//! a late command to either never affects the other's storage.
//!
//! Only a volume without connections is copied. An attached volume can be migrated by a compute service only, which
//! copies the data at its server, and then completes the migration (`os-migrate_volume_completion`): there is none
//! here, so the migration fails with that message.

mod complete_migration;
mod copy_data;
mod open_source;
mod read_volume_data;
#[cfg(test)]
mod tests;

pub use self::complete_migration::CompleteMigration;
pub use self::copy_data::CopyVolumeDataCommand;
pub use self::open_source::OpenCopySourceCommand;
pub use self::read_volume_data::{ReadVolumeData, RelayedRead, VolumeData};
use super::new_type::NewType;
use super::{CreateVolumeCommand, deletion};
use crate::control::lookup::must_be_settled;
use crate::control::old_connectors;
use crate::messages::scheduler::{Among, GetPools, PlaceVolume, PoolView, RequestSpec};
use crate::model::transitions::not_migratable;
use crate::model::{AttachStatus, BackendName, Context, MigrationStatus, PoolName, VolumeId, VolumeTypeId};
use crate::store::record::encode_part;
use crate::verbs::command::spec;
use crate::verbs::operation_context::cancelled;
use crate::verbs::prelude::*;
use crate::verbs::{PromisedSpace, ReadSnapshots, next_stage};

/// How often the source is opened again in one migration: each time its backend was restarted during the copy.
const SOURCE_TRIES: u32 = 100;

/// Migrate a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrateVolume {
    /// Its id, as the client wrote it.
    pub volume_id: String,
    /// The destination backend or pool (`host@backend` or `host@backend#pool`), as the client wrote it; or the name of
    /// a cluster.
    pub destination: String,
    /// Whether the volume may not be used meanwhile (`maintenance`).
    pub lock_volume: bool,
}
call!(MigrateVolume => ApiTopic, "migrate_volume", since 5, reply ());

/// The stage of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// The scheduler chooses a pool.
    Place,
    /// The destination creates the copy.
    CreateCopy,
    /// The source allows the destination to read.
    OpenSource,
    /// The destination copies.
    CopyData,
}

/// The journal entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrateVolumeEntry {
    /// The stage.
    pub stage: Stage,
    /// The destination.
    pub destination: Among,
    /// The hidden volume, which is in the catalog from the second stage on.
    pub copy: VolumeId,
    /// The pool of the copy, from the second stage on.
    pub pool: Option<PoolName>,
    /// The number of copied and durable bytes.
    pub copied: u64,
    /// How often the source was opened.
    pub opened: u32,
    /// The new type of the volume, for a retype.
    pub new_type: Option<NewType>,
}

impl Request for MigrateVolume {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<()>, Interrupt> {
        let control = at.control;
        let volume = control.find_volume(at.context, &self.volume_id).await?;
        let destination = parse_destination(&self.destination)?;
        let is_there = volume.host.as_ref().is_none_or(|pool| destination.has(pool));
        if !is_there {
            control
                .must_be_in_service(at.context, &destination, &self.destination)
                .await?;
        }
        decide(&volume, &[], Asked::Migrate)?;
        if is_there || !control.catalog.volume_snapshots(volume.id).await?.is_empty() {
            return Err(not_migratable(&volume).into());
        }
        must_be_settled(&volume)?;
        let entry = MigrateVolumeEntry::new(destination, VolumeId::new(), None);
        let mut operation = at.operation(&entry, Subject::Volume(volume.id), &volume)?;
        operation.pool = None;
        let status = match volume.status {
            VolumeStatus::Available if self.lock_volume => VolumeStatus::Maintenance,
            status => status,
        };
        let mut migrating = operation.claim(&volume, status);
        migrating.migration_status = Some(MigrationStatus::Starting);
        let mut changes = control.catalog.change();
        changes.update(&volume, &migrating).insert(&operation);
        changes.commit().await?;
        Ok(Began::started(operation, migrating, ()))
    }
}

/// 400 with Cinder's text for a place that is not in service.
fn no_such_service(name: &str) -> Error {
    Error::bad_request(format!("Invalid host: No available service named '{name}'"))
}

fn parse_destination(name: &str) -> Result<Among> {
    name.parse()
        .map(Among::Pool)
        .or_else(|_| name.parse().map(Among::Backend))
        .map_err(|_| no_such_service(name))
}

impl Control {
    /// Refuses a backend or pool whose service is not up.
    async fn must_be_in_service(&self, context: &Context, destination: &Among, name: &str) -> Result<()> {
        let services = self.catalog.services().await?;
        let is_known = services.iter().any(|service| {
            let backend = service.host.parse::<BackendName>().ok();
            service.binary == "cinder-volume" && backend.as_ref() == destination.backend()
        });
        if !is_known {
            return Err(no_such_service(name));
        }
        let limit = self.options.call_timeout;
        let pools = self.scheduler.call(context, GetPools {}, limit).await?;
        let is_up = |view: &PoolView| view.usable && destination.has(&view.name);
        if pools.iter().any(is_up) {
            return Ok(());
        }
        Err(no_such_service(name))
    }
}

impl Entry for MigrateVolumeEntry {
    const NAME: &'static str = "migrate_volume";
}

impl MigrateVolumeEntry {
    /// A migration at its first stage.
    pub fn new(destination: Among, copy: VolumeId, new_type: Option<NewType>) -> Self {
        Self {
            stage: Stage::Place,
            destination,
            copy,
            pool: None,
            copied: 0,
            opened: 0,
            new_type,
        }
    }

    /// The next stage, whose command goes to the backend of this pool.
    fn stage(&self, at: &OperationContext<'_>, stage: Stage, pool: &PoolName) -> Option<Operation> {
        let entry = Self {
            stage,
            ..self.clone()
        };
        let mut operation = next_stage(at.operation, &entry)?;
        operation.pool = Some(pool.clone());
        Some(operation)
    }
}

#[async_trait(?Send)]
impl Verb for MigrateVolumeEntry {
    fn deadline(&self, deadlines: &Deadlines, size: u32) -> Duration {
        deadlines.create + deadlines.moving_data(size) * 2
    }

    fn may_be_cancelled(&self) -> bool {
        true
    }

    fn volume_type(&self, volume: &Volume) -> Option<VolumeTypeId> {
        self.new_type
            .map_or(volume.volume_type_id, |new_type| Some(new_type.id))
    }

    fn reads(&self, _volume: &Volume) -> Reads {
        Reads {
            attachments: ReadAttachments::All,
            snapshots: ReadSnapshots::Named,
            other: Some(self.copy),
        }
    }

    /// Volumes that are being created from this one read it at its present place.
    async fn must_wait(&self, control: &Control, operation: &Operation) -> Result<bool> {
        control
            .is_any_copied(operation.volume_id.map(|volume| volume.0))
            .await
    }

    /// A migration has none (as in Cinder).
    fn events(&self) -> OperationEvents {
        OperationEvents::NONE
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        let volume = records.volume;
        match self.stage {
            Stage::Place => Some(Command::to_scheduler(PlaceVolume {
                command: header.id,
                request: RequestSpec {
                    volume_id: volume.id,
                    size: volume.size,
                    availability_zone: None,
                    extra_specs: records.extra_specs.clone(),
                    resource_backend: None,
                    hints: None,
                    tried: Vec::new(),
                },
                prefer: None,
                among: self.destination.clone(),
            })),
            Stage::CreateCopy => Some(Command::to_backend(CreateVolumeCommand {
                command: header.id,
                volume: spec(records.other?, records.extra_specs, self.pool.clone()?),
                remaining_ms: header.remaining_ms,
            })),
            Stage::OpenSource => records.to_backend(|volume| OpenCopySourceCommand {
                command: header.id,
                volume,
                remaining_ms: header.remaining_ms,
            }),
            Stage::CopyData => Some(Command::to_backend(CopyVolumeDataCommand {
                command: header.id,
                volume: spec(records.other?, records.extra_specs, self.pool.clone()?),
                source: volume.host.as_ref()?.backend.clone(),
                source_volume: volume.storage_id(),
                offset: self.copied,
                length: u64::from(volume.size) << 30,
                remaining_ms: header.remaining_ms,
            })),
        }
    }

    async fn examine(&self, control: &Control, _operation: &Operation, outcome: Outcome) -> Result<Outcome> {
        match (&outcome, self.new_type) {
            (Outcome::Copied { .. }, Some(new_type)) => new_type.examine(control, outcome).await,
            _ => Ok(outcome),
        }
    }

    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
        match (self.stage, outcome) {
            (Stage::CreateCopy, Outcome::Created { .. }) | (Stage::OpenSource, Outcome::CopySourceOpened)
                if at.operation.is_cancelled() =>
            {
                self.failed(
                    at,
                    &cancelled(FailureKind::Cancelled, "cancelled between two stages"),
                )
            }
            (Stage::Place, Outcome::Placed { pool }) => self.placed(at, pool),
            (Stage::CreateCopy, Outcome::Created { provider_id }) => {
                self.copy_created(at, provider_id.clone())
            }
            (Stage::OpenSource, Outcome::CopySourceOpened) => {
                let operation = self.stage(at, Stage::CopyData, self.pool.as_ref()?)?;
                Some(Transition::goes_on(operation, at.volume.clone()))
            }
            (Stage::CopyData, Outcome::Copied { .. }) => self.swap(at),
            // The source's backend was restarted, or unreachable for a while.
            (Stage::CopyData, Outcome::Failed(failure))
                if failure.kind == FailureKind::Busy
                    && !at.operation.is_cancelled()
                    && self.opened < SOURCE_TRIES =>
            {
                let entry = Self {
                    opened: self.opened + 1,
                    ..self.clone()
                };
                let operation = entry.stage(at, Stage::OpenSource, at.volume.host.as_ref()?)?;
                Some(Transition::goes_on(operation, at.volume.clone()))
            }
            (_, Outcome::Failed(failure)) => self.failed(at, failure),
            _ => None,
        }
    }

    fn progressed(&self, bytes: u64) -> Option<Vec<u8>> {
        if self.stage != Stage::CopyData || bytes <= self.copied {
            return None;
        }
        let entry = Self {
            copied: bytes,
            ..self.clone()
        };
        encode_part(&entry).ok()
    }

    fn hidden_copy(&self) -> Option<VolumeId> {
        Some(self.copy)
    }

    fn promised_space(&self, volume: &Volume) -> Option<PromisedSpace> {
        (self.stage == Stage::CreateCopy).then_some(PromisedSpace::New(volume.size))
    }
}

impl MigrateVolumeEntry {
    /// The destination has capacity: creates the hidden volume, in the catalog and there. Also used by another verb to
    /// continue with this one.
    pub(in crate::verbs) fn placed(&self, at: &OperationContext<'_>, pool: &PoolName) -> Option<Transition> {
        if is_connected(at) {
            return self.failed(at, &needs_compute());
        }
        let entry = Self {
            pool: Some(pool.clone()),
            ..self.clone()
        };
        let operation = entry.stage(at, Stage::CreateCopy, pool)?;
        let mut volume = at.volume.clone();
        volume.migration_status = Some(MigrationStatus::Migrating);
        volume.updated_at = Some(at.now);
        Some(Transition {
            made: Some(Box::new(self.hidden(at, pool))),
            ..Transition::goes_on(operation, volume)
        })
    }

    /// The hidden volume: a copy of the volume's record with its own fields.
    fn hidden(&self, at: &OperationContext<'_>, pool: &PoolName) -> Volume {
        let of = at.volume;
        let mut hidden = Volume::new(
            of.project_id.clone(),
            of.user_id.clone(),
            of.size,
            VolumeStatus::Creating,
            of.availability_zone.clone(),
            at.now,
        );
        hidden.id = self.copy;
        hidden.name.clone_from(&of.name);
        hidden.description.clone_from(&of.description);
        hidden.volume_type_id = self.volume_type(of);
        hidden.host = Some(pool.clone());
        hidden.placed = true;
        hidden.scheduled_at = Some(at.now);
        hidden.multiattach = self
            .new_type
            .map_or(of.multiattach, |new_type| new_type.multiattach);
        hidden.bootable = of.bootable;
        hidden.consumes_quota = false;
        hidden.operation = Some(at.operation.id);
        hidden.set_copy_of(of.id);
        hidden
    }

    fn copy_created(&self, at: &OperationContext<'_>, provider_id: Option<String>) -> Option<Transition> {
        let mut copy = at.other?.clone();
        copy.provider_id = provider_id;
        copy.launched_at = Some(at.now);
        copy.updated_at = Some(at.now);
        let operation = self.stage(at, Stage::OpenSource, at.volume.host.as_ref()?)?;
        Some(Transition {
            other: RecordChange::Update(Box::new(copy)),
            ..Transition::goes_on(operation, at.volume.clone())
        })
    }

    /// Exchanges the storage: the volume gets that of its copy, and the hidden volume the former storage, which is
    /// deleted.
    fn swap(&self, at: &OperationContext<'_>) -> Option<Transition> {
        if is_connected(at) {
            return self.failed(at, &needs_compute());
        }
        let copy = at.other?;
        let mut volume = at.resting();
        let mut left = copy.clone();
        volume.host.clone_from(&copy.host);
        volume.provider_id.clone_from(&copy.provider_id);
        volume.set_storage_id(copy.storage_id());
        volume.scheduled_at = copy.scheduled_at;
        if let Some(new_type) = self.new_type {
            new_type.apply(&mut volume);
        }
        // These belong to the former place. The zone is determined by the new place.
        volume.provider_location = None;
        volume.provider_auth = None;
        volume.service_uuid = None;
        volume.availability_zone.clear();
        volume.migration_status = Some(MigrationStatus::Success);
        left.host.clone_from(&at.volume.host);
        left.provider_id.clone_from(&at.volume.provider_id);
        left.set_storage_id(at.volume.storage_id());
        left.provider_location.clone_from(&at.volume.provider_location);
        left.provider_auth.clone_from(&at.volume.provider_auth);
        left.volume_type_id = at.volume.volume_type_id;
        let (operation, left) = deletion(at.operation, &left, at.deadlines, at.now)?;
        Some(Transition {
            volume: RecordChange::Update(Box::new(volume)),
            other: RecordChange::Update(Box::new(left)),
            usage: self
                .new_type
                .map(|new_type| new_type.usage(at.volume))
                .unwrap_or_default(),
            next: Some(Box::new(operation)),
            answer: None,
            ..Transition::done(Answer::Done)
        })
    }

    /// Restores the volume, and deletes the copy, if there is one.
    fn failed(&self, at: &OperationContext<'_>, failure: &Failure) -> Option<Transition> {
        let mut volume = at.resting();
        volume.migration_status = Some(MigrationStatus::Error);
        let detail = match failure.kind {
            FailureKind::NoValidBackend => Detail::NoBackendAvailable,
            FailureKind::Request if is_connected(at) => Detail::NeedsComputeService,
            _ => Detail::DriverFailedMigrate,
        };
        let action = match self.new_type {
            Some(_) => Action::RetypeVolume,
            None => Action::MigrateVolume,
        };
        let text = "Unable to migrate the volume.";
        let failed = Transition::volume_failed(volume, failure, (action, detail), text);
        let Some(copy) = at.other else {
            return Some(failed);
        };
        let (operation, copy) = deletion(at.operation, copy, at.deadlines, at.now)?;
        Some(Transition {
            other: RecordChange::Update(Box::new(copy)),
            next: Some(Box::new(operation)),
            answer: None,
            ..failed
        })
    }
}

/// Whether an initiator is connected, or is about to be.
pub(in crate::verbs) fn is_connected(at: &OperationContext<'_>) -> bool {
    at.volume.attach_status != AttachStatus::Detached
        || !at.attachments.is_empty()
        || !old_connectors::list(at.volume).is_empty()
}

/// The failure to migrate an attached volume.
pub(in crate::verbs) fn needs_compute() -> Failure {
    Failure {
        kind: FailureKind::Request,
        client: "An attached volume can only be moved by a compute service.".to_owned(),
        operator: "the volume is attached, and no compute service is known that could copy it".to_owned(),
    }
}
