//! `/default-types` (since 3.62): no project has a default of its own yet, so the list is empty, truly.

use crate::web::caller::Caller;
use crate::web::fault::HandlerResult;
use crate::web::views::{Named, ok};

pub(super) async fn list(_: Caller) -> HandlerResult {
    let none: [(); 0] = [];
    ok(&Named("default_types", none))
}
