//! What a backend has, in pages: a VolumeManager that starts restores its exports from this.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::commands::spec;
use super::lookup::store_failed;
use super::{ApiActor, old_connectors, specs_of};
use crate::messages::api::{BackendVolume, ListBackendVolumes};
use crate::model::{Attachment, Context, Result, VolumeId, VolumeTypeId};

/// The longest page: it must fit a frame.
const MAX_PAGE: usize = 256;

impl ApiActor {
    /// Serves [`ListBackendVolumes`].
    pub(super) async fn list_backend_volumes(
        self: Rc<Self>,
        _context: Context,
        request: ListBackendVolumes,
    ) -> Result<Vec<BackendVolume>> {
        let catalog = &self.deps.catalog;
        let limit = usize::try_from(request.limit)
            .unwrap_or(MAX_PAGE)
            .clamp(1, MAX_PAGE);
        let volumes = catalog
            .backend_volumes(&request.backend, request.after, limit)
            .await;
        let volumes = volumes.map_err(|error| store_failed(&error))?;
        let ids: Vec<VolumeId> = volumes.iter().map(|volume| volume.id).collect();
        let attachments = catalog
            .volumes_attachments(&ids)
            .await
            .map_err(|error| store_failed(&error))?;
        let types = catalog
            .volume_types()
            .await
            .map_err(|error| store_failed(&error))?;
        let specs: BTreeMap<VolumeTypeId, BTreeMap<String, String>> = types
            .iter()
            .map(|found| (found.id, specs_of(Some(found))))
            .collect();
        let none = BTreeMap::new();
        let mut list = Vec::with_capacity(volumes.len());
        for (volume, attachments) in volumes.iter().zip(&attachments) {
            let Some(pool) = volume.host.clone() else { continue };
            let extra_specs = volume
                .volume_type_id
                .and_then(|id| specs.get(&id))
                .unwrap_or(&none);
            list.push(BackendVolume {
                volume: spec(volume, extra_specs, pool),
                status: volume.status,
                connectors: attachments
                    .iter()
                    .filter_map(connected)
                    .chain(old_connectors::list(volume))
                    .collect(),
            });
        }
        Ok(list)
    }
}

/// The initiator that an attachment lets in.
fn connected(attachment: &Attachment) -> Option<crate::model::Connector> {
    attachment.connection_info.as_ref()?;
    let connector = attachment.connector.as_ref()?;
    Some(match attachment.mode {
        Some(mode) => connector.with_mode(mode),
        None => connector.clone(),
    })
}
