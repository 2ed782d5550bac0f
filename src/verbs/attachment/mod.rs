//! What can be done to attachments.

mod checks;
pub mod complete_attachment;
pub mod create_attachment;
pub mod delete_attachment;
pub mod update_attachment;
