//! The loop that publishes the queue of one sink.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::sink::{Sink, SinkError};
use crate::backoff::Backoff;
use crate::control::cluster_tasks::{HeldTask, TaskClaim};
use crate::model::Notification;
use crate::store::StoreError;
use crate::store::catalog::{Catalog, Pending, Position, SinkQueue};

/// The most rows that are read, published and deleted together.
const BATCH: usize = 100;
/// How often an empty queue is read even if nothing was added: a commit may have ended without telling so.
const IDLE: Duration = Duration::from_secs(10);
/// The same where other control nodes add notifications, and how often theirs are counted.
const IDLE_AMONG_OTHERS: Duration = Duration::from_millis(200);
const COUNT_AMONG_OTHERS: Duration = Duration::from_secs(5);
/// The pause after a failure of the store.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How often dropped notifications are logged.
const LOG_DROPPED: Duration = Duration::from_secs(10);

/// The options of a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublisherOptions {
    /// The most waiting notifications; beyond them the oldest are dropped.
    pub max_pending: usize,
    /// How often a notification that the sink refuses is published before it is dropped.
    pub refusals: u32,
    /// The first pause after a failure of the sink, and the longest.
    pub pauses: (Duration, Duration),
}

impl Default for PublisherOptions {
    fn default() -> Self {
        Self {
            max_pending: 100_000,
            refusals: 5,
            pauses: (Duration::from_millis(100), Duration::from_secs(30)),
        }
    }
}

/// See the module.
pub(super) struct Publisher {
    catalog: Catalog,
    queue: Arc<SinkQueue>,
    sink: Box<dyn Sink>,
    /// One node at a time publishes.
    claim: TaskClaim,
    refusals: u32,
    backoff: Backoff,
    /// How often each row was refused.
    refused: BTreeMap<Position, u32>,
    bound: Bound,
}

/// Dropped rows that are not in the log yet.
struct Dropped {
    count: usize,
    logged: Instant,
}

/// What became of a batch.
#[derive(Default)]
struct Outcome {
    accepted: Vec<Position>,
    refused: Vec<(Position, String)>,
    failure: Option<SinkError>,
}

impl Publisher {
    pub(super) fn new(
        catalog: Catalog,
        queue: Arc<SinkQueue>,
        sink: Box<dyn Sink>,
        claim: TaskClaim,
        options: PublisherOptions,
    ) -> Self {
        Self {
            claim,
            bound: Bound {
                catalog: catalog.clone(),
                queue: Arc::clone(&queue),
                max_pending: options.max_pending,
                counted: Instant::now(),
                dropped: Dropped {
                    count: 0,
                    logged: Instant::now(),
                },
            },
            catalog,
            queue,
            sink,
            refusals: options.refusals,
            backoff: Backoff::new(options.pauses.0, options.pauses.1),
            refused: BTreeMap::new(),
        }
    }

    /// Runs as long as the actor does.
    pub(super) async fn run(mut self) {
        loop {
            // Each time: a commit of the last turn may have failed because another node publishes.
            let held = self.claim.acquire().await;
            let Err(error) = self.turns(&held).await;
            warn!(sink = self.queue.sink(), %error, "the outbox cannot be read or written, trying again");
            sleep(STORE_PAUSE).await;
        }
    }

    /// Publishes until the store fails.
    async fn turns(&mut self, held: &HeldTask) -> Result<Infallible, StoreError> {
        self.catalog.count_pending(&self.queue).await?;
        self.bound.counted = Instant::now();
        loop {
            self.turn(held).await?;
        }
    }

    /// Publishes the oldest rows; waits for some if there are none.
    async fn turn(&mut self, held: &HeldTask) -> Result<(), StoreError> {
        let batch = self
            .catalog
            .pending_notifications(&self.queue, None, BATCH)
            .await?;
        let Some(last) = batch.last().map(|row| row.position) else {
            let idle = match held.record() {
                Some(_) => IDLE_AMONG_OTHERS,
                None => IDLE,
            };
            tokio::select! {
                biased;
                () = self.queue.added() => {}
                () = sleep(idle) => {}
            }
            return Ok(());
        };
        self.bound.count_others().await?;
        let mut done: Vec<Position> = batch
            .iter()
            .filter(|row| row.notification.is_none())
            .map(|row| row.position)
            .collect();
        let publishing = publish(self.sink.as_ref(), batch);
        let outcome = self.bound.kept_while(held, Some(last), publishing).await;
        self.queue.was_published(outcome.accepted.len());
        done.extend(&outcome.accepted);
        self.drop_refused(&outcome, &mut done);
        self.catalog
            .delete_notifications(&self.queue, &done, held.record())
            .await?;
        for position in &done {
            self.refused.remove(position);
        }
        self.note(&outcome);
        if outcome.failure.is_some() || !outcome.refused.is_empty() {
            let pause = self.backoff.next_pause();
            self.bound.kept_while(held, None, sleep(pause)).await;
        } else {
            self.backoff.reset();
        }
        Ok(())
    }

    /// Adds the rows that were refused too often to those that are deleted.
    fn drop_refused(&mut self, outcome: &Outcome, done: &mut Vec<Position>) {
        for (position, why) in &outcome.refused {
            let times = self.refused.entry(*position).or_default();
            *times += 1;
            if *times >= self.refusals {
                error!(
                    sink = self.queue.sink(),
                    why, times, "a notification is refused, and was dropped"
                );
                done.push(*position);
                self.queue.was_dropped(1);
            }
        }
    }

    /// Logs when the sink begins to fail, and when it works again.
    fn note(&self, outcome: &Outcome) {
        match &outcome.failure {
            Some(error) if self.queue.set_failure(Some(error.to_string())) => {
                let pending = self.queue.pending();
                warn!(sink = self.queue.sink(), %error, pending, "notifications cannot be published, trying again");
            }
            None if !self.queue.set_failure(None) => {
                info!(sink = self.queue.sink(), "notifications are published again");
            }
            _ => {}
        }
    }
}

/// Keeps the bound of a queue.
struct Bound {
    catalog: Catalog,
    queue: Arc<SinkQueue>,
    max_pending: usize,
    /// When the notifications of other nodes were counted.
    counted: Instant,
    dropped: Dropped,
}

impl Bound {
    /// Waits for `work`, and keeps the bound meanwhile. Rows up to `in_work` are kept.
    async fn kept_while<T>(
        &mut self,
        held: &HeldTask,
        in_work: Option<Position>,
        work: impl Future<Output = T>,
    ) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return result,
                () = self.is_exceeded() => {
                    if let Err(error) = self.drop_oldest(held, in_work).await {
                        warn!(sink = self.queue.sink(), %error, "old notifications cannot be dropped, trying again");
                        sleep(STORE_PAUSE).await;
                    }
                }
            }
        }
    }

    async fn is_exceeded(&self) {
        while self.queue.pending() <= self.max_pending {
            self.queue.added().await;
        }
    }

    /// Counts what other nodes have added, now and then.
    async fn count_others(&mut self) -> Result<(), StoreError> {
        if self.counted.elapsed() >= COUNT_AMONG_OTHERS {
            self.catalog.count_pending(&self.queue).await?;
            self.counted = Instant::now();
        }
        Ok(())
    }

    /// Drops the oldest rows beyond the bound, in one commit.
    async fn drop_oldest(&mut self, held: &HeldTask, in_work: Option<Position>) -> Result<(), StoreError> {
        let excess = self.queue.pending().saturating_sub(self.max_pending);
        let rows = self
            .catalog
            .pending_notifications(&self.queue, in_work, excess.min(BATCH))
            .await?;
        if rows.is_empty() {
            sleep(STORE_PAUSE).await;
            return Ok(());
        }
        let positions: Vec<Position> = rows.iter().map(|row| row.position).collect();
        self.catalog
            .delete_notifications(&self.queue, &positions, held.record())
            .await?;
        self.queue.was_dropped(positions.len());
        self.dropped.count += positions.len();
        if self.dropped.logged.elapsed() >= LOG_DROPPED {
            error!(
                sink = self.queue.sink(),
                dropped = self.dropped.count,
                in_all = self.queue.dropped(),
                max_pending = self.max_pending,
                "the oldest notifications were dropped: the sink accepts too few"
            );
            self.dropped = Dropped {
                count: 0,
                logged: Instant::now(),
            };
        }
        Ok(())
    }
}

/// Publishes a batch: those of one resource one after the other, up to the first that is not accepted; those of several resources
/// at the same time.
async fn publish(sink: &dyn Sink, batch: Vec<Pending>) -> Outcome {
    let mut order: Vec<Uuid> = Vec::new();
    let mut of_resource: BTreeMap<Uuid, Vec<(Position, Notification)>> = BTreeMap::new();
    for Pending {
        position,
        notification,
    } in batch
    {
        if let Some(notification) = notification {
            let rows = of_resource.entry(notification.resource).or_default();
            if rows.is_empty() {
                order.push(notification.resource);
            }
            rows.push((position, notification));
        }
    }
    let resources = order.iter().filter_map(|resource| of_resource.remove(resource));
    let all: Vec<_> = resources.map(|rows| publish_in_order(sink, rows)).collect();
    let outcomes = stream::iter(all).buffer_unordered(sink.width());
    outcomes
        .fold(Outcome::default(), |mut sum, outcome| {
            sum.accepted.extend(outcome.accepted);
            sum.refused.extend(outcome.refused);
            sum.failure = sum.failure.or(outcome.failure);
            std::future::ready(sum)
        })
        .await
}

async fn publish_in_order(sink: &dyn Sink, rows: Vec<(Position, Notification)>) -> Outcome {
    let mut outcome = Outcome::default();
    for (position, notification) in &rows {
        match sink.publish(notification).await {
            Ok(()) => outcome.accepted.push(*position),
            Err(SinkError::Refused(why)) => {
                outcome.refused.push((*position, why));
                break;
            }
            Err(error) => {
                outcome.failure = Some(error);
                break;
            }
        }
    }
    outcome
}
