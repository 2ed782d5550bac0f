//! What each verb does on the volume node: the flow of each command that a VolumeManager runs.

pub mod create_snapshot;
pub mod create_volume;
pub mod delete_snapshot;
pub mod delete_volume;
pub mod extend_volume;
pub mod initialize_connection;
pub mod manage_snapshot;
pub mod manage_volume;
pub mod revert_to_snapshot;
pub mod terminate_connection;
pub mod unmanage_snapshot;
pub mod unmanage_volume;

use crate::backend::CommandVisitor;
use crate::messages::volume;

/// Shows every command that a VolumeManager runs. One that is missing here is not served.
#[must_use]
pub fn every_command<V: CommandVisitor>(visitor: V) -> V {
    visitor
        .command::<volume::CreateVolume>()
        .command::<volume::DeleteVolume>()
        .command::<volume::DeleteVolumeCascade>()
        .command::<volume::ExtendVolume>()
        .command::<volume::ManageVolume>()
        .command::<volume::UnmanageVolume>()
        .command::<volume::InitializeConnection>()
        .command::<volume::TerminateConnection>()
        .command::<volume::CreateSnapshot>()
        .command::<volume::DeleteSnapshot>()
        .command::<volume::RevertToSnapshot>()
        .command::<volume::ManageSnapshot>()
        .command::<volume::UnmanageSnapshot>()
}
