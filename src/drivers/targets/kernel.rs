//! The prerequisites of a kernel target: configfs is mounted, the modules are loaded, and it is writable.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::drivers::command::{Command, CommandError};
use crate::drivers::{DriverError, DriverResult, Work};

/// How long loading modules may take.
const LIMIT: Duration = Duration::from_secs(30);

/// A part of configfs, and its kernel modules.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    root: PathBuf,
    group: &'static str,
    modules: &'static [&'static str],
    modprobe: OsString,
}

/// The error of a verb on an export that does not exist.
pub(super) fn not_exported(name: &str) -> DriverError {
    DriverError::not_exported(format!(
        "{name} is not exported: another program may have cleared the kernel's targets"
    ))
}

/// The error of a portal that was refused; others are kept.
pub(super) fn cannot_listen(portal: &SocketAddr, hint: &str, error: DriverError) -> DriverError {
    match error {
        DriverError::Failed { operator, .. } => DriverError::failed(
            "The storage target service cannot be reached at its address.",
            format!("the kernel cannot listen on {portal}: is it an address of this host{hint}? {operator}"),
        ),
        other => other,
    }
}

/// A hash of a backend's name, the same in each run (FNV-1a).
pub(super) fn hash_of(owner: &str) -> u32 {
    owner.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

impl Kernel {
    /// The part of the configfs at `root` whose folder `group` exists once the modules are loaded; the first of them
    /// creates it. `modprobe` loads them.
    pub(super) fn new(
        root: &Path,
        group: &'static str,
        modules: &'static [&'static str],
        modprobe: impl Into<OsString>,
    ) -> Self {
        Self {
            root: root.to_owned(),
            group,
            modules,
            modprobe: modprobe.into(),
        }
    }

    /// Mounts and loads what is missing.
    pub(super) fn prepare(&self, work: &Work) -> DriverResult<()> {
        let group = self.root.join(self.group);
        if !group.is_dir() {
            self.mount(work)?;
        }
        let mut why = String::new();
        if !group.is_dir() {
            let modprobe = Command::new(self.modprobe.clone(), "kmod")
                .arg("-a")
                .args(self.modules.iter().copied())
                .limit(LIMIT);
            match modprobe.run(work) {
                Ok(_) => {}
                Err(error @ CommandError::Superseded { .. }) => return Err(error.into()),
                Err(error) => why = format!(": {error}"),
            }
        }
        if !group.is_dir() {
            let hint = if rustix::process::geteuid().is_root() {
                "does this kernel have it?"
            } else {
                "loading it requires root"
            };
            return Err(DriverError::target_unavailable(format!(
                "the kernel module {} is not loaded; {hint}{why}",
                self.modules.first().copied().unwrap_or(self.group)
            )));
        }
        rustix::fs::access(&group, rustix::fs::Access::WRITE_OK).map_err(|error| {
            DriverError::target_unavailable(format!(
                "{} cannot be written ({error}): a target of the kernel requires root, and a writable /sys",
                group.display()
            ))
        })
    }

    fn mount(&self, work: &Work) -> DriverResult<()> {
        let empty = std::fs::read_dir(&self.root).is_ok_and(|mut names| names.next().is_none());
        // Without the module the folder does not exist; with it, it is empty until configfs is mounted.
        let real = self.root == Path::new(super::configfs::ROOT);
        if !real || !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        if !self.root.is_dir() {
            // Its failure appears as a failure of the mount.
            let _ = Command::new(self.modprobe.clone(), "kmod")
                .arg("configfs")
                .limit(LIMIT)
                .run(work);
        } else if !empty {
            return Ok(());
        }
        let mount = Command::new("mount", "mount")
            .args(["-t", "configfs", "configfs"])
            .arg(&self.root)
            .limit(LIMIT);
        match mount.run(work) {
            Ok(_) => Ok(()),
            // Another process mounted it first.
            Err(_) if std::fs::read_dir(&self.root).is_ok_and(|mut names| names.next().is_some()) => Ok(()),
            Err(error @ CommandError::Superseded { .. }) => Err(error.into()),
            // An empty configfs that is already mounted is not mounted again: only the modules are missing.
            Err(error) => {
                tracing::debug!(%error, "configfs was not mounted");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Kernel;
    use crate::drivers::{DriverError, Work};

    fn kernel(root: &std::path::Path) -> Kernel {
        Kernel::new(root, "target", &["target_core_mod", "iscsi_target_mod"], "false")
    }

    #[test]
    fn a_kernel_without_the_module_is_reported() {
        let home = tempfile::tempdir().unwrap();
        let work = Work::within(Duration::from_secs(10));
        let Err(DriverError::Failed { operator, .. }) = kernel(home.path()).prepare(&work) else {
            panic!("there is no such module");
        };
        assert!(
            operator.contains("target_core_mod") && operator.contains("false -a"),
            "{operator}"
        );
    }

    #[test]
    fn what_is_there_is_not_loaded() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("target")).unwrap();
        kernel(home.path())
            .prepare(&Work::within(Duration::from_secs(10)))
            .unwrap();
    }
}
