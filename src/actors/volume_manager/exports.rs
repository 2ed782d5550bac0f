//! The exports that a backend owes to those who have its volumes: restored when the manager starts, and when the target daemon
//! was started anew. What cannot be restored is tried again until it can be.
//!
//! All of it goes on beside the commands and the heartbeat, and may take as long as the target does: each verb is alone on its
//! volume, and asks the ledger only then what is owed. Commands may connect and disconnect the same volumes meanwhile.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::VolumeManager;
use super::failure::settled;
use super::parts::Readiness;
use super::worker::{Chore, Claim};
use crate::drivers::target::{TargetDriver, outliving};
use crate::drivers::{DriverError, VolumeDriver, Work};
use crate::model::{AttachMode, StorageName, VolumeId};

/// How often the target daemon is looked at.
const TICK: Duration = Duration::from_millis(500);

/// How long one export may take to be restored or taken away. It is tried again, and holds a worker meanwhile.
const LIMIT: Duration = Duration::from_secs(60);

/// Whether the target was tried to be made ready.
pub(super) struct Exports {
    tried: watch::Sender<bool>,
    has_target: bool,
}

/// What is restored, and what is not yet.
struct State {
    is_set_up: bool,
    /// The daemon's, that all of it was restored for.
    generation: Option<u64>,
    owed: Vec<VolumeId>,
    pause: Duration,
    again: Instant,
}

impl Exports {
    pub(super) fn new(manager: &VolumeManager) -> Self {
        Self {
            tried: watch::Sender::new(false),
            has_target: manager.parts.target.is_some(),
        }
    }

    /// Ends when the target is ready, or has failed once to become so.
    pub(super) async fn tried(&self) {
        if self.has_target {
            let _ = self.tried.subscribe().wait_for(|tried| *tried).await;
        }
    }

    /// Makes the target ready, restores what is owed, takes away what nobody has, and watches. Never ends.
    pub(super) async fn keep(&self, manager: &VolumeManager) {
        let parts = &manager.parts;
        let Some(target) = parts.target.clone() else {
            return;
        };
        let (first, longest) = parts.options.retry;
        let mut state = State {
            is_set_up: set_up(manager, &target).await,
            generation: None,
            owed: Vec::new(),
            pause: first,
            again: Instant::now() + first,
        };
        let _ = self.tried.send_replace(true);
        // Until then it is not known what is owed.
        let mut readiness = parts.readiness.subscribe();
        let _ = readiness.wait_for(|now| *now == Readiness::Up).await;
        state.restore_all(manager, &target).await;
        let mut ticks = tokio::time::interval(TICK);
        loop {
            if !parts.are_strays_gone() && state.is_set_up && take_strays_away(manager, &target).await {
                parts.set_strays_gone();
            }
            ticks.tick().await;
            let is_due = Instant::now() >= state.again && !(state.is_set_up && state.owed.is_empty());
            if is_due && !state.is_set_up {
                state.is_set_up = set_up(manager, &target).await;
            }
            let now = target.generation();
            if now.is_some() && now != state.generation {
                tracing::warn!(backend = %parts.backend, "the target daemon was started anew; restoring exports");
                state.restore_all(manager, &target).await;
            } else if is_due {
                state.owed = restore(manager, std::mem::take(&mut state.owed)).await;
                state.pause = (state.pause * 2).min(longest);
                state.again = Instant::now() + state.pause;
            }
        }
    }
}

impl State {
    async fn restore_all(&mut self, manager: &VolumeManager, target: &Arc<dyn TargetDriver>) {
        let parts = &manager.parts;
        // Read before the book: who comes between the two is restored once too often.
        self.generation = target.generation();
        let all = parts.ledger().exports();
        self.owed = restore(manager, all).await;
        self.pause = parts.options.retry.0;
        self.again = Instant::now() + self.pause;
    }
}

/// Takes away what nobody is owed: exports of an earlier life whose connection was never acknowledged. True once each that there
/// was has been seen to.
async fn take_strays_away(manager: &VolumeManager, target: &Arc<dyn TargetDriver>) -> bool {
    let parts = &manager.parts;
    let listing = Arc::clone(target);
    let listed = parts
        .drive(Claim::housekeeping(Chore::ListExports), LIMIT, move |_, work| {
            listing.list_exports(work)
        })
        .await;
    let names = match listed {
        Ok(names) => names,
        Err(error) => {
            let error = error.map(|error| error.to_string());
            tracing::warn!(backend = %parts.backend, error, "what is exported cannot be listed; it is tried again");
            return false;
        }
    };
    let mut are_gone = true;
    for name in names {
        let Some(StorageName::Volume(id)) = StorageName::parse(&name) else {
            continue;
        };
        let (target, volume) = (Arc::clone(target), parts.nameless(id));
        let book = Arc::clone(parts);
        let removed = parts
            .drive(id, LIMIT, move |_, work| {
                // Whoever is being connected by a command has been by now, and is in the book.
                if book.ledger().is_exported(id) {
                    return Ok(false);
                }
                target.remove_export(work, &volume)?;
                Ok(true)
            })
            .await;
        match removed {
            Ok(true) => tracing::warn!(volume = %id, "an export was taken away that nobody has"),
            Ok(false) => {}
            Err(error) => {
                let error = error.map(|error| error.to_string());
                tracing::error!(volume = %id, error, "an export that nobody has cannot be taken away; it is tried again");
                are_gone = false;
            }
        }
    }
    are_gone
}

/// Whether it is ready.
async fn set_up(manager: &VolumeManager, target: &Arc<dyn TargetDriver>) -> bool {
    let target = Arc::clone(target);
    let limit = manager.parts.options.command_timeout.min(LIMIT);
    let ready = manager
        .parts
        .workers
        .run(Claim::housekeeping(Chore::SetUpTarget), limit, move |work| {
            target.setup(work)
        })
        .await;
    match ready.map_err(settled) {
        Ok(()) => true,
        Err(error) => {
            if let Some(error) = error {
                tracing::error!(
                    backend = %manager.parts.backend,
                    %error,
                    "volumes of this backend cannot be attached; all else works. It is tried again"
                );
            }
            false
        }
    }
}

/// Exports these as the book says, several at once, but leaves a worker to the commands. Those that it failed for are the answer.
async fn restore(manager: &VolumeManager, these: Vec<VolumeId>) -> Vec<VolumeId> {
    let at_once = manager.parts.options.max_workers.saturating_sub(1).max(1);
    stream::iter(these)
        .map(|id| async move {
            match restore_one(manager, id).await {
                Ok(true) => {
                    tracing::info!(volume = %id, "export restored");
                    None
                }
                Ok(false) => None,
                Err(error) => {
                    if let Some(error) = error {
                        tracing::error!(volume = %id, %error, "an export could not be restored; it is tried again");
                    }
                    Some(id)
                }
            }
        })
        .buffer_unordered(at_once)
        .filter_map(std::future::ready)
        .collect()
        .await
}

/// False if nobody has the volume any more.
async fn restore_one(manager: &VolumeManager, id: VolumeId) -> Result<bool, Option<DriverError>> {
    let parts = Arc::clone(&manager.parts);
    let limit = parts.options.command_timeout.min(LIMIT);
    let verb = move |driver: &dyn VolumeDriver, work: &Work| {
        let Some(exported) = parts.ledger().exported(id) else {
            return Ok(false);
        };
        let (target, path) = parts.export_parts(&exported.volume)?;
        driver.activate(work, &exported.volume)?;
        outliving(target.as_ref(), work, || {
            let export = target.ensure_export(work, &exported.volume, &path)?;
            for connection in &exported.connections {
                let mode = if exported.volume.readonly {
                    AttachMode::Ro
                } else {
                    connection.mode
                };
                target.initialize_connection(work, &exported.volume, &export, &connection.connector, mode)?;
            }
            Ok(true)
        })
    };
    manager.parts.drive(id, limit, verb).await
}
