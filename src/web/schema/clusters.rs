//! Bodies of `PUT /clusters/…` (cinder: `api/schemas/clusters.py`).

use serde_json::Value;

use super::prelude::*;

macro_rules! cluster {
    ($($later:expr)?) => {
        object!([("name", NAME), ("binary", NULLABLE_STRING), $($later,)?], Required(&["name"]))
    };
}

pub(in crate::web) const ENABLE: Schema = cluster!();
pub(in crate::web) const DISABLE: Schema = cluster!((
    "disabled_reason",
    Schema(&[
        Type(&[Kind::String, Kind::Null]),
        FormatCheck(Format::DisabledReason),
    ])
));

/// The default binary.
pub const DEFAULT_BINARY: &str = "cinder-volume";

/// Reads `enable` and `disable`: which cluster, by binary and name.
pub fn change(body: &Value) -> (String, String) {
    (
        text(body, "binary").unwrap_or(DEFAULT_BINARY).to_owned(),
        text(body, "name").unwrap_or_default().to_owned(),
    )
}
