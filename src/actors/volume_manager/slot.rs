//! The driver in use: made by a factory, and made anew when it panicked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::drivers::VolumeDriver;

/// Makes a driver. Must not touch storage: that is [`VolumeDriver::setup`]'s.
pub type DriverFactory = Arc<dyn Fn() -> Arc<dyn VolumeDriver> + Send + Sync>;

/// Holds the present driver.
pub struct DriverSlot {
    factory: DriverFactory,
    driver: ArcSwap<Arc<dyn VolumeDriver>>,
    rebuilt: AtomicU64,
}

impl DriverSlot {
    /// A slot with a fresh driver.
    #[must_use]
    pub fn new(factory: DriverFactory) -> Self {
        let driver = ArcSwap::from_pointee(factory());
        Self {
            factory,
            driver,
            rebuilt: AtomicU64::new(0),
        }
    }

    /// The driver to use for one verb.
    #[must_use]
    pub fn get(&self) -> Arc<dyn VolumeDriver> {
        Arc::clone(&self.driver.load())
    }

    /// Puts a fresh driver in place of one that panicked: whatever it kept in memory is not to be trusted.
    pub fn rebuild(&self) {
        self.driver.store(Arc::new((self.factory)()));
        self.rebuilt.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it was made anew.
    #[must_use]
    pub fn rebuilt(&self) -> u64 {
        self.rebuilt.load(Ordering::Relaxed)
    }
}
