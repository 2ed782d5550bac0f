//! To the **Api** actor: reports of backends, and requests to backends. Requests of clients are in the verbs' files
//! ([`crate::verbs`]).

mod manage;
mod operation_ended;
mod reports;
mod run_once;
mod take_operation;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::topic;

pub use manage::*;
pub use operation_ended::*;
pub use reports::*;
pub use run_once::*;
pub use take_operation::*;

topic!(
    /// The Api actor.
    ApiTopic = "api", versions 1..=9
);

/// A change of metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetadataChange {
    /// Add or overwrite these keys.
    Merge(BTreeMap<String, String>),
    /// Replace all keys by these.
    Replace(BTreeMap<String, String>),
    /// Remove this key; 404 if it does not exist.
    Remove(String),
}
