//! Kernel modules: loaded, built in, or loadable.

use std::path::{Path, PathBuf};

use crate::cli::doctor::finding::Reporter;

/// The state of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// Loaded, or built in.
    Loaded,
    /// Installed for this kernel.
    Loadable,
    /// Not installed for this kernel.
    Missing,
    /// The modules of this kernel are unknown.
    Unknown,
}

/// The modules of a kernel.
#[derive(Clone, Debug)]
pub struct Modules {
    sys: PathBuf,
    loadable: Vec<String>,
    builtin: Vec<String>,
    is_known: bool,
    /// The kernel's version.
    pub release: String,
}

impl Modules {
    /// The modules of the running kernel.
    pub fn of_this_kernel() -> Self {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let release = release.trim().to_owned();
        let folder = Path::new("/lib/modules").join(&release);
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        Self {
            sys: "/sys/module".into(),
            loadable: names(&read("modules.dep")),
            builtin: names(&read("modules.builtin")),
            is_known: folder.join("modules.dep").is_file(),
            release,
        }
    }

    /// The state of a module.
    pub fn state(&self, name: &str) -> Module {
        let name = plain(name);
        if self.builtin.contains(&name) || self.sys.join(&name).is_dir() {
            Module::Loaded
        } else if self.loadable.contains(&name) {
            Module::Loadable
        } else if self.is_known {
            Module::Missing
        } else {
            Module::Unknown
        }
    }
}

/// Checks the modules that a backend needs.
pub fn assess(modules: &Modules, wanted: &[&str], check: &str, reporter: &Reporter) {
    let which = |state| -> Vec<&str> {
        let found = wanted.iter().copied();
        found.filter(|name| modules.state(name) == state).collect()
    };
    let release = &modules.release;
    let (missing, unknown) = (which(Module::Missing).join(" "), which(Module::Unknown).join(" "));
    if !missing.is_empty() {
        reporter.fault(
            check,
            format!("not there for kernel {release}: {missing}"),
            format!(
                "apt install linux-image-amd64 (a cloud kernel may lack it), reboot, modprobe -a {missing}"
            ),
        );
    }
    if !unknown.is_empty() {
        reporter.warn(
            check,
            format!("unknown, since /lib/modules/{release} does not exist: {unknown}"),
            format!("modprobe -a {unknown}"),
        );
    }
    for (state, how) in [(Module::Loaded, "loaded"), (Module::Loadable, "can be loaded")] {
        let names = which(state);
        if !names.is_empty() {
            reporter.ok(check, format!("{how}: {}", names.join(" ")));
        }
    }
}

/// The module names in a list of files.
fn names(list: &str) -> Vec<String> {
    list.lines()
        .filter_map(|line| line.split(':').next())
        .filter_map(|path| path.trim().rsplit('/').next())
        .filter_map(|file| file.split_once(".ko"))
        .map(|(name, _)| plain(name))
        .collect()
}

/// The kernel treats `-` and `_` as equal.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::{Module, Modules, assess, names};
    use crate::cli::doctor::finding::Reporter;

    #[test]
    fn modules_are_found_in_whatever_form_they_are() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("dm_mod")).unwrap();
        let modules = Modules {
            sys: home.path().to_owned(),
            loadable: names(
                "kernel/drivers/nvme/target/nvmet-tcp.ko.xz: kernel/drivers/nvme/target/nvmet.ko.xz\nkernel/a/b.ko:\n",
            ),
            builtin: names("kernel/drivers/md/dm-snapshot.ko\n"),
            is_known: true,
            release: "6.1".to_owned(),
        };
        assert_eq!(modules.state("nvmet-tcp"), Module::Loadable);
        assert_eq!(modules.state("nvmet_tcp"), Module::Loadable);
        assert_eq!(modules.state("dm_snapshot"), Module::Loaded);
        assert_eq!(modules.state("dm_mod"), Module::Loaded);
        assert_eq!(modules.state("dm_thin_pool"), Module::Missing);
        let wanted = ["dm_snapshot", "nvmet-tcp", "dm_thin_pool"];
        let findings = Reporter::collect(None, |reporter| assess(&modules, &wanted, "modules", reporter));
        assert_eq!(findings.len(), 3);
        let mend = findings[0].correction();
        assert!(mend.ends_with("modprobe -a dm_thin_pool"));
        let unknown = Modules {
            is_known: false,
            ..modules
        };
        assert_eq!(unknown.state("dm_thin_pool"), Module::Unknown);
    }
}
