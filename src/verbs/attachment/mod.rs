//! What can be done to attachments.

mod checks;
mod complete_attachment;
mod create_attachment;
mod delete_attachment;
mod update_attachment;

pub use self::complete_attachment::CompleteAttachment;
pub use self::create_attachment::CreateAttachment;
pub use self::delete_attachment::DeleteAttachment;
pub use self::update_attachment::UpdateAttachment;
use super::{EntryRow, RequestVisitor, entry};

/// Those that have operations.
pub(super) const ENTRIES: &[EntryRow] = &[
    entry::<update_attachment::UpdateAttachmentEntry>(),
    entry::<delete_attachment::DeleteAttachmentEntry>(),
];

/// Shows the requests that begin them.
pub(super) fn requests(visitor: &mut impl RequestVisitor) {
    visitor.request::<CreateAttachment>();
    visitor.request::<UpdateAttachment>();
    visitor.request::<CompleteAttachment>();
    visitor.request::<DeleteAttachment>();
}
