//! Every message there is, once: for whoever must treat them all alike, as the golden bytes and the fuzzer do.
//!
//! A test reads `src/messages` and fails if one is missing here.

use crate::messages::{Message, api, quota, registry, scheduler, volume};

/// Is shown each type of message.
pub trait Visitor {
    /// One of them.
    fn message<M: Message>(&mut self);
}

/// Shows them all, by receiving actor.
pub fn every_message(visitor: &mut impl Visitor) {
    visitor.message::<api::CreateVolume>();
    visitor.message::<api::UpdateVolume>();
    visitor.message::<api::DeleteVolume>();
    visitor.message::<api::ExtendVolume>();
    visitor.message::<api::UpdateVolumeMetadata>();
    visitor.message::<api::ChangeVolume>();
    visitor.message::<api::InitializeConnection>();
    visitor.message::<api::TerminateConnection>();
    visitor.message::<api::CreateAttachment>();
    visitor.message::<api::UpdateAttachment>();
    visitor.message::<api::CompleteAttachment>();
    visitor.message::<api::DeleteAttachment>();
    visitor.message::<api::CreateVolumeType>();
    visitor.message::<api::UpdateVolumeType>();
    visitor.message::<api::DeleteVolumeType>();
    visitor.message::<api::DeleteMessage>();
    visitor.message::<api::Report>();
    visitor.message::<api::ListBackendVolumes>();
    visitor.message::<api::BackendStarted>();
    visitor.message::<api::CreateSnapshot>();
    visitor.message::<api::UpdateSnapshot>();
    visitor.message::<api::UpdateSnapshotMetadata>();
    visitor.message::<api::DeleteSnapshot>();
    visitor.message::<api::ChangeSnapshot>();
    visitor.message::<api::RevertToSnapshot>();
    visitor.message::<api::ManageVolume>();
    visitor.message::<api::UnmanageVolume>();
    visitor.message::<api::ManageSnapshot>();
    visitor.message::<api::UnmanageSnapshot>();
    visitor.message::<api::ListManageableVolumes>();
    visitor.message::<api::ListManageableSnapshots>();
    visitor.message::<api::CompareStorage>();
    visitor.message::<api::Progress>();
    visitor.message::<api::CancelOperation>();
    visitor.message::<api::ListBackendVolumesPage>();
    visitor.message::<api::ConfirmOrphans>();

    visitor.message::<quota::Reserve>();
    visitor.message::<quota::Commit>();
    visitor.message::<quota::Rollback>();
    visitor.message::<quota::UpdateQuotaSet>();
    visitor.message::<quota::DeleteQuotaSet>();
    visitor.message::<quota::UpdateQuotaClass>();

    visitor.message::<registry::Heartbeat>();
    visitor.message::<registry::ListServices>();
    visitor.message::<registry::SetServiceDisabled>();

    visitor.message::<scheduler::CreateVolume>();
    visitor.message::<scheduler::ValidateExtend>();
    visitor.message::<scheduler::UpdateServiceCapabilities>();
    visitor.message::<scheduler::GetPools>();

    visitor.message::<volume::CreateVolume>();
    visitor.message::<volume::DeleteVolume>();
    visitor.message::<volume::ExtendVolume>();
    visitor.message::<volume::InitializeConnection>();
    visitor.message::<volume::TerminateConnection>();
    visitor.message::<volume::DeleteVolumeCascade>();
    visitor.message::<volume::CreateSnapshot>();
    visitor.message::<volume::DeleteSnapshot>();
    visitor.message::<volume::RevertToSnapshot>();
    visitor.message::<volume::ManageVolume>();
    visitor.message::<volume::UnmanageVolume>();
    visitor.message::<volume::ManageSnapshot>();
    visitor.message::<volume::UnmanageSnapshot>();
    visitor.message::<volume::ListExisting>();
    visitor.message::<volume::CancelOperation>();
    visitor.message::<volume::ListExistingPage>();
}
