//! Whether this node is ready for requests; set at start and stop.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// Whether the node is ready, and if not, why. Clones share the state. Initially "starting".
#[derive(Clone, Debug)]
pub struct Readiness(Arc<ArcSwapOption<String>>);

impl Readiness {
    /// Not ready yet.
    pub fn starting() -> Self {
        Self(Arc::new(ArcSwapOption::from_pointee("starting".to_owned())))
    }

    /// Marks the node as ready.
    pub fn ready(&self) {
        self.0.store(None);
    }

    /// Marks the node as not ready, with the reason for the operator.
    pub fn unready(&self, why: impl Into<String>) {
        self.0.store(Some(Arc::new(why.into())));
    }

    /// Why the node is not ready; `None` if it is.
    pub fn obstacle(&self) -> Option<Arc<String>> {
        self.0.load_full()
    }
}
