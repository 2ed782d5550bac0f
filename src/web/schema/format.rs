//! Cinder's own checks beyond JSON schema (`format`), and the patterns of its keys (cinder: `api/validation/validators.py`).

use serde_json::Value;

use super::{Pattern, python};
use crate::model::{MigrationStatus, SnapshotStatus, VolumeStatus};

/// A check by its name in Cinder's schemas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `uuid`
    Uuid,
    /// `name`: not blank.
    Name,
    /// `name_skip_leading_trailing_spaces`: 1 to 255 characters, trimmed.
    TrimmedName,
    /// `name_non_mandatory_remove_white_spaces`: at most 255 characters, trimmed.
    VolumeName,
    /// `description_non_mandatory_remove_white_spaces`: at most 255 characters, trimmed.
    VolumeDescription,
    /// `disabled_reason`: 1 to 255 characters, trimmed.
    DisabledReason,
    /// `mysql_text`: at most 65535 bytes.
    LongText,
    /// `validate_volume_reset_body`: at least one status.
    ResetBody,
    /// `volume_status`: a status that can be set.
    VolumeStatus,
    /// `volume_attach_status`: one that can be set.
    AttachStatus,
    /// `volume_migration_status`
    MigrationStatus,
    /// `snapshot_status`: a status that can be set.
    SnapshotStatus,
    /// `key_size`: a whole number, or a text that is one as Python writes it, or null.
    KeySize,
    /// `level`: a level of a log.
    LogLevel,
    /// `progress`: a whole percentage, or nothing.
    Progress,
    /// A `connector` that is no text: some of Cinder's schemas accept a text, which no backend can use.
    Connector,
}

/// The fault that a check reports.
pub(super) enum FormatFault {
    /// A complete text of its own.
    Raised(String),
    /// jsonschema's text: the value is not of this format.
    IsNot(&'static str),
}

/// The longest name and description, in characters.
const MAX_LENGTH: usize = 255;

/// The statuses that an administrator may set (cinder: `VolumeStatus.ALL` as the API shows it, which lacks the later
/// ones).
pub(super) fn settable_statuses() -> impl Iterator<Item = VolumeStatus> {
    VolumeStatus::ALL
        .iter()
        .copied()
        .take_while(|status| *status != VolumeStatus::Reverting)
}

impl Format {
    pub(super) fn fault(self, value: &Value) -> Option<FormatFault> {
        match self {
            Self::Uuid => match value.as_str() {
                Some(text) if python::uuid(text).is_some() => None,
                _ => Some(FormatFault::IsNot("uuid")),
            },
            Self::TrimmedName => {
                let name = value.as_str()?;
                let why = match name.trim().chars().count() {
                    0 if name.is_empty() => "The 'name' can not be None.",
                    0 => "The 'name' can not be empty.",
                    1..=MAX_LENGTH => return None,
                    _ => "The 'name' can not be greater than 255 characters.",
                };
                let text = format!("An invalid 'name' value was provided. {why}");
                Some(FormatFault::Raised(text))
            }
            Self::Name => {
                let name = value.as_str()?;
                let why = if name.is_empty() {
                    "None"
                } else if name.trim().is_empty() {
                    "empty"
                } else {
                    return None;
                };
                Some(FormatFault::Raised(format!(
                    "An invalid 'name' value was provided. The 'name' can not be {why}."
                )))
            }
            Self::LogLevel => {
                let level = value.as_str().unwrap_or_default();
                let text = format!("Invalid input received: {level} is not a valid log level.");
                crate::log_levels::LogLevel::of(level)
                    .is_none()
                    .then_some(FormatFault::Raised(text))
            }
            Self::VolumeName => length_fault(value, "name", 0),
            Self::VolumeDescription => length_fault(value, "description", 0),
            Self::DisabledReason => length_fault(value, "disabled_reason", 1),
            Self::LongText => match value.as_str() {
                Some(text) if text.len() > 65_535 => Some(FormatFault::IsNot("mysql_text")),
                _ => None,
            },
            Self::ResetBody => {
                let given = |field: &str| value.get(field).and_then(status).is_some();
                let any = value.is_null()
                    || ["status", "attach_status", "migration_status"]
                        .into_iter()
                        .any(given);
                (!any).then(|| {
                    FormatFault::Raised(
                        "Must specify 'status', 'attach_status' or 'migration_status' for update.".to_owned(),
                    )
                })
            }
            Self::VolumeStatus => {
                let settable: Vec<&str> = settable_statuses().map(VolumeStatus::as_str).collect();
                word_fault(status(value)?, "Volume status", ('(', ')'), &settable)
            }
            Self::AttachStatus => {
                let settable = ["attached", "detached"];
                word_fault(status(value)?, "Volume attach status", ('[', ']'), &settable)
            }
            Self::MigrationStatus => {
                let all = MigrationStatus::ALL.iter().map(|status| status.as_str());
                let all: Vec<&str> = all.collect();
                word_fault(status(value)?, "Volume migration status", ('(', ')'), &all)
            }
            Self::SnapshotStatus => {
                let settable: Vec<&str> = SnapshotStatus::settable().map(SnapshotStatus::as_str).collect();
                // Here an empty one is invalid, too.
                word_fault(value.as_str()?, "Snapshot status", ('(', ')'), &settable)
            }
            Self::KeySize => {
                let is_whole = match value {
                    Value::Null => true,
                    Value::String(text) => python::int(text).is_some_and(|size| size.to_string() == *text),
                    _ => value.is_i64() || value.is_u64(),
                };
                (!is_whole).then(|| {
                    FormatFault::Raised("Invalid input received: key_size must be an integer.".to_owned())
                })
            }
            Self::Progress => progress_fault(value),
            Self::Connector => {
                let connector = value.get("connector").filter(|connector| connector.is_string())?;
                Some(FormatFault::Raised(format!(
                    "Invalid input for field/attribute connector. Value: {}. {} is not of type 'object'",
                    python::text(connector),
                    python::repr(connector)
                )))
            }
        }
    }
}

fn progress_fault(value: &Value) -> Option<FormatFault> {
    let refused = |why: &str| {
        Some(FormatFault::Raised(format!(
            "Invalid input received: progress must be {why}"
        )))
    };
    let text = match value {
        Value::Null | Value::Bool(false) => return None,
        Value::String(text) if text.is_empty() => return None,
        Value::String(text) => text,
        _ => return refused("an integer percentage"),
    };
    let mut digits = text.chars();
    let sign = digits.next_back();
    match python::int(digits.as_str()) {
        None => refused("an integer percentage"),
        Some(percent) if (0..=100).contains(&percent) && sign == Some('%') => None,
        Some(_) => refused("an integer percentage between 0 and 100"),
    }
}

fn length_fault(value: &Value, field: &str, least: usize) -> Option<FormatFault> {
    let text = value.as_str().filter(|text| !text.is_empty())?;
    let length = text.trim().chars().count();
    let why = if length < least {
        format!("less than {least}")
    } else if length > MAX_LENGTH {
        format!("more than {MAX_LENGTH}")
    } else {
        return None;
    };
    Some(FormatFault::Raised(format!(
        "Invalid input received: {field} has {length} characters, {why}."
    )))
}

/// A status that was given and is not empty.
fn status(value: &Value) -> Option<&str> {
    value.as_str().filter(|word| !word.is_empty())
}

/// Statuses are compared case-insensitively.
fn word_fault(word: &str, what: &str, (open, close): (char, char), valid: &[&str]) -> Option<FormatFault> {
    if valid.contains(&word.to_lowercase().as_str()) {
        return None;
    }
    Some(FormatFault::Raised(format!(
        "{what}: {word} is invalid, valid statuses are: {open}{}{close}.",
        python::repr_texts(valid)
    )))
}

fn made_of(text: &str, least: usize, most: usize, also: &[u8]) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:.".contains(&byte) || also.contains(&byte);
    (least..=most).contains(&text.len()) && text.bytes().all(plain)
}

pub(super) const METADATA_KEY: Pattern = Pattern {
    text: "^[a-zA-Z0-9-_:. /]{1,255}$",
    matches: |text| made_of(text, 1, 255, b" /"),
};

/// Keys of a snapshot's metadata on their own route.
pub(super) const SNAPSHOT_METADATA_KEY: Pattern = Pattern {
    text: "^[a-zA-Z0-9-_:. ]{1,255}$",
    matches: |text| made_of(text, 1, 255, b" "),
};

/// Keys of extra specs on their own route.
pub(super) const EXTRA_SPEC_KEY: Pattern = Pattern {
    text: "^[a-zA-Z0-9-_:.]{1,255}$",
    matches: |text| made_of(text, 1, 255, b""),
};

/// Resources of a quota class.
pub(super) const QUOTA_KEY: Pattern = Pattern {
    text: "^[a-zA-Z0-9-_:. ]{1,300}$",
    matches: |text| made_of(text, 1, 300, b" "),
};

/// Digits, at least one.
pub(super) const DIGITS: Pattern = Pattern {
    text: "^[0-9]+$",
    matches: |text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
};

/// Digits, or nothing.
pub(in crate::web) const DIGITS_OR_NOTHING: Pattern = Pattern {
    text: "^[0-9]*$",
    matches: |text| text.bytes().all(|byte| byte.is_ascii_digit()),
};

/// `host`, `host@backend`, `host@backend#pool`.
pub(super) const CINDER_HOST: Pattern = Pattern {
    text: r"^[a-zA-Z0-9-._#@:/+\[\]]*$",
    matches: |text| made_of(text, 0, usize::MAX, b"#@/+[]"),
};

/// Letters of any language, blanks, no control characters. (Cinder's own text for it lists every range of Unicode.)
pub(super) const PRINTABLE: Pattern = Pattern {
    text: "^[[:print:]]*$",
    matches: |text| {
        !text
            .chars()
            .any(|character| character.is_control() || "\u{2028}\u{2029}".contains(character))
    },
};
