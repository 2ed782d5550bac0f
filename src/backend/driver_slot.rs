//! The driver in use: made by a factory, and replaced by a new one when it panicked.
//!
//! Each driver made is a *generation*. A new one is set up before anything else is done with it. If several verbs panic in one
//! generation, the first of them replaces it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use crate::drivers::VolumeDriver;

/// Makes a driver. Must not touch storage: [`VolumeDriver::setup`] does that.
pub type DriverFactory = Arc<dyn Fn() -> Arc<dyn VolumeDriver> + Send + Sync>;

/// One driver, of those made since the start.
pub struct Generation {
    driver: Arc<dyn VolumeDriver>,
    number: u64,
    is_set_up: AtomicBool,
}

impl Generation {
    /// The driver.
    pub fn driver(&self) -> Arc<dyn VolumeDriver> {
        Arc::clone(&self.driver)
    }

    /// Whether its setup has succeeded.
    pub fn is_set_up(&self) -> bool {
        self.is_set_up.load(Ordering::Acquire)
    }

    /// Notes that its setup has succeeded.
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
    /// A slot with a new driver.
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

    /// The present driver, whether or not it is set up: for calls that do not access its storage.
    pub fn get(&self) -> Arc<dyn VolumeDriver> {
        self.present().driver()
    }

    /// The present driver, and whether it is set up.
    pub fn present(&self) -> Arc<Generation> {
        self.present.load_full()
    }

    /// Replaces a driver that panicked by a new one: its state in memory may be inconsistent. False if it was already
    /// replaced after another verb's panic.
    pub fn replace(&self, panicked: &Generation) -> bool {
        let new = Arc::new(Generation {
            driver: (self.factory)(),
            number: panicked.number + 1,
            is_set_up: AtomicBool::new(false),
        });
        let mut is_replaced = false;
        self.present.rcu(|present| {
            is_replaced = present.number == panicked.number;
            Arc::clone(if is_replaced { &new } else { present })
        });
        self.rebuilt.fetch_add(u64::from(is_replaced), Ordering::Relaxed);
        is_replaced
    }

    /// How often the driver was replaced.
    pub fn rebuilt(&self) -> u64 {
        self.rebuilt.load(Ordering::Relaxed)
    }
}
