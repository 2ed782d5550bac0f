//! The verbs of volumes, and of their exports by the old API.

mod change_volume;
mod create_volume;
mod delete_volume;
mod extend_volume;
mod initialize_connection;
mod manage_volume;
mod migrate_volume;
mod new_type;
mod retype_volume;
mod revert_to_snapshot;
mod terminate_connection;
mod unmanage_volume;
mod update_volume;
mod update_volume_metadata;

pub use self::change_volume::{ChangeVolume, VolumeChange};
pub use self::create_volume::{CreateVolume, CreateVolumeCommand, ScheduleVolume};
pub use self::delete_volume::{DeleteVolume, DeleteVolumeCascadeCommand, DeleteVolumeCommand};
pub use self::extend_volume::{ExtendVolume, ExtendVolumeCommand};
pub use self::initialize_connection::{InitializeConnection, InitializeConnectionCommand};
pub use self::manage_volume::{ManageVolume, ManageVolumeCommand};
pub use self::migrate_volume::{
    CompleteMigration, CopyVolumeDataCommand, MigrateVolume, MigrateVolumeEntry, OpenCopySourceCommand,
    ReadVolumeData, RelayedRead, Stage as MigrateStage, VolumeData,
};
pub use self::new_type::NewType;
pub use self::retype_volume::{RetypeVolume, RetypeVolumeCommand, RetypeVolumeEntry, Stage as RetypeStage};
pub use self::revert_to_snapshot::{RevertToSnapshot, RevertToSnapshotCommand};
pub use self::terminate_connection::{TerminateConnection, TerminateConnectionCommand};
pub use self::unmanage_volume::{UnmanageVolume, UnmanageVolumeCommand};
pub use self::update_volume::UpdateVolume;
pub use self::update_volume_metadata::UpdateVolumeMetadata;

use self::create_volume::made;
pub(super) use self::delete_volume::deletion;
pub(super) use self::initialize_connection::exported;
pub(super) use self::terminate_connection::{TerminateConnectionEntry, forget_export};
use super::{EntryRow, RequestVisitor, entry};
use crate::backend::CommandVisitor;

/// The verbs with operations.
pub(super) const ENTRIES: &[EntryRow] = &[
    entry::<create_volume::CreateVolumeEntry>(),
    entry::<delete_volume::DeleteVolumeEntry>(),
    entry::<extend_volume::ExtendVolumeEntry>(),
    entry::<revert_to_snapshot::RevertToSnapshotEntry>(),
    entry::<manage_volume::ManageVolumeEntry>(),
    entry::<unmanage_volume::UnmanageVolumeEntry>(),
    entry::<MigrateVolumeEntry>(),
    entry::<RetypeVolumeEntry>(),
    entry::<initialize_connection::InitializeConnectionEntry>(),
    entry::<terminate_connection::TerminateConnectionEntry>(),
];

pub(super) fn requests(visitor: &mut impl RequestVisitor) {
    visitor.request::<CreateVolume>();
    visitor.request::<UpdateVolume>();
    visitor.request::<DeleteVolume>();
    visitor.request::<ExtendVolume>();
    visitor.request::<UpdateVolumeMetadata>();
    visitor.request::<ChangeVolume>();
    visitor.request::<InitializeConnection>();
    visitor.request::<TerminateConnection>();
    visitor.request::<RevertToSnapshot>();
    visitor.request::<ManageVolume>();
    visitor.request::<UnmanageVolume>();
    visitor.request::<MigrateVolume>();
    visitor.request::<CompleteMigration>();
    visitor.request::<RetypeVolume>();
}

pub(super) fn commands<V: CommandVisitor>(visitor: V) -> V {
    visitor
        .command::<CreateVolumeCommand>()
        .command::<DeleteVolumeCommand>()
        .command::<DeleteVolumeCascadeCommand>()
        .command::<ExtendVolumeCommand>()
        .command::<ManageVolumeCommand>()
        .command::<UnmanageVolumeCommand>()
        .command::<RetypeVolumeCommand>()
        .command::<InitializeConnectionCommand>()
        .command::<TerminateConnectionCommand>()
        .command::<RevertToSnapshotCommand>()
        .command::<OpenCopySourceCommand>()
        .command::<CopyVolumeDataCommand>()
}
