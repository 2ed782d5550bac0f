//! How a question to the Api actor is repeated that must be answered before the backend can serve.

use std::time::Duration;

use crate::backoff::Backoff;

/// The pause after the first question that was not answered.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two questions.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The pauses between a question and its repetitions.
pub(super) fn ask_again() -> Backoff {
    Backoff::new(FIRST_PAUSE, LONGEST_PAUSE)
}
