//! What can be done to user messages.

mod delete_message;

pub use self::delete_message::DeleteMessage;
use super::RequestVisitor;

/// Shows the requests that begin them.
pub(super) fn requests(visitor: &mut impl RequestVisitor) {
    visitor.request::<DeleteMessage>();
}
