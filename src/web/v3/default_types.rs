//! `/default-types` (since 3.62): no project has a default of its own yet, so the list is empty, truly.

use actix_web::{HttpResponse, web};

use crate::web::caller::Caller;
use crate::web::fault::Fault;
use crate::web::policy::Rule;
use crate::web::views::{Named, ok};

pub(super) fn configure(cfg: &mut web::ServiceConfig) {
    cfg.service(super::resource("/default-types").route(web::get().to(list)))
        .service(
            super::resource("/default-types/{target_id}")
                .route(web::get().to(show))
                .route(web::put().to(set))
                .route(web::delete().to(unset)),
        );
}

/// Cinder has words of its own for this refusal.
fn may(caller: &Caller, rule: &'static str) -> Result<(), Fault> {
    caller.since(62)?;
    match caller.can(Rule(rule)) {
        true => Ok(()),
        false => Err(Fault::forbidden(
            "You are not authorized to perform this operation.",
        )),
    }
}

fn later() -> Result<HttpResponse, Fault> {
    Err(Fault::not_implemented(
        "Default types of projects are not implemented.",
    ))
}

async fn list(caller: Caller) -> Result<HttpResponse, Fault> {
    may(&caller, "volume_extension:default_get_all")?;
    let none: [(); 0] = [];
    ok(&Named("default_types", none))
}

async fn show(caller: Caller) -> Result<HttpResponse, Fault> {
    may(&caller, "volume_extension:default_get")?;
    later()
}

async fn set(caller: Caller) -> Result<HttpResponse, Fault> {
    may(&caller, "volume_extension:default_set_or_update")?;
    later()
}

async fn unset(caller: Caller) -> Result<HttpResponse, Fault> {
    may(&caller, "volume_extension:default_unset")?;
    later()
}
