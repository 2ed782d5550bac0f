//! Bodies of requests: checked against a schema, with Keystone's texts (keystone: `common/validation/validators.py`).

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::model::identity::Attributes;
use crate::web::request::{Body, with_nul};
use crate::web::schema::Schema;
use crate::web::schema::python;

/// A JSON body with Keystone's errors.
pub(super) struct Json(pub(super) Option<Value>);

impl FromRequest for Json {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = Body::from_request(request, payload);
        Box::pin(async move { Ok(Self(body.await?.0)) })
    }
}

/// Fields whose values are not repeated in an answer.
const SECRET: [&str; 3] = ["password", "original_password", "secret"];

/// The fields of a resource that a body has.
pub(super) struct Given(Map<String, Value>);

impl Given {
    /// The fields in the body's envelope. A missing envelope has none, as in Keystone.
    ///
    /// # Errors
    /// 400 for the first fault.
    pub(super) fn of(body: Option<&Value>, envelope: &str, schema: Schema) -> Result<Self, Refusal> {
        let empty = Value::Object(Map::new());
        let given = body.and_then(|body| body.get(envelope)).unwrap_or(&empty);
        if let Some((field, why)) = schema.fault(given) {
            return Err(Refusal::bad_request(match field {
                Some(field) if SECRET.contains(&field.as_str()) => {
                    format!("Invalid input for field '{field}': it is not of type 'string'")
                }
                Some(field) => format!("Invalid input for field '{field}': {why}"),
                None => why,
            }));
        }
        if let Some(field) = with_nul(given) {
            return Err(Refusal::bad_request(format!(
                "Invalid input for field '{field}': it contains the character U+0000"
            )));
        }
        Ok(Self(given.as_object().cloned().unwrap_or_default()))
    }

    /// A value, also of null.
    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }

    /// A text.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.get(field)?.as_str()
    }

    /// A boolean.
    pub(super) fn boolean(&self, field: &str) -> Option<bool> {
        self.get(field)?.as_bool()
    }

    /// A list; empty if it is not given.
    pub(super) fn list(&self, field: &str) -> &[Value] {
        self.get(field)
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    /// Adds the fields beside the known ones to the attributes.
    pub(super) fn further(&self, known: &[&str], attributes: &mut Attributes) {
        let further = self
            .0
            .iter()
            .filter(|(field, _)| !known.contains(&field.as_str()));
        attributes.extend(further.map(|(field, value)| (field.clone(), value.to_string())));
    }

    /// Refuses another value of a field that cannot be changed, and options, which there are none of.
    ///
    /// # Errors
    /// 400.
    pub(super) fn keeps(&self, fields: &[(&str, &str)]) -> Result<(), Refusal> {
        for (field, value) in fields {
            let given = self.get(field).filter(|given| !given.is_null());
            if given.is_some_and(|given| given.as_str() != Some(value)) {
                return Err(Refusal::bad_request(format!(
                    "Cannot change {field}: it is {value} here."
                )));
            }
        }
        let options = self.get("options").and_then(Value::as_object);
        // One that is switched off is as if it were not given.
        let is_set = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
        match options.into_iter().flatten().find(|(_, value)| is_set(value)) {
            Some((option, _)) => Err(Refusal::bad_request(format!(
                "Invalid input for field 'options': this service has no option {}",
                python::repr_text(option)
            ))),
            None => Ok(()),
        }
    }
}

/// Parts of the schemas.
pub(super) mod schemas {
    pub(in crate::web::identity) use crate::web::schema::Check::*;
    pub(in crate::web::identity) use crate::web::schema::{Kind, Pattern, Schema};

    /// `[\S]+`
    const NOT_BLANK: Pattern = Pattern {
        text: r"[\S]+",
        matches: |text| text.chars().any(|character| !character.is_whitespace()),
    };
    /// `^[a-zA-Z0-9-]+$`
    const ID: Pattern = Pattern {
        text: "^[a-zA-Z0-9-]+$",
        matches: |text| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        },
    };
    const TAG: Pattern = Pattern {
        text: "^[^,/]*$",
        matches: |text| !text.contains([',', '/']),
    };
    pub(in crate::web::identity) const NAME: Schema = Schema(&[
        Type(&[Kind::String]),
        MinLength(1),
        MaxLength(255),
        Matches(NOT_BLANK),
    ]);
    pub(in crate::web::identity) const PROJECT_NAME: Schema = Schema(&[
        Type(&[Kind::String]),
        MinLength(1),
        MaxLength(64),
        Matches(NOT_BLANK),
    ]);
    pub(in crate::web::identity) const TEXT: Schema = Schema(&[Type(&[Kind::String])]);
    pub(in crate::web::identity) const TEXT_OR_NULL: Schema = Schema(&[Type(&[Kind::String, Kind::Null])]);
    pub(in crate::web::identity) const BOOLEAN: Schema = Schema(&[Type(&[Kind::Boolean])]);
    pub(in crate::web::identity) const OBJECT: Schema = Schema(&[Type(&[Kind::Object])]);
    pub(in crate::web::identity) const LIST: Schema = Schema(&[Type(&[Kind::Array])]);
    pub(in crate::web::identity) const ID_OR_NULL: Schema = Schema(&[
        Type(&[Kind::String, Kind::Null]),
        MinLength(1),
        MaxLength(64),
        Matches(ID),
    ]);
    pub(in crate::web::identity) const TAGS: Schema = Schema(&[
        Type(&[Kind::Array]),
        Items(Schema(&[
            Type(&[Kind::String]),
            MinLength(1),
            MaxLength(255),
            Matches(TAG),
        ])),
        UniqueItems,
    ]);
}
