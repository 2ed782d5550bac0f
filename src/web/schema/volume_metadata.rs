//! Bodies of the metadata routes of a volume (cinder: `api/schemas/volume_metadata.py`).

use super::Check::{AtMostOne, NoOthers, NotEmpty, PatternProperties, Properties, Required, Type};
use super::format::METADATA_KEY;
use super::parameter_types::METADATA;
use super::{Check, Kind, Schema};

pub(in crate::web) const ALL: Schema = Schema(&[
    Type(&[Kind::Object]),
    Properties(&[("metadata", METADATA)]),
    Required(&["metadata"]),
    NoOthers,
]);

pub(in crate::web) const ONE: Schema = Schema(&[
    Type(&[Kind::Object]),
    Properties(&[(
        "meta",
        Schema(&[
            Type(&[Kind::Object]),
            PatternProperties(
                METADATA_KEY,
                Schema(&[Type(&[Kind::String]), Check::MaxLength(255)]),
            ),
            NoOthers,
            NotEmpty,
            AtMostOne,
        ]),
    )]),
    Required(&["meta"]),
    NoOthers,
]);
