//! `[log]`: what is logged, and in which form.

use serde::Deserialize;

use super::reading::{section, settings};

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For programs: one object a line.
    Json,
}

settings! { read_plain; Format: "\"auto\", \"text\" or \"json\"" }

section! {
    /// What is logged, and in which form. Lines go to standard error.
    Log {
        /// The least level, and exceptions by module: `info`, `info,pumice::transport=debug`.
        filter: String = "info,actix_server=warn,actix_http::h1=off".to_owned(),
        /// The form of a line.
        format: Format = Format::Auto,
    }
}
