//! The loop that publishes the queue of one sink.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};
use uuid::Uuid;

use super::sink::{Sink, SinkError};
use crate::backoff::Backoff;
use crate::model::Notification;
use crate::store::StoreError;
use crate::store::catalog::{Catalog, Pending, SinkQueue};

/// The most rows that are read, published and deleted together.
const BATCH: usize = 100;
/// How often an empty queue is read even if nothing was added: a commit may have ended without telling so.
const IDLE: Duration = Duration::from_secs(10);
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
    refusals: u32,
    backoff: Backoff,
    /// How often each row was refused.
    refused: BTreeMap<u64, u32>,
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
    accepted: Vec<u64>,
    refused: Vec<(u64, String)>,
    failure: Option<SinkError>,
}

impl Publisher {
    pub(super) fn new(
        catalog: Catalog,
        queue: Arc<SinkQueue>,
        sink: Box<dyn Sink>,
        options: PublisherOptions,
    ) -> Self {
        Self {
            bound: Bound {
                catalog: catalog.clone(),
                queue: Arc::clone(&queue),
                max_pending: options.max_pending,
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
            if let Err(error) = self.turn().await {
                warn!(sink = self.queue.sink(), %error, "the outbox cannot be read or written, trying again");
                sleep(STORE_PAUSE).await;
            }
        }
    }

    /// Publishes the oldest rows; waits for some if there are none.
    async fn turn(&mut self) -> Result<(), StoreError> {
        let batch = self
            .catalog
            .pending_notifications(&self.queue, None, BATCH)
            .await?;
        let Some(last) = batch.last().map(|row| row.number) else {
            tokio::select! {
                biased;
                () = self.queue.added() => {}
                () = sleep(IDLE) => {}
            }
            return Ok(());
        };
        let mut done: Vec<u64> = batch
            .iter()
            .filter(|row| row.notification.is_none())
            .map(|row| row.number)
            .collect();
        let publishing = publish(self.sink.as_ref(), batch);
        let outcome = self.bound.kept_while(Some(last), publishing).await;
        self.queue.was_published(outcome.accepted.len());
        done.extend(&outcome.accepted);
        self.drop_refused(&outcome, &mut done);
        self.catalog.delete_notifications(&self.queue, &done).await?;
        for number in &done {
            self.refused.remove(number);
        }
        self.note(&outcome);
        if outcome.failure.is_some() || !outcome.refused.is_empty() {
            let pause = self.backoff.next_pause();
            self.bound.kept_while(None, sleep(pause)).await;
        } else {
            self.backoff.reset();
        }
        Ok(())
    }

    /// Adds the rows that were refused too often to those that are deleted.
    fn drop_refused(&mut self, outcome: &Outcome, done: &mut Vec<u64>) {
        for (number, why) in &outcome.refused {
            let times = self.refused.entry(*number).or_default();
            *times += 1;
            if *times >= self.refusals {
                error!(
                    sink = self.queue.sink(),
                    why, times, "a notification is refused, and was dropped"
                );
                done.push(*number);
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
    dropped: Dropped,
}

impl Bound {
    /// Waits for `work`, and keeps the bound meanwhile. Rows up to `in_work` are kept.
    async fn kept_while<T>(&mut self, in_work: Option<u64>, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return result,
                () = self.is_exceeded() => {
                    if let Err(error) = self.drop_oldest(in_work).await {
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

    /// Drops the oldest rows beyond the bound, in one commit.
    async fn drop_oldest(&mut self, in_work: Option<u64>) -> Result<(), StoreError> {
        let excess = self.queue.pending().saturating_sub(self.max_pending);
        let rows = self
            .catalog
            .pending_notifications(&self.queue, in_work, excess.min(BATCH))
            .await?;
        if rows.is_empty() {
            sleep(STORE_PAUSE).await;
            return Ok(());
        }
        let numbers: Vec<u64> = rows.iter().map(|row| row.number).collect();
        self.catalog.delete_notifications(&self.queue, &numbers).await?;
        self.queue.was_dropped(numbers.len());
        self.dropped.count += numbers.len();
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
    let mut of_resource: BTreeMap<Uuid, Vec<(u64, Notification)>> = BTreeMap::new();
    for Pending { number, notification } in batch {
        if let Some(notification) = notification {
            let rows = of_resource.entry(notification.resource).or_default();
            if rows.is_empty() {
                order.push(notification.resource);
            }
            rows.push((number, notification));
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

async fn publish_in_order(sink: &dyn Sink, rows: Vec<(u64, Notification)>) -> Outcome {
    let mut outcome = Outcome::default();
    for (number, notification) in &rows {
        match sink.publish(notification).await {
            Ok(()) => outcome.accepted.push(*number),
            Err(SinkError::Refused(why)) => {
                outcome.refused.push((*number, why));
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
