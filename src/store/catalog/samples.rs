//! Records for tests.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::model::{
    Attachment, AttachmentId, AttachmentStatus, Operation, OperationId, Snapshot, SnapshotId, SnapshotStatus,
    Subject, Timestamp, Volume, VolumeStatus,
};

static CLOCK: AtomicI64 = AtomicI64::new(1_700_000_000_000_000);

/// A time later than all earlier results.
pub(super) fn tick() -> Timestamp {
    Timestamp(CLOCK.fetch_add(1_000, Ordering::Relaxed))
}

pub(super) fn volume(project: &str, name: &str, size: u32) -> Volume {
    Volume {
        name: Some(name.to_owned()),
        ..Volume::new(
            project.into(),
            "user".into(),
            size,
            VolumeStatus::Available,
            "nova".to_owned(),
            tick(),
        )
    }
}

pub(super) fn attachment(volume: &Volume) -> Attachment {
    Attachment {
        id: AttachmentId::new(),
        volume_id: volume.id,
        project_id: volume.project_id.clone(),
        instance_uuid: None,
        status: AttachmentStatus::Reserved,
        mode: None,
        attached_host: None,
        mountpoint: None,
        connector: None,
        connection_info: None,
        operation: None,
        created_at: tick(),
        updated_at: None,
        attached_at: None,
        detached_at: None,
    }
}

pub(super) fn snapshot(volume: &Volume, name: &str) -> Snapshot {
    Snapshot {
        id: SnapshotId::new(),
        volume_id: volume.id,
        project_id: volume.project_id.clone(),
        user_id: volume.user_id.clone(),
        name: Some(name.to_owned()),
        description: None,
        volume_size: volume.size,
        volume_type_id: volume.volume_type_id,
        status: SnapshotStatus::Available,
        progress: "100%".to_owned(),
        metadata: Default::default(),
        provider_id: None,
        encryption_key_id: None,
        group_snapshot_id: None,
        consumes_quota: true,
        operation: None,
        created_at: tick(),
        updated_at: None,
    }
}

pub(super) fn operation(volume: &Volume) -> Operation {
    let created_at = tick();
    Operation {
        id: OperationId::new(),
        verb: "sample".to_owned(),
        entry: Vec::new(),
        subject: Subject::Volume(volume.id),
        volume_id: Some(volume.id),
        snapshot_id: None,
        copied_from: None,
        project_id: volume.project_id.clone(),
        user_id: volume.user_id.clone(),
        request_id: "req-1".to_owned(),
        attempt: 1,
        pool: None,
        tried: Vec::new(),
        previous_status: None,
        reserved: Default::default(),
        steps: Vec::new(),
        created_at,
        deadline: created_at.plus(std::time::Duration::from_secs(3600)),
    }
}
