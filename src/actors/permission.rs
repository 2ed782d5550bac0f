//! The permission level of a request, checked a second time by the actor that serves it.
//!
//! The gate of `web` checks each request against its policy rule, and answers with Cinder's text. A route without a rule, or a
//! node that sends a request that no gate has checked, must still not change anything: so each request has the least level of all
//! its rules ([`Request::level`](crate::verbs::Request::level)), and a caller with less is refused before the verb begins.
//! Messages that only nodes send to each other are not checked by roles.

use crate::messages::Message;
use crate::model::role::Level;
use crate::model::{Context, Error};

/// Refuses a caller with less than this level.
///
/// # Errors
/// 403.
pub(super) fn demand<M: Message>(level: Level, context: &Context) -> Result<(), Error> {
    if context.has(level) {
        return Ok(());
    }
    Err(Error::forbidden_by(M::NAME)
        .with_operator(format!("{} requires {level:?}, and no gate refused it", M::NAME)))
}
