//! Bodies of the metadata routes of a volume (cinder: `api/schemas/volume_metadata.py`).

use super::format::METADATA_KEY;
use super::prelude::*;

pub(in crate::web) const ALL: Schema = envelope!("metadata", METADATA);

pub(in crate::web) const ONE: Schema = envelope!(
    "meta",
    Schema(&[
        Type(&[Kind::Object]),
        PatternProperties(METADATA_KEY, METADATA_VALUE),
        NoOthers,
        NotEmpty,
        AtMostOne,
    ])
);
