//! `GET /scheduler-stats/get_pools`: the pools as the scheduler sees them.

use std::collections::BTreeMap;

use super::prelude::*;
use super::{find_type_by_name, resource_filters};
use crate::messages::scheduler::{GetPools, PoolView};
use crate::model::capability::{Capabilities, Capability, capabilities};
use crate::model::extra_specs_ops;
use crate::web::routes::answers::{Parameter, query};
use crate::web::views::pool::Pool;
use crate::web::views::shape::Shape;

pub(super) const PARAMETERS: &[Parameter] = &[
    query("detail", Shape::Boolean),
    query("name", Shape::Text).since(28),
    query("volume_type", Shape::Text).since(35),
];

pub(super) async fn get_pools(
    caller: Caller,
    state: State,
    offload: Offload,
    mut query: Query,
) -> HandlerResult {
    let detail = query.bool("detail")?;
    query.take("detail");
    if caller.version.at_least(31) {
        resource_filters::reject_invalid(&caller, &query, "pool")?;
    } else if !caller.version.at_least(28) {
        query = Query::default();
    }
    let of_type = query.take("volume_type").filter(|_| caller.version.at_least(35));
    let extra_specs = match of_type {
        Some(name) => Some(
            find_type_by_name(&state, &caller, &name)
                .await?
                .record
                .extra_specs,
        ),
        None => None,
    };
    let pools = caller.call(&state, &state.scheduler, GetPools {}).await?;
    let rows = Some(pools.len());
    let read = move || async move {
        let filters = query.filters();
        let shown = pools
            .iter()
            .filter(|pool| matches(pool, &filters, extra_specs.as_ref()))
            .map(|pool| Pool { pool, detail });
        Json::of(&Named("pools", Items(shown)))
    };
    Ok(offload.run(rows, read).await?.answer(StatusCode::OK))
}

/// Whether a pool matches all filters: by name, by capability, and by the extra specs of a type.
fn matches(
    pool: &PoolView,
    filters: &[(&str, &str)],
    extra_specs: Option<&BTreeMap<String, String>>,
) -> bool {
    let stats = usize::try_from(pool.index)
        .ok()
        .and_then(|index| pool.backend.pools.get(index));
    let Some(stats) = stats else {
        return filters.is_empty() && extra_specs.is_none();
    };
    let able = capabilities(&pool.backend, stats);
    let by_filters = filters.iter().all(|(name, value)| match *name {
        "name" => pool.name.to_string() == *value,
        name => able.get(name).is_some_and(|capability| is(capability, value)),
    });
    let by_specs = extra_specs
        .into_iter()
        .flatten()
        .all(|(key, requirement)| match key.split_once(':') {
            None => satisfies(&able, key, requirement),
            Some(("capabilities", path)) => satisfies(&able, path, requirement),
            // Other scopes are not evaluated by the scheduler.
            Some(_) => true,
        });
    by_filters && by_specs
}

/// Texts are compared exactly, booleans case-insensitively.
fn is(capability: &Capability, value: &str) -> bool {
    match capability {
        Capability::Text(text) => text.eq_ignore_ascii_case(value),
        Capability::List(items) => items.iter().any(|item| is(item, value)),
        Capability::Map(_) => false,
    }
}

/// As in the scheduler's `CapabilitiesFilter`.
fn satisfies(able: &Capabilities, path: &str, requirement: &str) -> bool {
    let (name, rest) = path
        .split_once(':')
        .map_or((path, None), |(name, rest)| (name, Some(rest)));
    match (able.get(name), rest) {
        (Some(Capability::Text(value)), None) => extra_specs_ops::matches(value, requirement),
        (Some(Capability::List(values)), None) => values.iter().any(
            |value| matches!(value, Capability::Text(value) if extra_specs_ops::matches(value, requirement)),
        ),
        (Some(Capability::Map(inner)), Some(rest)) => satisfies(inner, rest, requirement),
        _ => false,
    }
}
