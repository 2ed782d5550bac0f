//! A folder of Pumice: whether it exists or can be created, its owner, its free space, and its file system.

use std::path::Path;

use super::finding::Reporter;
use super::machine::disk::{FileSystem, Folder};

const GIB: u64 = 1 << 30;

/// The requirements of a folder.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The name of the check.
    pub check: &'a str,
    /// The configuration key.
    pub key: &'a str,
    /// How to treat a network file system; `None` if it is allowed.
    pub network: Option<Network>,
    /// The least free space; 0 if there is no minimum.
    pub least: u64,
}

/// How to treat a network file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// It is not allowed.
    Never,
    /// It is allowed if it is mounted properly.
    Careful,
}

/// Checks the folder; returns its state, if it is usable.
pub fn look(path: &Path, wanted: Wanted<'_>, reporter: &Reporter) -> Option<Folder> {
    match Folder::look(path) {
        Ok(folder) => {
            assess(&folder, wanted, rustix::process::geteuid().as_raw(), reporter).then_some(folder)
        }
        Err(error) => {
            reporter.fault(
                wanted.check,
                format!("{} cannot be looked at: {error}", path.display()),
                format!(
                    "run pumice doctor as the user that serves, or set {} to another folder",
                    wanted.key
                ),
            );
            None
        }
    }
}

fn assess(folder: &Folder, wanted: Wanted<'_>, user: u32, reporter: &Reporter) -> bool {
    let Wanted { check, key, .. } = wanted;
    let (path, nearest) = (folder.path.display(), folder.nearest.display());
    if folder.on == FileSystem::Kernel {
        reporter.fault(
            check,
            format!("{path} would lie in {nearest}, which is the kernel's own and holds no files"),
            format!("set {key} to a folder on a disk"),
        );
        return false;
    }
    if let Err(error) = &folder.writable {
        let (what, mend) = if folder.exists {
            (
                format!("{path} cannot be written: {error}"),
                format!("chown {user} {path} && chmod 700 {path}"),
            )
        } else {
            (
                format!("{path} is not there, and cannot be made in {nearest}: {error}"),
                format!("as root: install -d -m 700 -o {user} {path}, or set {key} to another folder"),
            )
        };
        reporter.fault(check, what, mend);
        return false;
    }
    if !folder.exists {
        reporter.ok(check, format!("{path} will be made"));
    } else if folder.owner != user {
        reporter.warn(
            check,
            format!("{path} belongs to user {}, and this is user {user}", folder.owner),
            format!(
                "run it as that user: sudo -u '#{}' pumice doctor, or: chown {user} {path}",
                folder.owner
            ),
        );
    } else if folder.mode & 0o077 != 0 {
        reporter.warn(
            check,
            format!("others may look into {path} (mode {:04o})", folder.mode & 0o777),
            format!("chmod 700 {path}"),
        );
    } else {
        reporter.ok(
            check,
            format!("{path} is its owner's alone, mode {:04o}", folder.mode & 0o777),
        );
    }
    file_system(folder, wanted, reporter);
    space(folder, wanted, reporter);
    true
}

fn file_system(folder: &Folder, wanted: Wanted<'_>, reporter: &Reporter) {
    let (path, key) = (folder.path.display(), wanted.key);
    match (folder.on, wanted.network) {
        (FileSystem::Network(kind), Some(Network::Never)) => reporter.fault(
            wanted.check,
            format!("{path} lies on a network file system ({kind}): the state could be lost or be opened twice"),
            format!("set {key} to a folder on a disk of this machine"),
        ),
        (FileSystem::Network(kind), Some(Network::Careful)) => reporter.warn(
            wanted.check,
            format!("{path} lies on a network file system ({kind}): what was written may be lost with its server"),
            format!("mount it hard and without caches of its own, or set {key} to a folder on a disk of this machine"),
        ),
        (FileSystem::Memory, _) => reporter.warn(
            wanted.check,
            format!("{path} lies in memory: it is empty after the next start of this machine"),
            format!("set {key} to a folder on a disk"),
        ),
        _ => {}
    }
}

fn space(folder: &Folder, wanted: Wanted<'_>, reporter: &Reporter) {
    let check = format!("{}.space", wanted.check);
    let (free, total) = (gib(folder.free), gib(folder.total));
    let mend = format!(
        "make room: du -xh --max-depth=1 {} | sort -h, or set {} to a folder on a larger disk",
        folder.nearest.display(),
        wanted.key
    );
    if folder.free < wanted.least {
        let least = gib(wanted.least);
        reporter.fault(
            &check,
            format!("{free} of {total} are free: below {least} every change is refused"),
            mend,
        );
    } else if folder.free < GIB || folder.free < folder.total / 20 {
        reporter.warn(&check, format!("only {free} of {total} are free"), mend);
    } else {
        reporter.ok(&check, format!("{free} of {total} are free"));
    }
}

/// Bytes in human-readable form.
pub fn gib(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes < GIB {
        return format!("{} MiB", bytes / MIB);
    }
    let tenths = bytes / (GIB / 10);
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::{GIB, Network, Wanted, assess, gib};
    use crate::cli::doctor::finding::{Finding, Outcome, Reporter};
    use crate::cli::doctor::machine::disk::{FileSystem, Folder};

    fn folder() -> Folder {
        Folder {
            path: "/d".into(),
            nearest: "/d".into(),
            exists: true,
            writable: Ok(()),
            owner: 7,
            mode: 0o700,
            on: FileSystem::Local,
            total: 100 * GIB,
            free: 50 * GIB,
        }
    }

    fn assessed(folder: &Folder) -> Vec<Finding> {
        let wanted = Wanted {
            check: "node.data_dir",
            key: "node.data_dir",
            network: Some(Network::Never),
            least: 64 << 20,
        };
        Reporter::collect(None, |reporter| {
            assess(folder, wanted, 7, reporter);
        })
    }

    fn worst(folder: &Folder) -> Outcome {
        let outcomes = assessed(folder).into_iter().map(|finding| finding.outcome);
        outcomes.max().unwrap()
    }

    #[test]
    fn a_good_folder_is_good() {
        assert_eq!(worst(&folder()), Outcome::Ok);
        let to_be_made = Folder {
            exists: false,
            nearest: "/".into(),
            owner: 0,
            mode: 0o755,
            ..folder()
        };
        assert_eq!(worst(&to_be_made), Outcome::Ok);
    }

    #[test]
    fn faults_of_a_folder_are_reported() {
        let mut open = folder();
        open.mode = 0o755;
        assert_eq!(assessed(&open)[0].correction(), "chmod 700 /d");
        assert_eq!(worst(&Folder { owner: 8, ..folder() }), Outcome::Warn);
        let on = |on| worst(&Folder { on, ..folder() });
        assert_eq!(on(FileSystem::Network("NFS")), Outcome::Fault);
        assert_eq!(on(FileSystem::Memory), Outcome::Warn);
        assert_eq!(on(FileSystem::Kernel), Outcome::Fault);
        let free = |free| worst(&Folder { free, ..folder() });
        assert_eq!(free(4 * GIB), Outcome::Warn);
        assert_eq!(free(1 << 20), Outcome::Fault);
        let denied = Folder {
            exists: false,
            writable: Err("Permission denied".to_owned()),
            ..folder()
        };
        assert!(assessed(&denied)[0].correction().contains("install -d"));
    }

    #[test]
    fn sizes_are_shown_in_suitable_units() {
        assert_eq!(gib(64 << 20), "64 MiB");
        assert_eq!(gib(GIB * 3 / 2), "1.5 GiB");
    }
}
