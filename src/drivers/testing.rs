//! Samples for the tests of this module.

pub(crate) mod fence;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, json};

use super::ownership::{Ownership, Place};
use super::{DriverError, DriverResult, Managed, VolumeDriver, VolumeUpdate, Work};

use crate::model::spec::VolumeSource;
use crate::model::{BackendName, Connector, ProjectId, Reference, SnapshotId, VolumeId, VolumeSpec};

/// Work with enough time for any test.
pub(crate) fn work() -> Work {
    Work::within(Duration::from_secs(60))
}

/// The kind of an error.
pub(crate) fn fault<T>(answer: DriverResult<T>) -> &'static str {
    answer.err().expect("it fails").into()
}

/// An empty volume of so many GiB.
pub(crate) fn volume(size: u32) -> VolumeSpec {
    VolumeSpec {
        id: VolumeId::new(),
        project_id: ProjectId::from("p"),
        size,
        pool: BackendName::new("h", "file").pool("file"),
        multiattach: false,
        readonly: false,
        encrypted: false,
        extra_specs: BTreeMap::new(),
        source: VolumeSource::Raw,
        provider_location: None,
        provider_auth: None,
    }
}

/// Steps of tests with any driver: methods of the driver are named here and in drivers, not in tests.
pub(crate) trait DriverSteps: VolumeDriver {
    fn create(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<VolumeUpdate> {
        self.create_volume(work, volume)
    }

    fn delete(&self, work: &Work, volume: &VolumeSpec) -> DriverResult<()> {
        self.delete_volume(work, volume)
    }

    fn extend(&self, work: &Work, volume: &VolumeSpec, new_size: u32) -> DriverResult<()> {
        self.extend_volume(work, volume, new_size)
    }

    fn take_snapshot(&self, work: &Work, volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()> {
        self.create_snapshot(work, volume, snapshot)
    }

    fn drop_snapshot(&self, work: &Work, volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()> {
        self.delete_snapshot(work, volume, snapshot)
    }

    fn revert(&self, work: &Work, volume: &VolumeSpec, snapshot: SnapshotId) -> DriverResult<()> {
        self.revert_to_snapshot(work, volume, snapshot)
    }

    fn manage(&self, work: &Work, volume: &VolumeSpec, reference: &Reference) -> DriverResult<Managed> {
        self.manage_volume(work, volume, reference)
    }
}

impl<D: VolumeDriver + ?Sized> DriverSteps for D {}

/// A connector with an initiator only.
pub(crate) fn connector(initiator: &str) -> Connector {
    let mut object = Map::new();
    object.insert("initiator".to_owned(), json!(initiator));
    Connector::from_json(&object)
}
