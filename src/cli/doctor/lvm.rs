//! A backend in a volume group: LVM's programs, the kernel's part, the group, its thin pool, and LVM's configuration.

mod group;
mod pool;
mod settings;

use std::path::Path;

use self::group::Space;
use super::finding::Told;
use super::machine::modules::{self, Module, Modules};
use super::programs;
use crate::cli::serve::volume::lvm_options;
use crate::config::Backend;
use crate::config::backend::{LvmType, VolumeClear};
use crate::drivers::lvm::checkup::{Checkup, Content};
use crate::drivers::{DriverError, Work};

/// The device-mapper's device.
const CONTROL: &str = "/dev/mapper/control";

/// What is told of a backend's group needs these.
#[derive(Clone, Debug)]
struct Subject {
    /// The keys of the backend begin so.
    key: String,
    group: String,
    pool: String,
    kind: LvmType,
    warn_percent: u8,
    clear: VolumeClear,
    /// In MiB; 0 is all.
    clear_size: u32,
}

/// Tells all of it. What cannot be looked at because of an earlier fault is left out.
pub fn check(name: &str, backend: &Backend, host: &str, work: &Work, told: &Told) {
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
    conf_file(&subject, &backend.lvm_conf_file, told);
    privileges(told);
    let is_installed = programs::check("lvm.programs", &checkup.programs(), told);
    if !is_installed
        && checkup
            .programs()
            .iter()
            .take(2)
            .any(|program| program.find().is_err())
    {
        kernel(backend, backend.lvm_type == LvmType::Thin, told);
        thin_programs(&checkup, backend.lvm_type == LvmType::Thin, told);
        return;
    }
    match checkup.version(work) {
        Ok(version) => told.ok("lvm.version", version),
        Err(error) => programs::tell("lvm.version", None, &error, told),
    }
    let content = look_at_group(&checkup, &subject, work, told);
    let is_thin = content.map_or(subject.kind != LvmType::Default, |content| {
        subject.is_thin(&content)
    });
    kernel(backend, is_thin, told);
    thin_programs(&checkup, is_thin, told);
    wiping(&subject, is_thin, told);
    match checkup.settings(work) {
        Ok(settings) => settings::judge(&settings, &subject, is_thin, told),
        Err(error) => programs::tell("lvm.settings", None, &error, told),
    }
}

impl Subject {
    /// Which kind the driver would make.
    fn is_thin(&self, content: &Content) -> bool {
        match self.kind {
            LvmType::Thin => true,
            LvmType::Default => false,
            LvmType::Auto => content.pool.is_some() || content.volumes == 0,
        }
    }
}

fn look_at_group(checkup: &Checkup, subject: &Subject, work: &Work, told: &Told) -> Option<Content> {
    let groups = match checkup.groups(work) {
        Ok(Ok(groups)) => groups,
        Ok(Err(problem)) => {
            told.fault(
                "lvm.group",
                format!("vgs: {problem}"),
                "see what it says, as root: vgs --reportformat json",
            );
            return None;
        }
        Err(error) => {
            programs::tell("lvm.group", None, &error, told);
            return None;
        }
    };
    let group = group::judge(&groups, subject, told)?;
    match checkup.content(work) {
        Ok(content) => {
            let space = if subject.is_thin(&content) && content.pool.is_some() {
                Space::OfPool
            } else {
                Space::OfGroup
            };
            group::judge_space(&group, subject, space, told);
            if subject.is_thin(&content) {
                pool::judge(&content, subject, told);
            }
            Some(content)
        }
        Err(error) => {
            told.fault(
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

/// What becomes of a deleted volume's data. That of thin ones is told with their pool.
fn wiping(subject: &Subject, is_thin: bool, told: &Told) {
    let key = &subject.key;
    match (subject.clear, subject.clear_size) {
        _ if is_thin => {}
        (VolumeClear::None, _) => told.warn(
            "lvm.wiping",
            "deleted volumes and snapshots are not wiped: whoever gets their space next reads what they held",
            format!("set {key}.volume_clear to \"zero\", unless everything in them is encrypted by those who own it"),
        ),
        (VolumeClear::Zero, 0) => told.ok("lvm.wiping", "deleted volumes and snapshots are wiped"),
        (VolumeClear::Zero, mib) => told.warn(
            "lvm.wiping",
            format!("only the first {mib} MiB of deleted volumes and snapshots are wiped: whoever gets their space next reads the rest"),
            format!("set {key}.volume_clear_size to 0"),
        ),
    }
}

fn conf_file(subject: &Subject, file: &Path, told: &Told) {
    let key = format!("{}.lvm_conf_file", subject.key);
    if file.as_os_str().is_empty() {
        return;
    }
    if !file.is_file() {
        told.warn(
            "lvm.conf_file",
            format!("{} is not there: LVM reads its own configuration", file.display()),
            format!("make it, or set {key} to \"\""),
        );
    } else if file.file_name().is_none_or(|name| name != "lvm.conf") {
        told.warn(
            "lvm.conf_file",
            format!(
                "LVM reads the file lvm.conf in the folder of {}, not that file",
                file.display()
            ),
            format!("call it lvm.conf, in {key} too"),
        );
    } else {
        told.ok("lvm.conf_file", format!("{} is there", file.display()));
    }
}

fn privileges(told: &Told) {
    if rustix::process::geteuid().is_root() {
        told.ok("lvm.root", "runs as root");
    } else {
        told.fault(
            "lvm.root",
            "LVM takes root, and this is another user",
            "drop User= in pumice.service (here: sudo pumice doctor)",
        );
    }
}

/// Opening the device to find out would load the module: it is looked for among the kernel's devices.
fn device_mapper(modules: &Modules, told: &Told) {
    let devices = std::fs::read_to_string("/proc/misc").unwrap_or_default();
    judge_device_mapper(
        &devices,
        Path::new(CONTROL).exists(),
        modules.state("dm_mod"),
        told,
    );
}

fn judge_device_mapper(devices: &str, has_control: bool, module: Module, told: &Told) {
    let is_there = devices
        .lines()
        .any(|line| line.trim().ends_with(" device-mapper"));
    match (is_there, module) {
        (true, _) if has_control => told.ok("lvm.device_mapper", "the device-mapper is there"),
        (true, _) => told.fault(
            "lvm.device_mapper",
            format!("{CONTROL} is not there, though the kernel has the device-mapper"),
            "dmsetup mknodes; in a container: give it /dev/mapper and the right to make devices",
        ),
        (false, Module::Loaded | Module::Loadable) => {
            told.ok("lvm.device_mapper", "the device-mapper can be loaded");
        }
        (false, Module::Missing | Module::Unknown) => told.fault(
            "lvm.device_mapper",
            "the kernel has no device-mapper",
            "modprobe dm_mod; if there is none: apt install linux-image-amd64, and reboot",
        ),
    }
}

fn kernel(backend: &Backend, is_thin: bool, told: &Told) {
    let modules = Modules::of_this_kernel();
    device_mapper(&modules, told);
    let mut wanted = vec![if is_thin { "dm_thin_pool" } else { "dm_snapshot" }];
    if backend.lvm_mirrors > 0 {
        wanted.push("dm_mirror");
    }
    modules::judge(&modules, &wanted, "lvm.modules", told);
}

fn thin_programs(checkup: &Checkup, is_thin: bool, told: &Told) {
    if is_thin {
        programs::check("lvm.thin_programs", &checkup.thin_programs(), told);
    }
}

#[cfg(test)]
mod tests {
    use super::{Module, Subject, conf_file, judge_device_mapper, wiping};
    use crate::cli::doctor::finding::{Outcome, Told};
    use crate::config::backend::{LvmType, VolumeClear};
    use crate::drivers::lvm::checkup::Content;

    fn subject(kind: LvmType) -> Subject {
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
        let judged = |devices: &str, has_control, module| {
            let findings = Told::collect(None, |told| {
                judge_device_mapper(devices, has_control, module, told)
            });
            findings[0].outcome
        };
        let devices = "236 device-mapper\n144 nvram\n";
        assert_eq!(judged(devices, true, Module::Unknown), Outcome::Ok);
        assert_eq!(judged(devices, false, Module::Loaded), Outcome::Fault);
        assert_eq!(judged("", true, Module::Loadable), Outcome::Ok);
        assert_eq!(judged("", true, Module::Unknown), Outcome::Fault);
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
        assert!(!subject(LvmType::Default).is_thin(&content(3, pool)));
    }

    #[test]
    fn what_is_not_wiped_is_told() {
        let outcome = |clear, clear_size, is_thin| {
            let subject = Subject {
                clear,
                clear_size,
                ..subject(LvmType::Default)
            };
            let told = Told::collect(None, |told| wiping(&subject, is_thin, told));
            told.first().map(|finding| finding.outcome)
        };
        assert_eq!(outcome(VolumeClear::Zero, 0, false), Some(Outcome::Ok));
        assert_eq!(outcome(VolumeClear::Zero, 16, false), Some(Outcome::Warn));
        assert_eq!(outcome(VolumeClear::None, 0, false), Some(Outcome::Warn));
        assert_eq!(outcome(VolumeClear::None, 0, true), None);
    }

    #[test]
    fn a_configuration_of_lvms_that_is_not_read_is_told() {
        let home = tempfile::tempdir().unwrap();
        let outcome = |name: &str| {
            let file = home.path().join(name);
            let told = Told::collect(None, |told| conf_file(&subject(LvmType::Auto), &file, told));
            told[0].outcome
        };
        std::fs::write(home.path().join("lvm.conf"), "").unwrap();
        std::fs::write(home.path().join("my.conf"), "").unwrap();
        assert_eq!(outcome("lvm.conf"), Outcome::Ok);
        assert_eq!(outcome("my.conf"), Outcome::Warn);
        assert_eq!(outcome("none"), Outcome::Warn);
    }
}
