//! An open fake volume.

use super::{Content, FakeDriver, Verb};
use crate::drivers::{DriverError, DriverResult, OpenVolume, Work};
use crate::model::VolumeId;

/// An open volume.
pub(super) struct OpenFake {
    pub(super) driver: FakeDriver,
    pub(super) id: VolumeId,
    pub(super) length: u64,
}

impl OpenFake {
    /// Runs `deed` on the volume, whose size must be sufficient.
    fn on_content<T>(
        &self,
        verb: Verb,
        work: &Work,
        end: Option<u64>,
        deed: impl FnOnce(&mut Content) -> DriverResult<T>,
    ) -> DriverResult<T> {
        self.driver.faults.run(verb, work, || {
            if end.is_none_or(|end| end > self.length) {
                return Err(DriverError::backend_failed(format!("{} ends before", self.id)));
            }
            deed(&mut self.driver.storage().volume(self.id)?.content)
        })
    }
}

impl OpenVolume for OpenFake {
    fn length(&self) -> u64 {
        self.length
    }

    fn reads_zeros_when_new(&self) -> bool {
        self.driver.options.reads_zeros_when_new
    }

    fn next_data(&mut self, work: &Work, offset: u64) -> DriverResult<u64> {
        work.check()?;
        let mut storage = self.driver.storage();
        let content = &storage.volume(self.id)?.content;
        Ok(content.next_data(offset).unwrap_or(self.length))
    }

    fn read(&mut self, work: &Work, offset: u64, length: usize) -> DriverResult<Vec<u8>> {
        let end = u64::try_from(length)
            .ok()
            .and_then(|length| offset.checked_add(length));
        self.on_content(Verb::Read, work, end, |content| Ok(content.read(offset, length)))
    }

    fn write(&mut self, work: &Work, offset: u64, bytes: &[u8]) -> DriverResult<()> {
        let length = u64::try_from(bytes.len()).ok();
        let end = length.and_then(|length| offset.checked_add(length));
        self.on_content(Verb::Write, work, end, |content| {
            work.check_owner()?;
            if content.write(offset, bytes) {
                return Ok(());
            }
            Err(DriverError::no_space("a fake volume cannot have more data"))
        })
    }

    fn write_zeros(&mut self, work: &Work, offset: u64, length: u64) -> DriverResult<()> {
        self.on_content(Verb::Write, work, offset.checked_add(length), |content| {
            work.check_owner()?;
            content.write_zeros(offset, length);
            Ok(())
        })
    }

    fn sync(&mut self, work: &Work) -> DriverResult<()> {
        self.on_content(Verb::Sync, work, Some(0), |_| Ok(()))
    }
}
