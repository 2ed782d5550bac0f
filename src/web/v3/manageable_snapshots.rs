//! `/manageable_snapshots` and its old name `/os-snapshot-manage`: list what a backend has, and adopt it as a snapshot.

use super::find_volume;
use super::manageable::{Adoptable, Wanted};
use super::prelude::*;
use crate::messages::api::ListManageableSnapshots;
use crate::web::schema::manage;
use crate::web::views::manageable::Manageable;
use crate::web::views::snapshot::SnapshotSummary;

pub(super) struct Snapshots;

impl Adoptable for Snapshots {
    async fn list(
        caller: Caller,
        state: &WebState,
        offload: Offload,
        query: Query,
        detail: bool,
    ) -> HandlerResult {
        let wanted = Wanted::read(&caller, query)?;
        let host = wanted.host.clone();
        let all = caller.ask(state, ListManageableSnapshots { host }).await?;
        let rows = Some(all.len());
        let read = move || async move {
            let part = wanted.part_of(all)?;
            let views = part.iter().map(|found| Manageable { found, detail });
            Json::of(&Named("manageable-snapshots", Items(views)))
        };
        Ok(offload.run(rows, read).await?.answer(StatusCode::OK))
    }

    async fn manage(caller: Caller, state: &WebState, body: Body) -> HandlerResult {
        let message = manage::snapshot(body.value());
        if !caller.has_been_answered() {
            find_volume(state, &caller, &message.volume_id).await?;
        }
        let snapshot = caller.ask(state, message).await?;
        // Cinder shows it as in the first version, whatever the version.
        let view = Named("snapshot", SnapshotSummary(&snapshot));
        answer(StatusCode::ACCEPTED, &view)
    }
}
