//! Which versions of records this program reads.

use std::collections::BTreeMap;

use futures_util::FutureExt;

use super::kinds::{Kind, KindVisitor, every_kind};
use crate::store::StoreError;

#[derive(Default)]
struct Versions(BTreeMap<u8, u8>);

impl KindVisitor for Versions {
    async fn kind<K: Kind>(&mut self) -> Result<(), StoreError> {
        self.0.insert(K::KIND, K::VERSION);
        Ok(())
    }
}

/// The newest version of each kind of record that this program reads.
pub fn versions_read() -> BTreeMap<u8, u8> {
    let mut versions = Versions::default();
    let walked = every_kind(&mut versions).now_or_never();
    walked
        .and_then(Result::ok)
        .expect("this visitor neither waits nor fails");
    versions.0
}
