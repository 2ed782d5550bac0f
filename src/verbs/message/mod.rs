//! The verbs of user messages.

mod delete_message;

pub use self::delete_message::DeleteMessage;
use super::RequestVisitor;

pub(super) fn requests(visitor: &mut impl RequestVisitor) {
    visitor.request::<DeleteMessage>();
}
