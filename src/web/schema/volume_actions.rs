//! Bodies of `POST /volumes/{id}/action`: one key, the action (cinder: `api/schemas/volume_actions.py`, `admin_actions.py`,
//! `volume_image_metadata.py`, `volumes.py` for `revert`).

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::Check::{AnyOf, Enum, Format as FormatCheck, MaxLength, NoOthers, Properties, Required, Type};
use super::attachments::attach_mode;
use super::parameter_types::{
    ANYTHING, BOOLEAN, DESCRIPTION, IMAGE_METADATA, NULLABLE_STRING, OPTIONAL_UUID, STRING_255, UUID,
    VOLUME_SIZE,
};
use super::{Choice, Format, Kind, Schema, boolean, python, text, text_map, uuid};
use crate::model::{AttachMode, AttachStatus, AttachmentId, Connector, MigrationStatus, VolumeStatus};
use crate::verbs::volume::change_volume::VolumeChange;
use crate::web::fault::Fault;
use crate::web::microversion::Microversion;

/// What an action asks for, its shape checked.
#[derive(Clone, Debug, PartialEq)]
pub enum VolumeAction {
    /// A change of the record alone.
    Change(VolumeChange),
    /// `os-extend`, to so many GiB.
    Extend(u32),
    /// `os-initialize_connection`
    InitializeConnection(ActionConnector),
    /// `os-terminate_connection`; `None` means all.
    TerminateConnection(Option<ActionConnector>),
    /// `os-force_detach`
    ForceDetach {
        /// The initiator; `None` means all.
        connector: Option<ActionConnector>,
        /// Which attachment; may be left out when there is one only.
        attachment_id: Option<String>,
    },
    /// `os-force_delete`
    ForceDelete,
    /// `os-show_image_metadata`
    ShowImageMetadata,
    /// `os-retype`, to the type of that name or id.
    Retype(String),
    /// `os-migrate_volume`
    Migrate {
        /// To this host.
        host: Option<String>,
        /// Or to this cluster (3.16).
        cluster: Option<String>,
    },
    /// `os-migrate_volume_completion`
    MigrateCompletion,
    /// `os-extend_volume_completion`
    ExtendCompletion,
    /// `os-volume_upload_image`
    UploadImage {
        /// Whether everybody shall see it (3.1).
        public: bool,
    },
    /// `os-reimage`
    Reimage,
    /// `os-unmanage`
    Unmanage,
    /// `revert`, to that snapshot.
    Revert(Option<String>),
}

/// A connector as actions take it: some schemas let a text pass, which no backend can use.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionConnector {
    /// The initiator, in its own words.
    pub connector: Connector,
    /// Goes back to the client with the connection's facts.
    pub enforce_multipath: Value,
}

macro_rules! action {
    ($name:literal, $arguments:expr) => {
        Schema(&[
            Type(&[Kind::Object]),
            Properties(&[($name, $arguments)]),
            Required(&[$name]),
            NoOthers,
        ])
    };
}

macro_rules! arguments {
    ([$($property:expr),* $(,)?] $(, $check:expr)* $(,)?) => {
        Schema(&[Type(&[Kind::Object]), Properties(&[$($property),*]), $($check,)* NoOthers])
    };
}

const CONNECTOR: Schema = Schema(&[Type(&[Kind::Object, Kind::String])]);
const OPTIONAL_CONNECTOR: Schema = Schema(&[Type(&[Kind::String, Kind::Object, Kind::Null])]);
const OPTIONAL_TEXT: Schema = Schema(&[Type(&[Kind::String, Kind::Null])]);
const COMPLETION_ERROR: Schema = Schema(&[Type(&[Kind::String, Kind::Null, Kind::Boolean])]);

const ATTACH: Schema = action!(
    "os-attach",
    arguments!(
        [
            ("instance_uuid", UUID),
            ("mountpoint", STRING_255),
            ("host_name", Schema(&[Type(&[Kind::String]), MaxLength(255)])),
            (
                "mode",
                Schema(&[
                    Type(&[Kind::String]),
                    Enum(&[Choice::Text("rw"), Choice::Text("ro")])
                ])
            ),
        ],
        Required(&["mountpoint"]),
        AnyOf(&[
            Schema(&[Required(&["instance_uuid"])]),
            Schema(&[Required(&["host_name"])])
        ]),
    )
);
const DETACH: Schema = action!(
    "os-detach",
    Schema(&[
        Type(&[Kind::Object, Kind::Null]),
        Properties(&[("attachment_id", OPTIONAL_UUID)]),
        NoOthers,
    ])
);
const RESERVE: Schema = action!("os-reserve", ANYTHING);
const UNRESERVE: Schema = action!("os-unreserve", ANYTHING);
const BEGIN_DETACHING: Schema = action!("os-begin_detaching", ANYTHING);
const ROLL_DETACHING: Schema = action!("os-roll_detaching", ANYTHING);
const EXTEND: Schema = action!(
    "os-extend",
    arguments!([("new_size", VOLUME_SIZE)], Required(&["new_size"]))
);
const RETYPE: Schema = action!(
    "os-retype",
    arguments!(
        [
            ("new_type", Schema(&[Type(&[Kind::String])])),
            (
                "migration_policy",
                Schema(&[
                    Type(&[Kind::String, Kind::Null]),
                    Enum(&[Choice::Text("on-demand"), Choice::Text("never")])
                ])
            ),
        ],
        Required(&["new_type"]),
    )
);
const SET_BOOTABLE: Schema = action!(
    "os-set_bootable",
    arguments!([("bootable", BOOLEAN)], Required(&["bootable"]))
);
const UPDATE_READONLY_FLAG: Schema = action!(
    "os-update_readonly_flag",
    arguments!([("readonly", BOOLEAN)], Required(&["readonly"]))
);
const INITIALIZE_CONNECTION: Schema = action!(
    "os-initialize_connection",
    arguments!([("connector", CONNECTOR)], Required(&["connector"]))
);
const TERMINATE_CONNECTION: Schema = action!(
    "os-terminate_connection",
    arguments!([("connector", OPTIONAL_CONNECTOR)], Required(&["connector"]))
);
const DISK_FORMAT: Schema = Schema(&[
    Type(&[Kind::String]),
    Enum(&[
        Choice::Text("raw"),
        Choice::Text("vmdk"),
        Choice::Text("vdi"),
        Choice::Text("qcow2"),
        Choice::Text("vhd"),
        Choice::Text("vhdx"),
        Choice::Text("ploop"),
    ]),
]);
macro_rules! upload_image {
    ($($later:expr),*) => {
        action!(
            "os-volume_upload_image",
            arguments!(
                [
                    ("image_name", STRING_255),
                    ("force", BOOLEAN),
                    ("disk_format", DISK_FORMAT),
                    ("container_format", DESCRIPTION),
                    $($later),*
                ],
                Required(&["image_name"]),
            )
        )
    };
}
const UPLOAD_IMAGE: Schema = upload_image!();
const UPLOAD_IMAGE_V31: Schema = upload_image!(
    (
        "visibility",
        Schema(&[
            Type(&[Kind::String]),
            Enum(&[
                Choice::Text("community"),
                Choice::Text("public"),
                Choice::Text("private"),
                Choice::Text("shared")
            ])
        ])
    ),
    ("protected", BOOLEAN)
);
const REIMAGE: Schema = action!(
    "os-reimage",
    arguments!(
        [("image_id", UUID), ("reimage_reserved", BOOLEAN)],
        Required(&["image_id"])
    )
);
const RESET_STATUS: Schema = action!(
    "os-reset_status",
    Schema(&[
        Type(&[Kind::Object]),
        FormatCheck(Format::ResetBody),
        Properties(&[
            (
                "status",
                Schema(&[
                    Type(&[Kind::String, Kind::Null]),
                    FormatCheck(Format::VolumeStatus)
                ])
            ),
            (
                "attach_status",
                Schema(&[
                    Type(&[Kind::String, Kind::Null]),
                    FormatCheck(Format::AttachStatus)
                ])
            ),
            (
                "migration_status",
                Schema(&[
                    Type(&[Kind::String, Kind::Null]),
                    FormatCheck(Format::MigrationStatus)
                ])
            ),
        ]),
        NoOthers,
    ])
);
const FORCE_DELETE: Schema = action!("os-force_delete", ANYTHING);
const FORCE_DETACH: Schema = action!(
    "os-force_detach",
    arguments!([
        ("connector", OPTIONAL_CONNECTOR),
        ("attachment_id", OPTIONAL_TEXT)
    ])
);
const MIGRATE: Schema = action!(
    "os-migrate_volume",
    arguments!(
        [
            ("host", Schema(&[Type(&[Kind::String]), MaxLength(255)])),
            ("force_host_copy", BOOLEAN),
            ("lock_volume", BOOLEAN),
        ],
        Required(&["host"]),
    )
);
const MIGRATE_V316: Schema = action!(
    "os-migrate_volume",
    arguments!([
        ("host", NULLABLE_STRING),
        ("force_host_copy", BOOLEAN),
        ("lock_volume", BOOLEAN),
        ("cluster", NULLABLE_STRING),
    ])
);
const MIGRATE_COMPLETION: Schema = action!(
    "os-migrate_volume_completion",
    arguments!(
        [("new_volume", UUID), ("error", COMPLETION_ERROR)],
        Required(&["new_volume"])
    )
);
const EXTEND_COMPLETION: Schema = action!(
    "os-extend_volume_completion",
    arguments!([("error", COMPLETION_ERROR)])
);
const SHOW_IMAGE_METADATA: Schema = action!("os-show_image_metadata", ANYTHING);
const SET_IMAGE_METADATA: Schema = action!(
    "os-set_image_metadata",
    arguments!([("metadata", IMAGE_METADATA)], Required(&["metadata"]))
);
const UNSET_IMAGE_METADATA: Schema = action!(
    "os-unset_image_metadata",
    arguments!([("key", STRING_255)], Required(&["key"]))
);
const UNMANAGE: Schema = action!("os-unmanage", ANYTHING);
const REVERT: Schema = action!(
    "revert",
    Schema(&[
        Type(&[Kind::Object]),
        Properties(&[("snapshot_id", OPTIONAL_TEXT)])
    ])
);

/// Reads an action.
///
/// # Errors
/// 400 for an action that is none, or that is not as Cinder wants it; 404 for one of a later version.
pub fn read(version: Microversion, body: Option<&Value>) -> Result<VolumeAction, Fault> {
    let (name, arguments) = super::action(body)?;
    let checked = |schema: Schema| schema.check_body(body).map(|_| ());
    let since = |minor: u16| {
        if version.at_least(minor) {
            Ok(())
        } else {
            Err(Fault::no_such_resource())
        }
    };
    let change = |change: VolumeChange| Ok(VolumeAction::Change(change));
    match name {
        "os-reserve" => checked(RESERVE).and_then(|()| change(VolumeChange::Reserve)),
        "os-unreserve" => checked(UNRESERVE).and_then(|()| change(VolumeChange::Unreserve)),
        "os-begin_detaching" => checked(BEGIN_DETACHING).and_then(|()| change(VolumeChange::BeginDetaching)),
        "os-roll_detaching" => checked(ROLL_DETACHING).and_then(|()| change(VolumeChange::RollDetaching)),
        "os-attach" => {
            checked(ATTACH)?;
            change(VolumeChange::Attach {
                instance_uuid: uuid(arguments, "instance_uuid"),
                host_name: text(arguments, "host_name").map(str::to_owned),
                mountpoint: text(arguments, "mountpoint").unwrap_or_default().to_owned(),
                mode: attach_mode(arguments, "mode").unwrap_or(AttachMode::Rw),
            })
        }
        "os-detach" => {
            checked(DETACH)?;
            change(VolumeChange::Detach {
                attachment_id: uuid(arguments, "attachment_id").map(AttachmentId),
            })
        }
        "os-extend" => {
            checked(EXTEND)?;
            Ok(VolumeAction::Extend(size(&arguments["new_size"])))
        }
        "os-initialize_connection" => {
            checked(INITIALIZE_CONNECTION)?;
            match connector(arguments)? {
                Some(connector) => Ok(VolumeAction::InitializeConnection(connector)),
                None => Err(Fault::malformed()),
            }
        }
        "os-terminate_connection" => {
            checked(TERMINATE_CONNECTION)?;
            connector(arguments).map(VolumeAction::TerminateConnection)
        }
        "os-update_readonly_flag" => {
            checked(UPDATE_READONLY_FLAG)?;
            let readonly = boolean(arguments, "readonly").unwrap_or_default();
            change(VolumeChange::UpdateReadonlyFlag { readonly })
        }
        "os-set_bootable" => {
            checked(SET_BOOTABLE)?;
            let bootable = boolean(arguments, "bootable").unwrap_or_default();
            change(VolumeChange::SetBootable { bootable })
        }
        "os-show_image_metadata" => checked(SHOW_IMAGE_METADATA).map(|()| VolumeAction::ShowImageMetadata),
        "os-set_image_metadata" => {
            checked(SET_IMAGE_METADATA)?;
            let metadata: BTreeMap<_, _> = text_map(arguments, "metadata").unwrap_or_default();
            change(VolumeChange::SetImageMetadata(metadata))
        }
        "os-unset_image_metadata" => {
            checked(UNSET_IMAGE_METADATA)?;
            change(VolumeChange::UnsetImageMetadata(
                text(arguments, "key").unwrap_or_default().to_owned(),
            ))
        }
        "os-reset_status" => checked(RESET_STATUS).and_then(|()| change(reset_status(arguments))),
        "os-force_delete" => checked(FORCE_DELETE).map(|()| VolumeAction::ForceDelete),
        "os-force_detach" => {
            checked(FORCE_DETACH)?;
            Ok(VolumeAction::ForceDetach {
                connector: connector(arguments)?,
                attachment_id: text(arguments, "attachment_id").map(str::to_owned),
            })
        }
        "os-retype" => {
            checked(RETYPE)?;
            Ok(VolumeAction::Retype(
                text(arguments, "new_type").unwrap_or_default().to_owned(),
            ))
        }
        "os-migrate_volume" => {
            let clustered = version.at_least(16);
            checked(if clustered { MIGRATE_V316 } else { MIGRATE })?;
            let own = |field| {
                text(arguments, field)
                    .filter(|text| !text.is_empty())
                    .map(str::to_owned)
            };
            Ok(VolumeAction::Migrate {
                host: own("host"),
                cluster: if clustered { own("cluster") } else { None },
            })
        }
        "os-migrate_volume_completion" => {
            checked(MIGRATE_COMPLETION).map(|()| VolumeAction::MigrateCompletion)
        }
        "os-extend_volume_completion" => checked(EXTEND_COMPLETION).map(|()| VolumeAction::ExtendCompletion),
        "os-volume_upload_image" => {
            checked(if version.at_least(1) {
                UPLOAD_IMAGE_V31
            } else {
                UPLOAD_IMAGE
            })?;
            Ok(VolumeAction::UploadImage {
                public: text(arguments, "visibility") == Some("public"),
            })
        }
        "os-reimage" => {
            since(68)?;
            checked(REIMAGE).map(|()| VolumeAction::Reimage)
        }
        "os-unmanage" => checked(UNMANAGE).map(|()| VolumeAction::Unmanage),
        "revert" => {
            since(40)?;
            checked(REVERT)?;
            Ok(VolumeAction::Revert(
                text(arguments, "snapshot_id").map(str::to_owned),
            ))
        }
        other => Err(super::no_such_action(other)),
    }
}

/// A size that the schema has let pass: 1 to 2147483647.
fn size(value: &Value) -> u32 {
    match python::number(value) {
        Some(python::Number::Int(size)) => u32::try_from(size).unwrap_or(u32::MAX),
        _ => 0,
    }
}

fn connector(arguments: &Value) -> Result<Option<ActionConnector>, Fault> {
    match &arguments["connector"] {
        Value::Null => Ok(None),
        Value::Object(connector) => Ok(Some(ActionConnector {
            connector: Connector::from_json(connector),
            enforce_multipath: connector
                .get("enforce_multipath")
                .cloned()
                .unwrap_or(Value::Bool(false)),
        })),
        other => Err(Fault::bad_request(format!(
            "Invalid input for field/attribute connector. Value: {}. {} is not of type 'object'",
            python::text(other),
            python::repr(other)
        ))),
    }
}

/// Words that the schema has let pass; empty ones change nothing.
fn reset_status(arguments: &Value) -> VolumeChange {
    let word = |field: &str| text(arguments, field).unwrap_or_default().to_lowercase();
    VolumeChange::ResetStatus {
        status: word("status").parse::<VolumeStatus>().ok(),
        attach_status: word("attach_status").parse::<AttachStatus>().ok(),
        migration_status: word("migration_status").parse::<MigrationStatus>().ok(),
    }
}

/// An attachment's id as `os-force_detach` takes it: any text.
#[must_use]
pub fn attachment_id(text: &str) -> Option<Uuid> {
    python::uuid(text)
}
