//! `os-retype`.

use actix_web::HttpResponse;

use super::OnVolume;
use crate::web::fault::Fault;
use crate::web::schema::Check::{Enum, Required, Type};
use crate::web::schema::{Choice, Kind, Schema, object, text};
use crate::web::v3::find_type_by_name;

pub(in crate::web::v3) const RETYPE: Schema = object!(
    [
        ("new_type", Schema(&[Type(&[Kind::String])])),
        (
            "migration_policy",
            Schema(&[
                Type(&[Kind::String, Kind::Null]),
                Enum(&[Choice::Text("on-demand"), Choice::Text("never")])
            ])
        ),
    ],
    Required(&["new_type"]),
);

/// `os-retype`, to the type of that name or id: not yet.
pub(in crate::web::v3) async fn retype(on: OnVolume) -> Result<HttpResponse, Fault> {
    let new_type = text(&on.arguments, "new_type").unwrap_or_default();
    find_type_by_name(&on.state, &on.caller, new_type).await?;
    Err(Fault::not_implemented("Retyping a volume is not implemented."))
}
