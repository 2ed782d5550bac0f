//! What was answered to which command, so that doing it twice is doing it once.
//!
//! Commands come at least once. One that is in work is ignored, one that was answered is answered alike, one of an attempt
//! that was followed by another is dropped. The memory is bounded: what is forgotten is done again, which is harmless,
//! because every driver verb looks before it acts.

use std::collections::{HashMap, VecDeque};

use crate::messages::api::Report;
use crate::messages::volume::CommandId;
use crate::model::OperationId;

/// How many answers are kept.
const KEPT: usize = 4096;

#[derive(Debug)]
enum Known {
    InWork,
    Answered(Report),
}

/// What to do with a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is new: do it.
    Begin,
    /// It is in work, or was followed by a later attempt: do nothing.
    Ignore,
    /// It was done: report this again.
    Again(Report),
}

/// The commands of one backend, the latest attempt of each operation.
#[derive(Debug, Default)]
pub struct Answers {
    known: HashMap<OperationId, (u32, Known)>,
    order: VecDeque<OperationId>,
}

impl Answers {
    /// Judges a command, and takes it in work if it is new.
    pub fn judge(&mut self, command: CommandId) -> Verdict {
        match self.known.get(&command.operation) {
            Some((attempt, _)) if *attempt > command.attempt => return Verdict::Ignore,
            Some((attempt, Known::InWork)) if *attempt == command.attempt => return Verdict::Ignore,
            Some((attempt, Known::Answered(report))) if *attempt == command.attempt => {
                return Verdict::Again(report.clone());
            }
            // A later attempt while the earlier is in work: the volume's lock puts them in order.
            Some(_) => {}
            None => {
                self.order.push_back(command.operation);
                self.forget_oldest();
            }
        }
        self.known
            .insert(command.operation, (command.attempt, Known::InWork));
        Verdict::Begin
    }

    /// Remembers how a command was answered, unless a later attempt has begun. The steps' times are told once only: what is
    /// kept is what a repetition must know.
    pub fn answered(&mut self, report: &Report) {
        let command = report.command;
        if let Some((attempt, known)) = self.known.get_mut(&command.operation)
            && *attempt == command.attempt
        {
            *known = Known::Answered(Report {
                command,
                from: report.from.clone(),
                outcome: report.outcome.clone(),
                steps: Vec::new(),
            });
        }
    }

    /// The command was given up without an answer (shutdown, or not ready): a repetition begins it anew.
    pub fn dropped(&mut self, command: CommandId) {
        if self
            .known
            .get(&command.operation)
            .is_some_and(|(attempt, known)| *attempt == command.attempt && matches!(known, Known::InWork))
        {
            self.known.remove(&command.operation);
            self.order.retain(|id| *id != command.operation);
        }
    }

    fn forget_oldest(&mut self) {
        while self.order.len() > KEPT {
            // Never one that is in work: its repetition must be ignored.
            let Some(index) = self.order.iter().position(|id| {
                self.known
                    .get(id)
                    .is_none_or(|(_, known)| matches!(known, Known::Answered(_)))
            }) else {
                return;
            };
            if let Some(id) = self.order.remove(index) {
                self.known.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Answers, KEPT, Verdict};
    use crate::messages::api::{Outcome, Report};
    use crate::messages::volume::CommandId;
    use crate::model::OperationId;

    fn command(attempt: u32) -> CommandId {
        CommandId {
            operation: OperationId::new(),
            attempt,
        }
    }

    fn report(command: CommandId) -> Report {
        Report {
            command,
            from: None,
            outcome: Outcome::Deleted,
            steps: Vec::new(),
        }
    }

    #[test]
    fn a_repeated_command_is_begun_once_and_answered_alike() {
        let mut answers = Answers::default();
        let first = command(1);
        assert_eq!(answers.judge(first), Verdict::Begin);
        assert_eq!(answers.judge(first), Verdict::Ignore);
        answers.answered(&report(first));
        assert_eq!(answers.judge(first), Verdict::Again(report(first)));
    }

    #[test]
    fn an_earlier_attempt_is_dropped_and_cannot_answer_for_the_later() {
        let mut answers = Answers::default();
        let (first, second) = {
            let id = OperationId::new();
            (
                CommandId {
                    operation: id,
                    attempt: 1,
                },
                CommandId {
                    operation: id,
                    attempt: 2,
                },
            )
        };
        assert_eq!(answers.judge(first), Verdict::Begin);
        assert_eq!(answers.judge(second), Verdict::Begin);
        assert_eq!(answers.judge(first), Verdict::Ignore);
        answers.answered(&report(first));
        assert_eq!(answers.judge(second), Verdict::Ignore, "still in work");
    }

    #[test]
    fn memory_is_bounded_and_what_is_in_work_is_never_forgotten() {
        let mut answers = Answers::default();
        let busy = command(1);
        assert_eq!(answers.judge(busy), Verdict::Begin);
        for _ in 0..2 * KEPT {
            let done = command(1);
            assert_eq!(answers.judge(done), Verdict::Begin);
            answers.answered(&report(done));
        }
        assert!(answers.known.len() <= KEPT + 1);
        assert_eq!(answers.judge(busy), Verdict::Ignore);
        answers.dropped(busy);
        assert_eq!(answers.judge(busy), Verdict::Begin);
    }
}
