//! The verbs of attachments.

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

/// The verbs with operations.
pub(super) const ENTRIES: &[EntryRow] = &[
    entry::<update_attachment::UpdateAttachmentEntry>(),
    entry::<delete_attachment::DeleteAttachmentEntry>(),
];

pub(super) fn requests(visitor: &mut impl RequestVisitor) {
    visitor.request::<CreateAttachment>();
    visitor.request::<UpdateAttachment>();
    visitor.request::<CompleteAttachment>();
    visitor.request::<DeleteAttachment>();
}
