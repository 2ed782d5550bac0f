//! The requests of clients and their answers: one side of the comparison at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use uuid::Uuid;

use crate::acknowledged::AcknowledgedFacts;

/// How many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    pub acknowledged: u64,
    pub refused: u64,
    pub open: u64,
    /// Reads that were compared with what was acknowledged.
    pub read: u64,
}

impl Answers {
    pub fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.open += other.open;
        self.read += other.read;
    }
}

#[derive(Default)]
pub struct History {
    /// By id. The metadata is the value of `note`.
    pub facts: AcknowledgedFacts<Uuid, Option<String>>,
    /// Which client works with a volume.
    pub owners: BTreeMap<Uuid, usize>,
    /// Creates that were surely refused, by the name that was asked for.
    pub refused: Vec<String>,
    /// Names that were asked for.
    pub asked: u64,
    pub answers: Answers,
    /// One line for each answer: two runs of a seed are the same if these are.
    pub log: String,
}

impl History {
    pub fn note(&mut self, line: std::fmt::Arguments<'_>) {
        let now = turmoil::sim_elapsed().unwrap_or_default();
        writeln!(self.log, "{:>9.3} {line}", now.as_secs_f64()).expect("memory takes it");
    }
}
