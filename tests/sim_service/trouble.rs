//! What goes wrong, when, and for how long.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use turmoil::Sim;

use crate::driver_faults::break_driver;
use crate::nodes::{CONTROL, World};

/// How often each thing was done to the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injected {
    pub partitions: u64,
    pub one_way: u64,
    pub stalls: u64,
    pub losses: u64,
    pub crashes: u64,
    pub control_crashes: u64,
    pub driver_faults: u64,
    pub targets_killed: u64,
    pub commits_failed: u64,
}

impl Injected {
    pub fn add(&mut self, other: &Self) {
        self.partitions += other.partitions;
        self.one_way += other.one_way;
        self.stalls += other.stalls;
        self.losses += other.losses;
        self.crashes += other.crashes;
        self.control_crashes += other.control_crashes;
        self.driver_faults += other.driver_faults;
        self.targets_killed += other.targets_killed;
        self.commits_failed += other.commits_failed;
    }
}

enum Mend {
    Repair(String),
    Release(String),
    Start(String),
    KeepFrames(String),
    ReviveTarget(usize),
    KeepCommits,
}

/// What is broken, and until when.
#[derive(Default)]
pub struct Troubles {
    open: Vec<(Duration, Mend)>,
    next: Duration,
    pub injected: Injected,
}

impl Troubles {
    /// Mends what is due, breaks what is due.
    pub fn step(&mut self, sim: &mut Sim<'_>, world: &World, rng: &mut StdRng) {
        let now = sim.elapsed();
        for index in (0..self.open.len()).rev() {
            if self.open[index].0 <= now {
                let (_, mend) = self.open.swap_remove(index);
                mend.apply(sim, world);
            }
        }
        if now < self.next {
            return;
        }
        self.next = now + Duration::from_millis(rng.random_range(100..6000));
        let until = now + Duration::from_millis(rng.random_range(50..12_000));
        let mend = self.one(sim, world, rng);
        self.open.extend(mend.map(|mend| (until, mend)));
    }

    /// Mends everything.
    pub fn end(&mut self, sim: &mut Sim<'_>, world: &World) {
        for (_, mend) in self.open.drain(..) {
            mend.apply(sim, world);
        }
        for storage in &world.storages {
            storage.driver.heal();
            storage.target.heal();
        }
        self.injected.commits_failed = world.disk.failed.load(Ordering::Relaxed);
    }

    fn one(&mut self, sim: &mut Sim<'_>, world: &World, rng: &mut StdRng) -> Option<Mend> {
        let number = rng.random_range(0..world.storages.len());
        let storage = &world.storages[number];
        let node = storage.node.clone();
        let injected = &mut self.injected;
        match rng.random_range(0..14) {
            0 | 1 => {
                injected.partitions += 1;
                sim.partition(CONTROL, node.as_str());
                Some(Mend::Repair(node))
            }
            2 => {
                injected.one_way += 1;
                sim.partition_oneway(CONTROL, node.as_str());
                Some(Mend::Repair(node))
            }
            3 => {
                injected.one_way += 1;
                sim.partition_oneway(node.as_str(), CONTROL);
                Some(Mend::Repair(node))
            }
            4 => {
                injected.stalls += 1;
                sim.hold(CONTROL, node.as_str());
                Some(Mend::Release(node))
            }
            5 => {
                injected.losses += 1;
                sim.set_link_fail_rate(CONTROL, node.as_str(), rng.random_range(0.001..0.05));
                Some(Mend::KeepFrames(node))
            }
            6 => {
                injected.crashes += 1;
                sim.bounce(node.as_str());
                None
            }
            7 => {
                injected.crashes += 1;
                sim.crash(node.as_str());
                Some(Mend::Start(node))
            }
            8 => {
                injected.control_crashes += 1;
                sim.bounce(CONTROL);
                None
            }
            9 => {
                injected.control_crashes += 1;
                sim.crash(CONTROL);
                Some(Mend::Start(CONTROL.to_owned()))
            }
            10 => {
                injected.targets_killed += 1;
                storage.target.kill();
                Some(Mend::ReviveTarget(number))
            }
            11 if world.plan.commits_fail => {
                world
                    .disk
                    .fails_per_mille
                    .store(rng.random_range(1..200), Ordering::Relaxed);
                Some(Mend::KeepCommits)
            }
            11.. if world.plan.drivers_fail => {
                injected.driver_faults += 1;
                let often = rng.random_range(1..3);
                (0..often).for_each(|_| break_driver(storage, rng));
                None
            }
            _ => None,
        }
    }
}

impl Mend {
    fn apply(self, sim: &mut Sim<'_>, world: &World) {
        match self {
            Self::Repair(node) => sim.repair(CONTROL, node.as_str()),
            Self::Release(node) => sim.release(CONTROL, node.as_str()),
            Self::KeepFrames(node) => {
                sim.set_link_fail_rate(CONTROL, node.as_str(), 0.0);
                sim.repair(CONTROL, node.as_str());
            }
            Self::Start(node) => {
                if !sim.is_host_running(node.as_str()) {
                    sim.bounce(node.as_str());
                }
            }
            Self::ReviveTarget(number) => world.storages[number].target.revive(),
            Self::KeepCommits => world.disk.fails_per_mille.store(0, Ordering::Relaxed),
        }
    }
}
