//! Links from the operations that make a resource to those for what they have made, so that a client or a fuzzer can follow one by the
//! other.
//!
//! They follow from the table. What a row makes is the object with an `id` in its answer. Its key (`volume`) is that of the answer of the
//! row that shows one, at whose path (`/volumes/{volume_id}`) and below are the operations for it. A field with the name of such a
//! parameter, as `volume_id` of a snapshot, leads to the row that shows that resource.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::parameters;
use crate::web::microversion::Microversion;
use crate::web::routes::answers::Content;
use crate::web::routes::{Makes, RouteInfo};
use crate::web::views::shape::{Field, Shape};

/// Values for parameters of a path, as expressions of OpenAPI.
type Given = BTreeMap<String, String>;

/// Adds the links of the rows of one table, which stands under `prefix`.
pub(super) fn add(paths: &mut Map<String, Value>, prefix: &str, rows: &[RouteInfo], version: Microversion) {
    let operations = operations(paths);
    let path_of = |row: &RouteInfo| parameters::of_path(&format!("{prefix}{}", row.path));
    let shown: Vec<Shown> = rows
        .iter()
        .filter(|row| version.at_least(row.since))
        .filter_map(|row| Shown::of(row, path_of(row).0))
        .collect();
    let present = |row: &&RouteInfo| row.makes != Makes::Nothing && version.at_least(row.since);
    for row in rows.iter().filter(present) {
        let (path, of_path) = path_of(row);
        let from_request: Given = names(&of_path)
            .map(|name| (name.to_owned(), format!("$request.path.{name}")))
            .collect();
        for success in &row.successes {
            let links = match Resource::of(success.content) {
                Some(made) => of_made(&made, &from_request, &shown, &operations, version),
                // What has no id has the path of the request.
                None => to(
                    &operations,
                    |operation| operation.is_at_or_below(&path) && operation.method != "post",
                    &from_request,
                ),
            };
            let answer = format!("/post/responses/{}", success.status);
            let answer = paths.get_mut(&path).and_then(|item| item.pointer_mut(&answer));
            if let Some(answer) = answer.and_then(Value::as_object_mut)
                && !links.is_empty()
            {
                answer.insert("links".to_owned(), Value::Object(links));
            }
        }
    }
}

/// The links to what can be done with a resource that was made, and to what it refers to.
fn of_made(
    made: &Resource,
    from_request: &Given,
    shown: &[Shown],
    operations: &[Operation],
    version: Microversion,
) -> Map<String, Value> {
    let given = |parameter: &str, field: &str| {
        let mut given = from_request.clone();
        given.insert(
            parameter.to_owned(),
            format!("$response.body#/{}/{field}", made.key),
        );
        given
    };
    let mut links = Map::new();
    for one in shown.iter().filter(|one| one.key == made.key) {
        let is_for_it = |operation: &Operation| operation.is_at_or_below(&one.path);
        links.extend(to(operations, is_for_it, &given(&one.parameter, "id")));
    }
    let fields = made.fields.iter().filter(|field| version.at_least(field.since));
    for field in fields.filter(|field| matches!(field.shape, Shape::Uuid) && !field.is_optional) {
        let is_of = |one: &&Shown| one.parameter == field.name && one.parameter != "id";
        for one in shown.iter().filter(is_of) {
            let shows_it = |operation: &Operation| operation.path == one.path && operation.method == "get";
            links.extend(to(operations, shows_it, &given(field.name, field.name)));
        }
    }
    links
}

/// Links to the wanted operations, as far as all parameters of their paths are given, and there are any.
fn to(operations: &[Operation], is_wanted: impl Fn(&Operation) -> bool, given: &Given) -> Map<String, Value> {
    let mut links = Map::new();
    for operation in operations.iter().filter(|operation| is_wanted(operation)) {
        let values = operation.parameters.iter().map(|name| {
            let value = given.get(name)?;
            Some((format!("path.{name}"), json!(value)))
        });
        let values: Option<Map<String, Value>> = values.collect();
        if let Some(values) = values.filter(|values| !values.is_empty()) {
            let link = json!({"operationId": operation.id, "parameters": values});
            links.insert(operation.id.clone(), link);
        }
    }
    links
}

/// An operation of the document that is served.
struct Operation {
    id: String,
    method: String,
    path: String,
    parameters: Vec<String>,
}

impl Operation {
    fn is_at_or_below(&self, path: &str) -> bool {
        let below = self.path.strip_prefix(path);
        below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }
}

fn operations(paths: &Map<String, Value>) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, item) in paths {
        let of_path = item["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        for (method, operation) in item.as_object().into_iter().flatten() {
            if let Some(id) = operation["operationId"].as_str()
                && operation["x-served"] != false
            {
                found.push(Operation {
                    id: id.to_owned(),
                    method: method.clone(),
                    path: path.clone(),
                    parameters: names(of_path).map(str::to_owned).collect(),
                });
            }
        }
    }
    found
}

fn names(parameters: &[Value]) -> impl Iterator<Item = &str> {
    parameters
        .iter()
        .filter_map(|parameter| parameter["name"].as_str())
}

/// A resource in an answer: its key in the body, and its fields.
struct Resource {
    key: &'static str,
    fields: &'static [Field],
}

impl Resource {
    fn of(content: Content) -> Option<Self> {
        let Content::Json(shape) = content else {
            return None;
        };
        let resources = fields(&shape).iter().map(|field| Self {
            key: field.name,
            fields: fields(&field.shape),
        });
        let mut with_id = resources.filter(|resource| resource.fields.iter().any(|field| field.name == "id"));
        with_id.next()
    }
}

/// The fields of an object.
fn fields(shape: &Shape) -> &'static [Field] {
    match shape {
        Shape::Object(fields) => fields,
        Shape::Named(_, inner) | Shape::InVersion(_, inner) => fields(inner),
        _ => &[],
    }
}

/// A row that shows one resource.
struct Shown {
    key: &'static str,
    path: String,
    /// Of the path: the resource's id.
    parameter: String,
}

impl Shown {
    fn of(row: &RouteInfo, path: String) -> Option<Self> {
        if row.method.as_ref().is_none_or(|method| method != "GET") {
            return None;
        }
        let success = row.successes.first()?;
        let resource = Resource::of(success.content)?;
        let parameter = path
            .rsplit('/')
            .next()?
            .strip_prefix('{')?
            .strip_suffix('}')?
            .to_owned();
        Some(Self {
            key: resource.key,
            path,
            parameter,
        })
    }
}
