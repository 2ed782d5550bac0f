//! To the **Api** actor: what backends report, and what is asked of backends. What clients want changed is in the verbs' files
//! ([`crate::verbs`]).

mod manage;
mod reports;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::topic;

pub use manage::*;
pub use reports::*;

topic!(
    /// The Api actor.
    ApiTopic = "api", versions 1..=5
);

/// How metadata is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetadataChange {
    /// Add or overwrite these keys.
    Merge(BTreeMap<String, String>),
    /// These and no others.
    Replace(BTreeMap<String, String>),
    /// Without this key; 404 if it is not there.
    Remove(String),
}
