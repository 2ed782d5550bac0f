//! Bodies of `os-quota-sets` and `os-quota-class-sets` (cinder: `api/schemas/quotas.py`, `quota_classes.py`, and the
//! formats `quota_set` and `quota_class_set`). The valid keys, and their meaning, depend on the volume types, so
//! they are an argument.

use serde_json::{Map, Value};

use super::format::{DIGITS_OR_NOTHING, QUOTA_KEY};
use super::prelude::*;
use super::python;
use crate::model::quota::Resource;
use crate::web::fault::Fault;

/// Keys that clients copy from an answer and that are not resources.
const NO_RESOURCES: [&str; 2] = ["tenant_id", "id"];

pub(in crate::web) const QUOTA_SET: Schema =
    envelope!("quota_set", Schema(&[Type(&[Kind::Object]), NotEmpty]));

pub(in crate::web) const CLASS_SET: Schema = envelope!("quota_class_set", Schema(&[Type(&[Kind::Object])]));

const CLASS_VALUES: Schema = Schema(&[
    PatternProperties(
        QUOTA_KEY,
        Schema(&[
            Type(&[Kind::Integer, Kind::String]),
            Matches(DIGITS_OR_NOTHING),
            Minimum(-1),
            MinLength(1),
            Maximum(MAX_INT),
        ]),
    ),
    NoOthers,
]);

/// Reads `PUT /os-quota-sets/{project_id}`.
///
/// # Errors
/// 400 for an unknown resource, or a limit that is not an integer of at least -1.
pub fn quota_set(
    body: &Value,
    named: impl Fn(&str) -> Option<Resource>,
) -> Result<Vec<(Resource, i64)>, Fault> {
    let set = object(body, "quota_set")?;
    let mut limits = Vec::new();
    let mut unknown = Vec::new();
    for (key, value) in set {
        if NO_RESOURCES.contains(&key.as_str()) {
            continue;
        }
        match named(key) {
            Some(resource) => limits.push((resource, limit(key, value)?)),
            None => unknown.push(key.as_str()),
        }
    }
    if unknown.is_empty() {
        Ok(limits)
    } else {
        Err(Fault::invalid_input(format!(
            "Bad key(s) in quota set: {}",
            unknown.join(", ")
        )))
    }
}

/// Reads `PUT /os-quota-class-sets/{class}`.
///
/// # Errors
/// 400 for an unknown resource, or a limit that is not an integer of at least -1.
pub fn class_set(
    body: &Value,
    named: impl Fn(&str) -> Option<Resource>,
) -> Result<Vec<(Resource, i64)>, Fault> {
    let set = object(body, "quota_class_set")?;
    let mut resources = Vec::with_capacity(set.len());
    let mut unknown = Vec::new();
    for key in set.keys() {
        match named(key) {
            Some(resource) => resources.push(resource),
            None => unknown.push(key.as_str()),
        }
    }
    if !unknown.is_empty() {
        let unknown = unknown.join(", ");
        return Err(Fault::invalid_input(format!(
            "Bad key(s) in quota class set: {unknown}"
        )));
    }
    // The schema checks the values by key, so that a fault names the key and not the whole object.
    CLASS_VALUES.check(&Value::Object(set.clone()))?;
    resources
        .into_iter()
        .zip(set)
        .map(|(resource, (key, value))| Ok((resource, limit(key, value)?)))
        .collect()
}

fn object<'v>(body: &'v Value, name: &str) -> Result<&'v Map<String, Value>, Fault> {
    body[name].as_object().ok_or_else(Fault::malformed)
}

/// A limit (oslo.utils: `validate_integer`).
fn limit(key: &str, value: &Value) -> Result<i64, Fault> {
    let Some(number) = python::int(&python::text(value)) else {
        return Err(Fault::bad_request(format!("{key} must be an integer")));
    };
    if number < -1 {
        return Err(Fault::bad_request(format!("{key} must be >= -1")));
    }
    i64::try_from(number)
        .ok()
        .filter(|number| *number <= MAX_INT)
        .ok_or_else(|| Fault::bad_request(format!("{key} must be <= {MAX_INT}")))
}
