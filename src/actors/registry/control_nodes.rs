//! Joins the control nodes that share the store, says that this one runs, and finds those that do not.
//!
//! Each node counts in the store, and reads how far the others have counted. One that does not count for a while is *down*: its
//! record is changed in one commit, after which it can commit nothing ([`crate::model::control_node`]), and others take over
//! its operations. A node that was only slow notices it at its next commit, and ends.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tracing::{error, info, warn};

use crate::control::ControlNodes;
use crate::model::control_node::{ControlNode, ControlNodeState};
use crate::model::{NodeIncarnation, Timestamp};
use crate::store::catalog::{Catalog, Stored};
use crate::store::{CommitError, StoreError};

/// The part of the silence after which a node is fenced within which it may send commands after its last beat: the rest is for clocks that do
/// not run equally fast, and for a command on its way to its connection.
const LEASE: f64 = 0.8;

/// How often it is tried to write the own record while others change it.
const JOIN_TRIES: u32 = 8;

/// The times of control nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlNodeOptions {
    /// How often a node says that it runs.
    pub beat_interval: Duration,
    /// After how much silence it is down.
    pub down_after: Duration,
}

impl Default for ControlNodeOptions {
    fn default() -> Self {
        Self {
            beat_interval: Duration::from_secs(1),
            down_after: Duration::from_secs(5),
        }
    }
}

/// Why a node cannot join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Another process has its name.
    #[error(
        "another control node named {node} runs ({incarnation}): give this one another name (node.host), or stop that one"
    )]
    NameTaken {
        /// The name.
        node: String,
        /// The run of the other process.
        incarnation: NodeIncarnation,
    },
    /// The records of the store have versions that this program does not read.
    #[error(
        "the store has records of a later release, {0}: upgrade this node; no other version can be used any more"
    )]
    TooOld(String),
    /// Others change its record all the time.
    #[error("the record of control node {0} is changed by others again and again")]
    Contended(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes the record of this process, which fences a former one of the same name, and returns the catalog whose commits require it.
/// A former process with the same data folder has ended, because this one is the owner of the folder now. Another one that did not say that
/// it ended has to be silent for as long as one that is down: only time shows that it does not run.
///
/// # Errors
/// See [`JoinError`].
pub async fn join(
    catalog: &Catalog,
    own: &NodeIncarnation,
    data_folder: u64,
    options: ControlNodeOptions,
) -> Result<(Catalog, ControlNodes), JoinError> {
    let node = ControlNode {
        incarnation: own.clone(),
        state: ControlNodeState::Up,
        data_folder,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: Timestamp::now(),
    };
    for _ in 0..JOIN_TRIES {
        let versions = catalog.versions_to_join().await?.map_err(JoinError::TooOld)?;
        let was = catalog.control_node(&own.node).await?;
        let mut begun = Instant::now();
        let mut changes = catalog.change();
        changes.expect_versions(versions.as_ref());
        match &was {
            Some(was) => {
                if was.state == ControlNodeState::Up && was.data_folder != data_folder {
                    silence_of(catalog, was, options).await?;
                    begun = Instant::now();
                }
                changes.update(was, &node);
            }
            None => {
                changes.insert(&node);
            }
        }
        match changes.commit().await {
            Ok(revision) => {
                info!(node = own.node, incarnation = %own, "this control node has joined those that share the store");
                let nodes = ControlNodes::sharing(own.clone(), options.down_after.mul_f64(LEASE));
                nodes.note_beat(begun);
                return Ok((catalog.fenced(&node, revision), nodes));
            }
            Err(CommitError::Conflict(_)) => {}
            Err(CommitError::Store(error)) => return Err(error.into()),
            Err(error @ CommitError::OverCeiling { .. }) => {
                return Err(StoreError::new("a commit without a ceiling was over one")
                    .caused_by(error)
                    .into());
            }
        }
    }
    Err(JoinError::Contended(own.node.clone()))
}

/// Waits until a former process of this name was silent for long enough.
async fn silence_of(
    catalog: &Catalog,
    was: &Stored<ControlNode>,
    options: ControlNodeOptions,
) -> Result<(), JoinError> {
    let node = &was.incarnation.node;
    let beat = catalog.control_node_beat(node).await?;
    info!(
        node,
        seconds = options.down_after.as_secs_f64(),
        "a former process of this name did not say that it ended: waiting until it was silent for long enough"
    );
    let until = Instant::now() + options.down_after;
    while Instant::now() < until {
        tokio::time::sleep(options.beat_interval.min(options.down_after)).await;
        let is_changed = catalog
            .control_node(node)
            .await?
            .is_none_or(|now| now.revision != was.revision);
        if is_changed {
            // It has ended meanwhile, or others write the record, too: the commit will show.
            return Ok(());
        }
        if catalog.control_node_beat(node).await? != beat {
            return Err(JoinError::NameTaken {
                node: node.clone(),
                incarnation: was.incarnation.clone(),
            });
        }
    }
    Ok(())
}

/// Says that this process ends by itself, so that others take over its operations at once.
///
/// # Errors
/// Those of the store, and a conflict if another node has fenced this one.
pub async fn leave(catalog: &Catalog, nodes: &ControlNodes) -> Result<(), CommitError> {
    let Some(own) = nodes.own() else {
        return Ok(());
    };
    let Some(was) = catalog.control_node(&own.node).await? else {
        return Ok(());
    };
    let mut changes = catalog.change();
    changes.update(
        &was,
        &ControlNode {
            state: ControlNodeState::Stopped,
            ..was.record.clone()
        },
    );
    changes.commit().await.map(drop)
}

/// What is known of another node.
struct Seen {
    node: ControlNode,
    beat: u64,
    /// When it was seen to count.
    at: Instant,
}

/// Watches the others; see the module.
pub struct Monitor {
    catalog: Catalog,
    nodes: ControlNodes,
    options: ControlNodeOptions,
    beat: u64,
    /// When the others were looked at.
    looked: Instant,
    seen: BTreeMap<String, Seen>,
}

impl Monitor {
    /// Of a catalog that [`join`] returned.
    pub fn new(catalog: Catalog, nodes: ControlNodes, options: ControlNodeOptions) -> Self {
        Self {
            catalog,
            nodes,
            options,
            beat: 0,
            looked: Instant::now(),
            seen: BTreeMap::new(),
        }
    }

    /// Runs until this process is fenced; returns at once if no others share the store.
    pub async fn run(mut self) {
        let Some(own) = self.nodes.own().cloned() else {
            return;
        };
        let mut ticks = tokio::time::interval(self.options.beat_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.round(&own).await {
                Ok(true) => {}
                Ok(false) => {
                    let why = format!("another node has found {own} silent, and taken over its operations");
                    error!(why, "this control node may not commit any more");
                    self.nodes.note_fenced(why);
                    return;
                }
                Err(error) => warn!(%error, "this control node cannot say that it runs, trying again"),
            }
        }
    }

    /// False once this process is fenced.
    async fn round(&mut self, own: &NodeIncarnation) -> Result<bool, StoreError> {
        self.beat += 1;
        let begun = Instant::now();
        let mut changes = self.catalog.change();
        changes.beat(&own.node, self.beat);
        match changes.commit().await {
            Ok(_) => self.nodes.note_beat(begun),
            Err(CommitError::Conflict(_)) => return self.catalog.may_commit().await,
            Err(CommitError::Store(error)) => return Err(error),
            Err(error @ CommitError::OverCeiling { .. }) => {
                return Err(StoreError::new("a commit without a ceiling was over one").caused_by(error));
            }
        }
        let now = Instant::now();
        if now.duration_since(self.looked) > self.options.down_after / 2 {
            // This process stood still, or the store did not answer it: others are given their time again, who may not have been able to
            // count either.
            self.seen.clear();
        }
        self.looked = now;
        self.catalog.follow_versions().await?;
        // Only after an own commit: what is read now is not older than that.
        for node in self.catalog.control_nodes().await? {
            if node.incarnation.node != own.node {
                self.look_at(node).await?;
            }
        }
        Ok(true)
    }

    async fn look_at(&mut self, node: Stored<ControlNode>) -> Result<(), StoreError> {
        let name = node.incarnation.node.clone();
        let beat = match node.state {
            ControlNodeState::Up => self.catalog.control_node_beat(&name).await?,
            ControlNodeState::Stopped | ControlNodeState::Down => 0,
        };
        let now = Instant::now();
        match self.seen.get_mut(&name) {
            Some(seen) if seen.node == node.record => {
                if seen.beat != beat {
                    (seen.beat, seen.at) = (beat, now);
                }
            }
            known => {
                if known.is_some_and(|known| known.node != node.record) {
                    info!(node = name, state = ?node.state, incarnation = %node.incarnation, "a control node has changed");
                    self.nodes.note_change();
                }
                let seen = Seen {
                    node: node.record.clone(),
                    beat,
                    at: now,
                };
                self.seen.insert(name.clone(), seen);
            }
        }
        let seen_at = self.seen.get(&name).map_or(now, |seen| seen.at);
        self.nodes.note_seen(&name, seen_at);
        let is_silent = now.duration_since(seen_at) >= self.options.down_after;
        if node.state == ControlNodeState::Up && is_silent {
            self.fence(&node).await?;
        }
        Ok(())
    }

    /// After this commit, that process commits nothing.
    async fn fence(&mut self, node: &Stored<ControlNode>) -> Result<(), StoreError> {
        let mut changes = self.catalog.change();
        changes.update(
            node,
            &ControlNode {
                state: ControlNodeState::Down,
                ..node.record.clone()
            },
        );
        match changes.commit().await {
            Ok(_) => {
                warn!(
                    node = node.incarnation.node,
                    incarnation = %node.incarnation,
                    silent_for = ?self.options.down_after,
                    "a control node is down: it was silent for too long"
                );
                self.seen.remove(&node.incarnation.node);
                self.nodes.note_change();
                Ok(())
            }
            // Another node was faster, or it has ended by itself: read in the next round.
            Err(CommitError::Conflict(_) | CommitError::OverCeiling { .. }) => Ok(()),
            Err(CommitError::Store(error)) => Err(error),
        }
    }
}
