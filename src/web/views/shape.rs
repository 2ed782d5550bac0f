//! The shape of an answer: which fields it has, in which versions, and of which types. It stands beside the view that writes the
//! answer, a row of the table of routes names it, and the OpenAPI document shows it (`web::openapi`). Tests compare every answer that
//! they get with it, so it cannot differ from the view for long.

use crate::web::microversion::Microversion;

/// What a value in an answer is.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Any JSON.
    Any,
    /// Always null.
    Null,
    /// A text.
    Text,
    /// A text that this regular expression describes.
    Pattern(&'static str),
    /// A UUID with hyphens.
    Uuid,
    /// A time in UTC, as Cinder writes it: without a zone.
    Time,
    /// An integer.
    Integer,
    /// An integer that is not negative.
    Natural,
    /// A number.
    Number,
    /// A boolean.
    Boolean,
    /// One of these texts.
    Enum(&'static [&'static str]),
    /// One of these texts, which depend on the version.
    Choice(fn(Microversion) -> Vec<&'static str>),
    /// This, or null.
    Nullable(&'static Shape),
    /// A list of these.
    List(&'static Shape),
    /// An object with any keys, and these values.
    Map(&'static Shape),
    /// An object with these fields and no others.
    Object(&'static [Field]),
    /// One of these.
    OneOf(&'static [Shape]),
    /// This, in the format of another version.
    InVersion(Microversion, &'static Shape),
    /// This, under a name of its own in the document.
    Named(&'static str, &'static Shape),
}

/// A field of an object.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// The value.
    pub shape: Shape,
    /// The first minor version that has it.
    pub since: u16,
    /// Whether some objects of this version do not have it.
    pub is_optional: bool,
}

/// A field that every object has.
pub const fn field(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        since: 0,
        is_optional: false,
    }
}

impl Field {
    /// The first minor version that has it.
    #[must_use]
    pub const fn since(self, minor: u16) -> Self {
        Self { since: minor, ..self }
    }

    /// It depends on the caller, or on the resource, whether an object has it.
    #[must_use]
    pub const fn optional(self) -> Self {
        Self {
            is_optional: true,
            ..self
        }
    }
}

/// A UUID or null.
pub const UUID_OR_NULL: Shape = Shape::Nullable(&Shape::Uuid);
/// A text or null.
pub const TEXT_OR_NULL: Shape = Shape::Nullable(&Shape::Text);
/// A time or null.
pub const TIME_OR_NULL: Shape = Shape::Nullable(&Shape::Time);
/// Texts by text.
pub const TEXTS: Shape = Shape::Map(&Shape::Text);
/// Any object.
pub const OBJECT: Shape = Shape::Map(&Shape::Any);
/// The `links` of a resource, and those to the next page.
pub const LINKS: Shape = Shape::Named(
    "links",
    &Shape::List(&Shape::Object(&[
        field("rel", Shape::Text),
        field("href", Shape::Text),
    ])),
);
