//! Whether our exports still stand. The kernel keeps them without us, but whoever clears its configuration takes them too;
//! then the generation changes, and the manager restores them ([`TargetDriver::generation`](super::TargetDriver::generation)).
//!
//! A thread looks once a second: the kernel may make a look wait for as long as an export takes to go, and who asks for the
//! generation may not wait at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::configfs::Tree;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);

struct State {
    known: BTreeMap<String, PathBuf>,
    running: bool,
    stop: bool,
}

/// See the module. Clones are one.
#[derive(Clone)]
pub(super) struct Watch {
    tree: Tree,
    /// There once there is something to export with.
    group: &'static str,
    generation: Arc<AtomicU64>,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Watch {
    pub(super) fn new(tree: Tree, group: &'static str) -> Self {
        let state = State {
            known: BTreeMap::new(),
            running: false,
            stop: false,
        };
        Self {
            tree,
            group,
            generation: Arc::new(AtomicU64::new(0)),
            state: Arc::new((Mutex::new(state), Condvar::new())),
        }
    }

    /// Begins to look, if nothing did: also for modules that are loaded later.
    pub(super) fn start(&self) {
        let mut state = self.state();
        if state.running || state.stop {
            return;
        }
        let watch = self.clone();
        let thread = std::thread::Builder::new().name("target-watch".to_owned());
        match thread.spawn(move || watch.run()) {
            Ok(_) => state.running = true,
            Err(error) => tracing::error!(%error, "nobody looks whether exports still stand"),
        }
    }

    /// There is something to export with.
    pub(super) fn ready(&self) {
        self.generation.fetch_max(1, Ordering::AcqRel);
    }

    /// Looks no longer.
    pub(super) fn stop(&self) {
        self.state().stop = true;
        self.state.1.notify_all();
    }

    /// The export stands, as long as this path does.
    pub(super) fn stands(&self, name: &str, path: PathBuf) {
        self.state().known.insert(name.to_owned(), path);
    }

    /// It is to go, so that it is missing is no news.
    pub(super) fn goes(&self, name: &str) {
        self.state().known.remove(name);
    }

    /// Changes when exports vanished; `None` until there is something to be exported with.
    pub(super) fn generation(&self) -> Option<u64> {
        match self.generation.load(Ordering::Acquire) {
            0 => None,
            generation => Some(generation),
        }
    }

    /// One look.
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
        // What was told to go meanwhile is known no longer.
        let mut state = self.state();
        let vanished = missing
            .iter()
            .filter(|name| state.known.remove(*name).is_some())
            .count();
        if vanished > 0 {
            tracing::warn!(vanished, "somebody took exports out of the kernel");
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
    fn an_export_that_vanishes_is_noticed_once_and_one_that_was_told_to_go_is_not() {
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
