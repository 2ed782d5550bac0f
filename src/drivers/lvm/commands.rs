//! LVM's commands: their arguments, their environment, and retries.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::command_queue::CommandQueue;
use super::error_kind::Failure;
use super::names;
use super::options::LvmOptions;
use super::report::{self, COLUMNS, COPYING, GROUP_COLUMNS, REPORT_CONFIG, Report, SEGMENT_COLUMNS};
use super::shrink;
use crate::drivers::command::{Command, CommandError, Output};
use crate::drivers::{DriverError, DriverResult, Work};

/// The largest report: tens of thousands of volumes.
const REPORT_SIZE: usize = 64 << 20;

/// A device that was just closed is often opened again by udev, which examines its new content.
const RETRY: &str = "activation { retry_deactivation = 1 }";

/// The same, ignoring suspended devices.
const RETRY_HARD: &str = "activation { retry_deactivation = 1 } devices { ignore_suspended_devices = 1 }";

/// The size from which a mirror needs larger regions.
const LARGE_MIRROR: u64 = 3 << 39;

/// LVM, as one backend calls it.
pub(super) struct Lvm {
    group: String,
    pool: String,
    mirrors: u32,
    bin_dir: Option<PathBuf>,
    conf_file: Option<PathBuf>,
    suppress_fd_warnings: bool,
    timeout: Duration,
    queue: CommandQueue,
}

impl Lvm {
    pub(super) fn new(options: &LvmOptions) -> Self {
        Self {
            group: options.volume_group.clone(),
            pool: names::pool(&options.volume_group),
            mirrors: options.mirrors,
            bin_dir: options.bin_dir.clone(),
            conf_file: options.conf_file.clone(),
            suppress_fd_warnings: options.suppress_fd_warnings,
            timeout: options.command_timeout,
            queue: CommandQueue::new(),
        }
    }

    /// The thin pool's name.
    pub(super) fn pool(&self) -> &str {
        &self.pool
    }

    /// Whether LVM is installed.
    pub(super) fn find(&self) -> Result<PathBuf, CommandError> {
        self.command("lvs").find()
    }

    /// The device of a volume.
    pub(super) fn device(&self, name: &str) -> PathBuf {
        ["/dev", &self.group, name].iter().collect()
    }

    /// A report of these volumes and of their snapshots, without missing ones.
    pub(super) fn look(&self, work: &Work, names: &[&str]) -> DriverResult<Report> {
        self.report(work, &look_args(&self.group, names))
    }

    /// A report of the whole group.
    pub(super) fn look_at_all(&self, work: &Work) -> DriverResult<Report> {
        let report = self.report(work, &report_args("lvs", COLUMNS, &self.group))?;
        if report.group.is_some() {
            return Ok(report);
        }
        // Without volumes there is no row with the size of the group.
        self.report(work, &report_args("vgs", GROUP_COLUMNS, &self.group))
    }

    /// The chunk sizes of the volume's snapshots, by name, in bytes.
    pub(super) fn chunks_of_snapshots(
        &self,
        work: &Work,
        origin: &str,
    ) -> DriverResult<BTreeMap<String, u64>> {
        let mut args = report_args("lvs", SEGMENT_COLUMNS, &self.group);
        args.extend(["-S".to_owned(), format!("origin=\"{origin}\"")]);
        self.read(work, &args, report::parse_chunks)
    }

    fn report(&self, work: &Work, args: &[String]) -> DriverResult<Report> {
        self.read(work, args, report::parse)
    }

    fn read<T>(
        &self,
        work: &Work,
        args: &[String],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> DriverResult<T> {
        let command = self.command(&args[0]).args(&args[1..]).keep(REPORT_SIZE);
        let output = run_twice(&command, work)?;
        parse(&output.stdout.text())
            .map_err(|problem| DriverError::backend_failed(format!("{command}: {problem}")))
    }

    /// Creates an empty thick volume.
    pub(super) fn create_thick(
        &self,
        work: &Work,
        name: &str,
        bytes: u64,
        copying: bool,
    ) -> Result<(), Failure> {
        let (size, mirrors) = (size(bytes), mirror_args(self.mirrors, bytes));
        let mut args = vec!["lvcreate", "-y", "-Wy", "-Zy", "-n", name, "-L", &size];
        args.extend(mirrors.iter().map(String::as_str));
        args.extend_from_slice(tag_args(copying));
        args.push(&self.group);
        self.make(work, name, &args)
    }

    /// Creates an empty thin volume.
    pub(super) fn create_thin(
        &self,
        work: &Work,
        name: &str,
        bytes: u64,
        copying: bool,
    ) -> Result<(), Failure> {
        let (pool, size) = (self.path(&self.pool), size(bytes));
        let mut args = vec!["lvcreate", "-y", "-T", &pool, "-V", &size, "-n", name];
        args.extend_from_slice(tag_args(copying));
        self.make(work, name, &args)
    }

    /// Creates the thin pool with most of the free space: its metadata and their spare need the rest. It zeroes blocks
    /// before it allocates them, independent of `lvm.conf` (`allocation/thin_pool_zero`).
    pub(super) fn create_pool(&self, work: &Work) -> Result<(), Failure> {
        let pool = self.path(&self.pool);
        self.run(work, &["lvcreate", "-y", "-Zy", "-T", "-l", "95%FREE", &pool])
    }

    /// Enables zeroing of newly allocated blocks in the pool.
    pub(super) fn zero_new_blocks(&self, work: &Work) -> Result<(), Failure> {
        self.run(work, &["lvchange", "-y", "-Zy", &self.path(&self.pool)])
    }

    /// Creates a snapshot that stores the overwritten data of its thick origin. It has space for all data of the origin
    /// and for its metadata, so that it never runs full.
    pub(super) fn snapshot_thick(&self, work: &Work, name: &str, origin: &str) -> Result<(), Failure> {
        let origin = self.path(origin);
        self.make(
            work,
            name,
            &["lvcreate", "-y", "-s", "-l", "100%ORIGIN", "-n", name, &origin],
        )
    }

    /// Creates an inactive thin snapshot.
    pub(super) fn snapshot_thin(&self, work: &Work, name: &str, origin: &str) -> Result<(), Failure> {
        let origin = self.path(origin);
        self.run(work, &["lvcreate", "-y", "-s", "-n", name, &origin])
    }

    /// Creates a thin snapshot that is a volume: active, now and after every boot.
    pub(super) fn clone_thin(&self, work: &Work, name: &str, origin: &str) -> Result<(), Failure> {
        let origin = self.path(origin);
        self.make(
            work,
            name,
            &["lvcreate", "-y", "-s", "-kn", "-ay", "-n", name, &origin],
        )
    }

    pub(super) fn extend(&self, work: &Work, name: &str, bytes: u64) -> Result<(), Failure> {
        self.run(work, &["lvextend", "-y", "-L", &size(bytes), &self.path(name)])
    }

    /// Shrinks a volume to `bytes`.
    pub(super) fn reduce(&self, work: &Work, name: &str, bytes: u64) -> Result<(), Failure> {
        self.run(
            work,
            &["lvreduce", "-y", "-f", "-L", &size(bytes), &self.path(name)],
        )
    }

    pub(super) fn rename(&self, work: &Work, from: &str, to: &str) -> Result<(), Failure> {
        self.run(work, &["lvrename", "-y", &self.group, from, to])
    }

    /// Activates the device, now and after every boot.
    pub(super) fn activate(&self, work: &Work, name: &str, was_skipped: bool) -> Result<(), Failure> {
        let path = self.path(name);
        let mut args = vec!["lvchange", "-y", "-ay", "-K"];
        args.extend(was_skipped.then_some("-kn"));
        args.push(&path);
        self.run(work, &args)
    }

    /// Deactivates the device; refused while it is open.
    pub(super) fn deactivate(&self, work: &Work, name: &str) -> Result<(), Failure> {
        self.run(
            work,
            &["lvchange", "-y", "--config", RETRY, "-an", &self.path(name)],
        )
    }

    /// Resumes a device that a killed command left suspended.
    pub(super) fn refresh(&self, work: &Work, name: &str) -> Result<(), Failure> {
        self.run(work, &["lvchange", "--refresh", &self.path(name)])
    }

    /// Marks a volume as completely copied.
    pub(super) fn is_whole(&self, work: &Work, name: &str) -> Result<(), Failure> {
        self.remove_tags(work, name, &[COPYING])
    }

    pub(super) fn add_tags(&self, work: &Work, name: &str, tags: &[&str]) -> Result<(), Failure> {
        self.change_tags(work, "--addtag", name, tags)
    }

    pub(super) fn remove_tags(&self, work: &Work, name: &str, tags: &[&str]) -> Result<(), Failure> {
        self.change_tags(work, "--deltag", name, tags)
    }

    fn change_tags(&self, work: &Work, option: &str, name: &str, tags: &[&str]) -> Result<(), Failure> {
        let path = self.path(name);
        let mut args = vec!["lvchange"];
        args.extend(tags.iter().flat_map(|tag| [option, tag]));
        args.push(&path);
        self.run(work, &args)
    }

    /// Splits a thick snapshot from its origin, which may be in use: it becomes a volume with the stored data.
    pub(super) fn split(&self, work: &Work, name: &str) -> Result<(), Failure> {
        self.run(work, &["lvconvert", "-y", "--splitsnapshot", &self.path(name)])
    }

    /// Joins it to its origin again, with the stored data.
    pub(super) fn join(&self, work: &Work, origin: &str, name: &str, chunk: u64) -> Result<(), Failure> {
        let (origin, cow) = (self.path(origin), self.path(name));
        self.run(
            work,
            &["lvconvert", "-y", "-s", "-Zn", "-c", &size(chunk), &origin, &cow],
        )
    }

    /// Removes a volume, and its snapshots in LVM's sense, which the caller has checked. The removal is verified by its
    /// device.
    pub(super) fn remove(&self, work: &Work, name: &str) -> Result<(), Failure> {
        self.try_to_remove(work, name)?;
        if self.device(name).symlink_metadata().is_err() {
            return Ok(());
        }
        let what = match self.look(work, &[name]) {
            Ok(report) if report.find(name).is_none() => return Ok(()),
            Ok(_) => format!("it succeeded, but {name} still exists"),
            Err(error) => format!("it succeeded, but whether {name} is removed is unknown: {error}"),
        };
        Err(self.succeeded_without_effect(&["lvremove", &self.path(name)], what))
    }

    fn try_to_remove(&self, work: &Work, name: &str) -> Result<(), Failure> {
        let path = self.path(name);
        let removed = self.run(work, &["lvremove", "--config", RETRY, "-f", &path]);
        let Err(first) = removed else {
            return Ok(());
        };
        if matches!(
            first.error,
            CommandError::TimedOut { .. } | CommandError::Cancelled { .. } | CommandError::Missing { .. }
        ) || first.kind == super::error_kind::ErrorKind::NoVolume
        {
            return Err(first);
        }
        tracing::debug!(error = %first.error, "a volume could not be removed at once");
        self.settle(work);
        self.run(work, &["lvremove", "--config", RETRY_HARD, "-f", &path])
    }

    /// Waits until udev has handled the changes. Without udev there is nothing to wait for.
    pub(super) fn settle(&self, work: &Work) {
        if let Err(error) = self.command("udevadm").arg("settle").run(work) {
            tracing::debug!(%error, "udev did not settle");
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.group)
    }

    /// Runs a command that creates an active volume, and verifies it by its device, or by a report if there is none.
    fn make(&self, work: &Work, name: &str, args: &[&str]) -> Result<(), Failure> {
        self.run(work, args)?;
        if self.device(name).symlink_metadata().is_ok() {
            return Ok(());
        }
        let what = match self.look(work, &[name]) {
            Ok(report) if report.find(name).is_some() => return Ok(()),
            Ok(_) => format!("it succeeded, but there is no {name}"),
            Err(error) => format!("it succeeded, but whether {name} exists is unknown: {error}"),
        };
        Err(self.succeeded_without_effect(args, what))
    }

    /// The failure of a command that succeeded without its effect.
    fn succeeded_without_effect(&self, args: &[&str], what: String) -> Failure {
        let command = self.command(args[0]).args(&args[1..]);
        CommandError::Exit {
            command: command.to_string(),
            status: ExitStatus::default(),
            stderr: what,
        }
        .into()
    }

    /// Runs a command that changes the group.
    fn run(&self, work: &Work, args: &[&str]) -> Result<(), Failure> {
        let command = self.command(args[0]).args(&args[1..]);
        let turn = self.queue.acquire(work);
        let _turn = turn.map_err(|error| command.ended_with(&error))?;
        run_twice(&command, work).map(|_| ())
    }

    pub(super) fn command(&self, program: &str) -> Command {
        let package = if program == "udevadm" { "udev" } else { "lvm2" };
        let mut command = match &self.bin_dir {
            Some(folder) => Command::new(folder.join(program), package),
            None => Command::new(program, package),
        }
        .limit(self.timeout);
        if let Some(file) = self.conf_file.as_ref().filter(|file| file.exists())
            && let Some(folder) = file.parent()
        {
            command = command.env("LVM_SYSTEM_DIR", folder);
        }
        if self.suppress_fd_warnings {
            command = command.env("LVM_SUPPRESS_FD_WARNINGS", "1");
        }
        command
    }
}

/// Runs a command, and retries it once if it crashed, which LVM sometimes does: its commands are repeatable.
fn run_twice(command: &Command, work: &Work) -> Result<Output, Failure> {
    let mut output = command.output(work)?;
    if crashed(output.status) {
        tracing::warn!(%command, status = %output.status, "LVM crashed; trying once more");
        output = command.output(work)?;
    }
    Ok(command.require_success(output)?)
}

/// Whether a command was ended by a signal, directly or under a shell.
fn crashed(status: ExitStatus) -> bool {
    status.signal().is_some() || matches!(status.code(), Some(134 | 137 | 139))
}

fn words(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn size(bytes: u64) -> String {
    format!("{bytes}b")
}

fn tag_args(copying: bool) -> &'static [&'static str] {
    if copying { &["--addtag", COPYING] } else { &[] }
}

/// Mirrors as in Cinder, except for their log, which LVM does not mirror any more. A large mirror needs larger regions:
/// the next power of two of its TiB.
fn mirror_args(mirrors: u32, bytes: u64) -> Vec<String> {
    if mirrors == 0 {
        return Vec::new();
    }
    let count = mirrors.to_string();
    let mut args = words(&["--type=mirror", "-m", &count, "--nosync", "--mirrorlog", "disk"]);
    if bytes >= LARGE_MIRROR {
        let region_mib = bytes.div_ceil(1 << 40).next_power_of_two();
        args.extend(["-R".to_owned(), region_mib.to_string()]);
    }
    args
}

/// The arguments of a report with a fixed format, independent of LVM's configuration.
pub(super) fn report_args(program: &str, columns: &str, group: &str) -> Vec<String> {
    words(&[
        program,
        "--config",
        REPORT_CONFIG,
        "--reportformat",
        "json",
        "--units",
        "b",
        "--nosuffix",
        "-o",
        columns,
        group,
    ])
}

/// The arguments for a report of these volumes and their snapshots. A selection is used, because a report with the name
/// of a missing volume fails as a whole.
fn look_args(group: &str, names: &[&str]) -> Vec<String> {
    let wanted: Vec<String> = names
        .iter()
        .filter(|name| names::is_plain(name))
        .map(|name| {
            let split = shrink::selection(name);
            format!("lv_name=\"{name}\" || origin=\"{name}\" || {split}")
        })
        .collect();
    let mut args = report_args("lvs", COLUMNS, group);
    args.extend(["-S".to_owned(), wanted.join(" || ")]);
    args
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::{crashed, look_args, mirror_args};

    #[test]
    fn mirrors_of_large_volumes_have_large_regions() {
        assert!(mirror_args(0, 1 << 42).is_empty());
        assert!(!mirror_args(1, 1 << 40).contains(&"-R".to_owned()));
        let region = |tib: u64| mirror_args(1, tib << 40).last().cloned();
        assert_eq!(region(2).as_deref(), Some("2"));
        assert_eq!(region(3).as_deref(), Some("4"));
        assert_eq!(region(10).as_deref(), Some("16"));
    }

    #[test]
    fn a_selection_holds_no_name_that_would_break_it() {
        let args = look_args("vg", &["a", "b\" || lv_name!=\""]);
        assert_eq!(
            args.last().map(String::as_str),
            Some("lv_name=\"a\" || origin=\"a\" || lv_tags={\"pumice.split-of.a\"}")
        );
    }

    #[test]
    fn a_crash_is_distinguished_from_a_failure() {
        assert!(crashed(ExitStatus::from_raw(9)));
        assert!(crashed(ExitStatus::from_raw(139 << 8)));
        assert!(!crashed(ExitStatus::from_raw(5 << 8)));
        assert!(!crashed(ExitStatus::from_raw(0)));
    }
}
