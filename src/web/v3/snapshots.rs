//! `/snapshots`: create, show, update and delete snapshots. Lists are in `snapshot_list`.

use super::prelude::*;
use super::{find_snapshot, find_volume};
use crate::verbs::snapshot::DeleteSnapshot;
use crate::web::schema;
use crate::web::views::snapshot::SnapshotViews;

pub(super) async fn create(caller: Caller, state: State, body: Body) -> HandlerResult {
    let wanted = schema::snapshots::create(body.value())?;
    if !caller.has_been_answered() {
        find_volume(&state, &caller, &wanted.message.volume_id).await?;
    }
    let message = wanted.in_version(caller.version)?;
    let snapshot = caller.ask(&state, message).await?;
    let view = SnapshotViews::plain(&caller).detail(&snapshot);
    answer(StatusCode::ACCEPTED, &Named("snapshot", view))
}

pub(super) async fn show(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    let snapshot = find_snapshot(&state, &caller, &path.id).await?;
    let view = SnapshotViews::extended(&caller).detail(&snapshot);
    ok(&Named("snapshot", view))
}

pub(super) async fn update(caller: Caller, state: State, path: SubjectPath, body: Body) -> HandlerResult {
    let message = schema::snapshots::update(&path.id, body.value());
    find_snapshot(&state, &caller, &path.id).await?;
    let snapshot = caller.ask(&state, message).await?;
    let view = SnapshotViews::plain(&caller).detail(&snapshot);
    ok(&Named("snapshot", view))
}

pub(super) async fn delete(caller: Caller, state: State, path: SubjectPath) -> HandlerResult {
    find_snapshot(&state, &caller, &path.id).await?;
    let snapshot_id = path.into_inner().id;
    let message = DeleteSnapshot {
        snapshot_id,
        force: false,
    };
    caller.ask(&state, message).await?;
    Ok(accepted())
}
