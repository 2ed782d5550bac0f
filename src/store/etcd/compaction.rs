//! Removes the history of etcd, which otherwise grows with each commit.
//!
//! In each interval one node wins a transaction on a common key. History up to the revision that wrote the key in the interval before
//! is removed, so a watch that is behind by less than an interval can resume. That revision deletes nothing: of one that does, etcd before
//! 3.4.34 and 3.5.16 would remove the deletions from the history that is left.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::batch::unsigned;
use super::client::CallError;
use super::node::Node;
use super::proto::{Compare, RangeRequest, RequestOp, TxnRequest};

/// Compacts, for ever.
pub(super) async fn run(node: Arc<Node>) {
    let interval = node.options.compact_interval;
    if interval.is_zero() {
        return;
    }
    let mut seen = None;
    loop {
        sleep(interval).await;
        if let Err(error) = compact(&node, &mut seen).await {
            tracing::warn!(%error, "the history of etcd could not be removed; it is tried again in the next interval");
        }
    }
}

/// Removes the history before the last interval, unless another node did since `seen`.
async fn compact(node: &Node, seen: &mut Option<i64>) -> Result<(), CallError> {
    let deadline = Instant::now() + node.options.timeout;
    let key = node.space.compaction();
    let range = RangeRequest {
        key: key.clone(),
        ..RangeRequest::default()
    };
    let found = node.client.range(range, deadline).await?;
    let written = found.kvs.first().map_or(0, |kv| kv.mod_revision);
    if seen.replace(written) != Some(written) {
        return Ok(());
    }
    let now = found
        .header
        .as_ref()
        .map_or(0, |header| unsigned(header.revision));
    let won = node
        .client
        .txn(TxnRequest {
            compare: vec![Compare::unchanged(key.clone(), written)],
            success: vec![RequestOp::put(key, now.to_string().into_bytes())],
            failure: Vec::new(),
        })
        .await?;
    if won.succeeded {
        *seen = won.header.map(|header| header.revision);
        if written > 0 {
            node.client.compact(written, deadline).await?;
        }
    }
    Ok(())
}
