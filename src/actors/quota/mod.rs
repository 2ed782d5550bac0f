//! The **Quota** actor: says whether a project may have so much more, and holds it until the request is in the store.
//!
//! ```text
//!   Reserve ─ limits (kept near) ─ usage (store) ─ judge ─┬─ room:      hold, reply
//!                                                         ├─ over:      Cinder's text (the store alone is over)
//!                                                         └─ contended: wait for a hold to end, judge again
//! ```
//!
//! The truth is in the store: usage changes in the same commit as the records, under the same limits as ceilings. Holds
//! keep requests that are checked at the same time from all being promised the last free unit. But a hold can be stale
//! (its commit is done and the word of it still under way, or lost), so holds alone never refuse anybody: whoever is over
//! only because of holds waits for them for a moment, and if they still stand then, is let through to the ceiling.
//! So nobody is refused room that is there, and nobody gets room that is not.

pub mod holds;
mod limits;
pub mod texts;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use self::holds::{Holds, Verdict, judge};
use self::limits::Limits;
use crate::messages::quota::{
    Commit, DeleteQuotaSet, QuotaTopic, Reserve, Reserved, Rollback, UpdateQuotaClass, UpdateQuotaSet,
};
use crate::model::quota::{Defaults, Deltas, MAX, Resource, UNLIMITED, Usage};
use crate::model::{Context, Error, ProjectId};
use crate::store::StoreError;
use crate::store::catalog::{Catalog, Changes};
use crate::transport::serve::EndpointBuilder;
use crate::transport::{Actor, Serve, Started};

/// How often expired holds are swept out when none expires sooner; more often if holds stand shorter.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// What may be configured.
#[derive(Clone, Debug)]
pub struct Options {
    /// The limits that hold where nothing else is said (`[quota]`).
    pub defaults: Defaults,
    /// How long a hold stands if nobody ends it (`[quota] reservation_expire`).
    pub reservation_expire: Duration,
    /// How long a request waits for others' holds before it is left to the store's ceiling.
    pub hold_patience: Duration,
    /// How long limits are kept before they are read again.
    pub limits_max_age: Duration,
    /// How many messages may wait.
    pub mailbox_bound: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            defaults: Defaults::default(),
            reservation_expire: Duration::from_secs(300),
            hold_patience: Duration::from_secs(1),
            limits_max_age: Duration::from_secs(5),
            mailbox_bound: 4096,
        }
    }
}

/// See the module.
pub struct Quota {
    catalog: Catalog,
    options: Options,
    holds: Arc<Mutex<Holds>>,
    limits: Limits,
    /// Requests that are over only because of holds, by project.
    queues: RefCell<BTreeMap<ProjectId, Rc<Queue>>>,
    /// Held while limits are read, changed and written.
    writing: tokio::sync::Mutex<()>,
}

/// Requests of one project that wait for its holds. One at a time looks again, or a thousand would each read the usage a
/// thousand times.
#[derive(Default)]
struct Queue {
    turn: tokio::sync::Mutex<()>,
    /// Told whenever a hold of the project ends.
    ended: Notify,
}

/// The endpoint, ready to be started and registered.
#[must_use]
pub fn endpoint(catalog: Catalog, options: Options) -> EndpointBuilder<Quota> {
    let holds = Arc::new(Mutex::new(Holds::default()));
    EndpointBuilder::new(None, options.mailbox_bound, move || {
        Rc::new(Quota {
            limits: Limits::new(catalog.clone(), options.defaults, options.limits_max_age),
            catalog: catalog.clone(),
            options: options.clone(),
            holds: Arc::clone(&holds),
            queues: RefCell::default(),
            writing: tokio::sync::Mutex::new(()),
        })
    })
    .serves::<Reserve>()
    .serves::<Commit>()
    .serves::<Rollback>()
    .serves::<UpdateQuotaSet>()
    .serves::<DeleteQuotaSet>()
    .serves::<UpdateQuotaClass>()
}

impl Quota {
    fn holds(&self) -> MutexGuard<'_, Holds> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn reserve(&self, request: &Reserve) -> Result<Reserved, Error> {
        let (limits, per_volume) = self
            .limits
            .of(&request.project_id, &request.deltas)
            .await
            .map_err(unreadable)?;
        if let Some(size) = request.volume_size
            && per_volume != UNLIMITED
            && i64::from(size) > per_volume
        {
            return Err(texts::too_large(size, per_volume));
        }
        match self.try_hold(request, &limits, true).await? {
            Some(reserved) => Ok(reserved),
            None => self.wait_for_holds(request, &limits).await,
        }
    }

    /// `None` if the request is over only because of what others hold.
    async fn try_hold(
        &self,
        request: &Reserve,
        limits: &BTreeMap<Resource, i64>,
        patient: bool,
    ) -> Result<Option<Reserved>, Error> {
        let reading = Reading::begin(self);
        let usage = self
            .catalog
            .usage(&request.project_id)
            .await
            .map_err(unreadable)?;
        // From here on nothing awaits: what is judged is what is held when the promise is made.
        let mut holds = self.holds();
        let verdict = judge(
            &request.deltas,
            limits,
            &usage,
            &holds.held(&reading.read, &request.project_id),
        );
        let project = &request.project_id;
        match verdict {
            Verdict::Over {
                resource,
                limit,
                requested,
                consumed,
            } => {
                tracing::info!(%project, resource = resource.0, limit, requested, consumed, "over quota");
                Err(texts::over_quota(&resource, limit, requested, consumed))
            }
            Verdict::Overflow(resource) => Err(texts::overflow(&resource)),
            Verdict::Contended if patient => Ok(None),
            Verdict::Contended | Verdict::Room => {
                let expires = Instant::now() + self.options.reservation_expire;
                let id = holds.hold(project, &request.deltas, expires);
                Ok(Some(Reserved {
                    id,
                    limits: ceilings(&request.deltas, limits),
                }))
            }
        }
    }

    async fn wait_for_holds(
        &self,
        request: &Reserve,
        limits: &BTreeMap<Resource, i64>,
    ) -> Result<Reserved, Error> {
        let patience = Instant::now() + self.options.hold_patience;
        let queue = Rc::clone(
            self.queues
                .borrow_mut()
                .entry(request.project_id.clone())
                .or_default(),
        );
        let result = self.wait_in(&queue, request, limits, patience).await;
        drop(queue);
        // Ours was the last but the table's own.
        self.queues
            .borrow_mut()
            .retain(|_, queue| Rc::strong_count(queue) > 1);
        result
    }

    async fn wait_in(
        &self,
        queue: &Queue,
        request: &Reserve,
        limits: &BTreeMap<Resource, i64>,
        patience: Instant,
    ) -> Result<Reserved, Error> {
        let turn = timeout_at(patience, queue.turn.lock()).await.ok();
        loop {
            // Made before the look, so that a hold that ends in between is not missed.
            let mut ended = pin!(queue.ended.notified());
            ended.as_mut().enable();
            let patient = turn.is_some() && Instant::now() < patience;
            if let Some(reserved) = self.try_hold(request, limits, patient).await? {
                return Ok(reserved);
            }
            // Time that runs out is noticed above: the next look is the last.
            let _ = timeout_at(patience, ended).await;
        }
    }

    fn hold_ended(&self, project: Option<ProjectId>) {
        if let Some(queue) = project.and_then(|project| self.queues.borrow().get(&project).cloned()) {
            queue.ended.notify_waiters();
        }
    }

    fn sweep(&self) {
        let expired = self.holds().expire(Instant::now());
        if expired > 0 {
            tracing::warn!(
                expired,
                "quota holds ran out: their requests neither came nor were taken back"
            );
            for queue in self.queues.borrow().values() {
                queue.ended.notify_waiters();
            }
        }
    }

    /// Reads, changes and writes limits, one change at a time.
    async fn write(&self, changes: Changes) -> Result<(), Error> {
        let written = changes.commit().await;
        self.limits.forget();
        written
            .map(drop)
            .map_err(|error| error.for_client("writing limits"))
    }
}

/// A read of usage that surely ends, even if whoever reads is dropped.
struct Reading<'a> {
    quota: &'a Quota,
    read: holds::Read,
}

impl<'a> Reading<'a> {
    fn begin(quota: &'a Quota) -> Self {
        Self {
            quota,
            read: quota.holds().begin_read(),
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.quota.holds().end_read(self.read);
    }
}

/// The limits that the commit is to check again.
fn ceilings(deltas: &Deltas, limits: &BTreeMap<Resource, i64>) -> Vec<(Resource, i64)> {
    let limited = limits.iter().filter(|(resource, limit)| {
        **limit != UNLIMITED && deltas.get(*resource).is_some_and(|delta| *delta > 0)
    });
    limited
        .map(|(resource, limit)| (resource.clone(), *limit))
        .collect()
}

fn unreadable(error: StoreError) -> Error {
    Error::internal(format!("reading quota: {error}"))
}

/// What the schema lets through, checked again where it is written.
fn check_range(limits: &[(Resource, i64)]) -> Result<(), Error> {
    for (Resource(name), limit) in limits {
        if *limit < UNLIMITED {
            return Err(Error::bad_request(format!("{name} must be >= -1")));
        }
        if *limit > MAX {
            return Err(Error::bad_request(format!("{name} must be <= {MAX}")));
        }
    }
    Ok(())
}

impl Actor for Quota {
    type Topic = QuotaTopic;

    fn started(self: Rc<Self>, started: &Started) {
        let quota = Rc::clone(&self);
        started.spawn(async move {
            loop {
                let latest = Instant::now() + SWEEP_EVERY.min(quota.options.reservation_expire);
                let next = quota
                    .holds()
                    .next_expiry()
                    .map_or(latest, |expiry| expiry.min(latest));
                tokio::time::sleep_until(next).await;
                quota.sweep();
            }
        });
    }
}

impl Serve<Reserve> for Quota {
    async fn serve(self: Rc<Self>, _context: Context, message: Reserve) -> Result<Reserved, Error> {
        self.reserve(&message).await
    }
}

impl Serve<Commit> for Quota {
    async fn serve(self: Rc<Self>, _context: Context, message: Commit) -> Result<(), Error> {
        let project = self.holds().commit(message.id);
        self.hold_ended(project);
        Ok(())
    }
}

impl Serve<Rollback> for Quota {
    async fn serve(self: Rc<Self>, _context: Context, message: Rollback) -> Result<(), Error> {
        let project = self.holds().roll_back(message.id);
        self.hold_ended(project);
        Ok(())
    }
}

impl Serve<UpdateQuotaSet> for Quota {
    async fn serve(self: Rc<Self>, _context: Context, message: UpdateQuotaSet) -> Result<(), Error> {
        check_range(&message.limits)?;
        let _writing = self.writing.lock().await;
        let usage = self
            .catalog
            .usage(&message.project_id)
            .await
            .map_err(unreadable)?;
        let mut row = self
            .catalog
            .project_limits(&message.project_id)
            .await
            .map_err(unreadable)?;
        for (resource, limit) in message.limits {
            let Usage { in_use, reserved } = usage.get(&resource).copied().unwrap_or_default();
            let used = in_use.saturating_add(reserved);
            if limit != UNLIMITED && limit < used {
                return Err(texts::below_use(&resource, limit, used));
            }
            row.insert(resource, limit);
        }
        let mut changes = self.catalog.change();
        changes.put_project_limits(&message.project_id, &row);
        self.write(changes).await
    }
}

impl Serve<DeleteQuotaSet> for Quota {
    async fn serve(self: Rc<Self>, _context: Context, message: DeleteQuotaSet) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        let mut changes = self.catalog.change();
        changes.put_project_limits(&message.project_id, &BTreeMap::new());
        self.write(changes).await
    }
}

impl Serve<UpdateQuotaClass> for Quota {
    async fn serve(self: Rc<Self>, _context: Context, message: UpdateQuotaClass) -> Result<(), Error> {
        check_range(&message.limits)?;
        let _writing = self.writing.lock().await;
        let mut row = self
            .catalog
            .class_limits(&message.class)
            .await
            .map_err(unreadable)?;
        row.extend(message.limits);
        let mut changes = self.catalog.change();
        changes.put_class_limits(&message.class, &row);
        self.write(changes).await
    }
}
