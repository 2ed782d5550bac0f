//! How often what was asked for, and how it was answered: a soak in which little was acknowledged would prove little.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// 2xx
    Acknowledged,
    /// 4xx
    Refused,
    /// 5xx
    Failed,
    /// The connection broke.
    Broken,
    /// No answer in time.
    Silent,
}

#[derive(Default)]
pub struct Tally {
    counts: Mutex<BTreeMap<&'static str, BTreeMap<End, usize>>>,
    failures: Mutex<Vec<String>>,
}

impl Tally {
    pub fn note(&self, verb: &'static str, end: End) {
        let mut counts = self.counts.lock();
        *counts.entry(verb).or_default().entry(end).or_default() += 1;
    }

    /// What was answered with 5xx, in full, for there should be little of it.
    pub fn note_failure(&self, verb: &str, status: u16, words: &str) {
        let mut failures = self.failures.lock();
        failures.push(format!("{verb}: {status} {words}"));
    }

    pub fn count(&self, verb: &str, end: End) -> usize {
        let counts = self.counts.lock();
        counts
            .get(verb)
            .and_then(|ends| ends.get(&end))
            .copied()
            .unwrap_or(0)
    }

    /// A line for each verb.
    pub fn lines(&self) -> Vec<String> {
        let counts = self.counts.lock();
        let line = |(verb, ends): (&&str, &BTreeMap<End, usize>)| {
            let of = |end| ends.get(&end).copied().unwrap_or(0);
            format!(
                "{verb}: {} acknowledged, {} refused, {} failed, {} broken, {} silent",
                of(End::Acknowledged),
                of(End::Refused),
                of(End::Failed),
                of(End::Broken),
                of(End::Silent)
            )
        };
        let failures = self.failures.lock();
        counts.iter().map(line).chain(failures.iter().cloned()).collect()
    }
}
