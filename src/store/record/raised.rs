//! The record of a later release, for tests of upgrades ([`crate::raised`]): the fields of the present one, and one more.

use serde::{Deserialize, Serialize};

use super::Record;
use crate::model::Volume;

/// Whether this process has a version more of this kind.
pub(super) fn is_raised(kind: u8) -> bool {
    kind == Volume::KIND && crate::raised::is_raised()
}

/// A record with a field more.
#[derive(Serialize, Deserialize)]
pub(super) struct Raised<R> {
    pub(super) record: R,
    further: String,
}

impl<'a, R> Raised<&'a R> {
    pub(super) fn new(record: &'a R) -> Self {
        Self {
            record,
            further: "of a later release".to_owned(),
        }
    }
}
