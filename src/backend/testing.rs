//! Backends and commands for unit tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::state::{BackendState, Options};
use crate::drivers::VolumeDriver;
use crate::drivers::fake::FakeDriver;
use crate::drivers::target::TargetDriver;
use crate::drivers::target::fake::FakeTarget;
use crate::messages::volume::CommandId;
use crate::model::spec::VolumeSource;
use crate::model::{BackendName, OperationId, ProjectId, VolumeId, VolumeSpec};

/// More time than any test takes.
pub(crate) const LONG_MS: u64 = 30_000;

/// The backend's name.
pub(crate) fn backend() -> BackendName {
    BackendName::new("h", "fake")
}

/// The backend with this driver and this target.
pub(crate) fn backend_state(
    driver: &FakeDriver,
    target: &Arc<FakeTarget>,
    options: Options,
) -> Arc<BackendState> {
    let driver = driver.clone();
    let target: Arc<dyn TargetDriver> = target.clone();
    BackendState::new(
        backend(),
        Arc::new(move || Arc::new(driver.clone()) as Arc<dyn VolumeDriver>),
        Some(target),
        options,
    )
}

/// A new volume of so many GiB on the backend.
pub(crate) fn spec(size: u32) -> VolumeSpec {
    VolumeSpec {
        id: VolumeId::new(),
        project_id: ProjectId::from("p"),
        size,
        pool: backend().pool("fake"),
        multiattach: false,
        readonly: false,
        encrypted: false,
        extra_specs: BTreeMap::new(),
        source: VolumeSource::Raw,
        provider_location: None,
        provider_auth: None,
    }
}

/// The first attempt of a new operation.
pub(crate) fn first() -> CommandId {
    CommandId {
        operation: OperationId::new(),
        attempt: 1,
    }
}
