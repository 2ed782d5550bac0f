//! `GET /limits`: the five limits that dashboards show, and how much of each is used. There are no rate limits.

use serde::Serialize;

use super::prelude::*;
use super::quotas;
use crate::model::ProjectId;
use crate::web::policy::reader;
use crate::web::routes::answers::{Parameter, query};
use crate::web::views::quota::AbsoluteLimits;
use crate::web::views::shape::Shape;

pub(super) const PARAMETERS: &[Parameter] = &[
    query("project_id", Shape::Text).since(39),
    query("tenant_id", Shape::Text).since(39),
];

#[derive(Serialize)]
struct Limits<'a> {
    rate: [(); 0],
    absolute: AbsoluteLimits<'a>,
}

pub(super) async fn list(caller: Caller, state: State, query: Query) -> HandlerResult {
    // Since 3.39 an administrator may ask for another project, by either name.
    let may_ask = caller.context.is_admin && caller.version.at_least(39);
    let asked = query
        .get("project_id")
        .or_else(|| query.get("tenant_id"))
        .filter(|_| may_ask);
    let project = asked.map_or_else(|| caller.context.project_id.clone(), ProjectId::from);
    let quotas = quotas::of_project(&state, &project).await?;
    let with_usage = caller.can(reader("limits_extension:used_limits"));
    ok(&Named(
        "limits",
        Limits {
            rate: [],
            absolute: AbsoluteLimits {
                quotas: &quotas,
                with_usage,
            },
        },
    ))
}
