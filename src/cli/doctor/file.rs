//! A backend of sparse files.

use super::finding::Reporter;
use super::folder::{self, Network, Wanted};
use crate::config::Backend;

/// Checks its folder and the abilities of the file system.
pub fn check(name: &str, backend: &Backend, reporter: &Reporter) {
    let key = format!("backend.{name}.path");
    let wanted = Wanted {
        check: "file.path",
        key: &key,
        network: Some(Network::Careful),
        least: 0,
    };
    if !backend.path.is_absolute() {
        return;
    }
    let Some(folder) = folder::look(&backend.path, wanted, reporter) else {
        return;
    };
    match folder.try_out() {
        Ok(can) => {
            if can.sparse {
                reporter.ok("file.sparse", "volumes take room as they are written");
            } else {
                reporter.warn(
                    "file.sparse",
                    "this file system has no sparse files: every volume takes its whole size at once",
                    format!("set {key} to a folder on ext4, XFS or btrfs"),
                );
            }
            // Not a warning, since everything works without.
            reporter.ok(
                "file.reflink",
                if can.reflink {
                    "copies share blocks: snapshots and clones take no time"
                } else {
                    "copies share no blocks: snapshots and clones are copied (XFS or btrfs would share)"
                },
            );
        }
        Err(error) => reporter.ok(
            "file.sparse",
            format!("cannot be tried out without leaving a trace ({error})"),
        ),
    }
}
