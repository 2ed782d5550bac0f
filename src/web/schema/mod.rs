//! Request validation: Cinder's JSON schemas as tables, and an evaluator that applies them as Cinder does.
//!
//! Clients (and Tempest) read the text of a 400, so it matters not only *whether* a body is refused but *which* fault is
//! reported, and its exact text. Cinder evaluates its schemas with the Python library `jsonschema` and reports the
//! **first** fault that is found when a schema's keywords are applied in the order in which they are written, depth
//! first. The same here: a [`Schema`] is a list of [`Check`]s in Cinder's order, and the first that fails is reported
//! (cinder: `api/validation/validators.py`).
//!
//! Everything here is pure. After the check, a body is converted to the message for the actor that does the work;
//! look-ups, states and quota are checked by that actor.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::fault::Fault;

pub mod attachments;
pub mod clusters;
mod format;
mod json_schema;
pub mod literal;
pub mod manage;
pub(in crate::web) mod parameter_types;
pub(in crate::web) mod prelude;
pub mod python;
pub mod quotas;
pub mod services;
pub mod snapshots;
pub mod volume_metadata;
pub mod volume_types;
pub mod volumes;

pub use format::Format;

/// Checks of a value, in order. The first that fails is reported.
#[derive(Clone, Copy, Debug)]
pub struct Schema(pub &'static [Check]);

/// One keyword of a JSON schema.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// `type`: one of these.
    Type(&'static [Kind]),
    /// `properties`: if an object has one of these keys, its value matches the schema.
    Properties(&'static [(&'static str, Schema)]),
    /// `patternProperties`: if a key matches, its value matches the schema.
    PatternProperties(Pattern, Schema),
    /// `additionalProperties: False`: no keys except those of `properties` and `patternProperties` beside it.
    NoOthers,
    /// `required`: an object has all of these.
    Required(&'static [&'static str]),
    /// `anyOf` and `oneOf` (Cinder's alternatives exclude each other): at least one of these.
    AnyOf(&'static [Schema]),
    /// `enum`: one of these texts.
    Enum(&'static [&'static str]),
    /// `enum`: a boolean, or one of Cinder's texts for one.
    Boolean,
    /// `minLength`, in characters.
    MinLength(usize),
    /// `maxLength`, in characters.
    MaxLength(usize),
    /// `pattern` of a text.
    Matches(Pattern),
    /// `minimum` of a number, or of a text that is one.
    Minimum(i64),
    /// `maximum` of a number, or of a text that is one.
    Maximum(i64),
    /// `minProperties: 1`
    NotEmpty,
    /// `maxProperties: 1`
    AtMostOne,
    /// `items`: each matches the schema.
    Items(Schema),
    /// `uniqueItems: True`
    UniqueItems,
    /// `format`: one of Cinder's own checks.
    Format(Format),
}

/// A JSON type, by its name in schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are JSON schema's")]
pub enum Kind {
    Object,
    Array,
    String,
    Integer,
    Boolean,
    Null,
}

/// A regular expression: its text, which is shown in faults, and its implementation.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// As Cinder writes it.
    pub text: &'static str,
    /// Whether a text matches.
    pub matches: fn(&str) -> bool,
}

/// The first fault of a body.
#[derive(Clone, Debug, PartialEq)]
enum Wrong<'v> {
    /// A complete text.
    Plain(String),
    /// A text that is shown with the last step of the path to the value, and the value.
    At {
        step: Option<String>,
        value: &'v Value,
        why: String,
    },
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Null => "null",
        }
    }

    fn is(self, value: &Value) -> bool {
        match self {
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
            Self::String => value.is_string(),
            // JSON schema draft 4: 1.0 is no integer, and neither is a boolean.
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Boolean => value.is_boolean(),
            Self::Null => value.is_null(),
        }
    }
}

impl Schema {
    /// Refuses a body that does not match the schema.
    ///
    /// # Errors
    /// 400 with Cinder's text for the first fault.
    pub fn check(self, body: &Value) -> Result<(), Fault> {
        self.check_at(body, None)
    }

    /// The first fault: the field that has it, if it is of one, and why.
    pub fn fault(self, body: &Value) -> Option<(Option<String>, String)> {
        match self.first_fault(body, None).err()? {
            Wrong::Plain(why) => Some((None, why)),
            Wrong::At { step, why, .. } => Some((step, why)),
        }
    }

    /// Refuses a field of the body that does not match the schema.
    ///
    /// # Errors
    /// As [`Schema::check`].
    pub fn check_field(self, field: &str, value: &Value) -> Result<(), Fault> {
        self.check_at(value, Some(field))
    }

    fn check_at(self, value: &Value, step: Option<&str>) -> Result<(), Fault> {
        self.first_fault(value, step).map_err(|wrong| {
            Fault::bad_request(match wrong {
                Wrong::Plain(text) => text,
                Wrong::At { step: None, why, .. } => why,
                Wrong::At {
                    step: Some(step),
                    value,
                    why,
                } => format!(
                    "Invalid input for field/attribute {step}. Value: {}. {why}",
                    python::text(value)
                ),
            })
        })
    }

    /// Refuses a request without a body, else as [`Schema::check`]. Without a body, Cinder calls its method without
    /// the argument `body` and answers the `TypeError` with webob's generic text.
    ///
    /// # Errors
    /// 400.
    pub fn check_body(self, body: Option<&Value>) -> Result<&Value, Fault> {
        let body = body.ok_or_else(Fault::malformed)?;
        self.check(body)?;
        Ok(body)
    }

    fn first_fault<'v>(self, value: &'v Value, step: Option<&str>) -> Result<(), Wrong<'v>> {
        self.0
            .iter()
            .try_for_each(|check| check.first_fault(self, value, step))
    }

    fn knows(self, key: &str) -> bool {
        self.0.iter().any(|check| match check {
            Check::Properties(known) => known.iter().any(|(name, _)| *name == key),
            Check::PatternProperties(pattern, _) => (pattern.matches)(key),
            _ => false,
        })
    }

    fn patterns(self) -> Vec<&'static str> {
        let pattern = |check: &Check| match check {
            Check::PatternProperties(pattern, _) => Some(pattern.text),
            _ => None,
        };
        self.0.iter().filter_map(pattern).collect()
    }
}

impl Check {
    fn first_fault<'v>(self, schema: Schema, value: &'v Value, step: Option<&str>) -> Result<(), Wrong<'v>> {
        let (object, items, text) = (value.as_object(), value.as_array(), value.as_str());
        let is_text_that = |is_wrong: &dyn Fn(&str) -> bool| text.is_some_and(is_wrong);
        let shown = |why: &str| format!("{} {why}", python::repr(value));
        let why = match self {
            Self::Properties(known) => {
                return known
                    .iter()
                    .filter_map(|(name, schema)| Some((name, schema, object?.get(*name)?)))
                    .try_for_each(|(name, schema, value)| schema.first_fault(value, Some(name)));
            }
            Self::PatternProperties(pattern, schema) => {
                return object
                    .into_iter()
                    .flatten()
                    .filter(|(key, _)| (pattern.matches)(key))
                    .try_for_each(|(key, value)| schema.first_fault(value, Some(key)));
            }
            Self::Items(schema) => {
                return items
                    .into_iter()
                    .flatten()
                    .enumerate()
                    .try_for_each(|(index, item)| schema.first_fault(item, Some(&index.to_string())));
            }
            Self::Format(format) => match format.fault(value) {
                None => return Ok(()),
                Some(format::FormatFault::Raised(text)) => return Err(Wrong::Plain(text)),
                Some(format::FormatFault::IsNot(name)) => shown(&format!("is not a '{name}'")),
            },
            Self::Type(kinds) if !kinds.iter().any(|kind| kind.is(value)) => {
                let names: Vec<String> = kinds.iter().map(|kind| format!("'{}'", kind.name())).collect();
                shown(&format!("is not of type {}", names.join(", ")))
            }
            Self::NoOthers => match object.and_then(|object| others(schema, object)) {
                Some(why) => why,
                None => return Ok(()),
            },
            Self::Required(names) => {
                let is_missing = |name: &&&str| object.is_some_and(|object| !object.contains_key(**name));
                match names.iter().find(is_missing) {
                    Some(name) => format!("'{name}' is a required property"),
                    None => return Ok(()),
                }
            }
            Self::AnyOf(schemas)
                if schemas
                    .iter()
                    .all(|schema| schema.first_fault(value, None).is_err()) =>
            {
                shown("is not valid under any of the given schemas")
            }
            Self::Enum(choices) if !is_text_that(&|text| choices.contains(&text)) => {
                shown(&format!("is not one of [{}]", python::repr_texts(choices)))
            }
            Self::Boolean if !value.is_boolean() && !is_text_that(&|text| python::is_boolean(text)) => {
                let [yes, no] = python::BOOLEAN_WORDS.map(python::repr_texts);
                shown(&format!("is not one of [True, {yes}, False, {no}]"))
            }
            Self::MinLength(1) if is_text_that(&str::is_empty) => shown("should be non-empty"),
            Self::MinLength(least) if is_text_that(&|text| text.chars().count() < least) => {
                shown("is too short")
            }
            Self::MaxLength(most) if is_text_that(&|text| text.chars().count() > most) => {
                shown("is too long")
            }
            Self::Matches(pattern) if is_text_that(&|text| !(pattern.matches)(text)) => {
                shown(&format!("does not match {}", python::repr_text(pattern.text)))
            }
            Self::Minimum(least) => match python::number(value).filter(|number| number.below(least)) {
                Some(number) => format!("{number} is less than the minimum of {least}"),
                None => return Ok(()),
            },
            Self::Maximum(most) => match python::number(value).filter(|number| number.above(most)) {
                Some(number) => format!("{number} is greater than the maximum of {most}"),
                None => return Ok(()),
            },
            Self::NotEmpty if object.is_some_and(Map::is_empty) => shown("should be non-empty"),
            Self::AtMostOne if object.is_some_and(|object| object.len() > 1) => {
                shown("has too many properties")
            }
            Self::UniqueItems if items.is_some_and(|items| has_equal(items)) => {
                shown("has non-unique elements")
            }
            Self::Type(_)
            | Self::AnyOf(_)
            | Self::Enum(_)
            | Self::Boolean
            | Self::MinLength(_)
            | Self::MaxLength(_)
            | Self::Matches(_)
            | Self::NotEmpty
            | Self::AtMostOne
            | Self::UniqueItems => return Ok(()),
        };
        let step = step.map(str::to_owned);
        Err(Wrong::At { step, value, why })
    }
}

fn has_equal(items: &[Value]) -> bool {
    // A body may have some ten thousand items: each is looked for once.
    let mut texts = BTreeSet::new();
    let (known, others): (Vec<&Value>, Vec<&Value>) = items.iter().partition(|item| item.is_string());
    known
        .iter()
        .filter_map(|item| item.as_str())
        .any(|text| !texts.insert(text))
        || (0..others.len()).any(|at| others[..at].contains(&others[at]))
}

/// The fault of unknown keys; `None` if the schema has all of them.
fn others(schema: Schema, object: &Map<String, Value>) -> Option<String> {
    let mut unknown: Vec<&str> = object
        .keys()
        .map(String::as_str)
        .filter(|key| !schema.knows(key))
        .collect();
    if unknown.is_empty() {
        return None;
    }
    unknown.sort_unstable();
    let one = unknown.len() == 1;
    let unknown = python::repr_texts(&unknown);
    let patterns = schema.patterns();
    Some(if patterns.is_empty() {
        format!(
            "Additional properties are not allowed ({unknown} {} unexpected)",
            if one { "was" } else { "were" }
        )
    } else {
        format!(
            "{unknown} {} not match any of the regexes: {}",
            if one { "does" } else { "do" },
            python::repr_texts(&patterns)
        )
    })
}

/// An object with these fields and no others.
macro_rules! object {
    ([$($property:expr),* $(,)?] $(, $check:expr)* $(,)?) => {
        $crate::web::schema::Schema(&[
            $crate::web::schema::Check::Type(&[$crate::web::schema::Kind::Object]),
            $crate::web::schema::Check::Properties(&[$($property),*]),
            $($check,)*
            $crate::web::schema::Check::NoOthers,
        ])
    };
}
pub(in crate::web) use object;

/// An object with one field that contains everything: `{"volume": {...}}`.
macro_rules! envelope {
    ($name:literal, $content:expr) => {
        $crate::web::schema::object!(
            [($name, $content)],
            $crate::web::schema::Check::Required(&[$name])
        )
    };
}
pub(in crate::web) use envelope;

/// A field's text; `None` if it is absent or null.
pub(in crate::web) fn text<'v>(object: &'v Value, field: &str) -> Option<&'v str> {
    object.get(field).and_then(Value::as_str)
}

/// A field's text, trimmed.
pub(in crate::web) fn trimmed(object: &Value, field: &str) -> Option<String> {
    text(object, field).map(|text| text.trim().to_owned())
}

/// A field or its older alias. The outer `Some`: it was given; the inner: it was given a text.
pub(in crate::web) fn either(object: &Value, field: &str, alias: &str) -> Option<Option<String>> {
    let given = [field, alias]
        .into_iter()
        .find(|field| object.get(*field).is_some())?;
    Some(trimmed(object, given))
}

/// A field with a boolean or one of Cinder's texts for one. The schema refuses everything else.
pub(in crate::web) fn boolean(object: &Value, field: &str) -> Option<bool> {
    match object.get(field)? {
        Value::Bool(value) => Some(*value),
        Value::String(word) => python::bool_from_string(word),
        _ => None,
    }
}

/// A number, or a text that is one, if it is whole.
pub(in crate::web) fn whole(value: &Value) -> Option<u32> {
    match python::number(value)? {
        python::Number::Int(number) => u32::try_from(number).ok(),
        python::Number::Float(_) => None,
    }
}

/// A field with a UUID in any accepted format.
pub(in crate::web) fn uuid(object: &Value, field: &str) -> Option<uuid::Uuid> {
    text(object, field).and_then(python::uuid)
}

/// A field with an object of texts. Null values are dropped.
pub(in crate::web) fn text_map(
    object: &Value,
    field: &str,
) -> Option<std::collections::BTreeMap<String, String>> {
    object.get(field)?.as_object().map(texts)
}

/// The texts of an object.
pub(in crate::web) fn texts(object: &Map<String, Value>) -> std::collections::BTreeMap<String, String> {
    object
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests;
