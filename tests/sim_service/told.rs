//! What clients asked for, and what they were told: the one side of the comparison at the end.
//!
//! Before a client asks, what it asks about becomes uncertain; an answer makes it certain again. So whatever dies between the
//! two leaves the truth behind.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pumice::model::{AttachmentId, SnapshotId, VolumeId};

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It was acknowledged, and nobody asked for its end.
    Kept,
    /// Its end was asked for; nobody knows.
    Unsure,
    /// Its end was acknowledged.
    Gone,
}

#[derive(Clone, Debug)]
pub struct VolumeTold {
    pub owner: usize,
    pub life: Life,
    /// `None` where nobody knows.
    pub size: Option<u32>,
    pub note: Option<String>,
    pub snapshots: BTreeMap<SnapshotId, Life>,
    /// And whether it was completed for certain.
    pub attachments: BTreeMap<AttachmentId, (Life, bool)>,
}

/// How many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    pub yes: u64,
    pub no: u64,
    pub perhaps: u64,
}

#[derive(Default)]
pub struct Told {
    /// Creates that were surely refused, by the name that was asked for.
    pub refused: Vec<String>,
    /// Names that were asked for.
    pub asked: u64,
    pub volumes: BTreeMap<VolumeId, VolumeTold>,
    pub answers: Answers,
    /// What is wrong whatever comes later.
    pub wrong: Vec<String>,
    /// One line for each answer: two runs of a seed are the same if these are.
    pub log: String,
}

impl Told {
    pub fn volume(&mut self, id: VolumeId) -> &mut VolumeTold {
        self.volumes.get_mut(&id).expect("asked about what was made")
    }

    pub fn note(&mut self, line: std::fmt::Arguments<'_>) {
        let now = turmoil::sim_elapsed().unwrap_or_default();
        writeln!(self.log, "{:>9.3} {line}", now.as_secs_f64()).expect("memory takes it");
    }
}
