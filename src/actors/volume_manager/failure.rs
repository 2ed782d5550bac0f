//! From a driver's error to the report's failure: what the owner reads, what the operator reads, what comes next.

use super::worker::WorkError;
use crate::drivers::DriverError;
use crate::messages::api::{Failure, FailureKind};

/// Says it in the report's terms.
#[must_use]
pub fn failure(error: &DriverError) -> Failure {
    let (kind, client) = match error {
        DriverError::NoSpace { .. } => (FailureKind::NoSpace, "There is not enough space on the backend."),
        DriverError::NotFound { client, .. } | DriverError::Failed { client, .. } => {
            (FailureKind::Backend, client.as_str())
        }
        DriverError::Busy { .. } => (FailureKind::Busy, "The volume is in use on the backend."),
        DriverError::Refused { client } => (FailureKind::Request, client.as_str()),
        // Never told: see `WorkError::Stopping`.
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

/// How the end of a piece of work looks to a flow: a driver's error, or `None` when the manager is stopping and the
/// operation is to stay parked.
#[must_use]
pub fn settled(error: WorkError) -> Option<DriverError> {
    match error {
        WorkError::Driver(error) => Some(error),
        WorkError::Panicked(text) => Some(DriverError::Failed {
            client: "The backend failed unexpectedly.".to_owned(),
            operator: format!("the driver panicked: {text}"),
        }),
        WorkError::Stopping => None,
    }
}
