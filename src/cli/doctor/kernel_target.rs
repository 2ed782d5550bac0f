//! A backend that exports through the kernel: LIO or nvmet.

use std::path::{Path, PathBuf};

use super::finding::Reporter;
use super::machine::modules::{self, Module, Modules};
use super::portal;
use crate::config::Backend;
use crate::config::backend::Target;
use crate::drivers::targets::{configfs, lio, nvmet};

/// Services that restore their own configuration at start, and clear the kernel's when they stop.
const SERVICES: &[(&str, Target)] = &[
    ("rtslib-fb-targetctl.service", Target::Lio),
    ("target.service", Target::Lio),
    ("nvmet.service", Target::Nvmet),
];

/// Checks permissions, configfs, the modules, other services and the portals.
pub fn check(name: &str, backend: &Backend, reporter: &Reporter) {
    let root = Path::new(configfs::ROOT);
    let modules = Modules::of_this_kernel();
    let (group, wanted) = match backend.target {
        Target::Nvmet => ("nvmet", nvmet::MODULES),
        _ => ("target", lio::MODULES),
    };
    privileges(&format!("backend.{name}.target"), reporter);
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    assess_configfs(&mounts, root, modules.state("configfs"), reporter);
    if root.join(group).is_dir() {
        reporter.ok(
            "kernel.modules",
            format!("{} is there", root.join(group).display()),
        );
    } else {
        modules::assess(&modules, wanted, "kernel.modules", reporter);
    }
    services(backend.target, reporter);
    let known = match backend.target {
        Target::Nvmet => portal::of_nvmet(root),
        _ => portal::of_lio(root),
    };
    portal::check(name, backend, reporter, &|address, _, owner| {
        portal::of_kernel(&known, address, owner)
    });
}

fn privileges(key: &str, reporter: &Reporter) {
    if rustix::process::geteuid().is_root() {
        reporter.ok("kernel.root", "runs as root");
    } else {
        reporter.fault(
            "kernel.root",
            "a target of the kernel takes root, and this is another user",
            format!("drop User= in pumice.service (here: sudo pumice doctor), or set {key} to \"tgt\""),
        );
    }
}

fn assess_configfs(mounts: &str, root: &Path, module: Module, reporter: &Reporter) {
    let mount = mounts.lines().find_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, at, "configfs", options, ..] = words[..] else {
            return None;
        };
        (Path::new(at) == root).then(|| options.to_owned())
    });
    let path = root.display();
    match (mount, module) {
        (Some(options), _) if options.split(',').any(|option| option == "ro") => reporter.fault(
            "kernel.configfs",
            format!("{path} is mounted read-only, as in containers"),
            format!("mount -o remount,rw {path}, or run Pumice outside of the container"),
        ),
        (Some(_), _) => reporter.ok("kernel.configfs", format!("mounted at {path}")),
        (None, Module::Missing) => reporter.fault(
            "kernel.configfs",
            "this kernel has no configfs",
            "modprobe configfs; if there is none: apt install linux-image-amd64, and reboot",
        ),
        (None, Module::Unknown) => reporter.warn(
            "kernel.configfs",
            format!("{path} is not mounted, and it is unknown whether it could be"),
            format!("modprobe configfs && mount -t configfs configfs {path}"),
        ),
        (None, Module::Loaded | Module::Loadable) => {
            reporter.ok("kernel.configfs", "not mounted yet: Pumice mounts it");
        }
    }
}

fn services(target: Target, reporter: &Reporter) {
    for name in enabled(Path::new("/etc/systemd/system"), target) {
        reporter.warn(
            "kernel.services",
            format!("{name} is enabled: it restores a configuration of its own, and clears the kernel's when it is stopped"),
            format!("systemctl disable {name} (without --now: stopping it would end every export)"),
        );
    }
}

/// The services that are started at boot.
fn enabled(folder: &Path, target: Target) -> Vec<&'static str> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let is_wants = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wants");
    let wants: Vec<PathBuf> = paths.filter(is_wants).collect();
    SERVICES
        .iter()
        .filter(|(_, of)| *of == target)
        .map(|(name, _)| *name)
        .filter(|name| {
            wants
                .iter()
                .any(|folder| folder.join(name).symlink_metadata().is_ok())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Module, Target, assess_configfs, enabled};
    use crate::cli::doctor::finding::{Outcome, Reporter};

    #[test]
    fn configfs_is_mounted_or_can_be_or_cannot() {
        let assessed = |mounts: &str, module| {
            let root = Path::new("/sys/kernel/config");
            Reporter::first(|reporter| assess_configfs(mounts, root, module, reporter)).outcome
        };
        let mounted = "sysfs /sys sysfs rw 0 0\nconfigfs /sys/kernel/config configfs rw,nosuid 0 0\n";
        assert_eq!(assessed(mounted, Module::Unknown), Outcome::Ok);
        let read_only = mounted.replace("rw,nosuid", "ro,nosuid");
        assert_eq!(assessed(&read_only, Module::Loaded), Outcome::Fault);
        assert_eq!(assessed("", Module::Loadable), Outcome::Ok);
        assert_eq!(assessed("", Module::Missing), Outcome::Fault);
        assert_eq!(assessed("", Module::Unknown), Outcome::Warn);
    }

    #[test]
    fn a_service_that_would_clear_exports_is_seen() {
        let home = tempfile::tempdir().unwrap();
        let wants = home.path().join("multi-user.target.wants");
        std::fs::create_dir(&wants).unwrap();
        std::os::unix::fs::symlink("/nowhere", wants.join("rtslib-fb-targetctl.service")).unwrap();
        assert_eq!(enabled(home.path(), Target::Lio), ["rtslib-fb-targetctl.service"]);
        assert!(enabled(home.path(), Target::Nvmet).is_empty());
    }
}
