//! `os-retype`.

use super::OnVolume;
use crate::verbs::volume::RetypeVolume;
use crate::web::fault::HandlerResult;
use crate::web::policy::{Rule, member};
use crate::web::schema::prelude::*;
use crate::web::v3::{accepted, find_type_by_name};

pub(in crate::web::v3) const RETYPE: Schema = object!(
    [
        ("new_type", Schema(&[Type(&[Kind::String])])),
        (
            "migration_policy",
            Schema(&[Type(&[Kind::String, Kind::Null]), Enum(&["on-demand", "never"])])
        ),
    ],
    Required(&["new_type"]),
);

const MULTIATTACH: Rule = member("volume:multiattach");

/// `os-retype`, to the type with this name or id.
pub(in crate::web::v3) async fn retype(on: OnVolume) -> HandlerResult {
    let new_type = text(&on.arguments, "new_type").unwrap_or_default();
    let new_type = find_type_by_name(&on.state, &on.caller, new_type).await?;
    if new_type.is_multiattach() && !on.subject.multiattach {
        on.caller.may(MULTIATTACH)?;
    }
    on.ask(RetypeVolume {
        volume_id: on.volume_id(),
        new_type: new_type.id.to_string(),
        may_move: text(&on.arguments, "migration_policy") == Some("on-demand"),
    })
    .await?;
    Ok(accepted())
}
