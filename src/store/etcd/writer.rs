//! The writer: merges waiting commits into transactions of etcd, one after the other.
//!
//! A transaction that fails since another node wrote what it read is evaluated again on a newer view; only what still does not
//! hold then is refused. It is halved each time, so that one key that many nodes write does not hold up the others. A commit that
//! the view refuses is evaluated again on a view that is known to be current, before it is refused.
//!
//! A transaction whose reply is lost either happened, which its fence shows, or is excluded by writing the fence again. No other is
//! sent before that is known.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::batch::{Added, Batch, fenced, unsigned};
use super::client::CallError;
use super::fence::{Fence, Purpose};
use super::node::Node;
use super::proto::TxnResponse;
use super::stats::{CommitStats, count};
use crate::store::{CommitError, Health, Revision, StoreError, Transaction};

/// The most commits in one transaction.
const GROUP_COMMITS: usize = 64;

/// The pause before a transaction is tried again that etcd could not do.
const RETRY: Duration = Duration::from_millis(50);

/// A waiting commit, and the channel for its answer.
pub(super) struct Pending {
    pub(super) transaction: Transaction,
    pub(super) answer: oneshot::Sender<Result<Revision, CommitError>>,
    /// When it is refused, if nothing is known by then.
    pub(super) deadline: Instant,
    /// Whether the view was known to be current after it began to wait.
    pub(super) is_judged_on_current_view: bool,
}

impl Pending {
    fn answer(self, result: Result<Revision, CommitError>) {
        // The caller may have stopped waiting; the commit is effective anyway.
        let _ = self.answer.send(result);
    }
}

pub(super) struct Writer {
    node: Arc<Node>,
    queue: mpsc::Receiver<Pending>,
    waiting: VecDeque<Pending>,
    /// The last own fence, and the revision that wrote it.
    number: u64,
    fenced_at: u64,
    /// How many commits the next transaction may have.
    most: usize,
    stats: Arc<CommitStats>,
}

/// What a transaction came to.
enum Outcome {
    Committed(u64),
    /// Something that it read has changed.
    Conflict,
    /// Nothing was changed; it may be tried again.
    NotNow(CallError),
    /// Nothing was changed, and it will not be tried again.
    Failed(StoreError),
    /// The store was closed before the outcome was known.
    Closed,
}

impl Writer {
    pub(super) fn new(
        node: Arc<Node>,
        queue: mpsc::Receiver<Pending>,
        fence: (u64, u64),
        stats: Arc<CommitStats>,
    ) -> Self {
        Self {
            node,
            queue,
            waiting: VecDeque::new(),
            number: fence.0,
            fenced_at: fence.1,
            most: GROUP_COMMITS,
            stats,
        }
    }

    /// Commits until the store is closed and all that was accepted is answered.
    pub(super) async fn run(mut self) {
        loop {
            if self.waiting.is_empty() {
                match self.queue.recv().await {
                    Some(next) => self.waiting.push_back(next),
                    None => return,
                }
            }
            while self.waiting.len() < 2 * GROUP_COMMITS
                && let Ok(next) = self.queue.try_recv()
            {
                self.waiting.push_back(next);
            }
            if let Some(broken) = self.node.broken() {
                for pending in self.waiting.drain(..) {
                    pending.answer(Err(broken.copy().into()));
                }
                continue;
            }
            self.round().await;
        }
    }

    /// Builds one transaction, sends it, and answers or keeps each commit that was considered.
    async fn round(&mut self) {
        let mut batch = Batch::default();
        let mut merged = Vec::new();
        let mut doubtful = Vec::new();
        while merged.len() < self.most
            && let Some(pending) = self.waiting.pop_front()
        {
            match batch.add(&self.node.view, &pending.transaction) {
                Added::Yes => merged.push(pending),
                Added::Full => {
                    self.waiting.push_front(pending);
                    break;
                }
                Added::Refused(error) => {
                    let is_final = pending.is_judged_on_current_view && batch.is_empty();
                    if is_final || matches!(error, CommitError::Store(_)) {
                        count(&self.stats.refused, 1);
                        pending.answer(Err(error));
                    } else {
                        doubtful.push(pending);
                    }
                }
            }
        }
        if merged.is_empty() {
            if !doubtful.is_empty() {
                self.judge_on_current_view(doubtful).await;
            }
            return;
        }
        let merged = self.send(&batch, merged).await;
        // What was merged and is not answered yet goes first.
        for pending in merged.into_iter().chain(doubtful).rev() {
            self.waiting.push_front(pending);
        }
    }

    /// Sends a transaction and answers its commits; returns those that are to be tried again.
    async fn send(&mut self, batch: &Batch, mut merged: Vec<Pending>) -> Vec<Pending> {
        match self.commit(batch, &mut merged).await {
            Outcome::Committed(revision) => {
                self.most = (self.most * 2).min(GROUP_COMMITS);
                count(&self.stats.groups, 1);
                count(&self.stats.commits, merged.len());
                let deadline = Instant::now() + self.node.options.timeout;
                let shown = self.node.view_reaches(revision, deadline).await;
                for pending in merged {
                    pending.answer(match &shown {
                        Ok(()) => Ok(Revision(revision)),
                        Err(error) => Err(maybe_done(error).into()),
                    });
                }
                Vec::new()
            }
            Outcome::Conflict => {
                count(&self.stats.conflicts, 1);
                self.most = merged.len().div_ceil(2);
                match self.catch_up().await {
                    Ok(()) => until_deadline(merged, |_| {
                        StoreError::unavailable(
                            "other control nodes changed the same records in each attempt",
                        )
                    }),
                    Err(error) => {
                        answer_all(merged, &error);
                        Vec::new()
                    }
                }
            }
            Outcome::NotNow(error) => {
                let kept = until_deadline(merged, |_| StoreError::unavailable(error.to_string()));
                if kept.is_empty() {
                    self.node.failed(&error);
                }
                sleep(RETRY).await;
                kept
            }
            Outcome::Failed(error) => {
                answer_all(merged, &error);
                Vec::new()
            }
            Outcome::Closed => {
                let error = StoreError::unavailable("the store was closed before etcd answered");
                answer_all(merged, &maybe_done(&error));
                Vec::new()
            }
        }
    }

    async fn commit(&mut self, batch: &Batch, merged: &mut Vec<Pending>) -> Outcome {
        let node = Arc::clone(&self.node);
        let fence = self.next(Purpose::Commits);
        let request = batch.transaction(&node.space, node.name(), fence, self.fenced_at);
        match node.client.txn(request).await {
            Ok(response) => self.outcome_of(&response),
            Err(CallError::Unknown(why)) => self.find_out(why, merged).await,
            Err(CallError::NoSpace(why)) => {
                node.becomes(Health::NoRoom(why.clone()));
                Outcome::Failed(StoreError {
                    no_space: true,
                    ..StoreError::new(why)
                })
            }
            Err(CallError::Refused(why)) => {
                Outcome::Failed(StoreError::new(format!("etcd refuses a transaction: {why}")))
            }
            Err(error @ (CallError::NotNow(_) | CallError::Compacted)) => Outcome::NotNow(error),
        }
    }

    fn next(&self, purpose: Purpose) -> Fence {
        Fence {
            incarnation: self.node.incarnation,
            number: self.number + 1,
            purpose,
        }
    }

    fn outcome_of(&mut self, response: &TxnResponse) -> Outcome {
        if response.succeeded {
            let revision = response
                .header
                .as_ref()
                .map_or(0, |header| unsigned(header.revision));
            self.happened(revision);
            self.node.becomes(Health::Well);
            return Outcome::Committed(revision);
        }
        match self.node.must_be_ours(response.range(), self.number) {
            Ok((_, revision)) if revision == self.fenced_at => Outcome::Conflict,
            Ok((fence, _)) => Outcome::Failed(self.unexpected(fence)),
            Err(error) => Outcome::Failed(error),
        }
    }

    /// The fence was written by something that is not known.
    fn unexpected(&self, fence: Fence) -> StoreError {
        let why = format!(
            "the node's fence has number {} where {} is expected",
            fence.number, self.number
        );
        self.node.becomes(Health::Broken(why.clone()));
        StoreError {
            broken: true,
            ..StoreError::new(why)
        }
    }

    /// The transaction with the next number happened.
    fn happened(&mut self, revision: u64) {
        self.number += 1;
        self.fenced_at = revision;
        self.node.number.store(self.number, Ordering::Release);
    }

    /// Finds out whether a transaction happened whose reply was lost. Its callers are answered if that takes too long; then
    /// what waits is refused until it is known.
    async fn find_out(&mut self, why: String, merged: &mut Vec<Pending>) -> Outcome {
        tracing::debug!(why, "a reply of etcd was lost");
        count(&self.stats.lost_replies, 1);
        let node = Arc::clone(&self.node);
        let mut is_answered = false;
        loop {
            let fence = self.next(Purpose::Exclusion);
            let request = fenced(&node.space, node.name(), fence, self.fenced_at);
            let tried = node.client.txn(request);
            tokio::pin!(tried);
            let result = loop {
                tokio::select! {
                    biased;
                    result = &mut tried => break result,
                    next = self.queue.recv(), if is_answered => match next {
                        Some(next) => next.answer(Err(StoreError::unavailable(why.clone()).into())),
                        None => return Outcome::Closed,
                    },
                }
            };
            match result {
                Ok(response) if response.succeeded => {
                    self.outcome_of(&response);
                    return Outcome::NotNow(CallError::NotNow(why));
                }
                Ok(response) => match node.must_be_ours(response.range(), self.number) {
                    Ok((fence, revision)) if fence.number == self.number + 1 => {
                        self.happened(revision);
                        if fence.purpose == Purpose::Exclusion {
                            return Outcome::NotNow(CallError::NotNow(why));
                        }
                        if is_answered {
                            // Those who began it gave up, so it has to be resumed from the journal.
                            node.becomes(Health::Broken(
                                "a commit happened although etcd did not answer in time; a restart resumes its operation"
                                    .to_owned(),
                            ));
                        }
                        return Outcome::Committed(revision);
                    }
                    Ok((fence, _)) => return Outcome::Failed(maybe_done(&self.unexpected(fence))),
                    Err(error) => return Outcome::Failed(maybe_done(&error)),
                },
                Err(error) => {
                    let now = Instant::now();
                    if !is_answered && merged.iter().all(|pending| pending.deadline <= now) {
                        is_answered = true;
                        node.failed(&CallError::Unknown(why.clone()));
                        answer_all(
                            std::mem::take(merged),
                            &maybe_done(&StoreError::unavailable(why.clone())),
                        );
                        let waiting = self.waiting.drain(..).collect();
                        answer_all(waiting, &StoreError::unavailable(why.clone()));
                    }
                    tracing::debug!(%error, "whether a transaction happened is not known yet");
                    if self.queue.is_closed() && now >= self.closing_deadline(merged) {
                        return Outcome::Closed;
                    }
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Until when a closed store tries to find out about its last transaction.
    fn closing_deadline(&self, merged: &[Pending]) -> Instant {
        let deadlines = merged.iter().map(|pending| pending.deadline);
        deadlines.max().unwrap_or_else(Instant::now)
    }

    /// Waits until the view has the last commit of all nodes.
    async fn catch_up(&self) -> Result<(), StoreError> {
        let deadline = Instant::now() + self.node.options.timeout;
        let last = self.node.last_commit(deadline).await?;
        self.node.view_reaches(last, deadline).await
    }

    /// Makes the view current for commits that it refuses, and evaluates them again.
    async fn judge_on_current_view(&mut self, doubtful: Vec<Pending>) {
        match self.catch_up().await {
            Ok(()) => {
                for mut pending in doubtful.into_iter().rev() {
                    pending.is_judged_on_current_view = true;
                    self.waiting.push_front(pending);
                }
            }
            Err(error) => answer_all(doubtful, &error),
        }
    }
}

/// Those whose deadline is not over; the others are answered with the error.
fn until_deadline(merged: Vec<Pending>, error: impl Fn(&Pending) -> StoreError) -> Vec<Pending> {
    let now = Instant::now();
    let mut kept = Vec::new();
    for pending in merged {
        if pending.deadline > now {
            kept.push(pending);
        } else {
            let error = error(&pending);
            pending.answer(Err(error.into()));
        }
    }
    kept
}

fn answer_all(all: Vec<Pending>, error: &StoreError) {
    for pending in all {
        pending.answer(Err(error.copy().into()));
    }
}

fn maybe_done(error: &StoreError) -> StoreError {
    StoreError {
        maybe_done: true,
        ..error.copy()
    }
}
