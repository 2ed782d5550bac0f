//! Which commands were answered, and how, so that a repeated command is run once.
//!
//! Commands are delivered at least once. One that is running is ignored, one that was answered gets the same answer again, one of an
//! attempt before the latest is ignored. The number of remembered answers is bounded: a forgotten command is run again, which is
//! harmless, because every driver verb checks the storage before it acts.

use std::collections::{HashMap, VecDeque};

use crate::messages::api::Report;
use crate::messages::volume::CommandId;
use crate::model::OperationId;

/// How many answers are kept.
const KEPT: usize = 4096;

#[derive(Debug)]
enum State {
    Running,
    Answered(Report),
}

/// What to do with a command.
#[derive(Debug, PartialEq, Eq)]
pub enum DedupDecision {
    /// It is new: run it.
    Run,
    /// It is running, or a later attempt has come: do nothing.
    Ignore,
    /// It was answered: report this again.
    Repeat(Report),
}

/// The commands of one backend, the latest attempt of each operation.
#[derive(Debug, Default)]
pub struct AnsweredCommands {
    commands: HashMap<OperationId, (u32, State)>,
    order: VecDeque<OperationId>,
}

impl AnsweredCommands {
    /// Decides about a command. One that is new counts as running from now on.
    pub fn admit(&mut self, command: CommandId) -> DedupDecision {
        match self.commands.get(&command.operation) {
            Some((attempt, _)) if *attempt > command.attempt => return DedupDecision::Ignore,
            Some((attempt, state)) if *attempt == command.attempt => {
                return match state {
                    State::Running => DedupDecision::Ignore,
                    State::Answered(report) => DedupDecision::Repeat(report.clone()),
                };
            }
            // A later attempt while the earlier one runs: the volume's lock puts them in order.
            Some(_) => {}
            None => {
                self.order.push_back(command.operation);
                self.forget_oldest();
            }
        }
        self.commands
            .insert(command.operation, (command.attempt, State::Running));
        DedupDecision::Run
    }

    /// Remembers how a command was answered, unless a later attempt has begun. The steps and their times are reported once only, so
    /// they are not kept.
    pub fn record(&mut self, report: &Report) {
        let command = report.command;
        if let Some((attempt, state)) = self.commands.get_mut(&command.operation)
            && *attempt == command.attempt
        {
            let mut answer = report.clone();
            answer.steps.clear();
            *state = State::Answered(answer);
        }
    }

    /// The command ended without an answer (shutdown, or not ready): if it comes again, it is run.
    pub fn forget(&mut self, command: CommandId) {
        if let Some((attempt, State::Running)) = self.commands.get(&command.operation)
            && *attempt == command.attempt
        {
            self.commands.remove(&command.operation);
            self.order.retain(|id| *id != command.operation);
        }
    }

    fn forget_oldest(&mut self) {
        while self.order.len() > KEPT {
            // Never one that is running: its repetition must be ignored.
            let Some(index) = self.order.iter().position(|id| {
                self.commands
                    .get(id)
                    .is_none_or(|(_, state)| matches!(state, State::Answered(_)))
            }) else {
                return;
            };
            if let Some(id) = self.order.remove(index) {
                self.commands.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AnsweredCommands, DedupDecision, KEPT};
    use crate::backend::testing::first;
    use crate::messages::api::{Outcome, Report};
    use crate::messages::volume::CommandId;

    fn report(command: CommandId) -> Report {
        Report {
            command,
            from: None,
            outcome: Outcome::Deleted,
            steps: Vec::new(),
        }
    }

    #[test]
    fn a_repeated_command_is_run_once_and_answered_alike() {
        let mut answers = AnsweredCommands::default();
        let first = first();
        assert_eq!(answers.admit(first), DedupDecision::Run);
        assert_eq!(answers.admit(first), DedupDecision::Ignore);
        answers.record(&report(first));
        assert_eq!(answers.admit(first), DedupDecision::Repeat(report(first)));
    }

    #[test]
    fn an_earlier_attempt_is_dropped_and_cannot_answer_for_the_later() {
        let mut answers = AnsweredCommands::default();
        let first = first();
        let second = CommandId { attempt: 2, ..first };
        assert_eq!(answers.admit(first), DedupDecision::Run);
        assert_eq!(answers.admit(second), DedupDecision::Run);
        assert_eq!(answers.admit(first), DedupDecision::Ignore);
        answers.record(&report(first));
        assert_eq!(answers.admit(second), DedupDecision::Ignore, "still running");
    }

    #[test]
    fn the_number_of_answers_is_bounded_and_a_running_command_is_never_forgotten() {
        let mut answers = AnsweredCommands::default();
        let busy = first();
        assert_eq!(answers.admit(busy), DedupDecision::Run);
        for _ in 0..2 * KEPT {
            let done = first();
            assert_eq!(answers.admit(done), DedupDecision::Run);
            answers.record(&report(done));
        }
        assert!(answers.commands.len() <= KEPT + 1);
        assert_eq!(answers.admit(busy), DedupDecision::Ignore);
        answers.forget(busy);
        assert_eq!(answers.admit(busy), DedupDecision::Run);
    }
}
