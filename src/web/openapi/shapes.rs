//! A [`Shape`] as JSON schema.

use serde_json::{Map, Value, json};

use crate::web::microversion::Microversion;
use crate::web::views::shape::{Field, Shape};

/// Schemas that have a name of their own.
pub(super) type Schemas = Map<String, Value>;

/// A time without a zone.
const TIME: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6})?$";

/// The schema of a shape in a version. Named shapes are added to the schemas, and referred to.
pub(super) fn schema(shape: &Shape, version: Microversion, named: &mut Schemas) -> Value {
    match shape {
        Shape::Any => json!({}),
        Shape::Null => json!({"type": "null"}),
        Shape::Text => json!({"type": "string"}),
        Shape::Pattern(pattern) => json!({"type": "string", "pattern": pattern}),
        Shape::Uuid => json!({"type": "string", "format": "uuid"}),
        Shape::Time => json!({"type": "string", "pattern": TIME}),
        Shape::Integer => json!({"type": "integer"}),
        Shape::Natural => json!({"type": "integer", "minimum": 0}),
        Shape::Number => json!({"type": "number"}),
        Shape::Boolean => json!({"type": "boolean"}),
        Shape::Enum(texts) => json!({"type": "string", "enum": texts}),
        Shape::Choice(texts) => json!({"type": "string", "enum": texts(version)}),
        Shape::Nullable(inner) => nullable(schema(inner, version, named)),
        Shape::List(item) => json!({"type": "array", "items": schema(item, version, named)}),
        Shape::Map(value) => {
            json!({"type": "object", "additionalProperties": schema(value, version, named)})
        }
        Shape::Object(fields) => object(fields, version, named),
        Shape::OneOf(shapes) => {
            let schemas: Vec<Value> = shapes.iter().map(|one| schema(one, version, named)).collect();
            json!({"anyOf": schemas})
        }
        Shape::InVersion(other, inner) => schema(inner, *other, named),
        Shape::Named(name, inner) => {
            if !named.contains_key(*name) {
                let inner = schema(inner, version, named);
                named.insert((*name).to_owned(), inner);
            }
            json!({"$ref": format!("#/components/schemas/{name}")})
        }
    }
}

fn nullable(mut schema: Value) -> Value {
    match schema.get_mut("type") {
        Some(kind) if kind.is_string() => *kind = json!([kind.take(), "null"]),
        _ => return json!({"anyOf": [schema, {"type": "null"}]}),
    }
    if let Some(texts) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        texts.push(Value::Null);
    }
    schema
}

fn object(fields: &[Field], version: Microversion, named: &mut Schemas) -> Value {
    let present = || fields.iter().filter(|field| version.at_least(field.since));
    let properties: Map<String, Value> = present()
        .map(|field| (field.name.to_owned(), schema(&field.shape, version, named)))
        .collect();
    let required: Vec<&str> = present()
        .filter(|field| !field.is_optional)
        .map(|field| field.name)
        .collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}
