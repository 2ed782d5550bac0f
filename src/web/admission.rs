//! Admission: bounds the number of requests in work, in total and per project, so that a project that floods
//! the service delays its own requests and not those of others.
//!
//! ```text
//!   in work: at most `at_once`, of one project at most `per_project`
//!   a request ──room?──> in work ──> answered: its permit goes to the project that waits and has the fewest in work
//!            └──else──> waits (of one project at most `waiting`, for `patience`) ──else──> 503, Retry-After
//! ```
//!
//! Reads and changes have separate permits: changes that wait for a slow backend do not block reads. Reads that take
//! long to compute have a third kind (see `offload`), as many as the machine has processors, so that they do not block
//! short reads. A request asks for its permit once its body is complete, and for a change permit only if its caller may
//! make the change (see `gate`). When the service stops, all waiting requests are refused at once: the shutdown is
//! shorter than their `patience` and would disconnect them without an answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::fault::Fault;
use crate::model::ProjectId;

/// `Retry-After` of a refusal, in seconds. A request takes milliseconds.
const RETRY_AFTER: u32 = 1;

/// Limits of admission.
#[derive(Clone, Debug)]
pub struct AdmissionOptions {
    /// The most requests in work at once, of all projects.
    pub at_once: usize,
    /// The most requests in work at once, of one project.
    pub per_project: usize,
    /// The most waiting requests of one project.
    pub waiting: usize,
    /// How long a request waits for a permit.
    pub patience: Duration,
}

impl Default for AdmissionOptions {
    fn default() -> Self {
        Self {
            at_once: 256,
            per_project: 64,
            waiting: 256,
            patience: Duration::from_secs(5),
        }
    }
}

impl AdmissionOptions {
    /// The limits of long reads: one per processor. One project may use all of them; as many threads remain for other
    /// work. Never more than the permits of reads.
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

/// What a request needs a permit for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A read.
    Read,
    /// A change.
    Change,
    /// A read that may take long to compute and runs on its own thread (see `offload`).
    Long,
}

/// The queues of a node: for reads, changes and long reads. Clones share them.
#[derive(Clone)]
pub struct AdmissionQueues {
    reads: Arc<AdmissionQueue>,
    changes: Arc<AdmissionQueue>,
    long: Arc<AdmissionQueue>,
}

impl AdmissionQueues {
    /// Queues with these limits for reads and for changes; those of long reads follow from the number of processors.
    pub fn new(options: &AdmissionOptions) -> Self {
        Self {
            reads: Arc::new(AdmissionQueue::new("read", options.clone())),
            changes: Arc::new(AdmissionQueue::new("change", options.clone())),
            long: Arc::new(AdmissionQueue::new("long read", options.long(processors()))),
        }
    }

    /// Waits for a permit.
    pub(super) async fn take(&self, kind: Kind, project: ProjectId) -> Result<Permit, Busy> {
        let admission = match kind {
            Kind::Read => &self.reads,
            Kind::Change => &self.changes,
            Kind::Long => &self.long,
        };
        admission.take(project).await
    }

    /// Refuses all further permits; requests that have one continue.
    pub fn close(&self) {
        self.reads.close();
        self.changes.close();
        self.long.close();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Busy {
    /// Too many requests of the project are waiting.
    Queue,
    /// The request waited too long.
    Patience,
    /// The service is stopping.
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

struct AdmissionQueue {
    what: &'static str,
    options: AdmissionOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    in_work: usize,
    /// Increases with every permit and every waiting request.
    count: u64,
    /// The projects with requests in work or waiting.
    projects: BTreeMap<ProjectId, Project>,
    closed: bool,
}

#[derive(Default)]
struct Project {
    in_work: usize,
    waiting: VecDeque<Waiter>,
    /// When it last got a permit, by `count`.
    served: u64,
    /// Whether a warning was logged since its queue was last empty.
    is_warned: bool,
}

struct Waiter {
    number: u64,
    called: oneshot::Sender<Permit>,
}

impl AdmissionQueue {
    fn new(what: &'static str, options: AdmissionOptions) -> Self {
        Self {
            what,
            options,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    async fn take(self: &Arc<Self>, project: ProjectId) -> Result<Permit, Busy> {
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
                return Ok(self.permit(project));
            }
            if of_project.waiting.len() >= self.options.waiting {
                if !of_project.is_warned {
                    of_project.is_warned = true;
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
        let _guard = WaitingGuard {
            admission: self,
            project: &project,
            number,
        };
        match tokio::time::timeout(self.options.patience, called).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(Busy::Closed),
            Err(_) => Err(Busy::Patience),
        }
    }

    fn permit(self: &Arc<Self>, project: ProjectId) -> Permit {
        Permit {
            admission: Some(Arc::clone(self)),
            project,
        }
    }

    /// Passes a returned permit to the next waiting request.
    fn release(self: &Arc<Self>, project: &ProjectId) {
        let mut state = self.state();
        state.end(project);
        while state.in_work < self.options.at_once {
            let Some((next, waiter)) = state.next(self.options.per_project) else {
                break;
            };
            if let Err(mut unclaimed) = waiter.called.send(self.permit(next.clone())) {
                // The client disconnected a moment ago. The permit must not be returned by its `Drop`, which
                // takes the lock that is held here.
                unclaimed.admission = None;
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
            of_project.is_warned = false;
            if of_project.in_work == 0 {
                self.projects.remove(project);
            }
        }
    }

    /// The first waiting request of the project with the fewest in work; among equals, of the project that received a permit
    /// longest ago.
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

/// A request in work. Dropping it gives the permit back.
pub(super) struct Permit {
    /// `None` once the permit has been returned.
    admission: Option<Arc<AdmissionQueue>>,
    project: ProjectId,
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a permit of {}", self.project)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            admission.release(&self.project);
        }
    }
}

/// A place in a queue. Dropping it leaves the queue, whatever the reason.
struct WaitingGuard<'a> {
    admission: &'a AdmissionQueue,
    project: &'a ProjectId,
    number: u64,
}

impl Drop for WaitingGuard<'_> {
    fn drop(&mut self) {
        self.admission.leave(self.project, self.number);
    }
}

#[cfg(test)]
mod tests;
