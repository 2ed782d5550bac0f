//! What a row says of its parameters and of its answers, for the OpenAPI document (`web::openapi`). What follows from other parts of
//! the row, such as the 403 of a route with a rule, is not said again.

use super::RouteInfo;
use crate::web::views::shape::Shape;

/// A parameter in the query, or a header.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// The name.
    pub name: &'static str,
    /// What its text means.
    pub shape: Shape,
    /// Whether it is a header.
    pub is_header: bool,
    /// Whether a request without it is refused.
    pub is_required: bool,
    /// The first minor version that has it.
    pub since: u16,
}

/// A parameter in the query.
pub const fn query(name: &'static str, shape: Shape) -> Parameter {
    Parameter {
        name,
        shape,
        is_header: false,
        is_required: false,
        since: 0,
    }
}

/// A header.
pub const fn header(name: &'static str) -> Parameter {
    Parameter {
        is_header: true,
        ..query(name, Shape::Text)
    }
}

impl Parameter {
    /// The first minor version that has it.
    #[must_use]
    pub const fn since(self, minor: u16) -> Self {
        Self { since: minor, ..self }
    }

    /// A request without it is refused.
    #[must_use]
    pub const fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }
}

/// An answer that is no fault.
#[derive(Clone, Copy, Debug)]
pub struct Success {
    /// The status.
    pub status: u16,
    /// The body.
    pub content: Content,
}

/// The body of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Content {
    /// None.
    Nothing,
    /// JSON.
    Json(Shape),
    /// A page of a list.
    Page(Page),
    /// Another type.
    Other(&'static str),
}

/// A page of a list (see [`Listed`](crate::web::views::Listed)).
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The key of the list.
    pub name: &'static str,
    /// Its items.
    pub item: Shape,
    /// The key of the link to the next page, if there are any.
    pub links: Option<&'static str>,
    /// Whether it can have a `count` (since 3.45).
    pub counts: bool,
}

impl RouteInfo {
    /// 200 with this body.
    pub fn ok(&mut self, shape: Shape) -> &mut Self {
        self.answers(200, Content::Json(shape))
    }

    /// 202 with this body.
    pub fn accepted(&mut self, shape: Shape) -> &mut Self {
        self.answers(202, Content::Json(shape))
    }

    /// This status without a body.
    pub fn empty(&mut self, status: u16) -> &mut Self {
        self.answers(status, Content::Nothing)
    }

    /// This status with this body.
    pub fn answers(&mut self, status: u16, content: Content) -> &mut Self {
        self.successes.push(Success { status, content });
        self
    }

    /// It is served, and refuses every request.
    pub fn always_refused(&mut self) -> &mut Self {
        self.is_always_refused = true;
        self
    }

    /// Faults besides those that follow from the rest of the row.
    pub fn faults(&mut self, statuses: &'static [u16]) -> &mut Self {
        self.faults.extend(statuses);
        self
    }

    /// Its parameters in the query and in headers.
    pub fn parameters(&mut self, parameters: &[Parameter]) -> &mut Self {
        self.parameters.extend(parameters);
        self
    }
}
