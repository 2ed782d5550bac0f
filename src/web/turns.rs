//! Turns: how many requests are in work at once, of all projects and of each, so that one that floods the service delays itself
//! and not the others.
//!
//! ```text
//!   in work: at most `at_once`, of one project at most `per_project`
//!   a request ──room?──> in work ──> answered: its turn goes to whoever waits, of the project that has the fewest in work
//!            └──else──> waits (of one project at most `waiting`, for `patience`) ──else──> 503, Retry-After
//! ```
//!
//! What reads and what changes have turns of their own: changes that wait for a slow backend keep nobody from looking. So have reads
//! that are long to compute (see `offload`): they are as few as the machine has processors, and keep nobody from a short look. A request
//! asks for its turn when its body is here, and for one that changes only if its caller may change something (see `gate`). When the service stops, all who wait are refused at once:
//! the stop is shorter than their patience, and would cut them off without an answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::fault::Fault;
use crate::model::ProjectId;

/// When who was refused may come again: a turn takes milliseconds.
const RETRY_AFTER: u32 = 1;

/// How many turns there are.
#[derive(Clone, Debug)]
pub struct TurnOptions {
    /// In work at once, of all projects.
    pub at_once: usize,
    /// Of them, of one project.
    pub per_project: usize,
    /// Waiting, of one project.
    pub waiting: usize,
    /// How long.
    pub patience: Duration,
}

impl Default for TurnOptions {
    fn default() -> Self {
        Self {
            at_once: 256,
            per_project: 64,
            waiting: 256,
            patience: Duration::from_secs(5),
        }
    }
}

impl TurnOptions {
    /// Long reads keep a processor each. One project may use all of them, and as many threads are left for the others; never more than
    /// there are turns among reads.
    fn long(&self, processors: usize) -> Self {
        let per_project = processors.min(self.per_project);
        Self {
            at_once: (2 * per_project).min(self.at_once),
            per_project,
            ..self.clone()
        }
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// What a turn is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Looking.
    Read,
    /// Changing.
    Change,
    /// Computing an answer that may take long, on a thread (see `offload`).
    Long,
}

/// The turns of a node: for reading and for changing. All clones are one.
#[derive(Clone)]
pub struct AllTurns {
    reads: Arc<Turns>,
    changes: Arc<Turns>,
    long: Arc<Turns>,
}

impl AllTurns {
    /// So many of reads and of changes; of long reads as many as the machine has room for.
    #[must_use]
    pub fn new(options: &TurnOptions) -> Self {
        Self {
            reads: Arc::new(Turns::new("read", options.clone())),
            changes: Arc::new(Turns::new("change", options.clone())),
            long: Arc::new(Turns::new("long read", options.long(processors()))),
        }
    }

    /// Waits for a turn.
    pub(super) async fn take(&self, kind: Kind, project: ProjectId) -> Result<Turn, Busy> {
        let turns = match kind {
            Kind::Read => &self.reads,
            Kind::Change => &self.changes,
            Kind::Long => &self.long,
        };
        turns.take(project).await
    }

    /// From now on nobody gets a turn; whoever has one may end.
    pub fn close(&self) {
        self.reads.close();
        self.changes.close();
        self.long.close();
    }
}

/// There is no turn for this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Busy {
    /// Too many of the project wait already.
    Queue,
    /// It waited for too long.
    Patience,
    /// The service stops.
    Closed,
}

impl Busy {
    pub(super) fn fault(self) -> Fault {
        let why = match self {
            Self::Queue => "Too many requests of this project are under way.",
            Self::Patience => "The service is too busy.",
            Self::Closed => "The service is stopping.",
        };
        Fault {
            message: format!("{why} Nothing was changed; please try again later."),
            ..Fault::unavailable(RETRY_AFTER)
        }
    }
}

struct Turns {
    what: &'static str,
    options: TurnOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    in_work: usize,
    /// Grows with every turn and every request that waits.
    count: u64,
    /// Those that have something in work or waiting.
    projects: BTreeMap<ProjectId, Project>,
    closed: bool,
}

#[derive(Default)]
struct Project {
    in_work: usize,
    waiting: VecDeque<Waiter>,
    /// When it had its last turn.
    served: u64,
    /// Whether it was told of since it last had nobody waiting.
    complained: bool,
}

struct Waiter {
    number: u64,
    called: oneshot::Sender<Turn>,
}

impl Turns {
    fn new(what: &'static str, options: TurnOptions) -> Self {
        Self {
            what,
            options,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    async fn take(self: &Arc<Self>, project: ProjectId) -> Result<Turn, Busy> {
        let (number, called) = {
            let mut state = self.state();
            let State {
                in_work,
                count,
                projects,
                closed,
            } = &mut *state;
            if *closed {
                return Err(Busy::Closed);
            }
            *count += 1;
            let of_project = projects.entry(project.clone()).or_default();
            let is_free = *in_work < self.options.at_once
                && of_project.in_work < self.options.per_project
                && of_project.waiting.is_empty();
            if is_free {
                *in_work += 1;
                of_project.in_work += 1;
                of_project.served = *count;
                return Ok(self.turn(project));
            }
            if of_project.waiting.len() >= self.options.waiting {
                if !of_project.complained {
                    of_project.complained = true;
                    tracing::warn!(%project, what = self.what, in_work = of_project.in_work, waiting = of_project.waiting.len(),
                        "requests of this project are refused: too many are under way");
                }
                return Err(Busy::Queue);
            }
            let (call, called) = oneshot::channel();
            of_project.waiting.push_back(Waiter {
                number: *count,
                called: call,
            });
            (*count, called)
        };
        let _place = Place {
            turns: self,
            project: &project,
            number,
        };
        match tokio::time::timeout(self.options.patience, called).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) => Err(Busy::Closed),
            Err(_) => Err(Busy::Patience),
        }
    }

    fn turn(self: &Arc<Self>, project: ProjectId) -> Turn {
        Turn {
            turns: Some(Arc::clone(self)),
            project,
        }
    }

    /// A turn ended: whoever is next has it.
    fn release(self: &Arc<Self>, project: &ProjectId) {
        let mut state = self.state();
        state.end(project);
        while state.in_work < self.options.at_once {
            let Some((next, waiter)) = state.next(self.options.per_project) else {
                break;
            };
            if let Err(mut unheard) = waiter.called.send(self.turn(next.clone())) {
                // It hung up a moment ago. Its turn must not be given back by being dropped: that takes what is held here.
                unheard.turns = None;
                state.end(&next);
            }
        }
    }

    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        for of_project in state.projects.values_mut() {
            of_project.waiting.clear();
        }
    }

    fn leave(&self, project: &ProjectId, number: u64) {
        let mut state = self.state();
        if let Some(of_project) = state.projects.get_mut(project) {
            of_project.waiting.retain(|waiter| waiter.number != number);
        }
        state.forget_if_idle(project);
    }
}

impl State {
    fn end(&mut self, project: &ProjectId) {
        self.in_work = self.in_work.saturating_sub(1);
        if let Some(of_project) = self.projects.get_mut(project) {
            of_project.in_work = of_project.in_work.saturating_sub(1);
        }
        self.forget_if_idle(project);
    }

    fn forget_if_idle(&mut self, project: &ProjectId) {
        if let Some(of_project) = self.projects.get_mut(project)
            && of_project.waiting.is_empty()
        {
            of_project.complained = false;
            if of_project.in_work == 0 {
                self.projects.remove(project);
            }
        }
    }

    /// The first who waits of the project that has the fewest in work; of several, of the one that had no turn for longest.
    fn next(&mut self, per_project: usize) -> Option<(ProjectId, Waiter)> {
        let may = self
            .projects
            .iter_mut()
            .filter(|(_, of_project)| !of_project.waiting.is_empty() && of_project.in_work < per_project);
        let (project, of_project) =
            may.min_by_key(|(_, of_project)| (of_project.in_work, of_project.served))?;
        let waiter = of_project.waiting.pop_front()?;
        self.count += 1;
        self.in_work += 1;
        of_project.in_work += 1;
        of_project.served = self.count;
        Some((project.clone(), waiter))
    }
}

/// A request in work. Dropping it ends the turn.
pub(super) struct Turn {
    /// `None` once it has ended.
    turns: Option<Arc<Turns>>,
    project: ProjectId,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a turn of {}", self.project)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            turns.release(&self.project);
        }
    }
}

/// A place in a queue, left when nobody waits in it any more, for whatever reason.
struct Place<'a> {
    turns: &'a Turns,
    project: &'a ProjectId,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.turns.leave(self.project, self.number);
    }
}

#[cfg(test)]
mod tests;
