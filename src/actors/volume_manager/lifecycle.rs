//! A manager's life: make the driver ready, learn what it has, restore its exports; then watch the target daemon, and report.
//!
//! A driver that does not start is tried again with backoff, for ever, and the backend is reported `down` with the reason
//! meanwhile. A target daemon that does not start keeps volumes from being attached, and from nothing else; it is tried again as
//! well.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::broadcast::{self, error::RecvError};

use super::VolumeManager;
use super::compare_storage::compare;
use super::exports::Exports;
use super::parts::Readiness;
use super::reports::{Reports, Told, tell, tell_progress};
use super::worker::Claim;
use crate::messages::api::{BackendStarted, BackendVolumesPage, ListBackendVolumes, ListBackendVolumesPage};
use crate::model::{Context, Timestamp, VolumeId};
use crate::transport::{CallError, PeerChange, PeerEvent};

/// How often the target daemon is looked at, and whether a report is due; and how often long work tells how far it is.
const TICK: Duration = Duration::from_millis(500);

/// How long a question to the Api actor may take.
const ASK: Duration = Duration::from_secs(30);

/// Runs until the actor ends.
pub(super) async fn run(manager: Rc<VolumeManager>) {
    let context = Context::internal("volume_manager");
    set_up_driver(&manager, &context).await;
    let mut exports = Exports::set_up(&manager).await;
    learn(&manager, &context).await;
    see_to_storage(&manager, &context).await;
    exports.take_strays_away(&manager).await;
    exports.restore(&manager).await;
    let _ = manager.parts.readiness.send_replace(Readiness::Up);
    tracing::info!(backend = %manager.parts.backend, "backend is up");
    let mut reports = Reports::default();
    reports.look_and_tell(&manager, &context).await;
    let started = BackendStarted {
        backend: manager.parts.backend.clone(),
        at: Timestamp::now(),
    };
    if let Err(error) = manager.api.cast(&context, started).await {
        tracing::warn!(%error, "the control node was not told of this backend's start; it repeats commands anyway");
    }
    let mut ticks = tokio::time::interval(TICK);
    let mut peers = manager.router.watch_peers();
    loop {
        tokio::select! {
            biased;
            _ = ticks.tick() => {}
            () = connected(&mut peers) => {
                // A control node that was started anew knows no pools until somebody tells it.
                reports.look_and_tell(&manager, &context).await;
            }
        }
        exports.tend(&manager).await;
        reports.tell_if_due(&manager, &context).await;
        tell_progress(&manager, &context).await;
    }
}

/// Ends when a peer has connected. Events that were missed count: one of them may have been that.
async fn connected(peers: &mut broadcast::Receiver<PeerEvent>) {
    loop {
        match peers.recv().await {
            Ok(event) if matches!(event.change, PeerChange::Up | PeerChange::Announced) => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

async fn set_up_driver(manager: &VolumeManager, context: &Context) {
    let (mut pause, longest) = manager.parts.options.retry;
    loop {
        let limit = manager.parts.options.command_timeout;
        match manager
            .parts
            .drive(Claim::housekeeping(), limit, |driver, work| driver.setup(work))
            .await
        {
            Ok(()) => return,
            Err(error) => {
                let reason = error.map_or_else(|| "stopping".to_owned(), |error| error.to_string());
                tracing::error!(backend = %manager.parts.backend, reason, retry_in = ?pause, "driver does not start");
                let _ = manager
                    .parts
                    .readiness
                    .send_replace(Readiness::Down(reason.clone()));
                tell(manager, context, Told::Down(reason)).await;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// Compares the storage with the catalog; a wrong storage is looked at again with backoff, for ever.
async fn see_to_storage(manager: &VolumeManager, context: &Context) {
    let (mut pause, longest) = manager.parts.options.retry;
    while let Err(reason) = compare(manager, context).await {
        tracing::error!(backend = %manager.parts.backend, reason, retry_in = ?pause, "backend does not start");
        let _ = manager
            .parts
            .readiness
            .send_replace(Readiness::Down(reason.clone()));
        tell(manager, context, Told::Down(reason)).await;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// Fills the book from the catalog. Without it nothing could be told of what is allocated, so it is asked until it answers.
async fn learn(manager: &VolumeManager, context: &Context) {
    let mut after = None;
    let mut pause = Duration::from_millis(100);
    loop {
        match ask_for_volumes(manager, context, after).await {
            Ok(page) => {
                manager.parts.ledger().learn(&page.volumes);
                if page.next.is_none() {
                    return;
                }
                after = page.next;
            }
            Err(error) => {
                tracing::info!(backend = %manager.parts.backend, %error, "waiting for a control node");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
}

async fn ask_for_volumes(
    manager: &VolumeManager,
    context: &Context,
    after: Option<VolumeId>,
) -> Result<BackendVolumesPage, CallError> {
    let backend = manager.parts.backend.clone();
    let limit = manager.parts.options.page_size;
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
            // Such a control node does not say whether there is more: only an empty page is surely the last.
            let next = volumes.last().map(|last| last.volume.id);
            Ok(BackendVolumesPage { volumes, next })
        }
        page => page,
    }
}
