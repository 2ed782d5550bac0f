//! `/clusters` (since 3.7): there are none. Each volume service stands for itself.

use actix_web::{HttpResponse, web};
use serde::Deserialize;

use super::python;
use super::query::Query;
use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::policy::Rule;
use crate::web::request::Body;
use crate::web::routes::{Access, Routes};
use crate::web::schema::clusters as schema;
use crate::web::views::{Named, ok};

pub(super) fn routes(routes: &mut Routes) {
    routes
        .get("/clusters", Access::rule("clusters:get_all"), list)
        .since(SINCE);
    routes
        .get("/clusters/detail", Access::rule("clusters:get_all"), list)
        .since(SINCE);
    routes
        .put("/clusters/enable", Access::rule("clusters:update"), enable)
        .since(SINCE);
    routes
        .put("/clusters/disable", Access::rule("clusters:update"), disable)
        .since(SINCE);
    routes
        .get("/clusters/{name}", Access::rule("clusters:get"), show)
        .since(SINCE);
}

/// The first version with clusters.
const SINCE: u16 = 7;

const FILTERS: [&str; 6] = [
    "name",
    "binary",
    "is_up",
    "disabled",
    "num_hosts",
    "num_down_hosts",
];
const REPLICATION_FILTERS: [&str; 3] = ["replication_status", "frozen", "active_backend_id"];

async fn list(caller: Caller, query: Query) -> Result<HttpResponse, Fault> {
    caller.may(Rule("clusters:get_all"))?;
    let knows = |name: &str| {
        FILTERS.contains(&name) || (caller.version.at_least(26) && REPLICATION_FILTERS.contains(&name))
    };
    let unknown: Vec<&str> = query
        .filters()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !knows(name))
        .collect();
    if !unknown.is_empty() {
        return Err(Fault::invalid_input(format!(
            "Invalid filter keys: {}",
            unknown.join(", ")
        )));
    }
    query.bool("disabled")?;
    query.bool("is_up")?;
    let none: [(); 0] = [];
    ok(&Named("clusters", none))
}

#[derive(Deserialize)]
struct OfCluster {
    name: String,
}

fn not_found(binary: &str, name: &str) -> Fault {
    let (binary, name) = (python::repr_text(binary), python::repr_text(name));
    Fault::not_found(format!(
        "Cluster {{'binary': {binary}, 'name': {name}}} could not be found."
    ))
}

async fn show(caller: Caller, path: web::Path<OfCluster>, query: Query) -> Result<HttpResponse, Fault> {
    caller.may(Rule("clusters:get"))?;
    Err(not_found(
        query.get("binary").unwrap_or(schema::DEFAULT_BINARY),
        &path.name,
    ))
}

async fn enable(caller: Caller, body: Body) -> Result<HttpResponse, Fault> {
    change(&caller, false, &body)
}

async fn disable(caller: Caller, body: Body) -> Result<HttpResponse, Fault> {
    change(&caller, true, &body)
}

fn change(caller: &Caller, disable: bool, body: &Body) -> Result<HttpResponse, Fault> {
    let (binary, name) = schema::change(disable, body.0.as_ref())?;
    caller.may(Rule("clusters:update"))?;
    Err(not_found(&binary, &name))
}
