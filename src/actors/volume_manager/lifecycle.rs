//! The background tasks of a manager: set the driver up, load the inventory, compare the storage; and at the same time, none
//! waiting for another, heartbeats ([`super::reports`]), exports ([`super::exports`]) and the progress of long work.
//!
//! A driver whose setup fails is set up again with backoff, indefinitely, and the backend is reported `down` with the
//! reason meanwhile. A target whose setup fails prevents volumes from being attached, and nothing else; it is retried as
//! well.
//!
//! The inventory is loaded and the storage compared once per process, before any command runs. An actor that was
//! restarted finds both in [`BackendState`](crate::backend::BackendState); a driver that was replaced is set up before it is used.

use std::rc::Rc;
use std::time::Duration;

use super::VolumeManager;
use super::asking::ask_again;
use super::compare_storage::compare;
use super::exports::Exports;
use super::reports::{self, peer_connected, report_progress};
use crate::backend::Readiness;
use crate::backend::failure::driver_error;
use crate::backoff::Backoff;
use crate::messages::api::{BackendStarted, BackendVolumesPage, ListBackendVolumes, ListBackendVolumesPage};
use crate::model::{Context, Timestamp, VolumeId};
use crate::transport::CallError;

/// How often the progress of long work is reported.
const TICK: Duration = Duration::from_millis(500);

/// The time limit of a request to the Api actor.
const ASK: Duration = Duration::from_secs(30);

/// How long commands wait at start for the target's setup.
const TARGET_SETUP_LIMIT: Duration = Duration::from_secs(10);

/// Runs until the actor ends.
pub(super) async fn run(manager: Rc<VolumeManager>) {
    let context = Context::internal("volume_manager");
    let exports = Exports::new(&manager);
    tokio::join!(
        keep_ready(&manager, &context, &exports),
        exports.keep(&manager),
        reports::keep_reporting(&manager, &context),
        keep_reporting_progress(&manager, &context),
        keep_lease(&manager),
    );
}

/// Makes the backend ready, and again whenever the driver was replaced.
async fn keep_ready(manager: &VolumeManager, context: &Context, exports: &Exports) {
    let state = &manager.state;
    let mut readiness = state.readiness.subscribe();
    let mut is_announced = false;
    loop {
        set_up_driver(manager).await;
        if !state.is_loaded() {
            load_inventory(manager, context).await;
            compare_storage(manager, context).await;
            // So that connections that are requested at once find the target.
            let _ = tokio::time::timeout(TARGET_SETUP_LIMIT, exports.setup_tried()).await;
            state.set_loaded();
        }
        if !state.driver.present().is_set_up() {
            // It panicked meanwhile.
            continue;
        }
        let _ = state.readiness.send_replace(Readiness::Up);
        tracing::info!(backend = %state.backend, "backend is up");
        if !is_announced {
            is_announced = true;
            let started = BackendStarted {
                backend: state.backend.clone(),
                at: Timestamp::now(),
            };
            // Each control node repeats the commands of its own operations.
            if manager.api.fanout(context, started).await == 0 {
                tracing::warn!(
                    "the start of this backend could not be reported to any control node; they repeat commands anyway"
                );
            }
        }
        // Never closed: the sender is in the state.
        let _ = readiness.wait_for(|now| *now != Readiness::Up).await;
    }
}

async fn set_up_driver(manager: &VolumeManager) {
    let state = &manager.state;
    until_done(manager, "driver does not start", async || {
        let done = state.set_up(state.options.command_timeout).await;
        let reason =
            |error| driver_error(error).map_or_else(|| "stopping".to_owned(), |error| error.to_string());
        done.map_err(reason)
    })
    .await;
}

/// Compares the storage with the catalog. A rejected storage is checked again.
async fn compare_storage(manager: &VolumeManager, context: &Context) {
    until_done(manager, "backend does not start", async || {
        compare(manager, context).await
    })
    .await;
}

/// Tries again with backoff, indefinitely; the backend is down meanwhile, for the reason of the last failure.
async fn until_done(manager: &VolumeManager, failed: &str, attempt: impl AsyncFn() -> Result<(), String>) {
    let state = &manager.state;
    let (first, longest) = state.options.retry;
    let mut backoff = Backoff::new(first, longest);
    while let Err(reason) = attempt().await {
        let pause = backoff.next_pause();
        tracing::error!(backend = %state.backend, reason, retry_in = ?pause, "{failed}");
        let _ = state.readiness.send_replace(Readiness::Down(reason));
        tokio::time::sleep(pause).await;
    }
}

/// Loads the inventory from the catalog. Without it the allocated capacity is unknown, so the request is repeated until it is
/// answered.
async fn load_inventory(manager: &VolumeManager, context: &Context) {
    let state = &manager.state;
    let mut after = None;
    let mut backoff = ask_again();
    let mut peers = manager.router.watch_peers();
    state.inventory().clear();
    loop {
        match ask_for_volumes(manager, context, after).await {
            Ok(page) => {
                state.inventory().load(&page.volumes);
                if page.next.is_none() {
                    return;
                }
                after = page.next;
            }
            Err(error) => {
                tracing::info!(backend = %state.backend, %error, "waiting for a control node");
                // The request is sent at once when a control node connects: volumes wait there for this backend.
                let _ = tokio::time::timeout(backoff.next_pause(), peer_connected(&mut peers)).await;
            }
        }
    }
}

async fn ask_for_volumes(
    manager: &VolumeManager,
    context: &Context,
    after: Option<VolumeId>,
) -> Result<BackendVolumesPage, CallError> {
    let (backend, limit) = (manager.state.backend.clone(), manager.state.options.page_size);
    let question = ListBackendVolumesPage {
        backend: backend.clone(),
        after,
        limit,
    };
    match manager.api.call(context, question, ASK).await {
        Err(CallError::UnsupportedVersion { .. }) => {
            let question = ListBackendVolumes {
                backend,
                after,
                limit,
            };
            let volumes = manager.api.call(context, question, ASK).await?;
            // An older control node does not say whether there is more: only an empty page is certainly the last.
            let next = volumes.last().map(|last| last.volume.id);
            Ok(BackendVolumesPage { volumes, next })
        }
        page => page,
    }
}

/// Renews the lease while a control node is connected, or is this one.
async fn keep_lease(manager: &VolumeManager) {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        if manager.router.reaches(manager.api.address()) {
            manager.state.lease.renew();
        }
    }
}

async fn keep_reporting_progress(manager: &VolumeManager, context: &Context) {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        report_progress(manager, context).await;
    }
}
