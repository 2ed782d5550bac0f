//! Lists and their filters, alike for all kinds (keystone: `server/flask/common.py`, `common/driver_hints.py`).

use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use super::refusal::Refusal;
use super::requester::Requester;
use super::view;
use crate::web::links::decode_query;

/// What a handler returns.
pub(super) type Answer = Result<HttpResponse, Refusal>;

/// A list, with Keystone's links.
pub(super) fn list(requester: &Requester, name: &str, path: &str, items: Vec<Value>) -> HttpResponse {
    HttpResponse::Ok().json(view::collection(
        name,
        items,
        &format!("{}/{path}", requester.api),
    ))
}

/// The value of a filter in the query.
pub(super) fn filter(request: &HttpRequest, name: &str) -> Option<String> {
    decode_query(request.query_string())
        .into_iter()
        .find(|(other, _)| other == name)
        .map(|(_, value)| value)
}

/// Whether the query has a flag; without a value, or with any other than a false one, it is set (keystone: `query_filter_is_true`).
pub(super) fn flag(request: &HttpRequest, name: &str) -> bool {
    filter(request, name).is_some_and(|value| is_true(&value))
}

fn is_true(value: &str) -> bool {
    !["0", "false", "f", "no", "n", "off"].contains(&value.to_lowercase().as_str())
}

/// The items that match the query: a field by its value, tags by all of them, or with a comparison such as `name__icontains` (keystone:
/// `common/driver_hints.py`). Names that are no fields are ignored.
pub(super) fn filtered(request: &HttpRequest, mut items: Vec<Value>) -> Vec<Value> {
    for (name, wanted) in decode_query(request.query_string()) {
        let (field, comparison) = name.split_once("__").unwrap_or((&name, ""));
        items.retain(|item| match &item[field] {
            Value::String(text) => compare(comparison, text, &wanted),
            Value::Bool(flag) => is_true(&wanted) == *flag,
            Value::Array(tags) => wanted.split(',').all(|tag| tags.iter().any(|has| has == tag)),
            // A field that is not set, as of a user without a default project.
            Value::Null => item.get(field).is_none() || field == "domain_id" && wanted == "null",
            _ => true,
        });
    }
    items
}

fn compare(comparison: &str, text: &str, wanted: &str) -> bool {
    let (lower, wanted_lower) = (text.to_lowercase(), wanted.to_lowercase());
    match comparison {
        "contains" => text.contains(wanted),
        "icontains" => lower.contains(&wanted_lower),
        "startswith" => text.starts_with(wanted),
        "istartswith" => lower.starts_with(&wanted_lower),
        "endswith" => text.ends_with(wanted),
        "iendswith" => lower.ends_with(&wanted_lower),
        _ => text == wanted,
    }
}
