//! Which volumes of this backend another backend may read, and for which operation.
//!
//! A backend is not trusted with the data of others: it reads only volumes that an operation has opened for it, and the
//! operation's id is the proof of access. An entry is removed at the operation's deadline, and as soon as any other command about
//! the volume is received: the copying backend must not see later changes. A restart removes all entries; then the control node
//! opens the volume again.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{OperationId, VolumeId, VolumeSpec};

/// How many volumes may be open at once.
const MOST: usize = 1024;

/// The longest time that a volume is open, whatever a command says.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// See the module.
#[derive(Debug, Default)]
pub struct CopySources {
    open: BTreeMap<OperationId, CopySource>,
}

#[derive(Debug)]
struct CopySource {
    volume: VolumeSpec,
    until: Instant,
}

impl CopySources {
    /// Allows this operation to read this volume for so long, and no other volume any more.
    pub fn open(&mut self, operation: OperationId, volume: VolumeSpec, now: Instant, within: Duration) {
        let until = now + within.min(LONGEST);
        self.open.retain(|_, source| source.until > now);
        let first_to_end = self.open.iter().min_by_key(|(_, source)| source.until);
        if self.open.len() >= MOST
            && let Some(id) = first_to_end.map(|(id, _)| *id)
        {
            self.open.remove(&id);
        }
        self.open.insert(operation, CopySource { volume, until });
    }

    /// Ends all access to this volume.
    pub fn close(&mut self, volume: VolumeId) {
        self.open.retain(|_, source| source.volume.id != volume);
    }

    /// The volume, if this operation may read it now.
    pub fn find(&self, operation: OperationId, volume: VolumeId, now: Instant) -> Option<&VolumeSpec> {
        let source = self.open.get(&operation)?;
        (source.volume.id == volume && source.until > now).then_some(&source.volume)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{CopySources, MOST};
    use crate::backend::testing::spec;
    use crate::model::OperationId;

    const TIME: Duration = Duration::from_secs(10);

    #[test]
    fn only_the_operation_that_opened_a_volume_reads_it_and_only_in_its_time() {
        let mut sources = CopySources::default();
        let (volume, other, operation) = (spec(1), spec(1), OperationId::new());
        let now = Instant::now();
        sources.open(operation, volume.clone(), now, TIME);
        assert_eq!(sources.find(operation, volume.id, now), Some(&volume));
        assert_eq!(sources.find(operation, other.id, now), None);
        assert_eq!(sources.find(OperationId::new(), volume.id, now), None);
        sources.close(other.id);
        assert!(sources.find(operation, volume.id, now).is_some());
        assert_eq!(sources.find(operation, volume.id, now + TIME), None);
        sources.open(operation, volume.clone(), now + TIME, Duration::MAX);
        assert!(sources.find(operation, volume.id, now + TIME).is_some());
        sources.close(volume.id);
        assert_eq!(sources.find(operation, volume.id, now + TIME), None);
    }

    #[test]
    fn the_number_of_open_volumes_is_bounded() {
        let mut sources = CopySources::default();
        let (first, volume, now) = (OperationId::new(), spec(1), Instant::now());
        sources.open(first, volume.clone(), now, TIME);
        for _ in 0..MOST {
            sources.open(OperationId::new(), spec(1), now, TIME * 2);
        }
        assert_eq!(sources.open.len(), MOST);
        assert_eq!(sources.find(first, volume.id, now), None);
    }
}
