//! What is done to a cluster: a process is killed or stands still, a link is cut in both directions or in one, a host is cut off.

use std::time::{Duration, Instant};

use anyhow::Result;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use rustix::process::Signal;

use crate::network::TEST;
use crate::nodes::{CONTROL_NODES, MEMBERS, Nodes, Part, VOLUME_NODES, hosts};

/// Of a link or of a host, as the first of two sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Both,
    Out,
    In,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Killed, and started again at its end.
    Kill(Part),
    /// The member of etcd that leads.
    KillLeader(usize),
    /// SIGSTOP, and SIGCONT at its end.
    Stop(Part),
    Cut(Part, Part, Direction),
    /// From all others, and from the clients.
    Isolate(Part, Direction),
    /// The clock of a node jumps, to so many seconds from that of the machine.
    Clock(Part, i64),
}

/// One that has begun.
pub struct Active {
    fault: Fault,
    pub ends: Instant,
}

/// What kinds of faults there are, how often in proportion.
#[derive(Clone, Copy)]
enum Kind {
    Kill(fn(usize) -> Part, usize),
    KillLeader,
    Stop(fn(usize) -> Part, usize),
    Cut((fn(usize) -> Part, usize), (fn(usize) -> Part, usize)),
    Isolate(fn(usize) -> Part, usize),
    Clock(fn(usize) -> Part, usize),
}

const CONTROL: (fn(usize) -> Part, usize) = (Part::Control, CONTROL_NODES);
const ETCD: (fn(usize) -> Part, usize) = (Part::Etcd, MEMBERS);
const VOLUME: (fn(usize) -> Part, usize) = (Part::Volume, VOLUME_NODES);

const KINDS: [(Kind, u32); 17] = [
    (Kind::Kill(CONTROL.0, CONTROL.1), 16),
    (Kind::Kill(VOLUME.0, VOLUME.1), 12),
    (Kind::Kill(ETCD.0, ETCD.1), 6),
    (Kind::Kill(Part::Target, VOLUME_NODES), 6),
    (Kind::KillLeader, 10),
    (Kind::Stop(CONTROL.0, CONTROL.1), 7),
    (Kind::Stop(VOLUME.0, VOLUME.1), 5),
    (Kind::Stop(ETCD.0, ETCD.1), 6),
    (Kind::Cut(CONTROL, ETCD), 8),
    (Kind::Cut(CONTROL, CONTROL), 5),
    (Kind::Cut(CONTROL, VOLUME), 7),
    (Kind::Cut(ETCD, ETCD), 6),
    (Kind::Isolate(CONTROL.0, CONTROL.1), 6),
    (Kind::Isolate(ETCD.0, ETCD.1), 4),
    (Kind::Isolate(VOLUME.0, VOLUME.1), 5),
    (Kind::Clock(CONTROL.0, CONTROL.1), 4),
    (Kind::Clock(VOLUME.0, VOLUME.1), 3),
];

/// By how many seconds clocks differ from that of the machine at most. Certificates begin five minutes before they are issued.
const CLOCKS: i64 = 240;

/// How long a fault lasts: mostly short, sometimes until everyone has noticed, seldom as long as this.
pub struct Lengths {
    pub cut: Duration,
    pub stop: Duration,
}

impl Lengths {
    fn draw(&self, fault: Fault, rng: &mut StdRng) -> Duration {
        let longest = match fault {
            Fault::Stop(_) => self.stop,
            // A supervisor waits less.
            Fault::Kill(_) | Fault::KillLeader(_) => Duration::from_secs(15).min(self.cut),
            Fault::Cut(..) | Fault::Isolate(..) => self.cut,
            // It stays as it is; the time is for it to be seen.
            Fault::Clock(..) => Duration::from_secs(1),
        };
        let chosen = match rng.random_range(0..100) {
            0..55 => Duration::from_millis(rng.random_range(100..2000)),
            55..92 => Duration::from_millis(rng.random_range(2000..9000)),
            _ => longest,
        };
        chosen.min(longest)
    }
}

impl Fault {
    /// The hosts that it is about. No two faults of one host go on at once.
    fn touches(self) -> Vec<u8> {
        match self {
            Self::Kill(part) | Self::Stop(part) | Self::Isolate(part, _) | Self::Clock(part, _) => {
                vec![part.host()]
            }
            Self::KillLeader(index) => vec![Part::Etcd(index).host()],
            Self::Cut(one, other, _) => vec![one.host(), other.host()],
        }
    }

    /// For counting.
    fn name(self) -> String {
        let way = |direction| match direction {
            Direction::Both => "",
            Direction::Out | Direction::In => " in one direction",
        };
        match self {
            Self::Kill(part) => format!("{} killed", part.kind()),
            Self::KillLeader(_) => "leader of etcd killed".to_owned(),
            Self::Stop(part) => format!("{} stopped", part.kind()),
            Self::Cut(one, other, direction) => {
                format!("{} to {} cut{}", one.kind(), other.kind(), way(direction))
            }
            Self::Isolate(part, direction) => format!("{} cut off{}", part.kind(), way(direction)),
            Self::Clock(part, _) => format!("clock of a {} set", part.kind()),
        }
    }

    /// The pairs of hosts, from and to, that are cut.
    fn pairs(self) -> Vec<(u8, u8)> {
        let (one, others, direction) = match self {
            Self::Cut(one, other, direction) => (one.host(), vec![other.host()], direction),
            Self::Isolate(part, direction) => {
                let others = hosts().into_iter().map(Part::host).chain([TEST]);
                let one = part.host();
                (one, others.filter(|other| *other != one).collect(), direction)
            }
            _ => return Vec::new(),
        };
        let mut pairs = Vec::new();
        for other in others {
            if direction != Direction::In {
                pairs.push((one, other));
            }
            if direction != Direction::Out {
                pairs.push((other, one));
            }
        }
        pairs
    }
}

impl Active {
    /// Begins one that touches no host of those that go on. Nothing if there is none to be hit at this moment.
    pub fn begin(
        nodes: &mut Nodes,
        others: &[Self],
        lengths: &Lengths,
        rng: &mut StdRng,
    ) -> Result<Option<(Self, String)>> {
        let Some(fault) = draw(nodes, rng) else {
            return Ok(None);
        };
        let taken: Vec<u8> = others.iter().flat_map(|other| other.fault.touches()).collect();
        if fault.touches().iter().any(|host| taken.contains(host)) {
            return Ok(None);
        }
        let has_begun = match fault {
            Fault::Kill(part) => nodes.kill(part)?,
            Fault::KillLeader(index) => nodes.kill(Part::Etcd(index))?,
            Fault::Stop(part) => {
                nodes.signal(part, Signal::STOP)?;
                true
            }
            Fault::Cut(..) | Fault::Isolate(..) => {
                for (from, to) in fault.pairs() {
                    nodes.network.cut(from, to)?;
                }
                true
            }
            Fault::Clock(part, seconds) => {
                nodes.set_clock(part, seconds)?;
                nodes.has_clocks()
            }
        };
        let ends = Instant::now() + lengths.draw(fault, rng);
        Ok(has_begun.then(|| (Self { fault, ends }, fault.name())))
    }

    /// Ends it: what was killed is started, what stood still goes on, what was cut is mended.
    pub fn end(self, nodes: &mut Nodes) -> Result<()> {
        match self.fault {
            Fault::Kill(part) => nodes.begin(part),
            Fault::KillLeader(index) => nodes.begin(Part::Etcd(index)),
            Fault::Stop(part) => nodes.signal(part, Signal::CONT),
            Fault::Clock(..) => Ok(()),
            Fault::Cut(..) | Fault::Isolate(..) => {
                for (from, to) in self.fault.pairs() {
                    nodes.network.mend(from, to)?;
                }
                Ok(())
            }
        }
    }

    /// What it is, for the log of a run.
    pub fn describe(&self) -> String {
        let length = self.ends.saturating_duration_since(Instant::now());
        format!("{:?} for {:.1} s", self.fault, length.as_secs_f64())
    }
}

fn draw(nodes: &Nodes, rng: &mut StdRng) -> Option<Fault> {
    let (kind, _) = KINDS.choose_weighted(rng, |(_, weight)| *weight).ok()?;
    let one_of =
        |(part, count): (fn(usize) -> Part, usize), rng: &mut dyn Rng| part(rng.random_range(0..count));
    let direction = |rng: &mut StdRng| match rng.random_range(0..3) {
        0 => Direction::Both,
        1 => Direction::Out,
        _ => Direction::In,
    };
    Some(match *kind {
        Kind::Kill(part, count) => Fault::Kill(one_of((part, count), rng)),
        Kind::KillLeader => Fault::KillLeader(nodes.leader()?),
        Kind::Stop(part, count) => Fault::Stop(one_of((part, count), rng)),
        Kind::Clock(part, count) => {
            Fault::Clock(one_of((part, count), rng), rng.random_range(-CLOCKS..CLOCKS))
        }
        Kind::Isolate(part, count) => Fault::Isolate(one_of((part, count), rng), direction(rng)),
        Kind::Cut(one, other) => {
            let (one, other) = (one_of(one, rng), one_of(other, rng));
            if one == other {
                return None;
            }
            Fault::Cut(one, other, direction(rng))
        }
    })
}
