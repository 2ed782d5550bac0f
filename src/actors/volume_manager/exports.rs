//! The exports that the inventory says must exist: restored when the manager starts, and when the target daemon was restarted. One
//! that cannot be restored is tried again until it can be.
//!
//! This runs beside the commands and the heartbeat, and may take as long as the target does. Each export is looked up in the
//! inventory by a worker that holds the volume's lock: commands may connect and disconnect the same volumes meanwhile.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::VolumeManager;
use crate::backend::Readiness;
use crate::backend::failure::driver_error;
use crate::backend::workers::Maintenance;
use crate::backoff::Backoff;
use crate::drivers::targets::{TargetDriver, retry_across_daemon_restart};
use crate::drivers::{DriverError, VolumeDriver, Work};
use crate::model::{AttachMode, StorageName, VolumeId};

/// How often the target daemon is checked.
const TICK: Duration = Duration::from_millis(500);

/// How long one export may take to be restored or removed. It holds a worker meanwhile; if it fails, it is tried again.
const LIMIT: Duration = Duration::from_secs(60);

/// Whether the target's setup was attempted.
pub(super) struct Exports {
    setup_tried: watch::Sender<bool>,
    has_target: bool,
}

/// The progress of the restoration.
struct Restoring {
    is_set_up: bool,
    /// The generation of the daemon for which all exports were restored.
    generation: Option<u64>,
    /// The volumes whose exports are not restored yet.
    missing: Vec<VolumeId>,
    backoff: Backoff,
    next_try: Instant,
}

impl Exports {
    pub(super) fn new(manager: &VolumeManager) -> Self {
        Self {
            setup_tried: watch::Sender::new(false),
            has_target: manager.state.target.is_some(),
        }
    }

    /// Waits until the target's setup has succeeded or failed for the first time.
    pub(super) async fn setup_tried(&self) {
        if self.has_target {
            let _ = self.setup_tried.subscribe().wait_for(|tried| *tried).await;
        }
    }

    /// Sets the target up, restores the exports, removes those without a record, and watches the daemon. Never returns.
    pub(super) async fn keep(&self, manager: &VolumeManager) {
        let state = &manager.state;
        let Some(target) = state.target.clone() else {
            return;
        };
        let (first, longest) = state.options.retry;
        let mut restoring = Restoring {
            is_set_up: set_up(manager, &target).await,
            generation: None,
            missing: Vec::new(),
            backoff: Backoff::new(first, longest),
            next_try: Instant::now(),
        };
        let _ = self.setup_tried.send_replace(true);
        // Until then the inventory may not be loaded.
        let mut readiness = state.readiness.subscribe();
        let _ = readiness.wait_for(|now| *now == Readiness::Up).await;
        restoring.restore_all(manager, &target).await;
        let mut ticks = tokio::time::interval(TICK);
        loop {
            if !state.are_stray_exports_removed()
                && restoring.is_set_up
                && remove_stray_exports(manager, &target).await
            {
                state.set_stray_exports_removed();
            }
            ticks.tick().await;
            let is_complete = restoring.is_set_up && restoring.missing.is_empty();
            let is_due = Instant::now() >= restoring.next_try && !is_complete;
            if is_due && !restoring.is_set_up {
                restoring.is_set_up = set_up(manager, &target).await;
            }
            let now = target.generation();
            if now.is_some() && now != restoring.generation {
                tracing::warn!(backend = %state.backend, "the target daemon was restarted; restoring exports");
                restoring.restore_all(manager, &target).await;
            } else if is_due {
                restoring.missing = restore(manager, std::mem::take(&mut restoring.missing)).await;
                restoring.next_try = Instant::now() + restoring.backoff.next_pause();
            }
        }
    }
}

impl Restoring {
    async fn restore_all(&mut self, manager: &VolumeManager, target: &Arc<dyn TargetDriver>) {
        // Read before the inventory: an export that is created between the two is restored once more than needed.
        self.generation = target.generation();
        let all = manager.state.inventory().exports();
        self.missing = restore(manager, all).await;
        self.backoff.reset();
        self.next_try = Instant::now() + self.backoff.next_pause();
    }
}

/// Removes the exports that are not in the inventory: an earlier process made them for connections that were never acknowledged.
/// False if one could not be removed.
async fn remove_stray_exports(manager: &VolumeManager, target: &Arc<dyn TargetDriver>) -> bool {
    let state = &manager.state;
    let listing = Arc::clone(target);
    let verb = move |_: &dyn VolumeDriver, work: &Work| listing.list_exports(work);
    let names = match state.drive(Maintenance::ListExports, LIMIT, verb).await {
        Ok(names) => names,
        Err(error) => {
            let error = error.map(|error| error.to_string());
            tracing::warn!(backend = %state.backend, error, "exports cannot be listed; trying again");
            return false;
        }
    };
    let mut are_gone = true;
    for name in names {
        let Some(StorageName::Volume(id)) = StorageName::parse(&name) else {
            continue;
        };
        let (target, volume) = (Arc::clone(target), state.spec_without_record(id));
        let backend = Arc::clone(state);
        let removed = state
            .drive(id, LIMIT, move |_, work| {
                // A connection that a command was creating is complete by now, and in the inventory.
                if backend.inventory().is_exported(id) {
                    return Ok(false);
                }
                target.remove_export(work, &volume)?;
                Ok(true)
            })
            .await;
        match removed {
            Ok(true) => tracing::warn!(volume = %id, "an export without a record was removed"),
            Ok(false) => {}
            Err(error) => {
                let error = error.map(|error| error.to_string());
                tracing::error!(volume = %id, error, "an export without a record cannot be removed; trying again");
                are_gone = false;
            }
        }
    }
    are_gone
}

/// Sets the target up. False if that failed.
async fn set_up(manager: &VolumeManager, target: &Arc<dyn TargetDriver>) -> bool {
    let target = Arc::clone(target);
    let limit = manager.state.options.command_timeout.min(LIMIT);
    let workers = &manager.state.workers;
    let ready = workers.run(Maintenance::SetUpTarget, limit, move |work| target.setup(work));
    match ready.await.map_err(driver_error) {
        Ok(()) => true,
        Err(error) => {
            if let Some(error) = error {
                tracing::error!(
                    backend = %manager.state.backend,
                    %error,
                    "volumes of this backend cannot be attached; everything else works. Trying again"
                );
            }
            false
        }
    }
}

/// Restores the exports of these volumes, several at once, but leaves a worker to the commands. Returns those that failed.
async fn restore(manager: &VolumeManager, these: Vec<VolumeId>) -> Vec<VolumeId> {
    let at_once = manager.state.options.max_workers.saturating_sub(1).max(1);
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
                        tracing::error!(volume = %id, %error, "an export could not be restored; trying again");
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

/// Restores one export. False if the volume is no longer exported.
async fn restore_one(manager: &VolumeManager, id: VolumeId) -> Result<bool, Option<DriverError>> {
    let state = Arc::clone(&manager.state);
    let limit = state.options.command_timeout.min(LIMIT);
    let verb = move |driver: &dyn VolumeDriver, work: &Work| {
        let Some(exported) = state.inventory().exported(id) else {
            return Ok(false);
        };
        let (target, path) = state.export_target(&exported.volume)?;
        driver.activate(work, &exported.volume)?;
        retry_across_daemon_restart(target.as_ref(), work, || {
            let export = target.ensure_export(work, &exported.volume, &path)?;
            for connection in &exported.connections {
                let mode = if exported.volume.readonly {
                    AttachMode::Ro
                } else {
                    connection.mode
                };
                target.grant_access(work, &exported.volume, &export, &connection.connector, mode)?;
            }
            Ok(true)
        })
    };
    manager.state.drive(id, limit, verb).await
}
