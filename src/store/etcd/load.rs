//! Reads the whole store at one revision, in pages.
//!
//! etcd counts the rest of a range for each page, so pages are large: 100,000 volumes are some hundred thousand keys.

use std::time::Duration;

use tokio::time::Instant;

use super::batch::unsigned;
use super::client::{CallError, Client};
use super::fence::Fence;
use super::key_space::{KeySpace, Place};
use super::proto::RangeRequest;
use super::view::Loaded;
use crate::store::derived::Derivation;

/// The keys of a page: a few MiB as a rule.
const PAGE: i64 = 4000;

/// How long one page may take.
const PAGE_TIME: Duration = Duration::from_secs(30);

/// All entries and fences of the store.
pub(super) async fn load(
    client: &Client,
    space: &KeySpace,
    derivation: &dyn Derivation,
) -> Result<Loaded, CallError> {
    let (mut key, range_end) = space.all();
    let mut loaded = Loaded::default();
    let mut revision = 0;
    let mut foreign = 0_usize;
    loop {
        let page = RangeRequest {
            key,
            range_end: range_end.clone(),
            limit: PAGE,
            revision,
        };
        let page = client.range(page, Instant::now() + PAGE_TIME).await?;
        if revision == 0 {
            revision = page.header.as_ref().map_or(0, |header| header.revision);
        }
        for kv in &page.kvs {
            match space.place(&kv.key) {
                Place::Data(key) => loaded.entry(derivation, key, &kv.value, unsigned(kv.mod_revision)),
                Place::Fence(node) => match Fence::decode(&kv.value) {
                    Some(fence) => loaded.fence(node, fence, unsigned(kv.mod_revision)),
                    None => foreign += 1,
                },
                Place::Own => {}
                Place::Foreign => foreign += 1,
            }
        }
        match page.kvs.last() {
            Some(last) if page.more => key = [last.key.as_ref(), &[0]].concat(),
            _ => break,
        }
    }
    if foreign > 0 {
        tracing::warn!(
            foreign,
            "there are keys under store.etcd_prefix that no control node wrote; they are ignored"
        );
    }
    Ok(loaded.at(unsigned(revision)))
}
