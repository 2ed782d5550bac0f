//! Detects missing exports. The kernel keeps exports, but another program may clear its configuration; then the
//! generation changes, and the manager restores them ([`TargetDriver::generation`](super::TargetDriver::generation)).
//!
//! A thread checks once a second: a check may block as long as the removal of an export, and reading the generation
//! must not block.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::configfs::Tree;

/// How often exports are checked.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Default)]
struct State {
    known: BTreeMap<String, PathBuf>,
    running: bool,
    stop: bool,
}

/// See the module. Clones share it.
#[derive(Clone)]
pub(super) struct Watch {
    tree: Tree,
    /// The folder that exists once exporting is possible.
    group: &'static str,
    generation: Arc<AtomicU64>,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Watch {
    pub(super) fn new(tree: Tree, group: &'static str) -> Self {
        Self {
            tree,
            group,
            generation: Arc::default(),
            state: Arc::default(),
        }
    }

    /// Starts the checks, unless they run: also for modules that are loaded later.
    pub(super) fn start(&self) {
        let mut state = self.state();
        if state.running || state.stop {
            return;
        }
        let watch = self.clone();
        let thread = std::thread::Builder::new().name("target-watch".to_owned());
        match thread.spawn(move || watch.run()) {
            Ok(_) => state.running = true,
            Err(error) => tracing::error!(%error, "missing exports are not detected: no thread"),
        }
    }

    /// Records that exporting is possible.
    pub(super) fn ready(&self) {
        self.generation.fetch_max(1, Ordering::AcqRel);
    }

    /// Stops the checks.
    pub(super) fn stop(&self) {
        self.state().stop = true;
        self.state.1.notify_all();
    }

    /// Records that the export exists as long as this path does.
    pub(super) fn stands(&self, name: &str, path: PathBuf) {
        self.state().known.insert(name.to_owned(), path);
    }

    /// Records that it is being removed, so that it is not reported as missing.
    pub(super) fn goes(&self, name: &str) {
        self.state().known.remove(name);
    }

    /// Changes when exports disappeared; `None` until exporting is possible.
    pub(super) fn generation(&self) -> Option<u64> {
        match self.generation.load(Ordering::Acquire) {
            0 => None,
            generation => Some(generation),
        }
    }

    /// Checks once.
    pub(super) fn look(&self) {
        if self.generation().is_none() && self.tree.exists(Path::new(self.group)) {
            self.ready();
        }
        let known = self.state().known.clone();
        let missing: Vec<String> = known
            .into_iter()
            .filter(|(_, path)| !self.tree.exists(path))
            .map(|(name, _)| name)
            .collect();
        // Exports that are being removed are not recorded any more.
        let mut state = self.state();
        let vanished = missing
            .iter()
            .filter(|name| state.known.remove(*name).is_some())
            .count();
        if vanished > 0 {
            tracing::warn!(
                vanished,
                "exports were removed from the kernel by another program"
            );
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn run(&self) {
        loop {
            {
                let mut state = self.state();
                self.state
                    .1
                    .wait_while_for(&mut state, |state| !state.stop, EVERY);
                if state.stop {
                    return;
                }
            }
            self.look();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::Watch;
    use crate::drivers::targets::configfs::{Mounted, Tree};

    #[test]
    fn a_missing_export_is_reported_once_and_a_removed_one_is_not() {
        let home = tempfile::tempdir().unwrap();
        let watch = Watch::new(Tree::new(Mounted::new(home.path())), "group");
        watch.look();
        assert_eq!(watch.generation(), None);
        std::fs::create_dir(home.path().join("group")).unwrap();
        watch.look();
        let before = watch.generation();
        assert!(before.is_some());
        for name in ["a", "b"] {
            std::fs::create_dir(home.path().join(name)).unwrap();
            watch.stands(name, PathBuf::from(name));
        }
        watch.look();
        assert_eq!(watch.generation(), before);
        watch.goes("a");
        std::fs::remove_dir(home.path().join("a")).unwrap();
        watch.look();
        assert_eq!(watch.generation(), before);
        std::fs::remove_dir(home.path().join("b")).unwrap();
        watch.look();
        let after = watch.generation();
        assert_ne!(after, before);
        watch.look();
        assert_eq!(watch.generation(), after);
    }
}
