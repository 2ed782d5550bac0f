//! Parameters of an operation: of its path, of its query, and headers.

use serde_json::{Map, Value, json};

use super::shapes::{Schemas, schema};
use crate::web::microversion::Microversion;
use crate::web::routes::answers::Parameter;

/// The name under which the version header stands among the components.
pub(super) const VERSION: &str = "microversion";

/// Components that operations refer to.
pub(super) fn components(version: Microversion) -> Value {
    json!({VERSION: {
        "name": "OpenStack-API-Version",
        "in": "header",
        "description": "The microversion. Without it a request is one of 3.0.",
        "required": version > Microversion::MIN,
        "schema": {"const": format!("volume {version}")},
    }})
}

/// The path without the patterns of its parameters, and these.
pub(super) fn of_path(path: &str) -> (String, Vec<Value>) {
    let (mut template, mut parameters) = (String::new(), Vec::new());
    let mut rest = path;
    while let Some((before, tail)) = rest.split_once('{') {
        let (name, after) = tail.split_once('}').unwrap_or((tail, ""));
        let (name, pattern) = name.split_once(':').map_or((name, None), |(name, pattern)| {
            (name, Some(format!("^{pattern}$")))
        });
        template.push_str(before);
        template.push_str(&format!("{{{name}}}"));
        parameters.push(json!({
            "name": name,
            "in": "path",
            "required": true,
            "schema": of_name(name, pattern),
        }));
        rest = after;
    }
    template.push_str(rest);
    (template, parameters)
}

/// The schema of a parameter of that name: ids are UUIDs, but for those of projects, which Keystone gives.
fn of_name(name: &str, pattern: Option<String>) -> Value {
    let mut schema = Map::from_iter([
        ("type".to_owned(), json!("string")),
        ("minLength".to_owned(), json!(1)),
    ]);
    if let Some(pattern) = pattern {
        schema.insert("pattern".to_owned(), json!(pattern));
    } else if name.ends_with("_id") && name != "target_id" {
        schema.insert("format".to_owned(), json!("uuid"));
    }
    Value::Object(schema)
}

/// The parameters of a row in a version.
pub(super) fn of_row(parameters: &[Parameter], version: Microversion, named: &mut Schemas) -> Vec<Value> {
    let present = parameters.iter().filter(|one| version.at_least(one.since));
    let parameter = |one: &Parameter| {
        json!({
            "name": one.name,
            "in": if one.is_header { "header" } else { "query" },
            "required": one.is_required,
            "schema": schema(&one.shape, version, named),
        })
    };
    present.map(parameter).collect()
}
