//! A backend in a volume group: LVM's programs, the kernel's part, the group, its thin pool, and LVM's configuration.

mod group;
mod pool;
mod settings;

use std::path::Path;

use self::group::Space;
use super::finding::Told;
use super::machine::modules::{self, Modules};
use super::programs;
use crate::cli::serve::volume::lvm_options;
use crate::config::Backend;
use crate::config::backend::LvmType;
use crate::drivers::lvm::checkup::{Checkup, Content};
use crate::drivers::{DriverError, Work};

/// What is told of a backend's group needs these.
#[derive(Clone, Debug)]
struct Subject {
    /// The keys of the backend begin so.
    key: String,
    group: String,
    pool: String,
    kind: LvmType,
    warn_percent: u8,
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
    };
    conf_file(&subject, &backend.lvm_conf_file, told);
    privileges(told);
    let is_installed = programs::check("lvm.programs", None, &checkup.programs(), told);
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
    let control = Path::new("/dev/mapper/control");
    let access = rustix::fs::access(
        control,
        rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK,
    );
    if !rustix::process::geteuid().is_root() {
        told.fault(
            "lvm.root",
            "LVM takes root, and this is another user",
            "User=root in pumice.service (here: sudo pumice doctor)",
        );
        return;
    }
    match access {
        Ok(()) => told.ok("lvm.root", "runs as root, and the device-mapper answers"),
        Err(error) => told.fault(
            "lvm.root",
            format!(
                "{} cannot be used: {}",
                control.display(),
                std::io::Error::from(error)
            ),
            "modprobe dm_mod; in a container: give it /dev/mapper and the right to make devices",
        ),
    }
}

fn kernel(backend: &Backend, is_thin: bool, told: &Told) {
    let mut wanted = vec!["dm_mod"];
    if is_thin {
        wanted.push("dm_thin_pool");
    } else {
        wanted.push("dm_snapshot");
    }
    if backend.lvm_mirrors > 0 {
        wanted.push("dm_mirror");
    }
    modules::judge(&Modules::of_this_kernel(), &wanted, "lvm.modules", told);
}

fn thin_programs(checkup: &Checkup, is_thin: bool, told: &Told) {
    if is_thin {
        programs::check("lvm.thin_programs", None, &checkup.thin_programs(), told);
    }
}
