//! The **Quota** actor: says whether a project may have so much more, and holds it until the request is in the store.
//!
//! ```text
//!   Reserve ─ limits, usage (store) ─ judge ─┬─ room:      hold, reply
//!                                            ├─ over:      Cinder's text (the store alone is over)
//!                                            └─ contended: wait for a hold to end, judge again
//! ```
//!
//! The truth is in the store: usage changes in the same commit as the records, under the same limits as ceilings. Holds
//! keep requests that are checked at the same time from all being promised the last free unit. But a hold can be stale
//! (its commit is done and the word of it still under way, or lost), so holds alone never refuse anybody: whoever is over
//! only because of holds waits for them for a moment, and if they still stand then, is let through to the ceiling.
//! So nobody is refused room that is there, and nobody gets room that is not.

pub mod holds;
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
use crate::messages::quota::{
    Commit, DeleteQuotaSet, QuotaTopic, Reserve, Reserved, Rollback, UpdateQuotaClass, UpdateQuotaSet,
};
use crate::model::quota::{Defaults, Deltas, MAX, Resource, UNLIMITED, Usage, limit_of};
use crate::model::{Context, Error, ProjectId};
use crate::store::catalog::Catalog;
use crate::store::{CommitError, StoreError};
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
    /// How many messages may wait.
    pub mailbox_bound: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            defaults: Defaults::default(),
            reservation_expire: Duration::from_secs(300),
            hold_patience: Duration::from_secs(1),
            mailbox_bound: 4096,
        }
    }
}

/// See the module.
pub struct Quota {
    catalog: Catalog,
    options: Options,
    holds: Arc<Mutex<Holds>>,
    /// Requests that are over only because of holds, by project.
    queues: RefCell<BTreeMap<ProjectId, Rc<Queue>>>,
    /// Held while limits are checked and written.
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

    /// The limits of what is asked for, and of one volume's size. Read each time: nothing that the store says is kept beside it.
    async fn limits(&self, request: &Reserve) -> Result<(BTreeMap<Resource, i64>, i64), StoreError> {
        let per_volume = Resource::per_volume_gigabytes();
        let mut resources: Vec<Resource> = request.deltas.keys().cloned().collect();
        resources.push(per_volume.clone());
        let [own, class] = self.catalog.limits_of(&request.project_id, &resources).await?;
        let defaults = &self.options.defaults;
        let mut limits: BTreeMap<Resource, i64> = resources
            .into_iter()
            .map(|resource| {
                let limit = limit_of(&resource, &own, &class, defaults);
                (resource, limit)
            })
            .collect();
        let of_a_volume = limits.remove(&per_volume).unwrap_or(UNLIMITED);
        Ok((limits, of_a_volume))
    }

    async fn reserve(&self, request: &Reserve) -> Result<Reserved, Error> {
        let (limits, per_volume) = self.limits(request).await.map_err(unreadable)?;
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
        match self.judge(request, limits, patient).await.map_err(unreadable)? {
            Judged::Held(reserved) => Ok(Some(reserved)),
            Judged::Contended => Ok(None),
            Judged::Over {
                resource,
                limit,
                requested,
                consumed,
            } => {
                let name = self.catalog.shown(&resource).await.map_err(unreadable)?;
                let project = &request.project_id;
                tracing::info!(%project, resource = name, limit, requested, consumed, "over quota");
                Err(texts::over_quota(&name, limit, requested, consumed))
            }
            Judged::Overflow(resource) => {
                let name = self.catalog.shown(&resource).await.map_err(unreadable)?;
                Err(texts::overflow(&name))
            }
        }
    }

    async fn judge(
        &self,
        request: &Reserve,
        limits: &BTreeMap<Resource, i64>,
        patient: bool,
    ) -> Result<Judged, StoreError> {
        let project = &request.project_id;
        let reading = Reading::begin(self);
        let usage = self.catalog.usage_of(project, request.deltas.keys()).await?;
        // From here on nothing awaits: what is judged is what is held when the promise is made.
        let mut holds = self.holds();
        let verdict = judge(
            &request.deltas,
            limits,
            &usage,
            &holds.held(&reading.read, project),
        );
        Ok(match verdict {
            Verdict::Over {
                resource,
                limit,
                requested,
                consumed,
            } => Judged::Over {
                resource,
                limit,
                requested,
                consumed,
            },
            Verdict::Overflow(resource) => Judged::Overflow(resource),
            Verdict::Contended if patient => Judged::Contended,
            Verdict::Contended | Verdict::Room => {
                let expires = Instant::now() + self.options.reservation_expire;
                let id = holds.hold(project, &request.deltas, expires);
                Judged::Held(Reserved {
                    id,
                    limits: ceilings(&request.deltas, limits),
                })
            }
        })
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
}

/// What came of looking for room.
enum Judged {
    /// There is, and it is held.
    Held(Reserved),
    /// There is, if some of the holds come to nothing.
    Contended,
    /// There is none.
    Over {
        resource: Resource,
        limit: i64,
        requested: i64,
        consumed: i64,
    },
    /// The sum is beyond what can be counted.
    Overflow(Resource),
}

/// What a client is told of limits that were not written.
fn unwritten(error: &CommitError) -> Error {
    error.for_client("writing limits")
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
        let resources = message.limits.iter().map(|(resource, _)| resource);
        let usage = self
            .catalog
            .usage_of(&message.project_id, resources)
            .await
            .map_err(unreadable)?;
        for (resource, limit) in &message.limits {
            let Usage { in_use, reserved } = usage.get(resource).copied().unwrap_or_default();
            let used = in_use.saturating_add(reserved);
            if *limit != UNLIMITED && *limit < used {
                let name = self.catalog.shown(resource).await.map_err(unreadable)?;
                return Err(texts::below_use(&name, *limit, used));
            }
        }
        self.catalog
            .set_project_limits(&message.project_id, &message.limits)
            .await
            .map_err(|error| unwritten(&error))
    }
}

impl Serve<DeleteQuotaSet> for Quota {
    async fn serve(self: Rc<Self>, _context: Context, message: DeleteQuotaSet) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        self.catalog
            .delete_project_limits(&message.project_id)
            .await
            .map_err(|error| unwritten(&error))
    }
}

impl Serve<UpdateQuotaClass> for Quota {
    async fn serve(self: Rc<Self>, _context: Context, message: UpdateQuotaClass) -> Result<(), Error> {
        check_range(&message.limits)?;
        let _writing = self.writing.lock().await;
        self.catalog
            .set_class_limits(&message.class, &message.limits)
            .await
            .map_err(|error| unwritten(&error))
    }
}
