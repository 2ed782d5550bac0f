//! What one seed makes of a run: the machines, and what may happen to them.

use std::time::Duration;

use pumice::sim::Verbs;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How long a driver may take.
pub const VERB_LIMIT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct Plan {
    /// How many volume nodes there are, with one backend each.
    pub nodes: usize,
    pub clients: usize,
    pub latency: Duration,
    /// How long there is trouble.
    pub trouble: Duration,
    /// Drivers fail and panic, before the deed or after it.
    pub drivers_fail: bool,
    pub commits_fail: bool,
    /// GiB on each backend.
    pub capacity: Option<u64>,
    /// Operations are given up before a long trouble ends.
    pub impatient: bool,
    /// After how long a silent backend gets no new volumes: a long one is for trouble that is to be no excuse.
    pub down_time: Duration,
    /// Exports go with their node, as with a daemon; else they stay, as with the kernel's.
    pub exports_die: bool,
    pub verbs: Verbs,
}

impl Plan {
    pub fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let millis = |rng: &mut StdRng, from: u64, to: u64| Duration::from_millis(rng.random_range(from..to));
        Self {
            nodes: if rng.random_bool(0.25) { 1 } else { 2 },
            clients: rng.random_range(1..=4),
            latency: millis(&mut rng, 2, 100),
            trouble: millis(&mut rng, 10_000, 50_000),
            drivers_fail: rng.random_bool(0.3),
            commits_fail: rng.random_bool(0.3),
            capacity: rng.random_bool(0.3).then(|| rng.random_range(4..30)),
            impatient: rng.random_bool(0.2),
            down_time: Duration::from_secs(if rng.random_bool(0.3) { 8 } else { 600 }),
            exports_die: rng.random_bool(0.5),
            verbs: Verbs {
                mostly: millis(&mut rng, 1, 200),
                slow_per_mille: if rng.random_bool(0.5) { 30 } else { 0 },
                slow: millis(&mut rng, 1000, 20_000),
            },
        }
    }

    /// Whether nothing happens that an operation may fail of: the network breaks and processes die, and that is no excuse.
    pub fn excuses_nothing(&self) -> bool {
        !self.drivers_fail
            && self.capacity.is_none()
            && !self.impatient
            && !self.verbs_hang()
            && self.down_time.as_secs() > 60
    }

    /// Whether drivers are slower than they may be.
    fn verbs_hang(&self) -> bool {
        self.verbs.slow_per_mille > 0 && self.verbs.slow >= VERB_LIMIT
    }

    /// When operations are given up.
    pub fn deadline(&self) -> Duration {
        Duration::from_secs(if self.impatient { 15 } else { 900 })
    }
}
