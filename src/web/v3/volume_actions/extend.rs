//! `os-extend`, and `os-extend_volume_completion`.

use super::OnVolume;
use crate::model::VolumeStatus;
use crate::verbs::volume::ExtendVolume;
use crate::web::policy::{Rule, member};
use crate::web::schema::prelude::*;
use crate::web::v3::prelude::*;

pub(in crate::web::v3) const EXTEND: Schema = object!([("new_size", VOLUME_SIZE)], Required(&["new_size"]));

const EXTEND_ATTACHED: Rule = member("volume:extend_attached_volume");

/// `os-extend`: since 3.42 also for attached volumes, with a separate rule.
pub(in crate::web::v3) async fn extend(on: OnVolume) -> HandlerResult {
    let with_attached = on.caller.version.at_least(42);
    match with_attached && on.subject.status == VolumeStatus::InUse {
        true => on.caller.may(EXTEND_ATTACHED)?,
        false => on.caller.permitted()?,
    }
    let message = ExtendVolume {
        volume_id: on.volume_id(),
        // The schema admits 1 to 2147483647.
        new_size: whole(&on.arguments["new_size"]).unwrap_or_default(),
        attached_too: with_attached && on.caller.can(EXTEND_ATTACHED),
    };
    on.ask(message).await?;
    Ok(accepted())
}

/// The schema of the result that a compute service reports.
pub(super) const ERROR: Schema = Schema(&[Type(&[Kind::String, Kind::Null, Kind::Boolean])]);

pub(in crate::web::v3) const COMPLETION: Schema = object!([("error", ERROR)]);

/// `os-extend_volume_completion`. No driver waits for a compute service, so there is never anything to complete.
pub(in crate::web::v3) async fn complete(on: OnVolume) -> HandlerResult {
    Err(Fault::bad_request(
        if on.subject.status == VolumeStatus::Extending {
            "Invalid volume: Required volume admin metadata is malformed or missing."
        } else {
            "Invalid volume: Volume is not being extended."
        },
    ))
}
