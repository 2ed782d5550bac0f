//! `/default-types` (since 3.62): projects cannot have their own default yet, so the list is always empty.

use super::prelude::*;

pub(super) async fn list(_: Caller) -> HandlerResult {
    let none: [(); 0] = [];
    ok(&Named("default_types", none))
}
