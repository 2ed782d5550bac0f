//! The quota of one project, when calls come one after the other: a request that is admitted fits, one that is refused does not.

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
    /// The backend has carried out that volume's delete.
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
    pub volumes: u32,
    pub gigabytes: u32,
    /// What counts, and whether it is being deleted.
    pub used: BTreeMap<usize, (u32, bool)>,
}

impl Quota {
    fn has_room(&self, volumes: u32, gigabytes: u32) -> bool {
        let count: u32 = self.used.values().map(|_| 1).sum();
        let used: u32 = self.used.values().map(|(size, _)| size).sum();
        count + volumes <= self.volumes && used + gigabytes <= self.gigabytes
    }
}

impl Model for Quota {
    type Call = Call;
    type Answer = Answer;

    fn after(&self, call: &Call, answer: Option<&Answer>) -> Vec<Self> {
        let mut after = self.clone();
        let expected = match call {
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
        Vec::from_iter(answer.is_none_or(|answer| *answer == expected).then_some(after))
    }

    fn is_read(call: &Call, answer: &Answer) -> bool {
        matches!(call, Call::Miss(_)) || *answer == Answer::OverQuota
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Call, Quota};
    use crate::checker::{Event, contradiction};

    fn event(begun: u64, answered: u64, call: Call, answer: Answer) -> Event<Quota> {
        Event {
            client: 0,
            begun,
            call,
            answer: Some((answered, answer)),
        }
    }

    fn is_wrong(history: &[Event<Quota>]) -> bool {
        let start = Quota {
            volumes: 2,
            gigabytes: 3,
            used: Default::default(),
        };
        contradiction(&start, history).is_some()
    }

    #[test]
    fn who_does_not_fit_is_not_let_in_and_who_fits_is_not_refused() {
        use Answer::{Done, OverQuota};
        let two = [
            event(0, 3, Call::Create(0, 2), Done),
            event(1, 2, Call::Create(1, 2), Done),
        ];
        assert!(is_wrong(&two));
        let one = [two[0].clone(), event(1, 2, Call::Create(1, 2), OverQuota)];
        assert!(!is_wrong(&one));
        let nobody_was_there = [
            event(0, 1, Call::Create(0, 2), OverQuota),
            event(2, 3, Call::Create(1, 2), Done),
        ];
        assert!(is_wrong(&nobody_was_there));
    }

    #[test]
    fn room_is_given_back_when_the_volume_is_gone_and_no_later() {
        let unanswered = |call| Event {
            answer: None,
            ..event(3, 0, call, Answer::Done)
        };
        let mut history = vec![
            event(0, 1, Call::Create(0, 3), Answer::Done),
            event(2, 3, Call::Delete(0), Answer::Done),
            unanswered(Call::Ended(0)),
            event(4, 5, Call::Create(1, 1), Answer::OverQuota),
            event(6, 7, Call::Miss(0), Answer::Done),
        ];
        assert!(!is_wrong(&history));
        history.push(event(8, 9, Call::Create(2, 1), Answer::OverQuota));
        assert!(is_wrong(&history));
    }
}
