//! Faults of drivers.

use pumice::drivers::DriverError;
use pumice::drivers::fake::{Fault, Verb};
use pumice::drivers::targets::fake as target;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::parts::Storage;

/// What may fail without leaving something unknown behind: whatever undoes it works.
pub fn break_driver(storage: &Storage, rng: &mut StdRng) {
    const VERBS: [Verb; 6] = [
        Verb::CreateVolume,
        Verb::CreateVolumeFromSnapshot,
        Verb::CreateClonedVolume,
        Verb::ExtendVolume,
        Verb::CreateSnapshot,
        Verb::Stats,
    ];
    const FAULTS: [Fault; 6] = [
        Fault::Fails(broken),
        Fault::FailsAfter(broken),
        Fault::Fails(full),
        Fault::Fails(|| DriverError::TimedOut),
        Fault::Panics,
        Fault::PanicsAfter,
    ];
    let fault = FAULTS[rng.random_range(0..FAULTS.len())];
    if rng.random_bool(0.15) {
        storage.target.script(target::Verb::EnsureExport, fault);
    } else {
        let verb = VERBS[rng.random_range(0..VERBS.len())];
        storage.driver.script(verb, fault);
    }
}

fn broken() -> DriverError {
    DriverError::backend_failed("scripted fault")
}

fn full() -> DriverError {
    DriverError::no_space("scripted fault")
}
