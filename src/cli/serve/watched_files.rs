//! Files of the configuration that are read again when they change.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How often it is checked whether a file has changed.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// What changes with a file: its size and its time.
type State = Option<(u64, SystemTime)>;

/// Files, and how they were when they were last read.
pub(super) struct WatchedFiles(Vec<(PathBuf, State)>);

impl WatchedFiles {
    /// These files as they are now. Made before they are read: a change meanwhile is noticed.
    pub(super) fn new<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Self {
        let of = |path: &Path| (path.to_owned(), state_of(path));
        Self(paths.into_iter().map(of).collect())
    }

    /// Calls a function after each change of any file. Does not return.
    pub(super) async fn watch(mut self, look: Duration, mut changed: impl FnMut()) {
        let mut interval = tokio::time::interval(look);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let mut has_changed = false;
            for (path, known) in &mut self.0 {
                let now = state_of(path);
                has_changed |= *known != now;
                *known = now;
            }
            if has_changed {
                changed();
            }
        }
    }
}

fn state_of(path: &Path) -> State {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}
