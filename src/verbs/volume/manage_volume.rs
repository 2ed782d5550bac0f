//! Adopt existing storage as a volume (cinder: `volume/api.py` `manage_existing`).
//!
//! | stage | what is true after it | if it fails |
//! |---|---|---|
//! | begin | a volume of size 0 is `managing`, and counted | nothing has changed |
//! | manage (backend) | the storage has the volume's name; its GiB are counted | `error_managing` |
//!
//! The record is created first with size 0, as in Cinder: its GiB are counted when the backend has reported them.
//! Deleting a volume in `error_managing` unmanages it, and keeps its storage.
//!
//! The steps on the backend (cinder: `volume/flows/manager/manage_existing.py`):
//!
//! | step | what is true after it | reverted by |
//! |---|---|---|
//! | `manage_volume` | it has the volume's name, and its size is known | – (only its name was changed) |
//! | `insert_volume` | it is in the inventory | removing it from the inventory |

use std::collections::BTreeMap;

use crate::control::lookup::growth_failed;
use crate::drivers::Managed;
use crate::messages::scheduler::{GetPools, PoolView};
use crate::model::bounds::{METADATA, REFERENCE, pairs};
use crate::model::quota::{extend_deltas, volume_deltas};
use crate::model::{BackendName, Context, ErrorKind, PoolName, Reference, StorageName};
use crate::verbs::command::context_of;
use crate::verbs::prelude::*;
use crate::verbs::volume::made;

/// Adopt existing storage as a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManageVolume {
    /// `host@backend#pool`, as the client wrote it; without a pool, the backend's only one.
    pub host: String,
    /// The reference to the storage to adopt.
    pub reference: Reference,
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Name or id of a type.
    pub volume_type: Option<String>,
    /// Zone.
    pub availability_zone: Option<String>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// Whether it is bootable.
    pub bootable: bool,
}
call!(ManageVolume => ApiTopic, "manage_volume", since 2, reply Volume);

/// The journal entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManageVolumeEntry {
    /// The reference to the storage to adopt.
    pub reference: Reference,
}

impl Request for ManageVolume {
    const LEVEL: Level = Level::Admin;

    async fn begin(&self, at: &BeginContext<'_>) -> Result<Began<Volume>, Interrupt> {
        let control = at.control;
        at.context.own_project()?;
        REFERENCE.check(0, self.reference.weight())?;
        METADATA.check(0, pairs(&self.metadata))?;
        control.refuse_what_is_managed(&self.reference).await?;
        let volume_type = match &self.volume_type {
            Some(name) => control.find_volume_type(at.context, name).await.map_err(|_| {
                Error::bad_request(format!(
                    "Invalid volume type: Cannot find requested '{name}' volume type"
                ))
            })?,
            None => control.default_volume_type_for(at.context).await?,
        };
        if control.is_encrypted(volume_type.id).await? {
            return Err(Error::bad_request("Managing to an encrypted volume type is not supported.").into());
        }
        let (pool, zone) = control.place_to_manage(at.context, &self.host).await?;
        let mut volume = self.volume(at.context, pool, zone);
        volume.volume_type_id = Some(volume_type.id);
        volume.multiattach = volume_type.is_multiattach();
        let deltas = volume_deltas(0, Some(volume_type.id));
        let ceilings = control
            .check_quota(at.context, &volume.project_id, &deltas, None)
            .await?;
        let entry = ManageVolumeEntry {
            reference: self.reference.clone(),
        };
        let operation = at.operation(&entry, Subject::Volume(volume.id), &volume)?;
        volume.operation = Some(operation.id);
        let mut changes = control.catalog.change();
        changes.require(&volume_type);
        changes
            .insert(&volume)
            .insert(&operation)
            .add_usage(&volume.project_id, &deltas);
        at.notify_start(&mut changes, &operation, &volume, None).await?;
        ceilings.apply(&mut changes, &volume.project_id, &deltas);
        at.answer(&mut changes, &volume, None)?;
        changes
            .commit()
            .await
            .map_err(|error| growth_failed(error, &deltas, Some(&volume_type)))?;
        Ok(Began::started(operation, volume.clone(), volume))
    }
}

impl ManageVolume {
    fn volume(&self, context: &Context, pool: PoolName, zone: String) -> Volume {
        Volume {
            name: self.name.clone(),
            description: self.description.clone(),
            host: Some(pool),
            placed: true,
            metadata: self.metadata.clone(),
            bootable: self.bootable,
            ..Volume::new(
                context.project_id.clone(),
                context.user_id.clone(),
                0,
                VolumeStatus::Managing,
                self.availability_zone.clone().unwrap_or(zone),
                Timestamp::now(),
            )
        }
    }
}

impl Control {
    /// Refuses the storage name of a volume or snapshot in the catalog.
    ///
    /// # Errors
    /// 400 with Cinder's text.
    pub(in crate::verbs) async fn refuse_what_is_managed(&self, reference: &Reference) -> Result<()> {
        let named = reference.source_name();
        match named.as_deref().and_then(StorageName::parse) {
            Some(StorageName::Volume(id)) => {
                let is_known = self.catalog.volume(id).await?.is_some();
                if is_known || self.is_storage_of_a_volume(StorageName::Volume(id)).await? {
                    return Err(Error::invalid_volume(
                        "Unable to manage existing volume. The volume is already managed",
                    ));
                }
                Ok(())
            }
            Some(StorageName::Snapshot(id)) => match self.catalog.snapshot(id).await? {
                Some(_) => Err(Error::bad_request(format!(
                    "Invalid snapshot: Unable to manage existing snapshot. Snapshot {id} already managed."
                ))),
                None => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// Whether a volume on any backend has storage of this name: that of a migrated volume has another id.
    async fn is_storage_of_a_volume(&self, name: StorageName) -> Result<bool> {
        for service in self.catalog.services().await? {
            let Ok(backend) = service.host.parse::<BackendName>() else {
                continue;
            };
            let known = self.catalog.names_on_backend(&backend, &[name]).await?;
            if !known.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The requested pool, or the backend's only one, and its zone.
    ///
    /// # Errors
    /// 400 if there is none, or its service is not up.
    pub(in crate::verbs) async fn place_to_manage(
        &self,
        context: &Context,
        host: &str,
    ) -> Result<(PoolName, String)> {
        let named_pool: Option<PoolName> = host.parse().ok();
        let backend = match &named_pool {
            Some(pool) => Some(pool.backend.clone()),
            None => host.parse::<BackendName>().ok(),
        };
        let not_found = || Error::bad_request(format!("Host '{host}' not found"));
        let backend = backend.ok_or_else(not_found)?;
        let services = self.catalog.services().await?;
        let service = services
            .iter()
            .find(|service| service.binary == "cinder-volume" && service.host == backend.to_string())
            .ok_or_else(not_found)?;
        let pools = self
            .scheduler
            .call(context, GetPools {}, self.options.call_timeout)
            .await?;
        let usable = |view: &&PoolView| view.usable && view.name.backend == backend;
        let found: Vec<&PoolView> = pools.iter().filter(usable).collect();
        let pool = match &named_pool {
            Some(pool) => found.iter().find(|view| view.name == *pool),
            None => found.first(),
        };
        match pool {
            Some(view) => Ok((view.name.clone(), service.availability_zone.clone())),
            // Cinder's text for a service that is down or disabled, and its 400.
            None => Err(Error::bad_request("Service is unavailable at this time.")),
        }
    }
}

impl Entry for ManageVolumeEntry {
    const NAME: &'static str = "manage_volume";
}

#[async_trait(?Send)]
impl Verb for ManageVolumeEntry {
    fn deadline(&self, deadlines: &Deadlines, _size: u32) -> Duration {
        deadlines.manage
    }

    fn reads(&self, _volume: &Volume) -> Reads {
        Reads::attachments(ReadAttachments::IfAttached)
    }

    fn events(&self) -> OperationEvents {
        OperationEvents::of(&["volume.manage_existing"])
    }

    fn command(&self, records: &Records<'_>, header: CommandHeader) -> Option<Command> {
        records.to_backend(|volume| ManageVolumeCommand {
            command: header.id,
            volume,
            reference: self.reference.clone(),
            remaining_ms: header.remaining_ms,
        })
    }

    /// Counts the adopted volume, if the quota is sufficient; else it gets an error status, and only its name was
    /// changed.
    async fn examine(&self, control: &Control, operation: &Operation, outcome: Outcome) -> Result<Outcome> {
        let (Outcome::Managed { size, .. }, Some(id)) = (&outcome, operation.volume_id) else {
            return Ok(outcome);
        };
        let Some(volume) = control.catalog.volume(id).await? else {
            return Ok(outcome);
        };
        let deltas = extend_deltas(*size, volume.volume_type_id);
        let context = context_of(operation);
        let checked = control.check_quota(&context, &volume.project_id, &deltas, Some(*size));
        match checked.await {
            Ok(_) => Ok(outcome),
            Err(refusal) if refusal.kind == ErrorKind::OverQuota => {
                let why = refusal.client;
                Ok(Outcome::Failed(Failure::new(
                    FailureKind::Request,
                    why.clone(),
                    why,
                )))
            }
            // The report is repeated.
            Err(error) => Err(error),
        }
    }

    fn next(&self, at: &OperationContext<'_>, outcome: &Outcome) -> Option<Transition> {
        match outcome {
            Outcome::Managed { size, provider_id } => {
                Some(Transition::resized(made(at, provider_id.clone()), *size))
            }
            Outcome::Failed(failure) => Some(Transition::volume_failed(
                at.with_status(VolumeStatus::ErrorManaging),
                failure,
                (Action::ManageVolume, Detail::DriverFailedManage),
                "Unable to manage the volume.",
            )),
            _ => None,
        }
    }
}

/// Adopt existing storage as this volume, whose size is not known yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManageVolumeCommand {
    /// The operation and attempt.
    pub command: CommandId,
    /// The new volume.
    pub volume: VolumeSpec,
    /// The reference to the storage.
    pub reference: Reference,
    /// The time left for it, in milliseconds.
    pub remaining_ms: u64,
}
cast!(ManageVolumeCommand => VolumeTopic, "manage_volume", since 2);

impl BackendCommand for ManageVolumeCommand {
    const WHEN_DOWN: WhenDown = WhenDown::Refuse;
    const SPACE: SpaceEffect = SpaceEffect::Unknown;
    type Output = Managed;
    command_fields!();

    fn flow() -> Flow<Task<Self>, DriverError> {
        Flow::new("manage_volume")
            .then(step("manage_volume", manage_volume))
            .then(step("insert_volume", insert_volume).reverted_by(remove))
    }

    fn outcome(&self, managed: Managed) -> Outcome {
        Outcome::Managed {
            size: managed.size,
            provider_id: managed.provider_id,
        }
    }
}

async fn manage_volume(task: &mut Task<ManageVolumeCommand>) -> DriverResult<()> {
    let managed = task.drive(task.volume.id, |call| {
        call.driver
            .manage_volume(call.work, call.volume, &call.command.reference)
    });
    task.output = managed.await?;
    task.volume.size = task.output.size;
    Ok(())
}

async fn insert_volume(task: &mut Task<ManageVolumeCommand>) -> DriverResult<()> {
    let volume = &task.volume;
    let mut inventory = task.backend.inventory();
    inventory.insert(volume.id, &volume.pool.pool, volume.size);
    Ok(())
}

async fn remove(task: &mut Task<ManageVolumeCommand>) {
    task.backend.inventory().remove(task.volume.id);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing::{LONG_MS, Recipe, first, spec};
    use crate::model::Reference;

    #[actix::test]
    async fn what_exists_becomes_a_volume_and_no_other_is_touched() {
        Recipe {
            command: |_| ManageVolumeCommand {
                command: first(),
                volume: spec(0),
                reference: Reference::named("lv1"),
                remaining_ms: LONG_MS,
            },
            is_done: |fixture, command| {
                fixture.driver.size(command.volume.id) == Some(7) && fixture.has_allocated(7)
            },
            after_failure: |fixture, _| fixture.driver.exists(fixture.volume.id) && fixture.has_allocated(0),
        }
        .check_unrepeatable()
        .await;
    }
}
