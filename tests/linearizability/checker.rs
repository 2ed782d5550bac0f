//! Whether a history of concurrent calls could have happened one after the other: the search of Wing and Gong with Lowe's memory
//! of what was tried.
//!
//! Each call must take effect at one instant between its beginning and its answer. One that was never answered may have taken
//! effect at any time since, or not at all; so may what goes on by itself, like a backend that ends what was begun.
//! (`stateright`'s tester has no memory of what it tried, so it is done with a dozen calls, and a specification there has one
//! successor for each call, where a call without an answer has several.)

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

/// What happens when calls come one after the other.
pub trait Model: Clone + Eq + Hash {
    type Call: Clone + Debug;
    type Answer: Clone + Debug;

    /// The states that may follow if this call takes effect now, and its caller is answered so (`None`: the answer is
    /// unknown). None if it cannot be answered so now.
    fn after(&self, call: &Self::Call, answer: Option<&Self::Answer>) -> Vec<Self>;

    /// Whether a call that is answered so leaves every state as it is.
    fn is_read(call: &Self::Call, answer: &Self::Answer) -> bool;
}

/// A call as its client saw it. The times are those of one counter.
#[derive(Clone, Debug)]
pub struct Event<M: Model> {
    pub client: usize,
    pub begun: u64,
    pub call: M::Call,
    /// When the answer was there, and what it was.
    pub answer: Option<(u64, M::Answer)>,
}

impl<M: Model> Event<M> {
    fn answered_at(&self) -> u64 {
        self.answer.as_ref().map_or(u64::MAX, |(at, _)| *at)
    }
}

/// A call that was taken, and the state before it.
struct Taken<M> {
    index: usize,
    before: M,
    /// No other call has to be tried in its place.
    is_only_choice: bool,
}

/// An order in which it could have happened, or `None` if there is none.
///
/// Two choices are left out because others do as well. A read whose answer fits the state can be taken at once: if there is an order with it later, there is one with it
/// now. And a call without an answer that would leave the state as it is need not be taken.
pub fn order<M: Model>(start: &M, history: &[Event<M>]) -> Option<Vec<usize>> {
    let mut tried: HashSet<(Vec<bool>, M)> = HashSet::new();
    let mut way: Vec<Taken<M>> = Vec::new();
    let mut done = vec![false; history.len()];
    let mut state = start.clone();
    let mut from = 0;
    loop {
        let open = || (0..history.len()).filter(|index| !done[*index]);
        let first_answer = open().map(|index| history[index].answered_at()).min();
        let first_answer = first_answer.unwrap_or(u64::MAX);
        if first_answer == u64::MAX {
            return Some(way.into_iter().map(|taken| taken.index).collect());
        }
        let may_be_next = |index: &usize| history[*index].begun < first_answer;
        let after = |index: usize| {
            let answer = history[index].answer.as_ref().map(|(_, answer)| answer);
            state.after(&history[index].call, answer)
        };
        let is_fitting_read = |index: &usize| {
            let Event { call, answer, .. } = &history[*index];
            let is_read = answer
                .as_ref()
                .is_some_and(|(_, answer)| M::is_read(call, answer));
            is_read && !after(*index).is_empty()
        };
        let with = |index: usize| {
            let mut with = done.clone();
            with[index] = true;
            with
        };
        let at_once = open().filter(may_be_next).find(is_fitting_read);
        let step = match at_once {
            Some(index) => {
                let is_new = tried.insert((with(index), state.clone()));
                is_new.then(|| (index, state.clone()))
            }
            None => open()
                .filter(|index| *index >= from)
                .filter(may_be_next)
                .find_map(|index| {
                    let is_open = history[index].answer.is_none();
                    let mut all = after(index).into_iter();
                    let is_new = |after: &M| {
                        !(is_open && *after == state) && tried.insert((with(index), after.clone()))
                    };
                    Some((index, all.find(is_new)?))
                }),
        };
        match step {
            Some((index, after)) => {
                done[index] = true;
                way.push(Taken {
                    index,
                    before: std::mem::replace(&mut state, after),
                    is_only_choice: at_once.is_some(),
                });
                from = 0;
            }
            // From the same call on: it may have been followed by more than one state, and what was tried is remembered.
            None => loop {
                let taken = way.pop()?;
                done[taken.index] = false;
                state = taken.before;
                if !taken.is_only_choice {
                    from = taken.index;
                    break;
                }
            },
        }
    }
}

/// The shortest history that shows why it cannot be: up to the answer that cannot be, and of that the answers that matter. What is
/// left out could have happened at any time or not at all, and would explain nothing. `None` if the history can be.
pub fn contradiction<M: Model>(start: &M, history: &[Event<M>]) -> Option<Vec<Event<M>>> {
    let mut answers: Vec<u64> = history.iter().map(Event::answered_at).collect();
    answers.retain(|at| *at < u64::MAX);
    answers.sort_unstable();
    let up_to = |at: u64| -> Vec<Event<M>> {
        let begun = history.iter().filter(|event| event.begun <= at);
        let cut = |event: &Event<M>| Event {
            answer: event.answer.clone().filter(|(answered, _)| *answered <= at),
            ..event.clone()
        };
        begun.map(cut).collect()
    };
    // A history that cannot be does not become one that can by going on.
    let first = answers.partition_point(|at| order(start, &up_to(*at)).is_some());
    let mut shortest = up_to(*answers.get(first)?);
    for index in (0..shortest.len()).rev() {
        let answer = shortest[index].answer.take();
        if order(start, &shortest).is_some() {
            shortest[index].answer = answer;
        }
    }
    shortest.retain(|event| event.answer.is_some());
    shortest.sort_by_key(|event| event.begun);
    Some(shortest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Event, Model, contradiction, order};

    /// A register.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Register(u8);

    #[derive(Clone, Debug)]
    enum Call {
        Read,
        Write(u8),
    }

    impl Model for Register {
        type Call = Call;
        /// What was read, or 0.
        type Answer = u8;

        fn after(&self, call: &Call, answer: Option<&u8>) -> Vec<Self> {
            match call {
                Call::Read => Vec::from_iter(answer.is_none_or(|read| *read == self.0).then(|| self.clone())),
                Call::Write(value) => vec![Self(*value)],
            }
        }

        fn is_read(call: &Call, _answer: &u8) -> bool {
            matches!(call, Call::Read)
        }
    }

    fn event(begun: u64, answered: Option<u64>, call: Call, answer: u8) -> Event<Register> {
        Event {
            client: 0,
            begun,
            call,
            answer: answered.map(|at| (at, answer)),
        }
    }

    #[test]
    fn a_value_that_was_overwritten_cannot_be_read() {
        let history = [
            event(0, Some(1), Call::Write(1), 0),
            event(2, Some(3), Call::Read, 1),
            event(4, Some(5), Call::Write(2), 0),
            event(6, Some(9), Call::Read, 2),
            event(7, Some(8), Call::Read, 1),
            event(10, Some(11), Call::Read, 2),
        ];
        assert!(order(&Register(0), &history[..4]).is_some());
        assert!(order(&Register(0), &history).is_none());
        let shortest = contradiction(&Register(0), &history).unwrap();
        let calls: Vec<String> = shortest.iter().map(|event| format!("{:?}", event.call)).collect();
        assert_eq!(calls, ["Write(1)", "Write(2)", "Read"], "{shortest:?}");
    }

    #[test]
    fn what_was_read_once_stays_read_though_its_write_was_never_answered() {
        let write = event(0, None, Call::Write(1), 0);
        let read = |at, value| event(at, Some(at + 1), Call::Read, value);
        assert!(order(&Register(0), &[write.clone(), read(1, 0), read(3, 1)]).is_some());
        assert!(order(&Register(0), &[write.clone(), read(1, 0)]).is_some());
        assert!(order(&Register(0), &[write, read(1, 1), read(3, 0)]).is_none());
    }

    fn histories() -> impl Strategy<Value = Vec<Event<Register>>> {
        let call = (0..12_u64, 0..6_u64, 0..3_u8, any::<bool>());
        proptest::collection::vec(call, 0..6).prop_map(|calls| {
            let of = |(begun, takes, value, reads)| {
                let call = if reads { Call::Read } else { Call::Write(value) };
                event(
                    begun * 2,
                    (takes > 0).then_some(begun * 2 + takes * 2 + 1),
                    call,
                    value,
                )
            };
            calls.into_iter().map(of).collect()
        })
    }

    /// By trying all orders of all choices.
    fn can_be(state: &Register, history: &[Event<Register>]) -> bool {
        if history.iter().all(|event| event.answer.is_none()) {
            return true;
        }
        (0..history.len()).any(|index| {
            let mut rest = history.to_vec();
            let event = rest.remove(index);
            let comes_too_late = rest.iter().any(|other| other.answered_at() < event.begun);
            let answer = event.answer.as_ref().map(|(_, answer)| answer);
            !comes_too_late
                && state
                    .after(&event.call, answer)
                    .iter()
                    .any(|after| can_be(after, &rest))
        })
    }

    proptest! {
        #[test]
        fn it_says_what_trying_everything_says(history in histories()) {
            let start = Register(0);
            let expected = can_be(&start, &history);
            prop_assert_eq!(order(&start, &history).is_some(), expected);
            match contradiction(&start, &history) {
                None => prop_assert!(expected),
                Some(shortest) => {
                    prop_assert!(!expected);
                    prop_assert!(!can_be(&start, &shortest));
                    prop_assert!(shortest.len() <= history.len());
                }
            }
        }
    }
}
