//! The schemas that several requests share (cinder: `api/validation/parameter_types.py`). The order of the checks is
//! Cinder's, because the first that fails is reported.

use super::Check::{
    AnyOf, Boolean, Format as FormatCheck, Matches, MaxLength, Maximum, MinLength, Minimum, NoOthers,
    PatternProperties, Type,
};
use super::format::{CINDER_HOST, DIGITS, EXTRA_SPEC_KEY, METADATA_KEY, PRINTABLE};
use super::{Format, Kind, Schema};

/// The largest number that Cinder's database keeps.
pub(in crate::web) const MAX_INT: i64 = crate::model::quota::MAX;

const NULL: Schema = Schema(&[Type(&[Kind::Null])]);

pub(in crate::web) const UUID: Schema = Schema(&[Type(&[Kind::String]), FormatCheck(Format::Uuid)]);

pub(in crate::web) const OPTIONAL_UUID: Schema = Schema(&[AnyOf(&[NULL, UUID])]);

/// Cinder's texts for true and false.
pub(in crate::web) const BOOLEAN: Schema = Schema(&[Type(&[Kind::Boolean, Kind::String]), Boolean]);

pub(in crate::web) const OPTIONAL_BOOLEAN: Schema = Schema(&[AnyOf(&[NULL, BOOLEAN])]);

pub(in crate::web) const NAME: Schema = Schema(&[
    Type(&[Kind::String]),
    MinLength(1),
    MaxLength(255),
    FormatCheck(Format::Name),
]);

pub(in crate::web) const UPDATE_NAME: Schema =
    Schema(&[Type(&[Kind::String, Kind::Null]), MinLength(1), MaxLength(255)]);

pub(in crate::web) const DESCRIPTION: Schema = Schema(&[
    Type(&[Kind::String, Kind::Null]),
    MaxLength(255),
    Matches(PRINTABLE),
]);

/// Text of up to 255 characters, or null.
pub(in crate::web) const NULLABLE_STRING: Schema =
    Schema(&[Type(&[Kind::String, Kind::Null]), MaxLength(255)]);

/// Text of 1 to 255 characters.
pub(in crate::web) const STRING_255: Schema = Schema(&[Type(&[Kind::String]), MinLength(1), MaxLength(255)]);

pub(in crate::web) const AVAILABILITY_ZONE: Schema = UPDATE_NAME;

pub(in crate::web) const METADATA_VALUE: Schema = Schema(&[Type(&[Kind::String]), MaxLength(255)]);

pub(in crate::web) const METADATA: Schema = Schema(&[
    Type(&[Kind::Object]),
    PatternProperties(METADATA_KEY, METADATA_VALUE),
    NoOthers,
]);

pub(in crate::web) const METADATA_ALLOWS_NULL: Schema = Schema(&[
    Type(&[Kind::Object, Kind::Null]),
    PatternProperties(METADATA_KEY, METADATA_VALUE),
    NoOthers,
]);

pub(in crate::web) const IMAGE_METADATA: Schema = Schema(&[
    Type(&[Kind::Object]),
    PatternProperties(
        METADATA_KEY,
        Schema(&[Type(&[Kind::String]), FormatCheck(Format::LongText)]),
    ),
    NoOthers,
]);

pub(in crate::web) const EXTRA_SPECS_WITH_NULL: Schema = Schema(&[
    Type(&[Kind::Object]),
    PatternProperties(METADATA_KEY, NULLABLE_STRING),
    NoOthers,
]);

pub(in crate::web) const EXTRA_SPECS_WITHOUT_BLANKS: Schema = Schema(&[
    Type(&[Kind::Object]),
    PatternProperties(EXTRA_SPEC_KEY, NULLABLE_STRING),
    NoOthers,
]);

pub(in crate::web) const VOLUME_SIZE: Schema = Schema(&[
    Type(&[Kind::Integer, Kind::String]),
    Matches(DIGITS),
    Minimum(1),
    Maximum(MAX_INT),
]);

pub(in crate::web) const VOLUME_SIZE_ALLOWS_NULL: Schema = Schema(&[
    Type(&[Kind::Integer, Kind::String, Kind::Null]),
    Matches(DIGITS),
    Minimum(1),
    Maximum(MAX_INT),
]);

pub(in crate::web) const HOST: Schema = Schema(&[
    Type(&[Kind::String, Kind::Null]),
    MinLength(1),
    MaxLength(255),
    Matches(CINDER_HOST),
]);
