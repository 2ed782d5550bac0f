//! `/default-types` (since 3.62): no project has a default of its own yet, so the list is empty, truly.

use actix_web::HttpResponse;

use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::policy::Rule;
use crate::web::routes::{Access, Routes};
use crate::web::views::{Named, ok};

pub(super) fn routes(routes: &mut Routes) {
    routes
        .get(
            "/default-types",
            Access::rule("volume_extension:default_get_all"),
            list,
        )
        .since(SINCE);
    routes
        .get(
            "/default-types/{target_id}",
            Access::rule("volume_extension:default_get"),
            show,
        )
        .since(SINCE);
    routes
        .put(
            "/default-types/{target_id}",
            Access::rule("volume_extension:default_set_or_update"),
            set,
        )
        .since(SINCE);
    routes
        .delete(
            "/default-types/{target_id}",
            Access::rule("volume_extension:default_unset"),
            unset,
        )
        .since(SINCE);
}

/// The first version with default types.
const SINCE: u16 = 62;

fn later() -> Result<HttpResponse, Fault> {
    Err(Fault::not_implemented(
        "Default types of projects are not implemented.",
    ))
}

async fn list(caller: Caller) -> Result<HttpResponse, Fault> {
    caller.may(Rule("volume_extension:default_get_all"))?;
    let none: [(); 0] = [];
    ok(&Named("default_types", none))
}

async fn show(caller: Caller) -> Result<HttpResponse, Fault> {
    caller.may(Rule("volume_extension:default_get"))?;
    later()
}

async fn set(caller: Caller) -> Result<HttpResponse, Fault> {
    caller.may(Rule("volume_extension:default_set_or_update"))?;
    later()
}

async fn unset(caller: Caller) -> Result<HttpResponse, Fault> {
    caller.may(Rule("volume_extension:default_unset"))?;
    later()
}
