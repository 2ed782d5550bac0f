//! `revert`, to the latest snapshot.

use super::OnVolume;
use crate::model::transitions::snapshots;
use crate::verbs::volume::RevertToSnapshot;
use crate::web::fault::HandlerResult;
use crate::web::schema::prelude::*;
use crate::web::v3::accepted;

pub(in crate::web::v3) const REVERT: Schema = Schema(&[
    Type(&[Kind::Object]),
    Properties(&[("snapshot_id", Schema(&[Type(&[Kind::String, Kind::Null])]))]),
]);

/// `revert`. Cinder checks that the snapshot is the latest one before it checks policy.
pub(in crate::web::v3) async fn revert(on: OnVolume) -> HandlerResult {
    let snapshot_id = text(&on.arguments, "snapshot_id");
    let latest = on.state.catalog.latest_snapshot(on.subject.id).await?;
    snapshots::is_latest(&on.subject, latest, snapshot_id)?;
    on.caller.permitted()?;
    let message = RevertToSnapshot {
        volume_id: on.volume_id(),
        snapshot_id: snapshot_id.map(str::to_owned),
    };
    on.ask(message).await?;
    Ok(accepted())
}
