//! `/clusters` (since 3.7): there are none. Volume services are not clustered.

use super::prelude::*;
use super::python;
use crate::web::routes::answers::{Parameter, query};
use crate::web::schema::clusters as schema;
use crate::web::views::shape::{Shape, field};

pub(super) const CLUSTERS: Shape = Shape::Object(&[field("clusters", Shape::List(&Shape::Any))]);

pub(super) const PARAMETERS: &[Parameter] = &[
    query("name", Shape::Text),
    query("binary", Shape::Text),
    query("is_up", Shape::Boolean),
    query("disabled", Shape::Boolean),
    query("num_hosts", Shape::Text),
    query("num_down_hosts", Shape::Text),
    query("replication_status", Shape::Text).since(26),
    query("frozen", Shape::Text).since(26),
    query("active_backend_id", Shape::Text).since(26),
];

pub(super) const OF_ONE: &[Parameter] = &[query("binary", Shape::Text)];

const FILTERS: [&str; 6] = [
    "name",
    "binary",
    "is_up",
    "disabled",
    "num_hosts",
    "num_down_hosts",
];
const REPLICATION_FILTERS: [&str; 3] = ["replication_status", "frozen", "active_backend_id"];

pub(super) async fn list(caller: Caller, query: Query) -> HandlerResult {
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

fn not_found(binary: &str, name: &str) -> Fault {
    let (binary, name) = (python::repr_text(binary), python::repr_text(name));
    Fault::not_found(format!(
        "Cluster {{'binary': {binary}, 'name': {name}}} could not be found."
    ))
}

pub(super) async fn show(path: SubjectPath, query: Query) -> HandlerResult {
    Err(not_found(
        query.get("binary").unwrap_or(schema::DEFAULT_BINARY),
        &path.id,
    ))
}

/// Enable and disable.
pub(super) async fn change(body: Body) -> HandlerResult {
    let (binary, name) = schema::change(body.value());
    Err(not_found(&binary, &name))
}
