//! Bodies of the routes of snapshots, except those that adopt (cinder: `api/schemas/snapshots.py`, `snapshot_actions.py`,
//! `snapshot_metadata.py`, `admin_actions.py`).

use serde_json::Value;

use super::format::SNAPSHOT_METADATA_KEY;
use super::prelude::*;
use crate::verbs::snapshot::{CreateSnapshot, UpdateSnapshot};
use crate::web::fault::Fault;
use crate::web::microversion::Microversion;

pub(in crate::web) const CREATE: Schema = envelope!(
    "snapshot",
    object!(
        [
            ("name", NULLABLE_STRING),
            ("display_name", NULLABLE_STRING),
            ("description", DESCRIPTION),
            ("volume_id", OPTIONAL_UUID),
            ("force", BOOLEAN),
            ("metadata", METADATA_ALLOWS_NULL),
        ],
        Required(&["volume_id"])
    )
);

/// The text of the refusal of `force: false`.
const FORCE_INVALID: &str = "Since microversion 3.66 the 'force' flag is invalid for this request.  For backward \
     compatability, however, when the 'force' flag is passed with a value evaluating to True, it is silently ignored.";

/// A snapshot to be created, checked against the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSnapshot {
    /// The message to send.
    pub message: CreateSnapshot,
    force: Option<bool>,
}

impl NewSnapshot {
    /// The message, with the meaning of `force` in this version. Cinder checks it after it has looked up the volume.
    ///
    /// # Errors
    /// 400 for `force: false` since 3.66.
    pub fn in_version(self, version: Microversion) -> Result<CreateSnapshot, Fault> {
        let in_use_too = version.at_least(66);
        if in_use_too && self.force == Some(false) {
            return Err(Fault::bad_request(FORCE_INVALID));
        }
        Ok(CreateSnapshot {
            in_use_too: in_use_too || self.force == Some(true),
            ..self.message
        })
    }
}

/// Reads `POST /snapshots`.
///
/// # Errors
/// 404 without a volume, as in Cinder, whose text has Python's `None` for its id.
pub fn create(body: &Value) -> Result<NewSnapshot, Fault> {
    let snapshot = &body["snapshot"];
    let volume_id = text(snapshot, "volume_id")
        .ok_or_else(|| Fault::not_found("A snapshot is of a volume, and volume_id is null."))?;
    Ok(NewSnapshot {
        message: CreateSnapshot {
            volume_id: volume_id.to_owned(),
            name: either(snapshot, "name", "display_name").flatten(),
            description: trimmed(snapshot, "description"),
            metadata: text_map(snapshot, "metadata").unwrap_or_default(),
            in_use_too: false,
        },
        force: boolean(snapshot, "force"),
    })
}

pub(in crate::web) const UPDATE: Schema = envelope!(
    "snapshot",
    Schema(&[
        Type(&[Kind::Object]),
        Properties(&[
            ("name", NULLABLE_STRING),
            ("description", DESCRIPTION),
            ("display_name", NULLABLE_STRING),
            ("display_description", DESCRIPTION),
        ]),
        NoOthers,
        AnyOf(&[
            Schema(&[Required(&["name"])]),
            Schema(&[Required(&["description"])]),
            Schema(&[Required(&["display_name"])]),
            Schema(&[Required(&["display_description"])]),
        ]),
    ])
);

/// Reads `PUT /snapshots/{id}`.
pub fn update(snapshot_id: &str, body: &Value) -> UpdateSnapshot {
    let snapshot = &body["snapshot"];
    UpdateSnapshot {
        snapshot_id: snapshot_id.to_owned(),
        name: either(snapshot, "name", "display_name"),
        description: either(snapshot, "description", "display_description"),
    }
}

macro_rules! pairs {
    ($($check:expr),*) => {
        Schema(&[
            Type(&[Kind::Object]),
            PatternProperties(SNAPSHOT_METADATA_KEY, METADATA_VALUE),
            NoOthers,
            $($check,)*
        ])
    };
}

pub(in crate::web) const METADATA: Schema = Schema(&[
    Type(&[Kind::Object]),
    Properties(&[("metadata", pairs!())]),
    Required(&["metadata"]),
]);

pub(in crate::web) const META: Schema = Schema(&[
    Type(&[Kind::Object]),
    Properties(&[("meta", pairs!(NotEmpty, AtMostOne))]),
    Required(&["meta"]),
]);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal<T: std::fmt::Debug>(read: Result<T, Fault>) -> String {
        read.unwrap_err().message
    }

    #[test]
    fn force_means_what_it_meant_until_3_66() {
        let id = "11111111-2222-4333-8444-555555555555";
        let read = |minor, force: Value| {
            let body = json!({"snapshot": {"volume_id": id, "force": force}});
            CREATE.check(&body).unwrap();
            create(&body).unwrap().in_version(Microversion(minor))
        };
        assert!(!read(65, json!("no")).unwrap().in_use_too);
        assert!(read(65, json!("yes")).unwrap().in_use_too);
        assert!(read(66, json!(true)).unwrap().in_use_too);
        assert_eq!(refusal(read(66, json!("off"))), FORCE_INVALID);
        let body = json!({"snapshot": {"volume_id": null}});
        CREATE.check(&body).unwrap();
        assert!(refusal(create(&body)).ends_with("volume_id is null."));
    }

    #[test]
    fn names_are_trimmed_and_have_an_older_alias() {
        let body = json!({"snapshot": {"volume_id": "v", "display_name": " n ", "description": " d "}});
        let message = create(&body).unwrap().message;
        assert_eq!(
            (message.name.as_deref(), message.description.as_deref()),
            (Some("n"), Some("d"))
        );
        let body = json!({"snapshot": {"name": null, "display_name": "other", "display_description": "x"}});
        let message = update("s", &body);
        assert_eq!(
            (message.name, message.description),
            (Some(None), Some(Some("x".into())))
        );
        assert_eq!(
            refusal(UPDATE.check(&json!({"snapshot": {}}))),
            "Invalid input for field/attribute snapshot. Value: {}. {} is not valid under any of the given schemas"
        );
    }

    #[test]
    fn keys_of_metadata_have_no_slash() {
        let read = |key: &str| METADATA.check(&json!({"metadata": {key: "v"}, "more": 1}));
        assert!(read("a b").is_ok());
        assert_eq!(
            refusal(read("a/b")),
            "Invalid input for field/attribute metadata. Value: {'a/b': 'v'}. 'a/b' does not match any of the regexes: \
             '^[a-zA-Z0-9-_:. ]{1,255}$'"
        );
    }
}
