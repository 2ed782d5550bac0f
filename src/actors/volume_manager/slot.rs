//! The driver in use: made by a factory, and made anew when it panicked.
//!
//! Each one made is a *generation*. A fresh one is used for nothing before it was set up, and of several verbs that panic in one
//! generation the first replaces it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::drivers::VolumeDriver;

/// Makes a driver. Must not touch storage: that is [`VolumeDriver::setup`]'s.
pub type DriverFactory = Arc<dyn Fn() -> Arc<dyn VolumeDriver> + Send + Sync>;

/// One driver that was made.
pub struct Generation {
    driver: Arc<dyn VolumeDriver>,
    number: u64,
    is_set_up: AtomicBool,
}

impl Generation {
    /// The driver.
    #[must_use]
    pub fn driver(&self) -> Arc<dyn VolumeDriver> {
        Arc::clone(&self.driver)
    }

    /// Whether its setup has succeeded.
    #[must_use]
    pub fn is_set_up(&self) -> bool {
        self.is_set_up.load(Ordering::Acquire)
    }

    /// Its setup has succeeded.
    pub fn set_up(&self) {
        self.is_set_up.store(true, Ordering::Release);
    }
}

/// Holds the present driver.
pub struct DriverSlot {
    factory: DriverFactory,
    present: ArcSwap<Generation>,
    rebuilt: AtomicU64,
}

impl DriverSlot {
    /// A slot with a fresh driver.
    #[must_use]
    pub fn new(factory: DriverFactory) -> Self {
        let present = ArcSwap::from_pointee(Generation {
            driver: factory(),
            number: 0,
            is_set_up: AtomicBool::new(false),
        });
        Self {
            factory,
            present,
            rebuilt: AtomicU64::new(0),
        }
    }

    /// The present driver, whether or not it is set up: for what it says without its storage.
    #[must_use]
    pub fn get(&self) -> Arc<dyn VolumeDriver> {
        self.present().driver()
    }

    /// The present driver with what is known of it.
    #[must_use]
    pub fn present(&self) -> Arc<Generation> {
        self.present.load_full()
    }

    /// Puts a fresh driver in place of one that panicked: whatever it kept in memory is not to be trusted. False if another
    /// verb's panic has done so already.
    pub fn replace(&self, panicked: &Generation) -> bool {
        let fresh = Arc::new(Generation {
            driver: (self.factory)(),
            number: panicked.number + 1,
            is_set_up: AtomicBool::new(false),
        });
        let mut is_replaced = false;
        self.present.rcu(|present| {
            is_replaced = present.number == panicked.number;
            Arc::clone(if is_replaced { &fresh } else { present })
        });
        self.rebuilt.fetch_add(u64::from(is_replaced), Ordering::Relaxed);
        is_replaced
    }

    /// How often it was made anew.
    #[must_use]
    pub fn rebuilt(&self) -> u64 {
        self.rebuilt.load(Ordering::Relaxed)
    }
}
