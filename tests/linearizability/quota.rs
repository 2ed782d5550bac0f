//! The quota of one project, when calls come one after the other: who is let in fits, who is refused does not.

use std::collections::BTreeMap;

use crate::checker::Model;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// The calls that something else refers to have a number.
    Create(usize, u32),
    /// From so many GiB to so many.
    Extend {
        volume: usize,
        from: u32,
        to: u32,
    },
    Delete(usize),
    /// The backend has done what that volume's delete told it.
    Ended(usize),
    /// It is looked for, and not there.
    Miss(usize),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Done,
    OverQuota,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    pub volumes: usize,
    pub gigabytes: u32,
    /// What counts, and whether it is being deleted.
    pub used: BTreeMap<usize, (u32, bool)>,
}

impl Quota {
    fn has_room(&self, volumes: usize, gigabytes: u32) -> bool {
        let used: u32 = self.used.values().map(|(size, _)| size).sum();
        self.used.len() + volumes <= self.volumes && used + gigabytes <= self.gigabytes
    }
}

impl Model for Quota {
    type Call = Call;
    type Answer = Answer;

    fn after(&self, call: &Call, answer: Option<&Answer>) -> Vec<Self> {
        let mut after = self.clone();
        let told = match call {
            Call::Create(number, size) if self.has_room(1, *size) => {
                after.used.insert(*number, (*size, false));
                Answer::Done
            }
            Call::Extend { volume, from, to } if self.has_room(0, to - from) => {
                match after.used.get_mut(volume) {
                    Some((size, _)) => *size = *to,
                    None => return Vec::new(),
                }
                Answer::Done
            }
            Call::Create(..) | Call::Extend { .. } => Answer::OverQuota,
            Call::Delete(number) => match after.used.get_mut(number) {
                Some((_, is_going)) => {
                    *is_going = true;
                    Answer::Done
                }
                None => return Vec::new(),
            },
            Call::Ended(number) => match after.used.remove(number) {
                Some((_, true)) => Answer::Done,
                _ => return Vec::new(),
            },
            Call::Miss(number) if self.used.contains_key(number) => return Vec::new(),
            Call::Miss(_) => Answer::Done,
        };
        Vec::from_iter(answer.is_none_or(|answer| *answer == told).then_some(after))
    }
}
