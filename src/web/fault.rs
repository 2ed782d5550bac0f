//! Errors as Cinder's clients know them: the one table from our errors to status, body and headers.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};

use crate::model::Error;
use crate::store::StoreError;
use crate::store::catalog::ListError;
use crate::transport::CallError;

/// An answer that is an error: `{"<name>": {"code": N, "message": "..."}}`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status}: {message}")]
pub struct Fault {
    /// The HTTP status.
    pub status: StatusCode,
    /// The client's text.
    pub message: String,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u32>,
}

impl Fault {
    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: message.into(),
            retry_after: None,
        }
    }

    /// 404 with the text of a route or version that is not there.
    #[must_use]
    pub fn no_such_resource() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            message: "The resource could not be found.".to_owned(),
            retry_after: None,
        }
    }

    /// 404 with this text.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            message: message.into(),
            retry_after: None,
        }
    }
}

impl ResponseError for Fault {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        todo!()
    }
}

impl From<Error> for Fault {
    fn from(_error: Error) -> Self {
        todo!()
    }
}

impl From<CallError> for Fault {
    fn from(error: CallError) -> Self {
        Error::from(error).into()
    }
}

impl From<StoreError> for Fault {
    fn from(_error: StoreError) -> Self {
        todo!()
    }
}

impl From<ListError> for Fault {
    fn from(_error: ListError) -> Self {
        todo!()
    }
}
