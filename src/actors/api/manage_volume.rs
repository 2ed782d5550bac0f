//! Adopt what exists on a backend (cinder: `volume/api.py` `manage_existing`, `manage_existing_snapshot`).
//!
//! The record is made first, in `managing` and with size 0, as in Cinder: its volume counts at once, its GiB when the backend has
//! said how many they are. What cannot be adopted ends in `error_managing`; to delete that forgets it, and touches nothing.

use std::rc::Rc;

use super::ApiActor;
use super::create_snapshot::Wanted;
use super::lookup::{growth_failed, store_failed};
use crate::messages::api::{ManageSnapshot, ManageVolume};
use crate::messages::quota::Reserve;
use crate::messages::scheduler::{GetPools, PoolView};
use crate::model::bounds::{METADATA, REFERENCE, pairs};
use crate::model::quota::volume_deltas;
use crate::model::transitions::Verb;
use crate::model::{
    BackendName, Context, Error, OperationKind, PoolName, Reference, Result, Snapshot, StorageName,
    Timestamp, Volume, VolumeStatus,
};

impl ApiActor {
    /// Serves [`ManageVolume`]: the reply is the volume in `managing`.
    pub(super) async fn manage_volume(
        self: Rc<Self>,
        context: Context,
        request: ManageVolume,
    ) -> Result<Volume> {
        REFERENCE.check(0, request.reference.weight())?;
        METADATA.check(0, pairs(&request.metadata))?;
        self.refuse_what_is_managed(&request.reference).await?;
        let volume_type = match &request.volume_type {
            Some(name) => self.find_volume_type(&context, name).await.map_err(|_| {
                Error::bad_request(format!(
                    "Invalid volume type: Cannot find requested '{name}' volume type"
                ))
            })?,
            None => self.default_volume_type().await?,
        };
        let (pool, zone) = self.place_to_manage(&context, &request.host).await?;
        let (mut volume, kind) = records(&context, &request, pool.clone(), zone);
        volume.volume_type_id = Some(volume_type.id);
        volume.multiattach = volume_type.is_multiattach();
        let operation = self.new_operation(&context, kind, &volume, Some(pool));
        volume.operation = Some(operation.id);
        let deltas = volume_deltas(0, Some(volume_type.id));
        let hold = Reserve {
            project_id: volume.project_id.clone(),
            deltas: deltas.clone(),
            volume_size: None,
        };
        let reserved = self
            .deps
            .quota
            .call(&context, hold, self.options.call_timeout)
            .await?;
        let mut changes = self.deps.catalog.change();
        changes.require_volume_type(&volume_type);
        changes
            .insert_volume(&volume)
            .insert_operation(&operation)
            .add_usage(&volume.project_id, &deltas);
        for (resource, limit) in &reserved.limits {
            if *limit >= 0 && deltas.contains_key(resource) {
                changes.within_limit(&volume.project_id, resource, *limit);
            }
        }
        if let Err(error) = changes.commit().await {
            self.roll_back(&context, reserved).await;
            return Err(match growth_failed(error, &deltas, Some(&volume_type)) {
                super::lookup::Unchanged::Refused(error) => error,
                super::lookup::Unchanged::Overtaken => {
                    Error::unavailable("The service is temporarily unable to handle the request.", 1)
                        .with_operator("the volume type was changed meanwhile")
                }
            });
        }
        self.commit_hold(&context, &reserved).await;
        self.begin(&operation, &volume).await;
        Ok(volume)
    }

    /// Serves [`ManageSnapshot`]: the reply is the snapshot in `creating`.
    pub(super) async fn manage_snapshot(
        self: Rc<Self>,
        context: Context,
        request: ManageSnapshot,
    ) -> Result<Snapshot> {
        let ManageSnapshot {
            volume_id,
            reference,
            name,
            description,
            metadata,
        } = request;
        REFERENCE.check(0, reference.weight())?;
        self.refuse_what_is_managed(&reference).await?;
        let volume = self.find_volume(&context, &volume_id).await?;
        if let Some(pool) = &volume.host {
            self.place_to_manage(&context, &pool.to_string()).await?;
        }
        let wanted = Wanted {
            name,
            description,
            metadata,
        };
        let verb = Verb::CreateSnapshot { in_use_too: true };
        let kind = |snapshot_id| OperationKind::ManageSnapshot {
            snapshot_id,
            reference: reference.clone(),
        };
        self.begin_snapshot(&context, &volume_id, verb, &wanted, kind)
            .await
    }

    async fn refuse_what_is_managed(&self, reference: &Reference) -> Result<()> {
        let catalog = &self.deps.catalog;
        let named = reference.source_name();
        match named.as_deref().and_then(StorageName::parse) {
            Some(StorageName::Volume(id))
                if catalog
                    .volume(id)
                    .await
                    .map_err(|error| store_failed(&error))?
                    .is_some() =>
            {
                Err(Error::invalid_volume(
                    "Unable to manage existing volume. The volume is already managed",
                ))
            }
            Some(StorageName::Snapshot(id))
                if catalog
                    .snapshot(id)
                    .await
                    .map_err(|error| store_failed(&error))?
                    .is_some() =>
            {
                Err(Error::bad_request(format!(
                    "Invalid snapshot: Unable to manage existing snapshot. Snapshot {id} already managed."
                )))
            }
            _ => Ok(()),
        }
    }

    /// The pool that a client names, or its backend's only one, and its zone.
    async fn place_to_manage(&self, context: &Context, host: &str) -> Result<(PoolName, String)> {
        let named_pool: Option<PoolName> = host.parse().ok();
        let backend = match &named_pool {
            Some(pool) => Some(pool.backend.clone()),
            None => host.parse::<BackendName>().ok(),
        };
        let not_found = || Error::bad_request(format!("Host '{host}' not found"));
        let backend = backend.ok_or_else(not_found)?;
        let services = self
            .deps
            .catalog
            .services()
            .await
            .map_err(|error| store_failed(&error))?;
        let service = services
            .iter()
            .find(|service| service.binary == "cinder-volume" && service.host == backend.to_string())
            .ok_or_else(not_found)?;
        let pools = self
            .scheduler()
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
            // Cinder's word for a service that is down or disabled, and its 400.
            None => Err(Error::bad_request("Service is unavailable at this time.")),
        }
    }
}

fn records(
    context: &Context,
    request: &ManageVolume,
    pool: PoolName,
    zone: String,
) -> (Volume, OperationKind) {
    let kind = OperationKind::ManageVolume {
        reference: request.reference.clone(),
    };
    let zone = request.availability_zone.clone().unwrap_or(zone);
    let volume = Volume {
        name: request.name.clone(),
        description: request.description.clone(),
        host: Some(pool),
        placed: true,
        metadata: request.metadata.clone(),
        bootable: request.bootable,
        ..Volume::new(
            context.project_id.clone(),
            context.user_id.clone(),
            0,
            VolumeStatus::Managing,
            zone,
            Timestamp::now(),
        )
    };
    (volume, kind)
}
