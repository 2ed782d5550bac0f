//! `/default-types` (since 3.62): projects cannot have their own default yet, so the list is always empty.

use crate::web::caller::Caller;
use crate::web::fault::HandlerResult;
use crate::web::views::{Named, ok};

pub(super) async fn list(_: Caller) -> HandlerResult {
    let none: [(); 0] = [];
    ok(&Named("default_types", none))
}
