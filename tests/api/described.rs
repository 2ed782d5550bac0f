//! Whether an answer is one that the OpenAPI document describes: its status, its type, and each field of its body. Every request that
//! tests send through `House` is checked, so a view that differs from its shape, and a status that no row mentions, is found by the
//! test of what causes it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use pumice::web::microversion::Microversion;
use pumice::web::openapi::document;
use serde_json::Value;

use crate::web_support::Answer;

static DOCUMENTS: LazyLock<Mutex<BTreeMap<Microversion, Arc<Value>>>> = LazyLock::new(Mutex::default);

fn of(version: Microversion) -> Arc<Value> {
    let mut documents = DOCUMENTS.lock();
    let document = documents
        .entry(version)
        .or_insert_with(|| Arc::new(document(version)));
    Arc::clone(document)
}

/// A path as the document of that version has it: from 3.67 on without the project.
fn documented(path: &str, version: Microversion) -> String {
    let parts: Vec<&str> = path.splitn(4, '/').collect();
    match parts[..] {
        ["", "v3", project, rest] if version.at_least(67) && is_project(project) => format!("/v3/{rest}"),
        _ => path.to_owned(),
    }
}

fn is_project(part: &str) -> bool {
    let is_of_pattern = |letter: char| matches!(letter, '0'..='9' | 'a'..='f' | '-');
    !part.is_empty() && part.chars().all(is_of_pattern)
}

/// Panics if an answer is not described. `path` starts at the root of the server, and may have a query. Requests of a version that
/// there is not are not checked.
pub fn check(method: &str, path: &str, version: &str, answer: &Answer) {
    let version = match version {
        "" => Ok(Microversion::MIN),
        version => Microversion::negotiate(Some(&format!("volume {version}"))),
    };
    if let Ok(version) = version
        && let Err(why) = described(method, path, version, answer)
    {
        panic!(
            "{method} {path} in {version} answered {}, and the document says otherwise: {why}\n{}",
            answer.status, answer.text
        );
    }
}

fn described(method: &str, path: &str, version: Microversion, answer: &Answer) -> Result<(), String> {
    let document = of(version);
    let path = documented(path.split('?').next().unwrap(), version);
    let paths = document["paths"].as_object().unwrap();
    let matching = || paths.iter().filter(|(template, _)| is_of(template, &path));
    // A path without parameters comes first.
    let found = matching().min_by_key(|(template, _)| template.matches('{').count());
    // HEAD is GET without the body.
    let is_head = method == "HEAD";
    let method = if is_head { "get" } else { &method.to_lowercase() };
    let Some(operation) = found.and_then(|(_, item)| item.get(method)) else {
        let is_unknown = matches!(answer.status, 400 | 401 | 404 | 406);
        return is_unknown
            .then_some(())
            .ok_or_else(|| "there is no such operation".to_owned());
    };
    let response = operation["responses"]
        .get(answer.status.to_string())
        .ok_or("the status is not described")?;
    let response = resolved(&document, response);
    let Some(content) = response["content"].as_object() else {
        let is_empty = answer.text.is_empty();
        return is_empty.then_some(()).ok_or_else(|| "it has a body".to_owned());
    };
    if answer.text.is_empty() {
        // Some actions answer with a body, and others with the same status without.
        let is_action = path.ends_with("/action");
        return (is_head || is_action)
            .then_some(())
            .ok_or_else(|| "it has no body".to_owned());
    }
    let kind = answer.header("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap();
    let schema = content
        .get(kind)
        .ok_or_else(|| format!("type {kind} is not described"))?;
    if kind != "application/json" {
        return Ok(());
    }
    let body = serde_json::from_str(&answer.text).map_err(|error| error.to_string())?;
    matches(&document, &schema["schema"], &body, "body")
}

fn is_of(template: &str, path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let wanted: Vec<&str> = template.split('/').collect();
    parts.len() == wanted.len()
        && parts.iter().zip(&wanted).all(|(part, wanted)| match *wanted {
            "{project_id}" => is_project(part),
            wanted => wanted.starts_with('{') || *part == wanted,
        })
}

fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

/// The keywords that the document uses for answers.
fn matches(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let schema = resolved(document, schema);
    let wrong = |why: String| Err(format!("{at}: {why}"));
    if let Some(schemas) = schema["anyOf"].as_array() {
        let faults: Vec<String> = schemas
            .iter()
            .filter_map(|one| matches(document, one, value, at).err())
            .collect();
        return (faults.len() < schemas.len())
            .then_some(())
            .ok_or_else(|| faults.join("; or "));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is_kind(kind, value)) {
        return wrong(format!("{value} is no {kinds:?}"));
    }
    if schema.get("const").is_some_and(|constant| constant != value) {
        return wrong(format!("{value} is not {}", schema["const"]));
    }
    if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
        return wrong(format!("{value} is none of {}", schema["enum"]));
    }
    if let Some(text) = value.as_str().filter(|_| schema["format"] == "uuid")
        && (text.len() != 36 || uuid::Uuid::parse_str(text).is_err())
    {
        return wrong(format!("{text} is no UUID"));
    }
    if let Some(items) = value.as_array() {
        for (index, item) in items.iter().enumerate().filter(|_| schema["items"].is_object()) {
            matches(document, &schema["items"], item, &format!("{at}[{index}]"))?;
        }
    }
    let Some(object) = value.as_object() else {
        return Ok(());
    };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !object.contains_key(name.as_str().unwrap()) {
            return wrong(format!("{name} is missing"));
        }
    }
    for (key, value) in object {
        let at = format!("{at}.{key}");
        match (schema["properties"].get(key), &schema["additionalProperties"]) {
            (Some(schema), _) | (None, schema @ Value::Object(_)) => matches(document, schema, value, &at)?,
            (None, Value::Bool(false)) => return Err(format!("{at} is not described")),
            (None, _) => {}
        }
    }
    Ok(())
}

fn is_kind(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    }
}
