//! Which level a request asks for, judged once more by the actor that serves it.
//!
//! The gate of `web` judges each request by its policy rule, and answers in Cinder's words. A route that forgot its rule, or a node
//! that sends what no gate has seen, must still change nothing: so each request names the least level that any rule for it has
//! ([`Request::level`](crate::verbs::Request::level)), and whoever has less is refused before the verb begins. What only nodes send
//! to each other is not judged by roles.

use crate::messages::Message;
use crate::model::role::Level;
use crate::model::{Context, Error};

/// Refuses a caller that has less than this level.
///
/// # Errors
/// 403.
pub(super) fn demand<M: Message>(level: Level, context: &Context) -> Result<(), Error> {
    if context.has(level) {
        return Ok(());
    }
    Err(Error::forbidden_by(M::NAME)
        .with_operator(format!("{} asks for {level:?}, and no gate refused it", M::NAME)))
}
