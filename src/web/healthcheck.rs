//! `/healthcheck`: whether to send requests here (oslo.middleware: `healthcheck`). Asks no actor and no store, so that
//! it answers when they do not.
//!
//! A node that can only be read at present is not taken out: it answers 200, with what is wrong in the place of `OK`. Without it
//! there would be nobody to read from.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use arc_swap::ArcSwapOption;

use super::routes::{Access, Routes};
use super::state::Door;

/// Whether we can serve, and if not, why. All clones are one. Begins as "starting".
#[derive(Clone, Debug)]
pub struct Readiness(Arc<ArcSwapOption<String>>);

impl Readiness {
    /// Not yet.
    #[must_use]
    pub fn starting() -> Self {
        Self(Arc::new(ArcSwapOption::from_pointee("starting".to_owned())))
    }

    /// From now on requests are welcome.
    pub fn ready(&self) {
        self.0.store(None);
    }

    /// From now on they are not, in words for the operator.
    pub fn unready(&self, why: impl Into<String>) {
        self.0.store(Some(Arc::new(why.into())));
    }

    /// Why not; `None` if we can serve.
    #[must_use]
    pub fn obstacle(&self) -> Option<Arc<String>> {
        self.0.load_full()
    }
}

/// Adds it.
pub fn routes(routes: &mut Routes) {
    routes.get("/healthcheck", Access::Open, check);
}

async fn check(door: web::Data<Door>) -> HttpResponse {
    let unhealthy = door.unhealthy.as_ref().and_then(|unhealthy| unhealthy());
    let restricted = door.restricted.as_ref().and_then(|restricted| restricted());
    match door.readiness.obstacle().map(|why| why.to_string()).or(unhealthy) {
        None => HttpResponse::Ok()
            .content_type("text/plain; charset=UTF-8")
            .body(restricted.unwrap_or_else(|| "OK".to_owned())),
        Some(why) => HttpResponse::ServiceUnavailable()
            .content_type("text/plain; charset=UTF-8")
            .body(why),
    }
}
