//! What goes wrong, when, and for how long.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use turmoil::Sim;

use crate::driver_faults::break_driver;
use crate::etcd::{Counts, MEMBERS, Rates, member_name};
use crate::nodes::{CONTROLS, World, control_name};

/// What must happen now and then in many runs, or they prove little.
pub const KINDS: &[&str] = &[
    "control node cut off from etcd",
    "control node cut off from one member",
    "control nodes cut off from each other",
    "volume node cut off",
    "one direction cut off",
    "control node cut off from all",
    "control node held up",
    "frames lost",
    "volume node crashed",
    "control node crashed",
    "two control nodes crashed",
    "control nodes stopped",
    "data folder lost",
    "member crashed",
    "member cut off",
    "etcd lost its majority",
    "member lags",
    "all members lag and history is removed",
    "database full",
    "etcd slow or losing replies",
    "target killed",
    "driver faults",
    "commits of fenced processes refused",
    "compactions",
    "compactions by others",
    "control nodes found down",
    "control nodes joined",
    "control nodes left",
    "control nodes that ended when they were fenced",
    "late events",
    "operations taken over",
    "replies lost",
    "replies that the engine missed",
    "requests done by the next majority",
    "requests refused",
    "requests that were lost",
    "requests without a leader",
    "slow requests",
    "stages committed by another control node",
    "watches behind a compaction",
    "conflicts",
];

enum Mend {
    Repair(Vec<(String, String)>),
    Release(Vec<(String, String)>),
    KeepFrames(String, String),
    Start(String),
    ReviveTarget(usize),
    JoinMembers(Vec<usize>),
    CatchUp(usize),
    MakeRoom,
    RemoveHistory,
    BeFast,
}

/// What is broken, and until when.
#[derive(Default)]
pub struct Troubles {
    open: Vec<(Duration, Mend)>,
    next: Duration,
    /// When a control node that has ended is started again.
    starts: Vec<Option<Duration>>,
    pub injected: Counts,
}

/// The names of a node's neighbours.
fn neighbours(world: &World, of: &str) -> Vec<String> {
    let controls = (0..CONTROLS).map(control_name);
    let volumes = world.storages.iter().map(|storage| storage.node.clone());
    let members = (0..MEMBERS).map(member_name);
    let all = controls.chain(volumes).chain(members);
    all.filter(|name| name != of).collect()
}

fn between(from: &str, to: impl IntoIterator<Item = String>) -> Vec<(String, String)> {
    to.into_iter().map(|to| (from.to_owned(), to)).collect()
}

impl Troubles {
    /// Starts control nodes again that have ended, as their supervisor does.
    pub fn supervise(&mut self, sim: &mut Sim<'_>, rng: &mut StdRng) {
        let now = sim.elapsed();
        self.starts.resize(CONTROLS, None);
        for number in 0..CONTROLS {
            let name = control_name(number);
            let is_crashed = self
                .open
                .iter()
                .any(|(_, mend)| matches!(mend, Mend::Start(crashed) if *crashed == name));
            if sim.is_host_running(name.as_str()) || is_crashed {
                self.starts[number] = None;
                continue;
            }
            match self.starts[number] {
                None => self.starts[number] = Some(now + Duration::from_millis(rng.random_range(100..3000))),
                Some(at) if at <= now => sim.bounce(name.as_str()),
                Some(_) => {}
            }
        }
    }

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
        self.next = now + Duration::from_millis(rng.random_range(100..5000));
        let until = now + Duration::from_millis(rng.random_range(50..15_000));
        for mend in self.one(sim, world, rng) {
            self.open.push((until, mend));
        }
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
    }

    fn one(&mut self, sim: &mut Sim<'_>, world: &World, rng: &mut StdRng) -> Vec<Mend> {
        let storage_number = rng.random_range(0..world.storages.len());
        let storage = &world.storages[storage_number];
        let number = rng.random_range(0..CONTROLS);
        let control = control_name(number);
        let other = control_name((number + rng.random_range(1..CONTROLS)) % CONTROLS);
        let at = rng.random_range(0..MEMBERS);
        let mut note = |what: &'static str| self.injected.add(what);
        let links = match rng.random_range(0..26) {
            0 | 1 => {
                note("control node cut off from etcd");
                between(&control, (0..MEMBERS).map(member_name))
            }
            2 => {
                note("control node cut off from one member");
                between(&control, [member_name(at)])
            }
            3 => {
                note("control nodes cut off from each other");
                between(&control, [other])
            }
            4 => {
                note("volume node cut off");
                match rng.random_bool(0.5) {
                    true => between(&control, [storage.node.clone()]),
                    false => between(&storage.node, (0..CONTROLS).map(control_name)),
                }
            }
            5 => {
                note("control node cut off from all");
                between(&control, neighbours(world, &control))
            }
            6 | 7 => {
                note("control node held up");
                let links = between(&control, neighbours(world, &control));
                for (a, b) in &links {
                    sim.hold(a.as_str(), b.as_str());
                }
                return vec![Mend::Release(links)];
            }
            8 => {
                note("frames lost");
                let to = match rng.random_bool(0.5) {
                    true => storage.node.clone(),
                    false => member_name(at),
                };
                sim.set_link_fail_rate(control.as_str(), to.as_str(), rng.random_range(0.001..0.05));
                return vec![Mend::KeepFrames(control, to)];
            }
            9 => {
                note("volume node crashed");
                sim.crash(storage.node.as_str());
                return vec![Mend::Start(storage.node.clone())];
            }
            10 | 11 => {
                note("control node crashed");
                if rng.random_bool(0.1) {
                    note("data folder lost");
                    world.controls[number].lose_folder(rng.random());
                }
                sim.crash(control.as_str());
                return vec![Mend::Start(control)];
            }
            12 => {
                note("two control nodes crashed");
                sim.crash(control.as_str());
                sim.crash(other.as_str());
                return vec![Mend::Start(control), Mend::Start(other)];
            }
            13 => {
                world.controls[number].stop.notify_one();
                return Vec::new();
            }
            14 => {
                note("member crashed");
                sim.crash(member_name(at).as_str());
                return vec![Mend::Start(member_name(at))];
            }
            15 => {
                note("member cut off");
                return vec![cut_off(world, [at])];
            }
            16 => {
                note("etcd lost its majority");
                let second = (at + 1) % MEMBERS;
                if rng.random_bool(0.5) {
                    return vec![cut_off(world, [at, second])];
                }
                let lost = [at, second].map(member_name);
                lost.iter().for_each(|member| sim.crash(member.as_str()));
                return lost.into_iter().map(Mend::Start).collect();
            }
            17 | 18 => {
                note("member lags");
                let lag = rng.random_range(100..8000);
                world.etcd.members[at].lag.set(Duration::from_millis(lag));
                world.etcd.wake();
                return vec![Mend::CatchUp(at)];
            }
            19 | 20 => {
                if rng.random_bool(0.3) {
                    world.etcd.compact_now(false);
                    return Vec::new();
                }
                // Watches that are begun anew meanwhile are behind that revision, or right at it.
                note("all members lag and history is removed");
                let lag = Duration::from_millis(rng.random_range(500..3000));
                world.etcd.members.iter().for_each(|member| member.lag.set(lag));
                let soon = sim.elapsed() + Duration::from_millis(rng.random_range(100..3000));
                self.open.push((soon, Mend::RemoveHistory));
                let lagging = (0..MEMBERS).map(Mend::CatchUp).collect();
                return lagging;
            }
            21 if world.plan.commits_fail => {
                note("database full");
                world.etcd.set_full(true);
                return vec![Mend::MakeRoom];
            }
            22 | 23 => {
                note("etcd slow or losing replies");
                world.etcd.rates.set(Rates {
                    lost_reply: rng.random_range(1..200),
                    refused: rng.random_range(1..50),
                    slow_per_mille: rng.random_range(1..200),
                    slow: Duration::from_millis(rng.random_range(10..12_000)),
                });
                return vec![Mend::BeFast];
            }
            24 => {
                note("target killed");
                storage.target.kill();
                return vec![Mend::ReviveTarget(storage_number)];
            }
            _ => {
                if world.plan.drivers_fail {
                    note("driver faults");
                    break_driver(storage, rng);
                }
                return Vec::new();
            }
        };
        let direction = rng.random_range(0..4);
        if direction > 1 {
            note("one direction cut off");
        }
        for (a, b) in &links {
            match direction {
                0 | 1 => sim.partition(a.as_str(), b.as_str()),
                2 => sim.partition_oneway(a.as_str(), b.as_str()),
                _ => sim.partition_oneway(b.as_str(), a.as_str()),
            }
        }
        vec![Mend::Repair(links)]
    }
}

fn cut_off(world: &World, members: impl IntoIterator<Item = usize>) -> Mend {
    let members: Vec<usize> = members.into_iter().collect();
    for at in &members {
        world.etcd.members[*at].is_cut_off.set(true);
    }
    world.etcd.wake();
    Mend::JoinMembers(members)
}

impl Mend {
    fn apply(self, sim: &mut Sim<'_>, world: &World) {
        match self {
            Self::Repair(links) => {
                for (a, b) in links {
                    sim.repair(a.as_str(), b.as_str());
                }
            }
            Self::Release(links) => {
                for (a, b) in links {
                    sim.release(a.as_str(), b.as_str());
                }
            }
            Self::KeepFrames(a, b) => {
                sim.set_link_fail_rate(a.as_str(), b.as_str(), 0.0);
                sim.repair(a.as_str(), b.as_str());
            }
            Self::Start(node) => {
                if !sim.is_host_running(node.as_str()) {
                    sim.bounce(node.as_str());
                }
            }
            Self::ReviveTarget(number) => world.storages[number].target.revive(),
            Self::JoinMembers(members) => {
                for at in members {
                    world.etcd.members[at].is_cut_off.set(false);
                }
                world.etcd.wake();
            }
            Self::CatchUp(at) => {
                world.etcd.members[at].lag.set(Duration::ZERO);
                world.etcd.wake();
            }
            Self::RemoveHistory => world.etcd.compact_now(true),
            Self::MakeRoom => world.etcd.set_full(false),
            Self::BeFast => world.etcd.rates.set(Rates::default()),
        }
    }
}
