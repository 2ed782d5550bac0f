//! Retries of requests to the Api actor that must be answered before the backend can serve.

use std::time::Duration;

use crate::backoff::Backoff;

/// The pause after the first failed request.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two requests.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The pauses between the retries of a request.
pub(super) fn ask_again() -> Backoff {
    Backoff::new(FIRST_PAUSE, LONGEST_PAUSE)
}
