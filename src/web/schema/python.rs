//! Values as Python writes and reads them: the texts that clients compare contain them.

use std::fmt;

use serde_json::Value;
use uuid::Uuid;

/// `repr(value)`: texts in quotes, `None`, `True`, `{'a': 1}`.
pub fn repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(value, &mut out);
    out
}

/// `str(value)`: as `repr`, but a text is itself.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

/// `repr` of a text: in single quotes, or in double ones if only that saves escaping.
pub fn repr_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_text(text, &mut out);
    out
}

/// The same for several texts, separated by commas.
pub fn repr_texts(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().copied().map(repr_text).collect();
    texts.join(", ")
}

fn write_repr(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_i64() && !number.is_u64() => out.push_str(&repr_float(float)),
            _ => out.push_str(&number.to_string()),
        },
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write_repr(item, out);
            }
            out.push(']');
        }
        Value::Object(object) => {
            out.push('{');
            for (at, (key, value)) in object.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write_text(key, out);
                out.push_str(": ");
                write_repr(value, out);
            }
            out.push('}');
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            quoted if quoted == quote => {
                out.push('\\');
                out.push(quoted);
            }
            control if control.is_control() => match u32::from(control) {
                code @ 0..=0xff => out.push_str(&format!("\\x{code:02x}")),
                code => out.push_str(&format!("\\u{code:04x}")),
            },
            plain => out.push(plain),
        }
    }
    out.push(quote);
}

/// `repr` of a float: the shortest text that reads back as it, `1.5`, `1e+16`, `1e-05`.
fn repr_float(float: f64) -> String {
    let magnitude = float.abs();
    if float == 0.0 || (1e-4..1e16).contains(&magnitude) {
        return format!("{float:?}");
    }
    let scientific = format!("{float:e}");
    match scientific.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => scientific,
    }
}

/// `text.title()`: the first letter of each word in upper case, the others in lower case.
pub fn title(text: &str) -> String {
    let mut in_word = false;
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if in_word {
            out.extend(character.to_lowercase());
        } else {
            out.extend(character.to_uppercase());
        }
        in_word = character.is_alphabetic();
    }
    out
}

/// A number, as `int()` or else `float()` reads one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// An integer. Wider than any field, so that a value out of range is reported as such.
    Int(i128),
    /// Not an integer.
    Float(f64),
}

impl Number {
    /// Whether it is less than `limit`.
    pub fn below(self, limit: i64) -> bool {
        match self {
            Self::Int(value) => value < i128::from(limit),
            Self::Float(value) => value < as_float(limit),
        }
    }

    /// Whether it is more than `limit`.
    pub fn above(self, limit: i64) -> bool {
        match self {
            Self::Int(value) => value > i128::from(limit),
            Self::Float(value) => value > as_float(limit),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "limits are far below 2^53, where floats are exact"
)]
fn as_float(limit: i64) -> f64 {
    limit as f64
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => f.write_str(&repr_float(*value)),
        }
    }
}

/// The number that a value or a text represents; `None` for everything else.
pub fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Some(Number::Int(whole.into())),
            (None, Some(whole)) => Some(Number::Int(whole.into())),
            (None, None) => number.as_f64().map(Number::Float),
        },
        Value::String(text) => int(text)
            .map(Number::Int)
            .or_else(|| text.trim().parse().ok().map(Number::Float)),
        _ => None,
    }
}

/// `int(text)`.
pub fn int(text: &str) -> Option<i128> {
    text.trim().parse().ok()
}

/// The texts of Cinder's schemas for true and for false.
pub const BOOLEAN_WORDS: [&[&str]; 2] = [
    &[
        "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes", "y", "t",
    ],
    &[
        "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no", "n", "f",
    ],
];

/// Whether Cinder's schemas accept the text as a boolean.
pub fn is_boolean(text: &str) -> bool {
    BOOLEAN_WORDS.iter().any(|words| words.contains(&text))
}

/// A boolean in any of the texts that `oslo_utils.strutils.bool_from_string` accepts in strict mode.
pub fn bool_from_string(word: &str) -> Option<bool> {
    match word.trim().to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => Some(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Some(false),
        _ => None,
    }
}

/// A UUID in any of the formats that `oslo_utils.uuidutils.is_uuid_like` accepts.
pub fn uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_written_as_python_writes_them() {
        for (value, expected) in [
            (json!(null), "None"),
            (json!(true), "True"),
            (json!(-1), "-1"),
            (json!(1.5), "1.5"),
            (json!(1.0), "1.0"),
            (json!(1e16), "1e+16"),
            (json!(1.5e-5), "1.5e-05"),
            (json!("a"), "'a'"),
            (json!("it's"), "\"it's\""),
            (json!("it's \"x\""), "'it\\'s \"x\"'"),
            (json!("a\nb\\\u{7}é"), "'a\\nb\\\\\\x07é'"),
            (json!([]), "[]"),
            (json!({"a": "c", "b": [1, null]}), "{'a': 'c', 'b': [1, None]}"),
        ] {
            assert_eq!(repr(&value), expected);
        }
        assert_eq!(text(&json!("it's")), "it's");
        assert_eq!(text(&json!({})), "{}");
    }

    #[test]
    fn texts_that_are_numbers_count_as_numbers() {
        assert_eq!(number(&json!(" 12 ")), Some(Number::Int(12)));
        assert_eq!(number(&json!("1.5")), Some(Number::Float(1.5)));
        assert_eq!(number(&json!("x")), None);
        assert_eq!(number(&json!(true)), None);
        assert!(number(&json!("99999999999999999999")).is_some_and(|number| number.above(2_147_483_647)));
    }

    proptest! {
        #[test]
        fn any_text_can_be_written(text in ".*") {
            let written = repr_text(&text);
            prop_assert!(written.len() >= text.len() + 2);
            prop_assert!(!written.contains('\n'));
        }
    }
}
