//! The watch that feeds the view.
//!
//! It resumes at the last applied revision, at another endpoint if one fails or lags. If history was compacted meanwhile, or a
//! transaction is missing, the view is loaded anew; readers have the earlier state until then.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::batch::{signed, unsigned};
use super::client::CallError;
use super::fence::Fence;
use super::key_space::Place;
use super::load::load;
use super::node::Node;
use super::proto::{Event, EventType, WatchCreateRequest, WatchResponse};
use super::view::{Changed, MissedChanges};

/// The pauses between attempts.
const RETRY: Duration = Duration::from_millis(100);

/// Why a watch ended.
enum Ended {
    /// It is begun anew after the last applied revision.
    Resume(String),
    /// The view is loaded anew.
    Reload(&'static str),
}

/// Follows etcd, for ever.
pub(super) async fn follow(node: Arc<Node>) {
    let mut at = node.client.preferred();
    loop {
        match watch(&node, at).await {
            Ended::Resume(why) => {
                tracing::debug!(why, "the watch of etcd is begun anew");
                at = (at + 1) % node.client.len();
                sleep(RETRY).await;
            }
            Ended::Reload(why) => {
                tracing::warn!(why, "the view of etcd is loaded anew");
                reload(&node).await;
            }
        }
    }
}

async fn reload(node: &Node) {
    loop {
        match load(&node.client, &node.space, node.view.derivation()).await {
            Ok(loaded) => return node.view.replace(loaded),
            Err(error) => {
                tracing::warn!(%error, "the view of etcd could not be loaded");
                sleep(RETRY).await;
            }
        }
    }
}

async fn watch(node: &Node, at: usize) -> Ended {
    let (key, range_end) = node.space.all();
    let create = WatchCreateRequest {
        key,
        range_end,
        // From the last applied revision, which is skipped, not from the next: etcd before 3.4.36 and 3.5.18 leaves deletions out of a watch
        // that begins at the very revision of a compaction. From an earlier one it refuses, and the view is loaded anew.
        start_revision: signed(node.view.revision()),
        fragment: true,
    };
    let mut responses = match node.client.watch(create, at).await {
        Ok(responses) => responses,
        Err(CallError::Compacted) => return Ended::Reload("history was compacted"),
        Err(error) => return Ended::Resume(error.to_string()),
    };
    let mut events = Vec::new();
    loop {
        let response = tokio::select! {
            biased;
            response = responses.message() => response,
            () = node.lagging.notified() => return Ended::Resume("it lags".to_owned()),
        };
        let response: WatchResponse = match response {
            Ok(Some(response)) => response,
            Ok(None) => return Ended::Resume("the stream ended".to_owned()),
            Err(status) => return Ended::Resume(status.message().to_owned()),
        };
        if response.compact_revision != 0 {
            return Ended::Reload("history was compacted");
        }
        let cluster = response.header.as_ref().map_or(0, |header| header.cluster_id);
        if cluster != 0 && cluster != node.client.cluster() {
            return Ended::Resume(format!("{} belongs to another cluster", node.client.url(at)));
        }
        if response.canceled {
            return Ended::Resume(response.cancel_reason);
        }
        events.extend(response.events);
        if !response.fragment && apply(node, std::mem::take(&mut events)).is_err() {
            return Ended::Reload("a transaction is missing");
        }
    }
}

/// Applies events, revision by revision.
fn apply(node: &Node, events: Vec<Event>) -> Result<(), MissedChanges> {
    let mut revision = 0;
    let mut changed = Changed::default();
    for event in events {
        let is_deleted = event.r#type == i32::from(EventType::Delete);
        let Some(kv) = event.kv else {
            continue;
        };
        let of = unsigned(kv.mod_revision);
        if of != revision {
            finish(node, revision, std::mem::take(&mut changed))?;
            revision = of;
        }
        match node.space.place(&kv.key) {
            Place::Data(key) => changed.entries.push((key, (!is_deleted).then_some(kv.value))),
            Place::Fence(name) => {
                let fence = Fence::decode(&kv.value).filter(|_| !is_deleted);
                changed.fences.push((name, fence));
            }
            Place::Own => {}
            Place::Foreign => tracing::warn!(
                key = %kv.key.escape_ascii(),
                "a key under store.etcd_prefix changed that no control node writes; it is ignored"
            ),
        }
    }
    finish(node, revision, changed)
}

fn finish(node: &Node, revision: u64, changed: Changed) -> Result<(), MissedChanges> {
    if revision == 0 {
        return Ok(());
    }
    if !changed.entries.is_empty() && changed.fences.is_empty() && revision > node.view.revision() {
        tracing::warn!(
            revision,
            key = ?changed.entries.first().map(|(key, _)| key),
            "records in etcd were changed by something that is no control node"
        );
    }
    node.view.apply(revision, changed)
}
