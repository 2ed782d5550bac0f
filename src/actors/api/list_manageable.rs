//! Lists everything on a backend, managed or not, for adoption (cinder: `volume/drivers/lvm.py`,
//! `_get_manageable_resource_info`). The backend lists the storage; the catalog knows which of it is managed.

use std::rc::Rc;

use super::ApiActor;
use crate::actors::permission::demand;
use crate::messages::api::{
    ListManageableSnapshots, ListManageableVolumes, ManageableSnapshot, ManageableVolume,
};
use crate::messages::volume::{ExistingPage, ListExisting, ListExistingPage, VolumeTopic};
use crate::model::role::Level;
use crate::model::{
    BackendName, Context, Error, Existing, PoolName, Reference, Result, StorageName, VolumeId,
};
use crate::transport::CallError;

/// The size of a page, which must fit into a frame.
const PAGE: u32 = 1000;

impl ApiActor {
    /// Serves [`ListManageableVolumes`].
    pub(super) async fn list_manageable_volumes(
        self: Rc<Self>,
        context: Context,
        request: ListManageableVolumes,
    ) -> Result<Vec<ManageableVolume>> {
        demand::<ListManageableVolumes>(Level::Admin, &context)?;
        let backend = self.backend_to_list(&request.host).await?;
        let existing = self.list_existing(&context, &backend).await?;
        let names: Vec<StorageName> = existing
            .iter()
            .filter_map(|found| StorageName::parse(&found.name))
            .collect();
        let managed = self.catalog.names_on_backend(&backend, &names).await?;
        let volumes = existing.into_iter().filter(|found| !is_snapshot(found));
        Ok(volumes
            .map(|found| {
                let cinder_id = match StorageName::parse(&found.name) {
                    Some(name @ StorageName::Volume(_)) => managed.get(&name).copied().map(VolumeId),
                    _ => None,
                };
                let reason_not_safe = reason(&found, cinder_id.is_some(), "volume");
                ManageableVolume {
                    reference: Reference::named(&found.name),
                    size: found.gib(),
                    safe_to_manage: reason_not_safe.is_none(),
                    reason_not_safe,
                    cinder_id,
                }
            })
            .collect())
    }

    /// Serves [`ListManageableSnapshots`].
    pub(super) async fn list_manageable_snapshots(
        self: Rc<Self>,
        context: Context,
        request: ListManageableSnapshots,
    ) -> Result<Vec<ManageableSnapshot>> {
        demand::<ListManageableSnapshots>(Level::Admin, &context)?;
        let backend = self.backend_to_list(&request.host).await?;
        let mut list = Vec::new();
        for found in self.list_existing(&context, &backend).await? {
            if !is_snapshot(&found) {
                continue;
            }
            let known = match StorageName::parse(&found.name) {
                Some(StorageName::Snapshot(id)) => self.catalog.snapshot(id).await?,
                _ => None,
            };
            let source = match (&found.origin, &known) {
                (Some(origin), _) => origin.clone(),
                (None, Some(known)) => StorageName::Volume(known.volume_id).to_string(),
                (None, None) => String::new(),
            };
            let reason_not_safe = reason(&found, known.is_some(), "snapshot");
            list.push(ManageableSnapshot {
                reference: Reference::named(&found.name),
                size: found.gib(),
                safe_to_manage: reason_not_safe.is_none(),
                reason_not_safe,
                cinder_id: known.map(|known| known.id),
                source_reference: Reference::named(&source),
            });
        }
        Ok(list)
    }

    async fn list_existing(&self, context: &Context, backend: &BackendName) -> Result<Vec<Existing>> {
        let manager = self.router.server::<VolumeTopic>(&backend.to_string());
        let mut all: Vec<Existing> = Vec::new();
        let mut after = None;
        loop {
            let question = ListExistingPage {
                after: after.clone(),
                limit: PAGE,
            };
            let page = match manager.call(context, question, self.options.call_timeout).await {
                Err(CallError::UnsupportedVersion { .. }) => {
                    let question = ListExisting { after, limit: PAGE };
                    let existing = manager.call(context, question, self.options.call_timeout).await?;
                    // An older manager does not say whether there is more: only an empty page is certainly the last.
                    let next = existing.last().map(|last| last.name.clone());
                    ExistingPage { existing, next }
                }
                page => page?,
            };
            all.extend(page.existing);
            if page.next.is_none() {
                return Ok(all);
            }
            after = page.next;
        }
    }

    /// The backend that the client requests, with or without a pool.
    async fn backend_to_list(&self, host: &str) -> Result<BackendName> {
        let services = self.catalog.services().await?;
        let backend = host.parse().map(|pool: PoolName| pool.backend);
        let backend: Option<BackendName> = backend.or_else(|_| host.parse()).ok();
        let is_known = |backend: &BackendName| {
            let name = backend.to_string();
            let mut services = services.iter();
            services.any(|service| service.binary == "cinder-volume" && service.host == name)
        };
        backend.filter(is_known).ok_or_else(|| {
            Error::not_found(format!(
                "Service cinder-volume could not be found on host {host}."
            ))
        })
    }
}

/// A name in Pumice's format says what it is; another one is a snapshot if it has an origin.
fn is_snapshot(found: &Existing) -> bool {
    match StorageName::parse(&found.name) {
        Some(StorageName::Volume(_)) => false,
        Some(StorageName::Snapshot(_)) => true,
        None => found.origin.is_some(),
    }
}

fn reason(found: &Existing, managed: bool, kind: &str) -> Option<String> {
    if managed {
        Some("already managed".to_owned())
    } else {
        found.in_use.then(|| format!("{kind} in use"))
    }
}
