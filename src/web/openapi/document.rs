//! The frame of the document: its paths and operations, from the tables of routes.

use serde_json::{Map, Value, json};

use super::shapes::Schemas;
use super::{answers, links, parameters, put};
use crate::web::microversion::Microversion;
use crate::web::routes::{Access, RouteInfo, Routes};
use crate::web::{inspect, server, v3};

/// The first version in which a path needs no project.
const WITHOUT_PROJECT: u16 = 67;

const DESCRIPTION: &str = "Cinder's block storage API in one microversion, which every request names in its header, and Pumice's own \
     routes for inspection. Before 3.67 paths have the project of the token behind `/v3`, which is accepted in later versions, too. \
     Filters of lists may be written `name~=part` since 3.34 (contains). Operations with `x-served: false` answer 501.";

/// The document of a version.
pub fn document(version: Microversion) -> Value {
    let mut named = Schemas::new();
    let mut paths = Map::new();
    for (prefix, routes) in tables(version) {
        let mut rows = routes.infos();
        rows.retain(|row| version.at_least(row.since));
        while let Some(first) = rows.first() {
            let (path, method) = (first.path, first.method.clone());
            // The actions of a path are one operation.
            let is_same = |row: &mut RouteInfo| row.path == path && row.method == method;
            let operation: Vec<RouteInfo> = rows.extract_if(.., is_same).collect();
            add(&mut paths, prefix, &operation, version, &mut named);
        }
        links::add(&mut paths, prefix, &routes.infos(), version);
    }
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Pumice Block Storage API",
            "version": version.to_string(),
            "description": DESCRIPTION,
        },
        // Relative to the document.
        "servers": [{"url": "."}],
        "paths": paths,
        "components": {
            "schemas": named,
            "responses": answers::components(),
            "headers": answers::headers(),
            "parameters": parameters::components(version),
            "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
        },
    })
}

/// The tables of the document, each with its prefix.
fn tables(version: Microversion) -> [(&'static str, Routes); 3] {
    let prefix = if version.at_least(WITHOUT_PROJECT) {
        "/v3"
    } else {
        "/v3/{project_id:[0-9a-f-]+}"
    };
    [
        ("", Routes::of(server::open_routes)),
        (prefix, Routes::of(v3::routes)),
        ("/inspect", Routes::of(inspect::routes)),
    ]
}

/// Adds the rows of one path and method.
fn add(
    paths: &mut Map<String, Value>,
    prefix: &str,
    rows: &[RouteInfo],
    version: Microversion,
    named: &mut Schemas,
) {
    let Some(row) = rows.first() else { return };
    let (path, of_path) = parameters::of_path(&format!("{prefix}{}", row.path));
    // Version documents are sent for any method.
    let method = row.method.as_ref().map_or("get", |method| match method.as_str() {
        "POST" => "post",
        "PUT" => "put",
        "DELETE" => "delete",
        "PATCH" => "patch",
        _ => "get",
    });
    let mut operation = Map::new();
    put(&mut operation, "operationId", operation_id(method, &path));
    put(&mut operation, "tags", json!([section(row)]));
    put(&mut operation, "summary", summary(rows));
    if row.access == Access::Open {
        put(&mut operation, "security", json!([]));
    } else {
        put(&mut operation, "security", json!([{"token": []}]));
    }
    let mut parameters = parameters::of_row(&row.parameters, version, named);
    if row.access != Access::Open {
        parameters.push(json!({"$ref": format!("#/components/parameters/{}", parameters::VERSION)}));
    }
    put(&mut operation, "parameters", parameters);
    if let Some(body) = body(rows, version) {
        put(&mut operation, "requestBody", body);
    }
    put(
        &mut operation,
        "responses",
        answers::of_rows(&path, rows, version, named),
    );
    describe(&mut operation, rows);
    let entry = paths.entry(path).or_insert_with(|| json!({}));
    if let Some(item) = entry.as_object_mut() {
        if !of_path.is_empty() {
            put(item, "parameters", of_path);
        }
        put(item, method, operation);
    }
}

/// `get_v3_volumes_volume_id`
fn operation_id(method: &str, path: &str) -> String {
    let words = path
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    let mut id = method.to_owned();
    for word in words {
        id.push('_');
        id.push_str(word);
    }
    // `/v3` and `/v3/` differ.
    if path.ends_with('/') {
        id.push_str("_index");
    }
    id
}

fn section(row: &RouteInfo) -> &'static str {
    if row.section.is_empty() {
        "Pumice"
    } else {
        row.section
    }
}

fn summary(rows: &[RouteInfo]) -> String {
    match rows {
        [row] if row.action.is_none() => row.purpose.to_owned(),
        rows => {
            let names = rows.iter().filter_map(|row| row.action);
            format!("actions: {}", names.collect::<Vec<_>>().join(", "))
        }
    }
}

/// What is not OpenAPI's: the rule, the first version, and whether it is served; of each action.
fn describe(operation: &mut Map<String, Value>, rows: &[RouteInfo]) {
    let facts = |row: &RouteInfo| {
        let mut facts = Map::new();
        if let Some(rule) = row.rule() {
            put(&mut facts, "x-policy", rule.name);
        }
        if row.since > 0 {
            put(&mut facts, "x-since", format!("3.{}", row.since));
        }
        put(&mut facts, "x-served", row.is_served);
        facts
    };
    let [row] = rows else {
        let actions = rows.iter().filter_map(|row| {
            let mut facts = facts(row);
            put(&mut facts, "summary", row.purpose);
            Some((row.action?.to_owned(), Value::Object(facts)))
        });
        let actions: Map<String, Value> = actions.collect();
        put(operation, "x-actions", actions);
        put(operation, "x-served", rows.iter().any(|row| row.is_served));
        return;
    };
    operation.extend(facts(row));
}

/// The body, if the operation reads one.
fn body(rows: &[RouteInfo], version: Microversion) -> Option<Value> {
    let schema = |row: &RouteInfo| row.body.in_version(version).map(|schema| schema.to_json());
    let schemas: Vec<Value> = rows
        .iter()
        .filter_map(|row| match row.action {
            None => schema(row),
            Some(action) => Some(json!({
                "type": "object",
                "properties": {action: schema(row).unwrap_or_else(|| json!({}))},
                "required": [action],
                "additionalProperties": false,
            })),
        })
        .collect();
    let schema = match <[Value; 1]>::try_from(schemas) {
        Ok([schema]) => schema,
        Err(schemas) if schemas.is_empty() => return None,
        Err(schemas) => json!({"oneOf": schemas}),
    };
    let is_required = !rows.iter().all(|row| row.body.is_optional);
    Some(json!({"required": is_required, "content": {"application/json": {"schema": schema}}}))
}
