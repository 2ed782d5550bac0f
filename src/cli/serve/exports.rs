//! Exports of the store while it serves: one every `store.export_interval`, and one at each clean stop. They are used to
//! restore a damaged or lost store (`pumice store restore`).
//!
//! Control nodes that share a store export it in turns, each to its own disk: one export in each interval, and none at a stop, since the
//! store goes on. So it costs no more than with one node, and the loss of a disk loses each third export, not all. They are numbered for the
//! cluster: the highest number on any node is the newest.
//!
//! They are written by a separate thread, since the disk may be slow; commits continue meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::control_nodes::Membership;
use crate::config::Config;
use crate::control::periodic_task::PeriodicTask;
use crate::model::{ClusterTask, Timestamp};
use crate::store::Store;
use crate::store::export::{ExportError, Exported, export};

/// The folder of the exports, in `node.data_dir`.
pub(in crate::cli) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("exports")
}

/// The exports in a folder, oldest first. They are numbered in order, and the numbers determine their age: the time in a name is
/// for humans, and the clock may have been set back since. Those of earlier versions have no number, and are first.
pub(in crate::cli) fn all(folder: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut exports: Vec<PathBuf> = names
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "export"))
        .collect();
    exports.sort_by_cached_key(|path| (number(path), path.clone()));
    exports
}

/// The newest export in a folder.
///
/// # Errors
/// If there is none.
pub(in crate::cli) fn newest(folder: &Path) -> Result<PathBuf, String> {
    let newest = all(folder).pop();
    newest.ok_or_else(|| format!("there is no export in {}", folder.display()))
}

/// The number in the name of an export.
fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let (number, _time) = name.strip_prefix("store-n")?.split_once('-')?;
    number.parse().ok()
}

/// The time, for a file name.
pub(in crate::cli) fn now() -> String {
    let now = Timestamp::now().to_string();
    now.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// Writes an export into the folder, named by its number and the time. The number is `least`, or more if the folder has later ones.
///
/// # Errors
/// Those of the disk or the store.
pub(in crate::cli) async fn take(
    store: &dyn Store,
    folder: &Path,
    least: u64,
) -> Result<(PathBuf, Exported), ExportError> {
    crate::private_files::create_dir(folder).map_err(|source| ExportError::Io {
        path: folder.to_owned(),
        source,
    })?;
    let last = all(folder).last().and_then(|path| number(path));
    let next = last.map_or(1, |last| last.saturating_add(1)).max(least);
    // In a sorted list of names these are after those of earlier versions, which begin with a digit.
    let path = folder.join(format!("store-n{next:08}-{}.export", now()));
    let exported = export(store, &path).await?;
    Ok((path, exported))
}

/// The thread that exports.
pub(super) struct Exports {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Exports {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the thread cannot be created.
    pub(super) fn start(
        store: Arc<dyn Store>,
        Membership { catalog, nodes }: &Membership,
        config: &Config,
        data_dir: &Path,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let job = Job {
            store,
            folder: folder(data_dir),
            keep: config.store.export_keep,
            is_shared: catalog.is_shared(),
            turns: PeriodicTask::new(
                catalog.clone(),
                nodes.clone(),
                ClusterTask::EXPORT,
                config.store.export_interval.get(),
            ),
            min_free: config.store.min_free_space.0,
        };
        let thread = std::thread::Builder::new()
            .name("store-export".to_owned())
            .spawn(move || match actix_rt::Runtime::new() {
                Ok(runtime) => runtime.block_on(job.run(stopped)),
                Err(error) => tracing::error!(%error, "the store is not exported"),
            })?;
        Ok(Self { stop, thread })
    }

    /// Writes the last export.
    pub(super) async fn end(self) {
        drop(self.stop);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the thread that exports the store had died");
        }
    }
}

struct Job {
    store: Arc<dyn Store>,
    folder: PathBuf,
    keep: usize,
    is_shared: bool,
    turns: PeriodicTask,
    min_free: u64,
}

impl Job {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        loop {
            let turn = tokio::select! {
                biased;
                _ = &mut stopped => break,
                turn = self.turns.turn() => turn,
            };
            let export = self.take(turn.number().unwrap_or(0));
            let is_done = match self.is_shared {
                false => export.await,
                true => tokio::select! {
                    biased;
                    // Another node does it instead.
                    _ = &mut stopped => break,
                    is_done = export => is_done,
                },
            };
            self.turns.end(turn, is_done).await;
        }
        if !self.is_shared {
            self.take(0).await;
        }
    }

    /// False if there is no new export.
    async fn take(&self, least: u64) -> bool {
        if !self.has_room().await {
            tracing::warn!(folder = %self.folder.display(), "no room on the disk to export the store");
            return false;
        }
        match take(self.store.as_ref(), &self.folder, least).await {
            Ok((path, exported)) => {
                tracing::info!(path = %path.display(), revision = exported.revision.0, entries = exported.entries, "store exported");
                self.forget_old();
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the store could not be exported");
                false
            }
        }
    }

    /// Whether an export leaves enough space for the store: it is no larger than the store on the disk.
    async fn has_room(&self) -> bool {
        let size = self.store.size_on_disk().await.ok().flatten().unwrap_or(0);
        let disk = self.folder.parent().unwrap_or(&self.folder);
        match rustix::fs::statvfs(disk) {
            Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize) > self.min_free.saturating_add(size),
            Err(_) => true,
        }
    }

    fn forget_old(&self) {
        let exports = all(&self.folder);
        let too_many = exports.len().saturating_sub(self.keep);
        for path in &exports[..too_many] {
            if let Err(error) = std::fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "an old export could not be deleted");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{all, number, take};
    use crate::store::memory::MemoryStore;

    #[actix_rt::test]
    async fn the_newest_export_is_the_last_one_taken_whatever_the_clock_said() {
        let folder = tempfile::tempdir().unwrap();
        let store = MemoryStore::default();
        let name = |name: &str| folder.path().join(name);
        // One of an earlier version, and one that was written while the clock was far ahead.
        let (old, ahead) = (
            name("store-20261126T031500000000.export"),
            name("store-n00000007-20991231T000000000000.export"),
        );
        for path in [&ahead, &old] {
            std::fs::write(path, "").unwrap();
        }
        let (first, _) = take(&store, folder.path(), 0).await.unwrap();
        let (second, _) = take(&store, folder.path(), 0).await.unwrap();
        // Other nodes have written some meanwhile.
        let (third, _) = take(&store, folder.path(), 12).await.unwrap();
        assert_eq!(
            [&first, &second, &third].map(|path| number(path)),
            [Some(8), Some(9), Some(12)]
        );
        assert_eq!(all(folder.path()), [old, ahead, first, second, third]);
    }
}
