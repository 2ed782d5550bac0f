//! What schemas are written with.

pub(in crate::web) use super::Check::{
    AnyOf, AtMostOne, Enum, Format as FormatCheck, Matches, MaxLength, Maximum, MinLength, Minimum, NoOthers,
    NotEmpty, PatternProperties, Properties, Required, Type, UniqueItems,
};
pub(in crate::web) use super::format::DIGITS_OR_NOTHING;
pub(in crate::web) use super::parameter_types::*;
pub(in crate::web) use super::{
    Format, Kind, Pattern, Schema, boolean, either, envelope, object, text, text_map, texts, trimmed, uuid,
    whole,
};
