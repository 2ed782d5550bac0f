//! The exports that a backend owes to those who have its volumes: restored when the manager starts, and when the target daemon
//! was started anew. What cannot be restored is tried again until it can be.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::VolumeManager;
use super::worker::Claim;
use crate::drivers::target::outliving;
use crate::drivers::{DriverError, VolumeDriver, Work};
use crate::model::{AttachMode, StorageName, VolumeId};

/// What is restored, and what is not yet.
pub(super) struct Exports {
    is_set_up: bool,
    /// The daemon's, that all of it was restored for.
    generation: Option<u64>,
    owed: Vec<VolumeId>,
    pause: Duration,
    again: Instant,
}

impl Exports {
    /// Makes the target ready, as far as it goes.
    pub(super) async fn set_up(manager: &VolumeManager) -> Self {
        let is_set_up = set_up(manager).await;
        let pause = manager.parts.options.retry.0;
        Self {
            is_set_up,
            generation: None,
            owed: Vec::new(),
            pause,
            again: Instant::now() + pause,
        }
    }

    /// Takes away what nobody is owed: exports of an earlier life whose connection was never acknowledged. Called before any
    /// command is obeyed.
    pub(super) async fn take_strays_away(&self, manager: &VolumeManager) {
        let parts = &manager.parts;
        let limit = parts.options.command_timeout;
        let Some(target) = parts.target.clone() else {
            return;
        };
        let listing = Arc::clone(&target);
        let listed = parts
            .drive(Claim::housekeeping(), limit, move |_, work| {
                listing.list_exports(work)
            })
            .await;
        let names = match listed {
            Ok(names) => names,
            Err(error) => {
                let error = error.map(|error| error.to_string());
                tracing::warn!(backend = %parts.backend, error, "what is exported cannot be listed");
                return;
            }
        };
        for name in names {
            let Some(StorageName::Volume(id)) = StorageName::parse(&name) else {
                continue;
            };
            if parts.ledger().is_exported(id) {
                continue;
            }
            let (target, volume) = (Arc::clone(&target), parts.nameless(id));
            let removed = parts
                .drive(id, limit, move |_, work| target.remove_export(work, &volume))
                .await;
            match removed {
                Ok(()) => tracing::warn!(volume = %id, "an export was taken away that nobody has"),
                Err(error) => {
                    let error = error.map(|error| error.to_string());
                    tracing::error!(volume = %id, error, "an export that nobody has cannot be taken away");
                }
            }
        }
    }

    /// Restores all.
    pub(super) async fn restore(&mut self, manager: &VolumeManager) {
        let parts = &manager.parts;
        let Some(target) = &parts.target else { return };
        // Read before the book: who comes between the two is restored once too often.
        self.generation = target.generation();
        let all = parts.ledger().exports();
        self.owed = restore(manager, all).await;
        self.pause = parts.options.retry.0;
        self.again = Instant::now() + self.pause;
    }

    /// Restores what is due.
    pub(super) async fn tend(&mut self, manager: &VolumeManager) {
        let parts = &manager.parts;
        let Some(target) = &parts.target else { return };
        let is_due = Instant::now() >= self.again && !(self.is_set_up && self.owed.is_empty());
        if is_due && !self.is_set_up {
            self.is_set_up = set_up(manager).await;
        }
        let now = target.generation();
        if now.is_some() && now != self.generation {
            tracing::warn!(backend = %parts.backend, "the target daemon was started anew; restoring exports");
            self.restore(manager).await;
        } else if is_due {
            self.owed = restore(manager, std::mem::take(&mut self.owed)).await;
            self.pause = (self.pause * 2).min(parts.options.retry.1);
            self.again = Instant::now() + self.pause;
        }
    }
}

/// Whether it is ready.
async fn set_up(manager: &VolumeManager) -> bool {
    let Some(target) = manager.parts.target.clone() else {
        return true;
    };
    let limit = manager.parts.options.command_timeout;
    let ready = manager
        .parts
        .drive(Claim::housekeeping(), limit, move |_, work| target.setup(work))
        .await;
    match ready {
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

/// Exports these as the book says. Those that it failed for are the answer.
async fn restore(manager: &VolumeManager, these: Vec<VolumeId>) -> Vec<VolumeId> {
    let mut owed = Vec::new();
    for id in these {
        match restore_one(manager, id).await {
            Ok(true) => tracing::info!(volume = %id, "export restored"),
            Ok(false) => {}
            Err(error) => {
                if let Some(error) = error {
                    tracing::error!(volume = %id, %error, "an export could not be restored; it is tried again");
                }
                owed.push(id);
            }
        }
    }
    owed
}

/// False if nobody has the volume any more.
async fn restore_one(manager: &VolumeManager, id: VolumeId) -> Result<bool, Option<DriverError>> {
    let parts = Arc::clone(&manager.parts);
    let limit = parts.options.command_timeout;
    let verb = move |driver: &dyn VolumeDriver, work: &Work| {
        let Some(exported) = parts.ledger().exported(id) else {
            return Ok(false);
        };
        let (target, path) = parts.export_parts(&exported.volume)?;
        driver.activate(work, &exported.volume)?;
        outliving(target.as_ref(), work, || {
            let export = target.ensure_export(work, &exported.volume, &path)?;
            for (connector, mode) in &exported.connectors {
                let mode = if exported.volume.readonly {
                    AttachMode::Ro
                } else {
                    *mode
                };
                target.initialize_connection(work, &exported.volume, &export, connector, mode)?;
            }
            Ok(true)
        })
    };
    manager.parts.drive(id, limit, verb).await
}
