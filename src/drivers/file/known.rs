//! A cache of the folder's contents, so that tens of thousands of files are listed once, and not at every report.

use std::collections::HashMap;

use parking_lot::{Mutex, MutexGuard};

use super::folder::Name;
use crate::drivers::DriverResult;

/// Sizes by name; `None` until the folder was listed.
#[derive(Default)]
pub(super) struct Known {
    sizes: Mutex<Option<Sizes>>,
}

struct Sizes {
    by_name: HashMap<Name, u64>,
    total: u64,
}

impl Known {
    /// Inserts a file with its size.
    pub(super) fn put(&self, name: Name, bytes: u64) {
        if let Some(sizes) = self.sizes().as_mut() {
            let before = sizes.by_name.insert(name, bytes).unwrap_or(0);
            sizes.total = sizes.total - before + bytes;
        }
    }

    /// Removes a file.
    pub(super) fn remove(&self, name: Name) {
        if let Some(sizes) = self.sizes().as_mut() {
            sizes.total -= sizes.by_name.remove(&name).unwrap_or(0);
        }
    }

    /// Number of files and the sum of their sizes, if the folder was listed.
    pub(super) fn totals(&self) -> Option<(usize, u64)> {
        self.sizes()
            .as_ref()
            .map(|sizes| (sizes.by_name.len(), sizes.total))
    }

    /// Lists the folder again. Verbs that end meanwhile wait, so that their changes are either in the list or applied
    /// after it.
    pub(super) fn replace(
        &self,
        list: impl FnOnce() -> DriverResult<Vec<(Name, u64)>>,
    ) -> DriverResult<Vec<(Name, u64)>> {
        let mut sizes = self.sizes();
        let all = list()?;
        *sizes = Some(Sizes {
            total: all.iter().map(|(_, bytes)| bytes).sum(),
            by_name: all.iter().copied().collect(),
        });
        Ok(all)
    }

    fn sizes(&self) -> MutexGuard<'_, Option<Sizes>> {
        self.sizes.lock()
    }
}
