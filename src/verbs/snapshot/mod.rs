//! The verbs of snapshots.

mod create_snapshot;
mod delete_snapshot;
mod ending;
mod manage_snapshot;
mod unmanage_snapshot;
mod update_snapshot;

use self::create_snapshot::begin_snapshot;
pub use self::create_snapshot::{CreateSnapshot, CreateSnapshotCommand};
pub use self::delete_snapshot::{DeleteSnapshot, DeleteSnapshotCommand};
pub use self::manage_snapshot::{ManageSnapshot, ManageSnapshotCommand};
pub use self::unmanage_snapshot::{UnmanageSnapshot, UnmanageSnapshotCommand};
pub use self::update_snapshot::{ChangeSnapshot, SnapshotChange, UpdateSnapshot, UpdateSnapshotMetadata};
use super::{EntryRow, RequestVisitor, entry};
use crate::backend::CommandVisitor;

/// The verbs with operations.
pub(super) const ENTRIES: &[EntryRow] = &[
    entry::<create_snapshot::CreateSnapshotEntry>(),
    entry::<delete_snapshot::DeleteSnapshotEntry>(),
    entry::<manage_snapshot::ManageSnapshotEntry>(),
    entry::<unmanage_snapshot::UnmanageSnapshotEntry>(),
];

pub(super) fn requests(visitor: &mut impl RequestVisitor) {
    visitor.request::<CreateSnapshot>();
    visitor.request::<UpdateSnapshot>();
    visitor.request::<UpdateSnapshotMetadata>();
    visitor.request::<ChangeSnapshot>();
    visitor.request::<DeleteSnapshot>();
    visitor.request::<ManageSnapshot>();
    visitor.request::<UnmanageSnapshot>();
}

pub(super) fn commands<V: CommandVisitor>(visitor: V) -> V {
    visitor
        .command::<CreateSnapshotCommand>()
        .command::<DeleteSnapshotCommand>()
        .command::<ManageSnapshotCommand>()
        .command::<UnmanageSnapshotCommand>()
}
