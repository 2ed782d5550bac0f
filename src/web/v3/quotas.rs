//! What quota sets, quota class sets and limits have in common: the resources, and the effective limits.
//!
//! A project's own limit comes first, then the class `default`, then the configuration, then (for types) none
//! (cinder: `quota.py`, `DbQuotaDriver`).

use std::collections::BTreeMap;

use super::prelude::*;
use crate::model::ProjectId;
pub(super) use crate::model::quota::DEFAULT_CLASS;
use crate::model::quota::{Resource, UNLIMITED};
use crate::web::views::quota::{Quota, QuotaSet, resources};

/// An answer that is limits: of a project or class that is named, or not.
pub(super) fn limits(name: &str, quotas: &[Quota], id: Option<&str>) -> HandlerResult {
    let with_usage = false;
    ok(&Named(
        name,
        QuotaSet {
            quotas,
            with_usage,
            id,
        },
    ))
}

/// Every resource with its name, in Cinder's order.
pub(super) async fn all_resources(state: &WebState) -> Result<Vec<(Resource, String)>, Fault> {
    let types = state.catalog.volume_types().await?;
    Ok(resources(types.iter().map(|stored| &stored.record)))
}

/// Every resource, by its name.
pub(super) async fn resources_by_name(state: &WebState) -> Result<BTreeMap<String, Resource>, Fault> {
    let resources = all_resources(state).await?;
    Ok(resources
        .into_iter()
        .map(|(resource, name)| (name, resource))
        .collect())
}

/// A project's quotas, with what it uses.
pub(super) async fn of_project(state: &WebState, project: &ProjectId) -> Result<Vec<Quota>, Fault> {
    let own = state.catalog.project_limits(project).await?;
    let usage = state.catalog.usage(project).await?;
    let mut quotas = of_class(state, DEFAULT_CLASS).await?;
    for quota in &mut quotas {
        quota.limit = own.get(&quota.resource).copied().unwrap_or(quota.limit);
        quota.usage = usage.get(&quota.resource).copied().unwrap_or_default();
    }
    Ok(quotas)
}

/// A class's quotas; classes use nothing.
pub(super) async fn of_class(state: &WebState, class: &str) -> Result<Vec<Quota>, Fault> {
    let own: BTreeMap<Resource, i64> = state.catalog.class_limits(class).await?;
    let resources = all_resources(state).await?;
    Ok(resources
        .into_iter()
        .map(|(resource, name)| Quota {
            limit: own
                .get(&resource)
                .or_else(|| state.default_limits.get(&resource))
                .copied()
                .unwrap_or(UNLIMITED),
            usage: crate::model::quota::Usage::default(),
            resource,
            name,
        })
        .collect())
}
