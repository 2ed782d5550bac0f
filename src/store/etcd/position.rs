//! What a node remembers of etcd in a file: which store it used, and the number of its last transaction. A restored backup is
//! noticed by it, also after a restart.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::private_files;
use crate::store::StoreError;

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The cluster of etcd.
    pub(super) cluster: u64,
    /// The store in it.
    pub(super) store: Uuid,
    /// The node's name in the store.
    pub(super) node: String,
    /// The number of the node's last transaction that is known, or one before it.
    pub(super) number: u64,
}

impl Position {
    /// The position in this file; `None` if there is no file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, StoreError> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|error| failed(path).caused_by(error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(path).caused_by(error)),
        }
    }

    /// Writes the file atomically. It is not synced: an earlier position only notices less.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<(), StoreError> {
        let new = path.with_extension("new");
        let text = serde_json::to_vec(self).map_err(|error| failed(path).caused_by(error))?;
        private_files::options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&new)
            .and_then(|mut file| file.write_all(&text))
            .and_then(|()| std::fs::rename(&new, path))
            .map_err(|error| failed(path).caused_by(error))
    }

    /// Checks that etcd has the store that this node used, in a state that is not older.
    ///
    /// # Errors
    /// If not, with what can be done.
    pub(super) fn must_agree(&self, found: &Self) -> Result<(), StoreError> {
        let adopt = "`pumice store adopt` accepts the state of etcd; compare it with the storage by `pumice fsck --running` then";
        if self.node != found.node {
            return Ok(());
        }
        if self.store != found.store {
            return Err(StoreError::new(format!(
                "etcd has another store than this node used ({} in place of {}): are store.etcd_endpoints and \
                 store.etcd_prefix right? If they are, {adopt}",
                found.store, self.store
            )));
        }
        if self.number > found.number {
            return Err(StoreError::new(super::node::went_back(found.number, self.number)));
        }
        if self.cluster != found.cluster {
            return Err(StoreError::new(format!(
                "this is another cluster of etcd than this node used ({:x} in place of {:x}): was it made anew from a backup? If \
                 it has the last state, {adopt}",
                found.cluster, self.cluster
            )));
        }
        Ok(())
    }
}

fn failed(path: &Path) -> StoreError {
    StoreError::new(format!("the position in etcd, {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_remembers_is_read_again_and_compared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etcd-position");
        assert_eq!(Position::read(&path).unwrap(), None);
        let position = Position {
            cluster: 1,
            store: Uuid::from_u128(2),
            node: "a".to_owned(),
            number: 7,
        };
        position.write(&path).unwrap();
        assert_eq!(Position::read(&path).unwrap(), Some(position.clone()));
        let with = |change: fn(&mut Position)| {
            let mut found = position.clone();
            change(&mut found);
            position.must_agree(&found).map_err(|error| error.to_string())
        };
        assert_eq!(with(|found| found.number = 8), Ok(()));
        assert!(
            with(|found| found.number = 6)
                .unwrap_err()
                .contains("earlier state")
        );
        assert!(
            with(|found| found.store = Uuid::nil())
                .unwrap_err()
                .contains("another store")
        );
        assert!(
            with(|found| found.cluster = 2)
                .unwrap_err()
                .contains("another cluster")
        );
        std::fs::write(&path, "{").unwrap();
        Position::read(&path).unwrap_err();
    }
}
