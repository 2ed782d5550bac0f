//! Opens a store: connects, checks what is there, takes the node's fence, and loads the view.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::EtcdOptions;
use super::batch::{fenced, unsigned};
use super::client::{CallError, Client};
use super::fence::{self, Fence};
use super::key_space::KeySpace;
use super::load::load;
use super::node::Node;
use super::position::Position;
use super::proto::{Compare, KeyValue, RangeRequest, RequestOp, TxnRequest};
use super::view::View;
use crate::rng;
use crate::store::derived::Derivation;
use crate::store::{Health, StoreError};

/// The first words of the format's key, of a store and of one that is being restored.
const FORMAT: &str = "pumice-etcd 1";
const RESTORING: &str = "pumice-etcd-restoring 1";

/// The pause before an attempt is made again.
const RETRY: Duration = Duration::from_millis(100);

/// The releases of etcd below this one are warned of: they lose events and revoke leases wrongly, and some damage data.
const GOOD: (u32, u32, u32) = (3, 5, 13);

/// A node that is ready to commit.
pub(super) struct Opened {
    pub(super) node: Arc<Node>,
    pub(super) position: Position,
    /// The number of the node's fence, and the revision that wrote it.
    pub(super) fence: (u64, u64),
}

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is created if there is none.
    Use,
    /// There must be none, or only one whose restore did not complete, which is emptied.
    Restore,
}

pub(super) async fn open(
    options: EtcdOptions,
    derivation: Arc<dyn Derivation>,
    purpose: Purpose,
) -> Result<Opened, StoreError> {
    let client = Client::new(&options)?;
    let space = KeySpace::new(&options.prefix);
    let deadline = Instant::now() + options.timeout;
    check_versions(&client).await;
    let store = store_id(&client, &space, purpose, deadline).await?;
    let incarnation = rng::id();
    let found = fence(&client, &space, &options.node, deadline).await?;
    let position = Position {
        cluster: client.cluster(),
        store,
        node: options.node.clone(),
        number: found.map_or(0, |(fence, _)| fence.number),
    };
    if let Some(path) = &options.position
        && let Some(known) = Position::read(path)?
    {
        known.must_agree(&position)?;
    }
    let fence = take_fence(&client, &space, &options, incarnation, deadline).await?;
    let position = Position {
        number: fence.0,
        ..position
    };
    if let Some(path) = &options.position {
        position.write(path)?;
    }
    let begun = Instant::now();
    let loaded = load(&client, &space, derivation.as_ref())
        .await
        .map_err(|error| error.of_read("loading the view of etcd"))?;
    tracing::info!(
        entries = loaded.len(),
        milliseconds = begun.elapsed().as_millis(),
        cluster = format!("{:x}", client.cluster()),
        %store,
        "the view of etcd is loaded"
    );
    let node = Node {
        view: View::new(loaded, derivation),
        client,
        space,
        incarnation,
        number: AtomicU64::new(fence.0),
        health: watch::Sender::new(Health::Well),
        lagging: Notify::new(),
        options,
    };
    Ok(Opened {
        node: Arc::new(node),
        position,
        fence,
    })
}

/// Accepts the state of etcd for a node, whatever the node remembers.
pub(super) async fn adopt(options: &EtcdOptions) -> Result<Position, StoreError> {
    let client = Client::new(options)?;
    let space = KeySpace::new(&options.prefix);
    let deadline = Instant::now() + options.timeout;
    let store = store_id(&client, &space, Purpose::Use, deadline).await?;
    let fence = fence(&client, &space, &options.node, deadline).await?;
    let position = Position {
        cluster: client.cluster(),
        store,
        node: options.node.clone(),
        number: fence.map_or(0, |(fence, _)| fence.number),
    };
    if let Some(path) = &options.position {
        position.write(path)?;
    }
    Ok(position)
}

/// Warns of old releases. An endpoint that does not answer is not waited for.
async fn check_versions(client: &Client) {
    for at in 0..client.len() {
        let url = client.url(at);
        match client.status(at).await {
            Ok(status) if version(&status.version).is_none_or(|version| version < GOOD) => tracing::warn!(
                url,
                version = status.version,
                "this release of etcd has faults that later ones do not have; 3.5.13 or newer is recommended"
            ),
            Ok(_) => {}
            Err(error) => tracing::warn!(url, %error, "a member of etcd does not answer"),
        }
    }
}

fn version(text: &str) -> Option<(u32, u32, u32)> {
    let text = text.split(['-', '+']).next()?;
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

async fn get(client: &Client, key: Vec<u8>, deadline: Instant) -> Result<Option<KeyValue>, StoreError> {
    let range = RangeRequest {
        key,
        ..RangeRequest::default()
    };
    let found = client
        .range(range, deadline)
        .await
        .map_err(|error| error.of_read("opening the store in etcd"))?;
    Ok(found.kvs.into_iter().next())
}

/// The id of the store, which is created if there is none.
async fn store_id(
    client: &Client,
    space: &KeySpace,
    purpose: Purpose,
    deadline: Instant,
) -> Result<Uuid, StoreError> {
    let key = space.format();
    let is_restored = purpose == Purpose::Restore;
    loop {
        if let Some(found) = get(client, key.clone(), deadline).await? {
            let text = String::from_utf8_lossy(&found.value).into_owned();
            let id = |format: &str| Uuid::parse_str(text.strip_prefix(format)?.trim()).ok();
            return match (id(FORMAT), id(RESTORING)) {
                (Some(_), _) if is_restored => Err(StoreError::new(
                    "there is a store under store.etcd_prefix already: choose another prefix, or delete it by `etcdctl del --prefix` \
                     with all control nodes stopped",
                )),
                (Some(id), _) => Ok(id),
                (None, Some(id)) if is_restored => {
                    let (low, high) = space.entries();
                    client
                        .delete_range(low, high, deadline)
                        .await
                        .map_err(|error| error.of_read("emptying the store in etcd"))?;
                    Ok(id)
                }
                (None, Some(_)) => Err(StoreError::new(
                    "the store under store.etcd_prefix was not restored or migrated to its end: do that again",
                )),
                (None, None) => Err(StoreError::new(format!(
                    "store.etcd_prefix has '{text}' where '{FORMAT}' and an id is expected: was this program downgraded, or does \
                     something else use the prefix?"
                ))),
            };
        }
        let format = if is_restored { RESTORING } else { FORMAT };
        let value = format!("{format} {}", rng::id());
        let created = client
            .txn(TxnRequest {
                compare: vec![Compare::unchanged(key.clone(), 0)],
                success: vec![RequestOp::put(key.clone(), value.into_bytes())],
                failure: Vec::new(),
            })
            .await;
        retryable(created, "creating the store in etcd", deadline).await?;
    }
}

/// Marks a restored store as complete.
pub(super) async fn complete(node: &Node, store: Uuid) -> Result<(), StoreError> {
    let deadline = Instant::now() + node.options.timeout;
    let (key, value) = (node.space.format(), format!("{FORMAT} {store}").into_bytes());
    loop {
        let found = get(&node.client, key.clone(), deadline).await?;
        if found.is_some_and(|found| found.value == value) {
            return Ok(());
        }
        let request = TxnRequest {
            success: vec![RequestOp::put(key.clone(), value.clone())],
            ..TxnRequest::default()
        };
        retryable(
            node.client.txn(request).await,
            "completing the store in etcd",
            deadline,
        )
        .await?;
    }
}

async fn fence(
    client: &Client,
    space: &KeySpace,
    node: &str,
    deadline: Instant,
) -> Result<Option<(Fence, u64)>, StoreError> {
    let Some(found) = get(client, space.fence(node), deadline).await? else {
        return Ok(None);
    };
    let fence = Fence::decode(&found.value)
        .ok_or_else(|| StoreError::new(format!("the fence of {node} in etcd is damaged")))?;
    Ok(Some((fence, unsigned(found.mod_revision))))
}

/// Takes the fence of the node, so that transactions of an earlier process fail from now on.
async fn take_fence(
    client: &Client,
    space: &KeySpace,
    options: &EtcdOptions,
    incarnation: Uuid,
    deadline: Instant,
) -> Result<(u64, u64), StoreError> {
    loop {
        let (number, revision) = match fence(client, space, &options.node, deadline).await? {
            Some((fence, revision)) if fence.incarnation == incarnation => {
                return Ok((fence.number, revision));
            }
            Some((fence, revision)) => (fence.number, revision),
            None => (0, 0),
        };
        let own = Fence {
            incarnation,
            number: number + 1,
            purpose: fence::Purpose::Exclusion,
        };
        let taken = client.txn(fenced(space, &options.node, own, revision)).await;
        retryable(taken, "taking the node's fence in etcd", deadline).await?;
    }
}

/// Whether what was tried can be looked at and tried again.
async fn retryable<T>(result: Result<T, CallError>, what: &str, deadline: Instant) -> Result<(), StoreError> {
    match result {
        Ok(_) => Ok(()),
        Err(CallError::NoSpace(why)) => Err(StoreError {
            no_space: true,
            ..StoreError::new(format!("{what}: {why}"))
        }),
        Err(CallError::NotNow(_) | CallError::Unknown(_)) if Instant::now() < deadline => {
            sleep(RETRY).await;
            Ok(())
        }
        Err(error) => Err(error.of_read(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_their_numbers() {
        let of = |text: &str| version(text).is_some_and(|version| version >= GOOD);
        for (text, is_good) in [
            ("3.4.23", false),
            ("3.5.9", false),
            ("3.5.13", true),
            ("3.10.0-rc.1", true),
            ("4.0.0", true),
            ("three", false),
        ] {
            assert_eq!(of(text), is_good, "{text}");
        }
    }
}
