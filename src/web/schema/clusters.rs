//! Bodies of `PUT /clusters/…` (cinder: `api/schemas/clusters.py`).

use serde_json::Value;

use super::Check::{Format as FormatCheck, NoOthers, Properties, Required, Type};
use super::parameter_types::{NAME, NULLABLE_STRING};
use super::{Format, Kind, Schema, text};
use crate::web::fault::Fault;

macro_rules! cluster {
    ($($later:expr)?) => {
        Schema(&[
            Type(&[Kind::Object]),
            Properties(&[("name", NAME), ("binary", NULLABLE_STRING), $($later,)?]),
            Required(&["name"]),
            NoOthers,
        ])
    };
}

const ENABLE: Schema = cluster!();
const DISABLE: Schema = cluster!((
    "disabled_reason",
    Schema(&[
        Type(&[Kind::String, Kind::Null]),
        FormatCheck(Format::DisabledReason),
    ])
));

/// The binary that is meant if none is named.
pub const DEFAULT_BINARY: &str = "cinder-volume";

/// Reads `enable` and `disable`: which cluster, by binary and name.
///
/// # Errors
/// 400 for a body that is not as Cinder wants it.
pub fn change(disable: bool, body: Option<&Value>) -> Result<(String, String), Fault> {
    let body = if disable { DISABLE } else { ENABLE }.check_body(body)?;
    Ok((
        text(body, "binary").unwrap_or(DEFAULT_BINARY).to_owned(),
        text(body, "name").unwrap_or_default().to_owned(),
    ))
}
