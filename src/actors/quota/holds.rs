//! What was promised and is not in the store yet.
//!
//! Usage is read from the store, and the read takes a moment. So there are three kinds of holds for a reader:
//! those that stand; those that were committed **while** it read, which its numbers may or may not contain, and which
//! therefore count as well; and those committed before it began, which its numbers surely contain, and which are gone.
//! A count of commits, noted when a read begins, tells them apart.
//!
//! Plain data, kept outside the actor so that a panic forgets nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use tokio::time::Instant;

use crate::model::quota::{Deltas, Resource, Usage, is_over};
use crate::model::{ProjectId, ReservationId};

/// What is promised, by project and by hold.
#[derive(Debug, Default)]
pub struct Holds {
    by_id: HashMap<ReservationId, Hold>,
    by_project: HashMap<ProjectId, Promised>,
    expiries: BTreeSet<(Instant, ReservationId)>,
    /// Holds that were committed, with the count at which they were, until no read is under way that may miss them.
    passing: VecDeque<(u64, Hold)>,
    /// How many holds were committed so far.
    commits: u64,
    /// How many reads are under way that began at such a count.
    reads: BTreeMap<u64, usize>,
}

#[derive(Debug)]
struct Hold {
    project: ProjectId,
    deltas: Deltas,
    expires: Instant,
}

#[derive(Debug, Default)]
struct Promised {
    /// Sums of the holds that stand.
    sums: Deltas,
    /// How many they are.
    standing: usize,
}

/// A read of usage that is under way. To be given back to [`Holds::end_read`], once.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Read(u64);

/// Whether there is room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is.
    Room,
    /// There is, if some of the holds come to nothing (or are in the numbers already).
    Contended,
    /// There is none.
    Over {
        /// Of what.
        resource: Resource,
        /// Its limit.
        limit: i64,
        /// How much more was asked for.
        requested: i64,
        /// In use and reserved.
        consumed: i64,
    },
    /// The sum is beyond what can be counted.
    Overflow(Resource),
}

/// Judges a request by limits, by what the store counts and by what is held. The resources are looked at in the order of
/// their names, so that gigabytes are reported before volumes, as Cinder does.
#[must_use]
pub fn judge(
    deltas: &Deltas,
    limits: &BTreeMap<Resource, i64>,
    usage: &BTreeMap<Resource, Usage>,
    held: &Deltas,
) -> Verdict {
    let mut contended = false;
    for (resource, &delta) in deltas {
        let used = usage.get(resource).copied().unwrap_or_default();
        let limit = limits
            .get(resource)
            .copied()
            .unwrap_or(crate::model::quota::UNLIMITED);
        let consumed = used.in_use.saturating_add(used.reserved);
        if is_over(limit, used, delta) {
            return Verdict::Over {
                resource: resource.clone(),
                limit,
                requested: delta,
                consumed,
            };
        }
        if delta > 0 && consumed.saturating_add(delta) > crate::model::quota::MAX {
            return Verdict::Overflow(resource.clone());
        }
        let promised = held.get(resource).copied().unwrap_or_default();
        let with_holds = Usage {
            in_use: used.in_use,
            reserved: used.reserved.saturating_add(promised),
        };
        contended |= is_over(limit, with_holds, delta);
    }
    if contended {
        Verdict::Contended
    } else {
        Verdict::Room
    }
}

impl Holds {
    /// A read of usage begins.
    pub fn begin_read(&mut self) -> Read {
        *self.reads.entry(self.commits).or_default() += 1;
        Read(self.commits)
    }

    /// It ended.
    pub fn end_read(&mut self, read: Read) {
        if let Some(count) = self.reads.get_mut(&read.0) {
            *count -= 1;
            if *count == 0 {
                self.reads.remove(&read.0);
            }
        }
        let oldest = self.reads.keys().next().copied().unwrap_or(self.commits);
        while self
            .passing
            .front()
            .is_some_and(|(committed, _)| *committed <= oldest)
        {
            self.passing.pop_front();
        }
    }

    /// What is to be added to the numbers of this read of this project's usage.
    #[must_use]
    pub fn held(&self, read: &Read, project: &ProjectId) -> Deltas {
        let mut sums = self
            .by_project
            .get(project)
            .map(|promised| promised.sums.clone())
            .unwrap_or_default();
        let missed = self
            .passing
            .iter()
            .rev()
            .take_while(|(committed, _)| *committed > read.0);
        for (_, hold) in missed.filter(|(_, hold)| hold.project == *project) {
            add(&mut sums, &hold.deltas, 1);
        }
        sums
    }

    /// Promises so much, until `expires`. What is given back is not promised.
    pub fn hold(&mut self, project: &ProjectId, deltas: &Deltas, expires: Instant) -> ReservationId {
        let id = ReservationId::new();
        let deltas: Deltas = deltas
            .iter()
            .filter(|(_, delta)| **delta > 0)
            .map(|(name, delta)| (name.clone(), *delta))
            .collect();
        let promised = self.by_project.entry(project.clone()).or_default();
        promised.standing += 1;
        add(&mut promised.sums, &deltas, 1);
        self.expiries.insert((expires, id));
        self.by_id.insert(
            id,
            Hold {
                project: project.clone(),
                deltas,
                expires,
            },
        );
        id
    }

    /// What was held is in the store now. Whose it was; `None` if there is no such hold (any more).
    pub fn commit(&mut self, id: ReservationId) -> Option<ProjectId> {
        let hold = self.remove(id)?;
        let project = hold.project.clone();
        self.commits += 1;
        if !self.reads.is_empty() {
            self.passing.push_back((self.commits, hold));
        }
        Some(project)
    }

    /// What was held came to nothing. Whose it was; `None` if there is no such hold (any more).
    pub fn roll_back(&mut self, id: ReservationId) -> Option<ProjectId> {
        self.remove(id).map(|hold| hold.project)
    }

    /// Forgets the holds whose time is up; how many they were.
    pub fn expire(&mut self, now: Instant) -> usize {
        let mut expired = 0;
        while let Some(&(expires, id)) = self.expiries.first()
            && expires <= now
        {
            self.remove(id);
            expired += 1;
        }
        expired
    }

    /// When the next hold expires.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(expires, _)| *expires)
    }

    /// How many holds stand.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none stands.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    fn remove(&mut self, id: ReservationId) -> Option<Hold> {
        let hold = self.by_id.remove(&id)?;
        self.expiries.remove(&(hold.expires, id));
        if let Some(promised) = self.by_project.get_mut(&hold.project) {
            promised.standing -= 1;
            add(&mut promised.sums, &hold.deltas, -1);
            if promised.standing == 0 {
                self.by_project.remove(&hold.project);
            }
        }
        Some(hold)
    }
}

/// Adds to sums; those that become 0 go.
fn add(sums: &mut Deltas, deltas: &Deltas, sign: i64) {
    for (resource, delta) in deltas {
        let sum = sums.entry(resource.clone()).or_default();
        *sum = sum.saturating_add(sign * delta);
        if *sum == 0 {
            sums.remove(resource);
        }
    }
}

#[cfg(test)]
mod tests;
