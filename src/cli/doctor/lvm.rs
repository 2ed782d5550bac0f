//! A backend in a volume group: LVM's programs, the kernel's part, the group, its thin pool, and LVM's configuration.

mod group;
mod pool;
mod settings;

use std::path::Path;

use self::group::Space;
use super::finding::Reporter;
use super::machine::modules::{self, Module, Modules};
use super::programs;
use crate::cli::serve::volume::lvm_options;
use crate::config::Backend;
use crate::config::backend::{LvmType, VolumeClear};
use crate::drivers::lvm::checkup::{Checkup, Content};
use crate::drivers::{DriverError, Work};

/// The device-mapper's device.
const CONTROL: &str = "/dev/mapper/control";

/// The parameters of the checks of a backend's group.
#[derive(Clone, Debug)]
struct Subject {
    /// The prefix of the backend's keys.
    key: String,
    group: String,
    pool: String,
    kind: LvmType,
    warn_percent: u8,
    clear: VolumeClear,
    /// In MiB; 0 is all.
    clear_size: u32,
}

/// Runs all checks. A check that is impossible because of an earlier fault is skipped.
pub fn check(name: &str, backend: &Backend, host: &str, work: &Work, reporter: &Reporter) {
    let checkup = Checkup::new(&lvm_options(backend, host));
    let subject = Subject {
        key: format!("backend.{name}"),
        group: backend.volume_group.clone(),
        pool: checkup.pool_name(),
        kind: backend.lvm_type,
        warn_percent: backend.thin_pool_warn_percent,
        clear: backend.volume_clear,
        clear_size: backend.volume_clear_size,
    };
    conf_file(&subject, &backend.lvm_conf_file, reporter);
    privileges(reporter);
    let programs = checkup.programs();
    let is_installed = programs::check("lvm.programs", &programs, reporter);
    if !is_installed && programs.iter().take(2).any(|program| program.find().is_err()) {
        kernel(backend, backend.lvm_type == LvmType::Thin, reporter);
        thin_programs(&checkup, backend.lvm_type == LvmType::Thin, reporter);
        return;
    }
    match checkup.version(work) {
        Ok(version) => reporter.ok("lvm.version", version),
        Err(error) => programs::report("lvm.version", None, &error, reporter),
    }
    let content = look_at_group(&checkup, &subject, work, reporter);
    let is_thin = content.map_or(subject.kind != LvmType::Thick, |content| {
        subject.is_thin(&content)
    });
    kernel(backend, is_thin, reporter);
    thin_programs(&checkup, is_thin, reporter);
    wiping(&subject, is_thin, reporter);
    match checkup.settings(work) {
        Ok(settings) => settings::assess(&settings, &subject, is_thin, reporter),
        Err(error) => programs::report("lvm.settings", None, &error, reporter),
    }
}

impl Subject {
    /// Whether the driver would create thin volumes.
    fn is_thin(&self, content: &Content) -> bool {
        match self.kind {
            LvmType::Thin => true,
            LvmType::Thick => false,
            LvmType::Auto => content.pool.is_some() || content.volumes == 0,
        }
    }
}

fn look_at_group(checkup: &Checkup, subject: &Subject, work: &Work, reporter: &Reporter) -> Option<Content> {
    let groups = match checkup.groups(work) {
        Ok(Ok(groups)) => groups,
        Ok(Err(problem)) => {
            reporter.fault(
                "lvm.group",
                format!("vgs: {problem}"),
                "see what it says, as root: vgs --reportformat json",
            );
            return None;
        }
        Err(error) => {
            programs::report("lvm.group", None, &error, reporter);
            return None;
        }
    };
    let group = group::assess(&groups, subject, reporter)?;
    match checkup.content(work) {
        Ok(content) => {
            let is_thin = subject.is_thin(&content);
            let space = if is_thin && content.pool.is_some() {
                Space::OfPool
            } else {
                Space::OfGroup
            };
            group::assess_space(&group, subject, space, reporter);
            if is_thin {
                pool::assess(&content, subject, reporter);
            }
            Some(content)
        }
        Err(error) => {
            reporter.fault(
                "lvm.pool",
                words(&error),
                format!("see what it says, as root: lvs {}", subject.group),
            );
            None
        }
    }
}

fn words(error: &DriverError) -> String {
    match error {
        DriverError::Failed { operator, .. } | DriverError::NotFound { operator, .. } => operator.clone(),
        other => other.to_string(),
    }
}

/// Checks the wiping of deleted volumes. Thin ones are checked with their pool.
fn wiping(subject: &Subject, is_thin: bool, reporter: &Reporter) {
    let key = &subject.key;
    match (subject.clear, subject.clear_size) {
        _ if is_thin => {}
        (VolumeClear::None, _) => reporter.warn(
            "lvm.wiping",
            "deleted volumes and snapshots are not wiped: the next user of their space can read their data",
            format!("set {key}.volume_clear to \"zero\", unless everything in them is encrypted by those who own it"),
        ),
        (VolumeClear::Zero, 0) => reporter.ok("lvm.wiping", "deleted volumes and snapshots are wiped"),
        (VolumeClear::Zero, mib) => reporter.warn(
            "lvm.wiping",
            format!("only the first {mib} MiB of deleted volumes and snapshots are wiped: the next user of their space can read the rest"),
            format!("set {key}.volume_clear_size to 0"),
        ),
    }
}

fn conf_file(subject: &Subject, file: &Path, reporter: &Reporter) {
    let key = format!("{}.lvm_conf_file", subject.key);
    if file.as_os_str().is_empty() {
        return;
    }
    if !file.is_file() {
        reporter.warn(
            "lvm.conf_file",
            format!("{} is not there: LVM reads its own configuration", file.display()),
            format!("make it, or set {key} to \"\""),
        );
    } else if file.file_name().is_none_or(|name| name != "lvm.conf") {
        reporter.warn(
            "lvm.conf_file",
            format!(
                "LVM reads the file lvm.conf in the folder of {}, not that file",
                file.display()
            ),
            format!("call it lvm.conf, in {key} too"),
        );
    } else {
        reporter.ok("lvm.conf_file", format!("{} is there", file.display()));
    }
}

fn privileges(reporter: &Reporter) {
    if rustix::process::geteuid().is_root() {
        reporter.ok("lvm.root", "runs as root");
    } else {
        reporter.fault(
            "lvm.root",
            "LVM takes root, and this is another user",
            "drop User= in pumice.service (here: sudo pumice doctor)",
        );
    }
}

/// Opening the device would load the module: it is looked up in the kernel's list of devices instead.
fn device_mapper(modules: &Modules, reporter: &Reporter) {
    let devices = std::fs::read_to_string("/proc/misc").unwrap_or_default();
    let has_control = Path::new(CONTROL).exists();
    assess_device_mapper(&devices, has_control, modules.state("dm_mod"), reporter);
}

fn assess_device_mapper(devices: &str, has_control: bool, module: Module, reporter: &Reporter) {
    let mut lines = devices.lines();
    let is_there = lines.any(|line| line.trim().ends_with(" device-mapper"));
    match (is_there, module) {
        (true, _) if has_control => reporter.ok("lvm.device_mapper", "the device-mapper is there"),
        (true, _) => reporter.fault(
            "lvm.device_mapper",
            format!("{CONTROL} is not there, though the kernel has the device-mapper"),
            "dmsetup mknodes; in a container: give it /dev/mapper and the right to make devices",
        ),
        (false, Module::Loaded | Module::Loadable) => {
            reporter.ok("lvm.device_mapper", "the device-mapper can be loaded");
        }
        (false, Module::Missing | Module::Unknown) => reporter.fault(
            "lvm.device_mapper",
            "the kernel has no device-mapper",
            "modprobe dm_mod; if there is none: apt install linux-image-amd64, and reboot",
        ),
    }
}

fn kernel(backend: &Backend, is_thin: bool, reporter: &Reporter) {
    let modules = Modules::of_this_kernel();
    device_mapper(&modules, reporter);
    let mut wanted = vec![if is_thin { "dm_thin_pool" } else { "dm_snapshot" }];
    if backend.lvm_mirrors > 0 {
        wanted.push("dm_mirror");
    }
    modules::assess(&modules, &wanted, "lvm.modules", reporter);
}

fn thin_programs(checkup: &Checkup, is_thin: bool, reporter: &Reporter) {
    if is_thin {
        programs::check("lvm.thin_programs", &checkup.thin_programs(), reporter);
    }
}

#[cfg(test)]
mod tests {
    use super::{Module, Subject, assess_device_mapper, conf_file, wiping};
    use crate::cli::doctor::finding::{Outcome, Reporter};
    use crate::config::backend::{LvmType, VolumeClear};
    use crate::drivers::lvm::checkup::Content;

    pub(super) fn subject(kind: LvmType) -> Subject {
        Subject {
            key: "backend.a".to_owned(),
            group: "vg".to_owned(),
            pool: "vg-pool".to_owned(),
            kind,
            warn_percent: 80,
            clear: VolumeClear::Zero,
            clear_size: 0,
        }
    }

    #[test]
    fn the_device_mapper_is_there_or_can_be_loaded_or_is_missing() {
        let assessed = |devices: &str, has_control, module| {
            Reporter::first(|reporter| assess_device_mapper(devices, has_control, module, reporter)).outcome
        };
        let devices = "236 device-mapper\n144 nvram\n";
        assert_eq!(assessed(devices, true, Module::Unknown), Outcome::Ok);
        assert_eq!(assessed(devices, false, Module::Loaded), Outcome::Fault);
        assert_eq!(assessed("", true, Module::Loadable), Outcome::Ok);
        assert_eq!(assessed("", true, Module::Unknown), Outcome::Fault);
    }

    #[test]
    fn the_kind_is_what_the_driver_would_choose() {
        let content = |volumes, pool| Content {
            volumes,
            pool,
            pool_zeroes: true,
            name_taken: false,
        };
        let pool = Some((Some(1.0), Some(1.0)));
        assert!(subject(LvmType::Auto).is_thin(&content(3, pool)));
        assert!(subject(LvmType::Auto).is_thin(&content(0, None)));
        assert!(!subject(LvmType::Auto).is_thin(&content(3, None)));
        assert!(!subject(LvmType::Thick).is_thin(&content(3, pool)));
    }

    #[test]
    fn missing_wiping_is_reported() {
        let outcome = |clear, clear_size, is_thin| {
            let subject = Subject {
                clear,
                clear_size,
                ..subject(LvmType::Thick)
            };
            let findings = Reporter::collect(None, |reporter| wiping(&subject, is_thin, reporter));
            findings.first().map(|finding| finding.outcome)
        };
        assert_eq!(outcome(VolumeClear::Zero, 0, false), Some(Outcome::Ok));
        assert_eq!(outcome(VolumeClear::Zero, 16, false), Some(Outcome::Warn));
        assert_eq!(outcome(VolumeClear::None, 0, false), Some(Outcome::Warn));
        assert_eq!(outcome(VolumeClear::None, 0, true), None);
    }

    #[test]
    fn an_ignored_configuration_of_lvm_is_reported() {
        let home = tempfile::tempdir().unwrap();
        let outcome = |name: &str| {
            let file = home.path().join(name);
            Reporter::first(|reporter| conf_file(&subject(LvmType::Auto), &file, reporter)).outcome
        };
        std::fs::write(home.path().join("lvm.conf"), "").unwrap();
        std::fs::write(home.path().join("my.conf"), "").unwrap();
        assert_eq!(outcome("lvm.conf"), Outcome::Ok);
        assert_eq!(outcome("my.conf"), Outcome::Warn);
        assert_eq!(outcome("none"), Outcome::Warn);
    }
}
