//! The control nodes that share the store, as this process knows them: which operations it runs, and whether it may still commit.
//!
//! An operation is run by its owner: the process that began it or committed its last stage. Any process may commit any
//! stage, since each commit compares what it has read; the owner is the one that sends commands and watches deadlines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::model::{NodeIncarnation, Operation};

/// See the module. Cheap to clone; clones share the state.
#[derive(Clone, Debug, Default)]
pub struct ControlNodes {
    shared: Option<Arc<Shared>>,
}

#[derive(Debug)]
struct Shared {
    own: NodeIncarnation,
    /// Increases when a node has joined, ended, or was found down.
    changes: watch::Sender<u64>,
    /// Why this process may not commit any more.
    fenced: watch::Sender<Option<String>>,
    /// How long after the begin of a beat this process may send commands.
    lease: Duration,
    /// When the last successful beat of this process was begun.
    beat: Mutex<Instant>,
    /// When other nodes were last seen to count.
    seen: Mutex<BTreeMap<String, Instant>>,
}

impl ControlNodes {
    /// Of a process whose store no other process can open.
    pub fn alone() -> Self {
        Self::default()
    }

    /// Of a process that shares its store with others, and has just joined them. `lease` is shorter than the silence after which others
    /// fence it.
    pub fn sharing(own: NodeIncarnation, lease: Duration) -> Self {
        Self {
            shared: Some(Arc::new(Shared {
                own,
                changes: watch::Sender::new(0),
                fenced: watch::Sender::new(None),
                lease,
                beat: Mutex::new(Instant::now()),
                seen: Mutex::default(),
            })),
        }
    }

    /// Says that a beat of this process was committed, which was begun at that time.
    pub fn note_beat(&self, begun: Instant) {
        if let Some(shared) = &self.shared {
            *shared.beat.lock() = begun;
        }
    }

    /// Whether this process may send commands to backends: no other can have fenced it yet. One that cannot commit does not learn from the
    /// store that others have taken over its operations, and must not send their commands any more.
    pub fn may_send_commands(&self) -> bool {
        let Some(shared) = &self.shared else {
            return true;
        };
        let begun = *shared.beat.lock();
        begun.elapsed() < shared.lease
    }

    /// Says that another node was seen to count.
    pub fn note_seen(&self, node: &str, at: Instant) {
        if let Some(shared) = &self.shared {
            shared.seen.lock().insert(node.to_owned(), at);
        }
    }

    /// How long ago another node was last seen to count; `None` if it never was, or no others share the store.
    pub fn silence_of(&self, node: &str) -> Option<Duration> {
        let shared = self.shared.as_ref()?;
        let seen = shared.seen.lock();
        seen.get(node).map(Instant::elapsed)
    }

    /// This process, if others share the store.
    pub fn own(&self) -> Option<&NodeIncarnation> {
        self.shared.as_ref().map(|shared| &shared.own)
    }

    /// Whether this process runs an operation.
    pub fn run_here(&self, operation: &Operation) -> bool {
        self.own().is_none_or(|own| operation.owner.as_ref() == Some(own))
    }

    /// Says that a node has joined, ended, or was found down.
    pub fn note_change(&self) {
        if let Some(shared) = &self.shared {
            shared.changes.send_modify(|changes| *changes += 1);
        }
    }

    /// A receiver that is woken by each [`ControlNodes::note_change`]; `None` if no others share the store.
    pub fn changes(&self) -> Option<watch::Receiver<u64>> {
        self.shared.as_ref().map(|shared| shared.changes.subscribe())
    }

    /// Says that this process may not commit any more.
    pub fn note_fenced(&self, why: String) {
        if let Some(shared) = &self.shared {
            shared.fenced.send_replace(Some(why));
        }
    }

    /// Returns the reason once this process may not commit any more. It must end then: what it knows is out of date.
    pub async fn fenced(&self) -> String {
        let Some(shared) = &self.shared else {
            return std::future::pending().await;
        };
        let mut fenced = shared.fenced.subscribe();
        match fenced.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            // The sender lives as long as `self`.
            Err(_) => std::future::pending().await,
        }
    }
}
