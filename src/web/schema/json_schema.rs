//! A [`Schema`] as JSON schema (draft 2020-12), for the OpenAPI document. Words that are accepted in any case are named in one, and
//! some of Cinder's own formats cannot be said in JSON schema.

use serde_json::{Map, Value, json};

use super::format::{PRINTABLE, settable_statuses};
use super::{Check, Format, Kind, Pattern, Schema, python};
use crate::model::{MigrationStatus, SnapshotStatus, VolumeStatus};

impl Schema {
    /// The JSON schema.
    pub fn to_json(self) -> Value {
        let mut out = Map::new();
        for check in self.0 {
            check.write(&mut out);
        }
        Value::Object(out)
    }
}

impl Check {
    fn write(&self, out: &mut Map<String, Value>) {
        let mut put = |key: &str, value: Value| {
            out.insert(key.to_owned(), value);
        };
        match self {
            Self::Type([kind]) => put("type", json!(kind.name())),
            Self::Type(kinds) => put("type", kinds.iter().map(|kind: &Kind| kind.name()).collect()),
            Self::Properties(known) => {
                let properties = known.iter();
                let properties = properties.map(|(name, schema)| ((*name).to_owned(), schema.to_json()));
                put("properties", Value::Object(properties.collect()));
            }
            Self::PatternProperties(pattern, schema) => {
                put("patternProperties", json!({regex(pattern): schema.to_json()}));
            }
            Self::NoOthers => put("additionalProperties", json!(false)),
            Self::Required(names) => put("required", json!(names)),
            Self::AnyOf(schemas) => put("anyOf", schemas.iter().map(|schema| schema.to_json()).collect()),
            Self::Enum(choices) => put("enum", json!(choices)),
            Self::Boolean => {
                let words = python::BOOLEAN_WORDS.iter().copied().flatten();
                let all = [json!(true), json!(false)].into_iter();
                put("enum", all.chain(words.map(|word| json!(word))).collect());
            }
            Self::MinLength(least) => put("minLength", json!(least)),
            Self::MaxLength(most) => put("maxLength", json!(most)),
            Self::Matches(pattern) => put("pattern", json!(regex(pattern))),
            Self::Minimum(least) => put("minimum", json!(least)),
            Self::Maximum(most) => put("maximum", json!(most)),
            Self::NotEmpty => put("minProperties", json!(1)),
            Self::AtMostOne => put("maxProperties", json!(1)),
            Self::Items(schema) => put("items", schema.to_json()),
            Self::UniqueItems => put("uniqueItems", json!(true)),
            Self::Format(format) => format.write(out),
        }
    }
}

impl Format {
    fn write(self, out: &mut Map<String, Value>) {
        let mut put = |key: &str, value: Value| {
            out.insert(key.to_owned(), value);
        };
        match self {
            Self::Uuid => put("format", json!("uuid")),
            Self::Name => put("pattern", json!(NOT_BLANK)),
            Self::TrimmedName => {
                put("pattern", json!(NOT_BLANK));
                put("maxLength", json!(255));
            }
            Self::VolumeName | Self::VolumeDescription | Self::DisabledReason => put("maxLength", json!(255)),
            Self::LongText => put("maxLength", json!(65_535)),
            Self::VolumeStatus => put("enum", words(settable_statuses().map(VolumeStatus::as_str))),
            Self::AttachStatus => put("enum", words(["attached", "detached"].into_iter())),
            Self::MigrationStatus => {
                let all = MigrationStatus::ALL.iter().map(|status| status.as_str());
                put("enum", words(all));
            }
            Self::SnapshotStatus => {
                let all: Vec<&str> = SnapshotStatus::settable().map(SnapshotStatus::as_str).collect();
                put("enum", json!(all));
            }
            Self::LogLevel => put("enum", json!(["DEBUG", "INFO", "WARNING", "ERROR"])),
            Self::Progress => {
                put("type", json!(["string", "null", "boolean"]));
                put("pattern", json!("^$|^[0-9]{1,3}%$"));
            }
            Self::ResetBody => put("minProperties", json!(1)),
            Self::KeySize | Self::Connector => {}
        }
    }
}

/// A text that is not only blanks.
const NOT_BLANK: &str = r"\S";

/// Texts, the empty one, and null.
fn words<'a>(words: impl Iterator<Item = &'a str>) -> Value {
    let nothing = [json!(""), Value::Null].into_iter();
    words.map(|word| json!(word)).chain(nothing).collect()
}

/// A pattern in the dialect that JSON schema and Python share.
fn regex(pattern: &Pattern) -> String {
    match pattern.text {
        "" => NOT_BLANK.to_owned(),
        text if text == PRINTABLE.text => r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$".to_owned(),
        // A hyphen behind a range begins another range in some dialects.
        text => text.replace("9-", r"9\-"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::web::schema::volumes;

    #[test]
    fn keywords_keep_their_meaning() {
        let schema = volumes::CREATE_V353.to_json();
        let volume = &schema["properties"]["volume"];
        assert_eq!(schema["required"], json!(["volume"]));
        assert_eq!(schema["additionalProperties"], json!(false));
        assert_eq!(
            volume["properties"]["size"],
            json!({"type": ["integer", "string", "null"], "pattern": "^[0-9]+$", "minimum": 1, "maximum": 2_147_483_647})
        );
        assert_eq!(
            volume["properties"]["metadata"]["patternProperties"],
            json!({"^[a-zA-Z0-9\\-_:. /]{1,255}$": {"type": "string", "maxLength": 255}})
        );
    }
}
