//! The answers of an operation: those of its rows, and the faults that follow from them.
//!
//! A fault is documented where a request can meet it: 403 where there is a rule, 404 where something is named that may not exist,
//! 415 where a body is read. No 500 is documented: it is a fault of the service.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use super::put;
use super::shapes::{Schemas, schema};
use crate::web::fault::Fault;
use crate::web::microversion::Microversion;
use crate::web::routes::answers::{Content, Page};
use crate::web::routes::{Access, RouteInfo};
use crate::web::views::shape::LINKS;

/// Faults of every request that needs a token: what is malformed, no token, another version, a slow or large body, a long URL, or a
/// service that is busy.
const OF_EVERY: [u16; 7] = [400, 401, 406, 408, 413, 414, 503];

/// Faults of requests that need none: a version that does not exist, and the length of the URL.
const OF_OPEN: [u16; 3] = [400, 406, 414];

/// All faults that are documented anywhere.
const FAULTS: [u16; 14] = [
    400, 401, 403, 404, 406, 408, 409, 412, 413, 414, 415, 501, 503, 422,
];

/// The answers of the rows of one path, with its prefix, and method.
pub(super) fn of_rows(path: &str, rows: &[RouteInfo], version: Microversion, named: &mut Schemas) -> Value {
    let mut bodies: BTreeMap<u16, Vec<Content>> = BTreeMap::new();
    let mut faults = BTreeSet::new();
    for row in rows {
        faults.extend(faults_of(path, row));
        for success in &row.successes {
            bodies.entry(success.status).or_default().push(success.content);
        }
    }
    let mut answers = Map::new();
    for (status, contents) in bodies {
        answers.insert(status.to_string(), of_contents(status, &contents, version, named));
    }
    for fault in faults {
        let component = json!({"$ref": format!("#/components/responses/{}", name(fault))});
        answers.insert(fault.to_string(), component);
    }
    Value::Object(answers)
}

fn faults_of(path: &str, row: &RouteInfo) -> BTreeSet<u16> {
    let mut faults: BTreeSet<u16> = match row.access {
        Access::Open => OF_OPEN.into(),
        _ => OF_EVERY.into(),
    };
    if matches!(row.access, Access::Rule(_)) {
        faults.insert(403);
    }
    let asks_for_something = row.since > 0 || !row.parameters.is_empty() || has_body(row);
    if path.contains('{') || (row.access != Access::Open && asks_for_something) {
        faults.insert(404);
    }
    if has_body(row) {
        faults.insert(415);
    }
    if !row.is_served {
        faults.insert(501);
    }
    faults.extend(&row.faults);
    faults
}

/// Whether its handler reads a body.
pub(super) fn has_body(row: &RouteInfo) -> bool {
    let method = row.method.as_ref();
    row.access != Access::Open && method.is_some_and(|method| method == "POST" || method == "PUT")
}

/// An answer with one of these bodies.
fn of_contents(status: u16, contents: &[Content], version: Microversion, named: &mut Schemas) -> Value {
    let mut schemas: Vec<Value> = Vec::new();
    let mut content = Map::new();
    for one in contents {
        match one {
            Content::Nothing => {}
            Content::Other(kind) => put(&mut content, kind, json!({"schema": {"type": "string"}})),
            Content::Json(shape) => schemas.push(schema(shape, version, named)),
            Content::Page(page) => schemas.push(of_page(page, version, named)),
        }
    }
    schemas.dedup();
    let schema = match schemas.len() {
        0 => None,
        1 => schemas.pop(),
        _ => Some(json!({"anyOf": schemas})),
    };
    if let Some(schema) = schema {
        put(&mut content, "application/json", json!({"schema": schema}));
    }
    let mut answer = answer(description(status));
    if !content.is_empty() {
        answer.insert("content".to_owned(), Value::Object(content));
    }
    Value::Object(answer)
}

fn of_page(page: &Page, version: Microversion, named: &mut Schemas) -> Value {
    let items = json!({"type": "array", "items": schema(&page.item, version, named)});
    let mut properties = Map::from_iter([(page.name.to_owned(), items)]);
    if let Some(links) = page.links {
        properties.insert(links.to_owned(), schema(&LINKS, version, named));
    }
    if page.counts && version.at_least(45) {
        properties.insert("count".to_owned(), json!({"type": "integer"}));
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": [page.name],
        "additionalProperties": false,
    })
}

fn answer(description: &str) -> Map<String, Value> {
    let header = |name: &str| json!({"$ref": format!("#/components/headers/{name}")});
    Map::from_iter([
        ("description".to_owned(), json!(description)),
        (
            "headers".to_owned(),
            json!({"x-openstack-request-id": header("request_id")}),
        ),
    ])
}

/// The headers that answers refer to.
pub(super) fn headers() -> Value {
    json!({"request_id": {
        "description": "The id of the request, which is in the log of the service, too.",
        "required": true,
        "schema": {"type": "string", "pattern": "^req-[0-9a-f-]{36}$"},
    }})
}

/// The faults that operations refer to.
pub(super) fn components() -> Value {
    let faults = FAULTS.map(|status| (name(status), of_fault(status)));
    Value::Object(faults.into_iter().collect())
}

/// The name of a fault among the components.
fn name(status: u16) -> String {
    description(status).replace([' ', '-'], "")
}

fn description(status: u16) -> &'static str {
    let status = StatusCode::from_u16(status).ok();
    status
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Answer")
}

fn of_fault(status: u16) -> Value {
    let mut answer = answer(description(status));
    let mut content = Map::new();
    let body = match status {
        // keystonemiddleware's.
        401 => Some((
            "error".to_owned(),
            json!({"title": {"type": "string"}, "code": {"const": 401}, "message": {"type": "string"}}),
        )),
        // They are answered before Cinder's own part of the service, which writes bodies.
        412 | 414 => None,
        _ => Some(cinders(status)),
    };
    if let Some((key, properties)) = body {
        let required: Vec<&str> = properties
            .as_object()
            .into_iter()
            .flat_map(|properties| properties.keys().map(String::as_str))
            .filter(|name| *name != "retryAfter")
            .collect();
        let fault = json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        });
        let schema = json!({
            "type": "object",
            "properties": {&key: fault},
            "required": [&key],
            "additionalProperties": false,
        });
        put(&mut content, "application/json", json!({"schema": schema}));
    }
    if status == 404 {
        // A path or method that no route has.
        put(&mut content, "text/plain", json!({"schema": {"type": "string"}}));
    }
    if !content.is_empty() {
        answer.insert("content".to_owned(), Value::Object(content));
    }
    Value::Object(answer)
}

/// The key and the fields of Cinder's faults.
fn cinders(status: u16) -> (String, Value) {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut properties = json!({"code": {"const": status}, "message": {"type": "string"}});
    if status == 413 {
        properties["retryAfter"] = json!({"type": "string"});
    }
    (Fault::new(code, "").name().to_owned(), properties)
}
