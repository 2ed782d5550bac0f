//! Whether this node wants requests, as its start and its stop say.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// Whether we can serve, and if not, why. All clones are one. Begins as "starting".
#[derive(Clone, Debug)]
pub struct Readiness(Arc<ArcSwapOption<String>>);

impl Readiness {
    /// Not yet.
    #[must_use]
    pub fn starting() -> Self {
        Self(Arc::new(ArcSwapOption::from_pointee("starting".to_owned())))
    }

    /// From now on requests are welcome.
    pub fn ready(&self) {
        self.0.store(None);
    }

    /// From now on they are not, in words for the operator.
    pub fn unready(&self, why: impl Into<String>) {
        self.0.store(Some(Arc::new(why.into())));
    }

    /// Why not; `None` if we can serve.
    #[must_use]
    pub fn obstacle(&self) -> Option<Arc<String>> {
        self.0.load_full()
    }
}
