//! What every handler works with, so that a file of handlers names only what is its own.

pub(super) use actix_web::HttpResponse;
pub(super) use actix_web::http::StatusCode;

pub(super) use super::accepted;
pub(super) use super::query::Query;
pub(super) use crate::web::caller::Caller;
pub(super) use crate::web::fault::{Fault, HandlerResult};
pub(super) use crate::web::offload::Offload;
pub(super) use crate::web::request::Body;
pub(super) use crate::web::routes::{ActionOn, Subject, SubjectPath};
pub(super) use crate::web::state::{State, WebState};
pub(super) use crate::web::views::{Items, Json, Named, answer, ok};
