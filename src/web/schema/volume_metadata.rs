//! Bodies of the metadata routes of a volume (cinder: `api/schemas/volume_metadata.py`).

use std::collections::BTreeMap;

use serde_json::Value;

use super::Check::{AtMostOne, NoOthers, NotEmpty, PatternProperties, Properties, Required, Type};
use super::format::METADATA_KEY;
use super::parameter_types::METADATA;
use super::{Check, Kind, Schema, text_map};
use crate::web::fault::Fault;

const ALL: Schema = Schema(&[
    Type(&[Kind::Object]),
    Properties(&[("metadata", METADATA)]),
    Required(&["metadata"]),
    NoOthers,
]);

const ONE: Schema = Schema(&[
    Type(&[Kind::Object]),
    Properties(&[(
        "meta",
        Schema(&[
            Type(&[Kind::Object]),
            PatternProperties(
                METADATA_KEY,
                Schema(&[Type(&[Kind::String]), Check::MaxLength(255)]),
            ),
            NoOthers,
            NotEmpty,
            AtMostOne,
        ]),
    )]),
    Required(&["meta"]),
    NoOthers,
]);

/// Reads `POST` and `PUT …/metadata`.
///
/// # Errors
/// 400 for a body that is not as Cinder wants it.
pub fn all(body: Option<&Value>) -> Result<BTreeMap<String, String>, Fault> {
    Ok(text_map(ALL.check_body(body)?, "metadata").unwrap_or_default())
}

/// Reads `PUT …/metadata/{key}`: the one pair, whose key is the URL's.
///
/// # Errors
/// 400 for a body that is not as Cinder wants it, or that is about another key.
pub fn one(key: &str, body: Option<&Value>) -> Result<BTreeMap<String, String>, Fault> {
    let pair = text_map(ONE.check_body(body)?, "meta").unwrap_or_default();
    if pair.contains_key(key) {
        Ok(pair)
    } else {
        Err(Fault::bad_request("Request body and URI mismatch"))
    }
}
