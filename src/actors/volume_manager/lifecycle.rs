//! A manager's life: make the driver ready, learn what it has, compare; and beside that, none waiting for another, heartbeats
//! ([`super::reports`]), exports ([`super::exports`]) and the progress of long work.
//!
//! A driver that does not start is tried again with backoff, for ever, and the backend is reported `down` with the reason
//! meanwhile. A target daemon that does not start keeps volumes from being attached, and from nothing else; it is tried again as
//! well.
//!
//! What is learned and compared is so once in the life of a process, before any command is obeyed. An actor that was built anew
//! finds it in [`super::Parts`]; a driver that was built anew is made ready before it is used.

use std::rc::Rc;
use std::time::Duration;

use super::VolumeManager;
use super::compare_storage::compare;
use super::exports::Exports;
use super::failure::settled;
use super::parts::Readiness;
use super::reports::{self, connected, tell_progress};
use crate::messages::api::{BackendStarted, BackendVolumesPage, ListBackendVolumes, ListBackendVolumesPage};
use crate::model::{Context, Timestamp, VolumeId};
use crate::transport::CallError;

/// How often long work tells how far it is.
const TICK: Duration = Duration::from_millis(500);

/// How long a question to the Api actor may take.
const ASK: Duration = Duration::from_secs(30);

/// How long the target may take to be made ready before commands are obeyed without it.
const TARGET_PATIENCE: Duration = Duration::from_secs(10);

/// Runs until the actor ends.
pub(super) async fn run(manager: Rc<VolumeManager>) {
    let context = Context::internal("volume_manager");
    let exports = Exports::new(&manager);
    tokio::join!(
        keep_ready(&manager, &context, &exports),
        exports.keep(&manager),
        reports::keep_telling(&manager, &context),
        keep_telling_progress(&manager, &context),
    );
}

/// Makes the driver ready, and again whenever it was made anew.
async fn keep_ready(manager: &VolumeManager, context: &Context, exports: &Exports) {
    let parts = &manager.parts;
    let mut readiness = parts.readiness.subscribe();
    let mut is_told = false;
    loop {
        set_up_driver(manager).await;
        if !parts.is_learned() {
            learn(manager, context).await;
            see_to_storage(manager, context).await;
            // So that those who connect at once do not come before it.
            let _ = tokio::time::timeout(TARGET_PATIENCE, exports.tried()).await;
            parts.set_learned();
        }
        if !parts.driver.present().is_set_up() {
            // It panicked meanwhile.
            continue;
        }
        let _ = parts.readiness.send_replace(Readiness::Up);
        tracing::info!(backend = %parts.backend, "backend is up");
        if !is_told {
            is_told = true;
            let started = BackendStarted {
                backend: parts.backend.clone(),
                at: Timestamp::now(),
            };
            if let Err(error) = manager.api.cast(context, started).await {
                tracing::warn!(%error, "the control node was not told of this backend's start; it repeats commands anyway");
            }
        }
        // Never closed: the sender is in the parts.
        let _ = readiness.wait_for(|now| *now != Readiness::Up).await;
    }
}

async fn set_up_driver(manager: &VolumeManager) {
    let parts = &manager.parts;
    let (mut pause, longest) = parts.options.retry;
    while let Err(error) = parts.set_up(parts.options.command_timeout).await {
        let reason = settled(error).map_or_else(|| "stopping".to_owned(), |error| error.to_string());
        tracing::error!(backend = %parts.backend, reason, retry_in = ?pause, "driver does not start");
        let _ = parts.readiness.send_replace(Readiness::Down(reason));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// Compares the storage with the catalog; a wrong storage is looked at again with backoff, for ever.
async fn see_to_storage(manager: &VolumeManager, context: &Context) {
    let (mut pause, longest) = manager.parts.options.retry;
    while let Err(reason) = compare(manager, context).await {
        tracing::error!(backend = %manager.parts.backend, reason, retry_in = ?pause, "backend does not start");
        let _ = manager.parts.readiness.send_replace(Readiness::Down(reason));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

/// Fills the book from the catalog. Without it nothing could be told of what is allocated, so it is asked until it answers.
async fn learn(manager: &VolumeManager, context: &Context) {
    let mut after = None;
    let mut pause = Duration::from_millis(100);
    let mut peers = manager.router.watch_peers();
    manager.parts.ledger().forget();
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
                // A control node that has just come is asked at once: volumes wait there for this backend.
                let _ = tokio::time::timeout(pause, connected(&mut peers)).await;
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

async fn keep_telling_progress(manager: &VolumeManager, context: &Context) {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        tell_progress(manager, context).await;
    }
}
