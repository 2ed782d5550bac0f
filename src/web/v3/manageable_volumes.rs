//! `/manageable_volumes` and its old name `/os-volume-manage`: list what a backend has, and adopt it as a volume.

use super::manageable::{Adoptable, Wanted};
use super::prelude::*;
use super::volumes;
use crate::messages::api::ListManageableVolumes;
use crate::verbs::volume::ManageVolume;
use crate::web::microversion::Microversion;
use crate::web::schema::manage::{self, Place};
use crate::web::views::manageable::Manageable;
use crate::web::views::volume::VolumeViews;

pub(super) struct Volumes;

impl Adoptable for Volumes {
    async fn list(
        caller: Caller,
        state: &WebState,
        offload: Offload,
        query: Query,
        detail: bool,
    ) -> HandlerResult {
        let wanted = Wanted::read(&caller, query)?;
        let host = wanted.host.clone();
        let all = caller.ask(state, ListManageableVolumes { host }).await?;
        let rows = Some(all.len());
        let read = move || async move {
            let part = wanted.part_of(all)?;
            let views = part.iter().map(|found| Manageable { found, detail });
            Json::of(&Named("manageable-volumes", Items(views)))
        };
        Ok(offload.run(rows, read).await?.answer(StatusCode::OK))
    }

    async fn manage(caller: Caller, state: &WebState, body: Body) -> HandlerResult {
        let adopted = manage::volume(body.value());
        let host = match adopted.place(caller.version)? {
            Place::Host(host) => host,
            Place::Cluster(cluster) => {
                return Err(Fault::bad_request(format!("Cluster '{cluster}' not found")));
            }
        };
        let message = ManageVolume {
            host,
            ..adopted.message
        };
        let volume = caller.ask(state, message).await?;
        // Cinder shows it as in the first version, whatever the version.
        let first = Caller {
            version: Microversion(0),
            ..caller
        };
        volumes::one(state, &VolumeViews::plain(&first), StatusCode::ACCEPTED, &volume).await
    }
}
