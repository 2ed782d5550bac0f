//! From a driver's error to the report's failure: the text for the volume's owner, the text for the operator, and the kind
//! that determines the control node's reaction.

use super::workers::WorkError;
use crate::drivers::DriverError;
use crate::messages::api::{Failure, FailureKind};

/// The report's failure for a driver's error.
pub fn failure(error: &DriverError) -> Failure {
    let (kind, client) = match error {
        DriverError::NoSpace { .. } => (FailureKind::NoSpace, "There is not enough space on the backend."),
        DriverError::NotFound { client, .. } | DriverError::Failed { client, .. } => {
            (FailureKind::Backend, client.as_str())
        }
        DriverError::Busy { .. } => (FailureKind::Busy, "The volume is in use on the backend."),
        DriverError::Unavailable { client, .. } => (FailureKind::Busy, client.as_str()),
        DriverError::Refused { client } => (FailureKind::Request, client.as_str()),
        // Never reported: see `WorkError::Stopping`.
        DriverError::Superseded { .. } => (FailureKind::TimedOut, "The backend was taken over."),
        DriverError::TimedOut => (FailureKind::TimedOut, "The backend did not finish in time."),
        DriverError::Cancelled => (FailureKind::Cancelled, "The operation was cancelled."),
    };
    Failure {
        kind,
        client: client.to_owned(),
        operator: error.to_string(),
    }
}

/// The driver's error of a piece of work that failed; `None` if the manager is stopping and the operation stays in the journal.
pub fn driver_error(error: WorkError) -> Option<DriverError> {
    match error {
        WorkError::Driver(error) => Some(error),
        WorkError::Panicked(text) => Some(DriverError::failed(
            "The backend failed unexpectedly.",
            format!("the driver panicked: {text}"),
        )),
        WorkError::Stopping => None,
    }
}
