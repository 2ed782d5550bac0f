//! One volume, as clients may know it, when calls come one after the other.
//!
//! The rules are Cinder's, said once more and on their own: what `model::transitions` says is not asked.

use std::collections::BTreeMap;

use pumice::model::VolumeStatus::{self, *};

use crate::checker::Model;

pub type Notes = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Show,
    Rename(String),
    Note(String, String),
    /// All notes, if they are those.
    Replace {
        expected: Notes,
        with: Notes,
    },
    Reserve,
    Unreserve,
    Reset(VolumeStatus),
    /// The calls that something else refers to have a number.
    Extend(usize, u32),
    Delete(usize),
    Attach(usize),
    Complete(usize),
    Detach(usize),
    /// The work of the backend for that call has ended.
    Ended(usize),
}

/// What a client sees of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct View {
    pub status: VolumeStatus,
    pub size: u32,
    pub name: Option<String>,
    pub notes: Notes,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Done,
    /// It was done, and the answer says no more.
    #[allow(
        dead_code,
        clippy::allow_attributes,
        reason = "over HTTP; the actor's answers say all"
    )]
    Accepted,
    Seen(View),
    Noted(Notes),
    /// 400
    NotNow,
    /// 409
    Differs,
    /// 404
    NotThere,
}

impl Answer {
    fn agrees_with(&self, expected: &Self) -> bool {
        let is_success = matches!(expected, Self::Done | Self::Seen(_) | Self::Noted(_));
        self == expected || (*self == Self::Accepted && is_success)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Attachment {
    Attached,
    Reserved,
    None,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Volume {
    view: View,
    is_there: bool,
    before: Option<VolumeStatus>,
    /// What it counts as, which a reset of the status leaves as it was.
    attached: Attachment,
    attachments: BTreeMap<usize, Attachment>,
    /// The call whose end the backend will tell, and the size it makes; no size: it deletes.
    running: Option<(usize, Option<u32>)>,
    /// Its status was reset while a backend worked on it: what that left is unknown.
    is_shaken: bool,
    /// Whether it may grow while it is in use, as since microversion 3.42.
    grows_in_use: bool,
}

impl Volume {
    pub fn available(size: u32) -> Self {
        Self {
            view: View {
                status: Available,
                size,
                name: None,
                notes: Notes::new(),
            },
            is_there: true,
            before: None,
            attached: Attachment::None,
            attachments: BTreeMap::new(),
            running: None,
            is_shaken: false,
            grows_in_use: false,
        }
    }

    /// The same for clients that ask for what microversion 3.42 allows.
    #[allow(dead_code, clippy::allow_attributes, reason = "over HTTP")]
    pub fn growing_in_use(self) -> Self {
        Self {
            grows_in_use: true,
            ..self
        }
    }

    /// States and statuses follow the attachments, but for a status that an operation will end.
    fn follow(&mut self) {
        let strongest = self.attachments.values().min();
        self.attached = strongest.copied().unwrap_or(Attachment::None);
        let resting = match self.attached {
            Attachment::Attached => InUse,
            Attachment::Reserved => Reserved,
            Attachment::None => Available,
        };
        match self.view.status {
            Extending => self.before = Some(resting),
            Deleting => {}
            _ => self.view.status = resting,
        }
    }

    fn called(mut self, call: &Call) -> Vec<(Self, Answer)> {
        use Answer::{Differs, Done, NotNow, NotThere, Noted, Seen};
        if let Call::Ended(of) = call {
            return self.ended(*of).into_iter().map(|state| (state, Done)).collect();
        }
        if !self.is_there {
            return vec![(self, NotThere)];
        }
        let refused = self.clone();
        let status = self.view.status;
        let sees = |state: Self| {
            let view = state.view.clone();
            vec![(state, Seen(view))]
        };
        match call {
            Call::Show => return sees(self),
            Call::Rename(name) => {
                self.view.name = Some(name.clone());
                return sees(self);
            }
            Call::Note(key, value) => {
                self.view.notes.insert(key.clone(), value.clone());
                let notes = self.view.notes.clone();
                return vec![(self, Noted(notes))];
            }
            Call::Replace { expected, .. } if self.view.notes != *expected => {
                return vec![(refused, Differs)];
            }
            Call::Replace { with, .. } => {
                self.view.notes.clone_from(with);
                return vec![(self, Noted(with.clone()))];
            }
            Call::Reserve if status == Available => {
                self.view.status = Attaching;
                return sees(self);
            }
            Call::Unreserve => {
                if status == Attaching {
                    let is_attached = !self.attachments.is_empty();
                    self.view.status = if is_attached { InUse } else { Available };
                }
                return sees(self);
            }
            Call::Reset(to) => {
                self.is_shaken |= self.running.is_some();
                self.running = None;
                self.before = None;
                self.view.status = *to;
                return sees(self);
            }
            Call::Extend(number, size)
                if *size > self.view.size
                    && (status == Available || self.grows_in_use && status == InUse) =>
            {
                self.before = Some(status);
                self.view.status = Extending;
                self.running = Some((*number, Some(*size)));
            }
            Call::Delete(number)
                if matches!(status, Available | Error | ErrorExtending)
                    && self.attached != Attachment::Attached =>
            {
                self.before = None;
                self.view.status = Deleting;
                self.running = Some((*number, None));
            }
            Call::Attach(number) if status == Available => {
                self.view.status = Reserved;
                if self.attached == Attachment::None {
                    self.attached = Attachment::Reserved;
                }
                self.attachments.insert(*number, Attachment::Reserved);
            }
            Call::Complete(number) | Call::Detach(number) => {
                if !self.attachments.contains_key(number) {
                    return vec![(refused, NotThere)];
                }
                match call {
                    Call::Complete(_) => self.attachments.insert(*number, Attachment::Attached),
                    _ => self.attachments.remove(number),
                };
                self.follow();
            }
            _ => return vec![(refused, NotNow)],
        }
        vec![(self, Done)]
    }

    fn ended(&self, of: usize) -> Vec<Self> {
        let Some((_, what)) = self.running.filter(|(number, _)| *number == of) else {
            return Vec::new();
        };
        let mut ended = self.clone();
        ended.running = None;
        let Some(size) = what else {
            ended.is_there = false;
            ended.attachments.clear();
            return vec![ended];
        };
        ended.view.status = ended.before.take().unwrap_or(Available);
        let mut failed = ended.clone();
        ended.view.size = size;
        if !self.is_shaken {
            return vec![ended];
        }
        let refused = failed.clone();
        failed.view.status = ErrorExtending;
        vec![ended, refused, failed]
    }
}

impl Model for Volume {
    type Call = Call;
    type Answer = Answer;

    fn after(&self, call: &Call, answer: Option<&Answer>) -> Vec<Self> {
        let all = self.clone().called(call).into_iter();
        let fits = all.filter(|(_, expected)| answer.is_none_or(|answer| answer.agrees_with(expected)));
        fits.map(|(state, _)| state).collect()
    }

    fn is_read(call: &Call, answer: &Answer) -> bool {
        matches!(call, Call::Show) || matches!(answer, Answer::NotNow | Answer::Differs | Answer::NotThere)
    }
}

#[cfg(test)]
mod tests {
    use pumice::model::VolumeStatus::{Available, Extending};

    use super::{Answer, Call, Notes, View, Volume};
    use crate::checker::{Event, contradiction};

    fn event(begun: u64, answered: u64, call: Call, answer: Answer) -> Event<Volume> {
        Event {
            client: 0,
            begun,
            call,
            answer: Some((answered, answer)),
        }
    }

    fn calls(history: &[Event<Volume>]) -> Option<Vec<Call>> {
        let shortest = contradiction(&Volume::available(1), history)?;
        Some(shortest.into_iter().map(|event| event.call).collect())
    }

    fn seen(status: pumice::model::VolumeStatus, size: u32) -> Answer {
        Answer::Seen(View {
            status,
            size,
            name: None,
            notes: Notes::new(),
        })
    }

    #[test]
    fn of_two_that_replace_the_same_notes_one_is_refused() {
        let to = |value: &str| Notes::from([("a".to_owned(), value.to_owned())]);
        let replace = |value: &str| Call::Replace {
            expected: Notes::new(),
            with: to(value),
        };
        let both = [
            event(0, 3, replace("1"), Answer::Noted(to("1"))),
            event(1, 2, replace("2"), Answer::Noted(to("2"))),
        ];
        assert_eq!(calls(&both), Some(vec![replace("1"), replace("2")]));
        let one = [both[0].clone(), event(1, 2, replace("2"), Answer::Differs)];
        assert_eq!(calls(&one), None);
    }

    #[test]
    fn a_volume_that_has_grown_is_not_seen_small_again() {
        let extend = event(0, 1, Call::Extend(0, 2), Answer::Done);
        let ended = Event {
            answer: None,
            ..event(0, 0, Call::Ended(0), Answer::Done)
        };
        let mut history = vec![
            event(2, 3, Call::Rename("x".to_owned()), Answer::NotNow),
            extend,
            ended,
            event(4, 5, Call::Show, seen(Extending, 1)),
            event(6, 7, Call::Show, seen(Available, 2)),
            event(8, 9, Call::Show, seen(Available, 1)),
        ];
        assert_eq!(calls(&history), Some(vec![Call::Rename("x".to_owned())]));
        history.remove(0);
        assert_eq!(calls(&history), Some(vec![Call::Extend(0, 2), Call::Show]));
        history.pop();
        assert_eq!(calls(&history), None);
    }
}
