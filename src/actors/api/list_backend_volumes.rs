//! Lists the volumes of a backend, in pages, from which a starting VolumeManager restores its exports.
//!
//! The list must not be older than the question: an export that another control node has answered would be missing after the start. Nor may
//! a report of an earlier run be committed after it ([`super::backend_runs`]).

use std::collections::BTreeMap;
use std::rc::Rc;

use super::ApiActor;
use crate::control::{old_connectors, specs_of};
use crate::messages::api::{BackendVolume, BackendVolumesPage, ListBackendVolumes, ListBackendVolumesPage};
use crate::model::{Attachment, Context, Result, Volume, VolumeId, VolumeTypeId};
use crate::store::catalog::Stored;
use crate::transport::codec;
use crate::verbs::command::spec;

/// The longest page: it must fit into a frame.
const MAX_PAGE: usize = 256;

impl ApiActor {
    /// Serves [`ListBackendVolumesPage`].
    pub(super) async fn list_backend_volumes_page(
        self: Rc<Self>,
        context: Context,
        request: ListBackendVolumesPage,
    ) -> Result<BackendVolumesPage> {
        if request.after.is_none() {
            self.note_run(&context, &request.backend).await?;
        }
        self.catalog.wait_current().await?;
        let found = self
            .catalog
            .backend_volumes(&request.backend, request.after, page_size(request.limit))
            .await?;
        let volumes = self.as_backends_know(&found.records).await?;
        Ok(within(self.options.page_bytes, volumes, found.next))
    }

    /// Serves [`ListBackendVolumes`], for managers that treat a page that is not full as the last one: such a page is filled
    /// from the following ones.
    pub(super) async fn list_backend_volumes(
        self: Rc<Self>,
        context: Context,
        request: ListBackendVolumes,
    ) -> Result<Vec<BackendVolume>> {
        if request.after.is_none() {
            self.note_run(&context, &request.backend).await?;
        }
        self.catalog.wait_current().await?;
        let limit = page_size(request.limit);
        let mut volumes: Vec<Stored<Volume>> = Vec::new();
        let mut after = request.after;
        while volumes.len() < limit {
            let found = self
                .catalog
                .backend_volumes(&request.backend, after, limit - volumes.len())
                .await?;
            volumes.extend(found.records);
            if found.next.is_none() {
                break;
            }
            after = found.next;
        }
        self.as_backends_know(&volumes).await
    }

    async fn as_backends_know(&self, volumes: &[Stored<Volume>]) -> Result<Vec<BackendVolume>> {
        let catalog = &self.catalog;
        let ids: Vec<VolumeId> = volumes.iter().map(|volume| volume.id).collect();
        let attachments = catalog.volumes_attachments(&ids).await?;
        let types = catalog.volume_types().await?;
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

/// As many of these as fit into so many bytes, at least one. The others are for the next page.
fn within(bytes: usize, mut volumes: Vec<BackendVolume>, next: Option<VolumeId>) -> BackendVolumesPage {
    let mut taken = 0_usize;
    let fit = volumes
        .iter()
        .take_while(|volume| {
            // An encoding error is reported when the page is sent.
            taken += codec::encode(volume).map_or(0, |bytes| bytes.len());
            taken <= bytes
        })
        .count()
        .max(1);
    if fit < volumes.len() {
        volumes.truncate(fit);
        let next = volumes.last().map(|last| last.volume.id);
        return BackendVolumesPage { volumes, next };
    }
    BackendVolumesPage { volumes, next }
}

fn page_size(asked: u32) -> usize {
    usize::try_from(asked).unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE)
}

/// The connector of an attachment, if it is connected.
fn connected(attachment: &Attachment) -> Option<crate::model::Connector> {
    attachment.connection_info.as_ref()?;
    let connector = attachment.connector.as_ref()?;
    Some(match attachment.mode {
        Some(mode) => connector.with_mode(mode),
        None => connector.clone(),
    })
}
