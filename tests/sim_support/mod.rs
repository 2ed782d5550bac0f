//! What the simulations share: which seeds they run, on all cores, and whether a seed is the same run again.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do, and say what they found"
)]
#![cfg_attr(
    not(tokio_unstable),
    expect(dead_code, reason = "without that flag nothing is replayed")
)]

use std::any::Any;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

mod trace;

use parking_lot::Mutex;
use trace::Trace;

/// A number from the environment.
pub fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The seconds since a simulation began, on a node that runs. The network between the nodes has no clock.
pub fn simulated_time() -> Option<f64> {
    // A node that has not begun yet has no clock either, and must not be asked.
    tokio::runtime::Handle::try_current().ok()?;
    turmoil::sim_elapsed().map(|now| now.as_secs_f64())
}

/// Runs `each` for the seeds from 0, on all cores, until `enough` have failed. Returns those that failed and why, in order.
pub fn every_seed(
    seeds: u64,
    enough: usize,
    each: impl Fn(u64) -> Result<(), String> + Sync,
) -> Vec<(u64, String)> {
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failed.lock().len() < enough {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    if let Err(why) = each(seed) {
                        failed.lock().push((seed, why));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner();
    failed.sort();
    failed
}

/// Runs a seed twice, whatever becomes of it.
///
/// # Errors
/// The runs are not the same: the first event that differs, and what was before it.
fn run_twice<T: PartialEq + Debug>(seed: u64, run: impl Fn(u64) -> T) -> Result<Trace, String> {
    let once = || trace::recorded(|| catch_unwind(AssertUnwindSafe(|| run(seed))).map_err(panic_text));
    let (first, second) = (once(), once());
    match first.1.difference(&second.1, seed) {
        Some(difference) => Err(difference),
        None if first.0 != second.0 => Err(format!(
            "the events are the same, the outcomes are not:\n{:?}\n{:?}",
            first.0, second.0
        )),
        None => Ok(first.1),
    }
}

/// Fails unless each of the first seeds (or the one that is asked for) is the same run when it is run again.
pub fn replay<T: PartialEq + Debug>(run: impl Fn(u64) -> T + Sync) {
    if let Some(seed) = setting("PUMICE_SIM_SEED") {
        let trace = run_twice(seed, run).unwrap_or_else(|difference| panic!("seed {seed}: {difference}"));
        let (events, digest) = (trace.len(), trace.digest());
        println!("seed {seed} was the same run again, of {events} events ({digest:016x})");
        return;
    }
    let seeds = setting("PUMICE_SIM_REPLAYS").unwrap_or(100);
    // The first run of a process registers the events with `tracing`, which another test may be doing at the same moment.
    drop(run_twice(0, &run));
    let (events, digest) = (AtomicU64::new(0), AtomicU64::new(0));
    let differ = every_seed(seeds, 10, |seed| {
        let trace = run_twice(seed, &run)?;
        events.fetch_add(trace.len() as u64, Ordering::Relaxed);
        digest.fetch_xor(trace.digest(), Ordering::Relaxed);
        Ok(())
    });
    println!(
        "{} of {seeds} seeds were the same run again, of {} events in all ({:016x})",
        seeds - differ.len() as u64,
        events.into_inner(),
        digest.into_inner()
    );
    let seeds: Vec<u64> = differ.iter().map(|(seed, _)| *seed).collect();
    if let Some((seed, difference)) = differ.first() {
        panic!("seeds {seeds:?} were not the same run again; of {seed}, {difference}");
    }
}

/// What a panic says.
pub fn panic_text(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    format!("it panicked: {}", text.unwrap_or_default())
}
