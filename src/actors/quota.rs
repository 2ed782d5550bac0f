//! The **Quota** actor: reads and changes the limits of projects, and checks requests against them.
//!
//! The store is authoritative: usage changes in the same commit as the records, and that commit checks the limits again
//! ([`Ceilings`]). So concurrent requests are neither refused wrongly nor let over a limit; nothing is reserved meanwhile, and
//! nothing has to be returned.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::actors::permission::demand;
use crate::control::quota_texts as texts;
use crate::messages::quota::{
    Ceilings, CheckQuota, DeleteQuotaSet, QuotaTopic, UpdateQuotaClass, UpdateQuotaSet,
};
use crate::model::quota::{
    Deltas, Limits, MAX, Resource, UNLIMITED, Usage, default_limits, is_over, limit_of,
};
use crate::model::role::Level;
use crate::model::{Context, Error};
use crate::store::catalog::Catalog;
use crate::store::{CommitError, StoreError};
use crate::transport::serve::EndpointBuilder;
use crate::transport::{Actor, Serve};

/// The options of the actor.
#[derive(Clone, Debug)]
pub struct Options {
    /// The default limits (`[quota]`).
    pub defaults: Limits,
    /// The bound of the mailbox.
    pub mailbox_bound: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            defaults: default_limits(),
            mailbox_bound: 4096,
        }
    }
}

/// See the module.
pub struct Quota {
    catalog: Catalog,
    options: Options,
    /// Held while limits are checked and written.
    writing: tokio::sync::Mutex<()>,
}

/// The endpoint, ready to be started and registered.
pub fn endpoint(catalog: Catalog, options: Options) -> EndpointBuilder<Quota> {
    EndpointBuilder::new(None, options.mailbox_bound, move || {
        Rc::new(Quota {
            catalog: catalog.clone(),
            options: options.clone(),
            writing: tokio::sync::Mutex::new(()),
        })
    })
    .serves::<CheckQuota>()
    .serves::<UpdateQuotaSet>()
    .serves::<DeleteQuotaSet>()
    .serves::<UpdateQuotaClass>()
}

impl Quota {
    /// The limits of the requested resources, and of one volume's size. They are read each time and never cached.
    async fn limits(&self, request: &CheckQuota) -> Result<(Limits, i64), StoreError> {
        let per_volume = Resource::per_volume_gigabytes();
        let mut resources: Vec<Resource> = request.deltas.keys().cloned().collect();
        resources.push(per_volume.clone());
        let [own, class] = self.catalog.limits_of(&request.project_id, &resources).await?;
        let defaults = &self.options.defaults;
        let mut limits = Limits::new();
        for resource in resources {
            let limit = limit_of(&resource, &own, &class, defaults);
            limits.insert(resource, limit);
        }
        let of_a_volume = limits.remove(&per_volume).unwrap_or(UNLIMITED);
        Ok((limits, of_a_volume))
    }

    async fn check(&self, request: &CheckQuota) -> Result<Ceilings, Error> {
        let (limits, per_volume) = self.limits(request).await.map_err(unreadable)?;
        if let Some(size) = request.volume_size
            && per_volume != UNLIMITED
            && i64::from(size) > per_volume
        {
            return Err(texts::too_large(size, per_volume));
        }
        let project = &request.project_id;
        let usage = self.catalog.usage_of(project, request.deltas.keys()).await;
        let Err(excess) = fits(&request.deltas, &limits, &usage.map_err(unreadable)?) else {
            return Ok(ceilings(&request.deltas, &limits));
        };
        let name = self.catalog.shown(excess.resource()).await.map_err(unreadable)?;
        Err(match excess {
            Excess::Limit {
                limit,
                requested,
                consumed,
                ..
            } => {
                tracing::info!(%project, resource = name, limit, requested, consumed, "over quota");
                texts::over_quota(&name, limit, requested, consumed)
            }
            Excess::Count(_) => texts::overflow(&name),
        })
    }
}

/// Why a request exceeds a project's quota.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Excess {
    /// It would exceed a limit.
    Limit {
        /// The resource.
        resource: Resource,
        /// The limit.
        limit: i64,
        /// The requested amount.
        requested: i64,
        /// The amount in use or reserved.
        consumed: i64,
    },
    /// The sum would overflow the counter.
    Count(Resource),
}

impl Excess {
    fn resource(&self) -> &Resource {
        match self {
            Self::Limit { resource, .. } | Self::Count(resource) => resource,
        }
    }
}

fn fits(deltas: &Deltas, limits: &Limits, usage: &BTreeMap<Resource, Usage>) -> Result<(), Excess> {
    for (resource, &requested) in deltas {
        let used = usage.get(resource).copied().unwrap_or_default();
        let limit = limits.get(resource).copied().unwrap_or(UNLIMITED);
        let consumed = used.in_use.saturating_add(used.reserved);
        if is_over(limit, used, requested) {
            return Err(Excess::Limit {
                resource: resource.clone(),
                limit,
                requested,
                consumed,
            });
        }
        if requested > 0 && consumed.saturating_add(requested) > MAX {
            return Err(Excess::Count(resource.clone()));
        }
    }
    Ok(())
}

/// The client's error for limits that were not written.
fn unwritten(error: &CommitError) -> Error {
    error.for_client("writing limits")
}

/// The limits that the commit must check again.
fn ceilings(deltas: &Deltas, limits: &Limits) -> Ceilings {
    let limited = limits.iter().filter(|(resource, limit)| {
        **limit != UNLIMITED && deltas.get(*resource).is_some_and(|delta| *delta > 0)
    });
    let limits = limited
        .map(|(resource, limit)| (resource.clone(), *limit))
        .collect();
    Ceilings { limits }
}

fn unreadable(error: StoreError) -> Error {
    Error::internal(format!("reading quota: {error}"))
}

/// Checks again, before the write, what the schema checks.
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
}

impl Serve<CheckQuota> for Quota {
    async fn serve(self: Rc<Self>, _context: Context, message: CheckQuota) -> Result<Ceilings, Error> {
        self.check(&message).await
    }
}

impl Serve<UpdateQuotaSet> for Quota {
    async fn serve(self: Rc<Self>, context: Context, message: UpdateQuotaSet) -> Result<(), Error> {
        demand::<UpdateQuotaSet>(Level::Admin, &context)?;
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
    async fn serve(self: Rc<Self>, context: Context, message: DeleteQuotaSet) -> Result<(), Error> {
        demand::<DeleteQuotaSet>(Level::Admin, &context)?;
        let _writing = self.writing.lock().await;
        self.catalog
            .delete_project_limits(&message.project_id)
            .await
            .map_err(|error| unwritten(&error))
    }
}

impl Serve<UpdateQuotaClass> for Quota {
    async fn serve(self: Rc<Self>, context: Context, message: UpdateQuotaClass) -> Result<(), Error> {
        demand::<UpdateQuotaClass>(Level::Admin, &context)?;
        check_range(&message.limits)?;
        let _writing = self.writing.lock().await;
        self.catalog
            .set_class_limits(&message.class, &message.limits)
            .await
            .map_err(|error| unwritten(&error))
    }
}
