//! The node itself: its data directory, its clock, its limits and its name.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::finding::Reporter;
use super::folder::{self, Network, Wanted};
use crate::config::{Config, Role};
use crate::drivers::Work;
use crate::drivers::command::Command;
use crate::private_files;

/// 2025-01-01T00:00:00Z.
const EARLIEST: Duration = Duration::from_secs(1_735_689_600);

/// With fewer open files it cannot start.
const FILES_NEEDED: u64 = 256;

/// With fewer the number of connections is reduced.
const FILES_WANTED: u64 = 1024;

/// Checks the data directory of a node.
pub fn data_dir(config: &Config, reporter: &Reporter) {
    let path = &config.node.data_dir;
    // This is already reported as a fault of the configuration.
    if !path.is_absolute() {
        return;
    }
    let is_control = config.node.has(Role::Control);
    let wanted = Wanted {
        check: "node.data_dir",
        key: "node.data_dir",
        network: Some(if is_control {
            Network::Never
        } else {
            Network::Careful
        }),
        least: if is_control {
            config.store.min_free_space.0
        } else {
            0
        },
    };
    folder::look(path, wanted, reporter);
    private(path, reporter);
}

/// Checks that other users cannot read its content. The next start corrects it; until then it is reported.
fn private(data_dir: &Path, reporter: &Reporter) {
    // A missing or inaccessible one is already reported.
    let Ok(open) = private_files::open_to_others(data_dir) else {
        return;
    };
    // The directory itself has its own finding.
    let inside: Vec<_> = open.iter().filter(|path| *path != data_dir).collect();
    if let Some(first) = inside.first() {
        reporter.warn(
            "node.data_dir",
            format!(
                "others may read {} files in {}, {} among them",
                inside.len(),
                data_dir.display(),
                first.display()
            ),
            format!(
                "chmod -R go-rwx {}, or start pumice serve, which does it",
                data_dir.display()
            ),
        );
    }
}

/// Checks the clock, on which tokens, leases and deadlines depend.
pub fn clock(work: &Work, reporter: &Reporter) {
    #[expect(clippy::disallowed_methods, reason = "this looks at the clock itself")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if now < EARLIEST {
        reporter.fault(
            "node.clock",
            "the clock is before 2025: tokens and certificates of today will not be valid",
            "timedatectl set-ntp true, or: date -s 'YYYY-MM-DD hh:mm:ss'",
        );
        return;
    }
    match keeper(work) {
        Some(keeper) => reporter.ok("node.clock", format!("kept right by {keeper}")),
        None => reporter.warn(
            "node.clock",
            "nothing is seen that keeps the clock right",
            "apt install systemd-timesyncd && timedatectl set-ntp true",
        ),
    }
}

/// The service that synchronises the clock, if it is visible.
fn keeper(work: &Work) -> Option<&'static str> {
    let is_there = |path: &str| Path::new(path).exists();
    if is_there("/run/systemd/timesync/synchronized") {
        return Some("systemd-timesyncd");
    }
    let asked = Command::new("timedatectl", "systemd")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .limit(Duration::from_secs(2));
    if asked
        .run(work)
        .is_ok_and(|output| output.stdout.text().trim() == "yes")
    {
        return Some("the kernel's NTP");
    }
    let daemons = [
        ("/run/chrony/chronyd.pid", "chrony"),
        ("/run/chronyd.pid", "chrony"),
        ("/run/ntpd.pid", "ntpd"),
    ];
    let found = daemons.iter().find(|(path, _)| is_there(path));
    found.map(|(_, name)| *name)
}

/// Checks the limit of open files.
pub fn open_files(reporter: &Reporter) {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    assess_open_files(limit, reporter);
}

fn assess_open_files(limit: Option<u64>, reporter: &Reporter) {
    let mend = "LimitNOFILE=65536 in pumice.service, or: ulimit -n 65536";
    match limit {
        Some(limit) if limit < FILES_NEEDED => reporter.fault(
            "node.open_files",
            format!("{limit} open files at most, and {FILES_NEEDED} are needed"),
            mend,
        ),
        Some(limit) if limit < FILES_WANTED => reporter.warn(
            "node.open_files",
            format!("{limit} open files at most: so many connections and no more"),
            mend,
        ),
        Some(limit) => reporter.ok("node.open_files", format!("{limit} at most, seen from here")),
        None => reporter.ok("node.open_files", "no limit"),
    }
}

/// Checks the node's name, which is part of every backend's name.
pub fn host(host: &str, hostname: &str, reporter: &Reporter) {
    let kept = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    assess_host(host, hostname, kept.trim(), reporter);
}

fn assess_host(host: &str, hostname: &str, kept: &str, reporter: &Reporter) {
    let mend = format!("set node.host to a name for good, such as \"{}\"", short(host));
    if short(host) == "localhost" {
        reporter.warn(
            "node.host",
            format!("this node is called '{host}': two nodes of this name could not be distinguished"),
            "set node.host to a name for good, such as \"storage-1\"",
        );
    } else if host != hostname {
        reporter.ok("node.host", format!("'{host}', as configured"));
    } else if short(kept) != short(host) {
        reporter.warn(
            "node.host",
            format!("'{host}' is the hostname of now, and not the one in /etc/hostname: with another, volumes lose their host"),
            mend,
        );
    } else {
        reporter.ok("node.host", format!("'{host}', the machine's hostname"));
    }
}

fn short(host: &str) -> &str {
    host.split('.').next().unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::{assess_host, assess_open_files};
    use crate::cli::doctor::finding::{Outcome, Reporter};

    #[test]
    fn a_name_that_may_change_is_warned_of() {
        let assessed = |host: &str, hostname: &str, kept: &str| {
            Reporter::collect(None, |reporter| assess_host(host, hostname, kept, reporter))
                .remove(0)
                .outcome
        };
        assert_eq!(assessed("a", "a", "a"), Outcome::Ok);
        assert_eq!(assessed("a.example.org", "a.example.org", "a"), Outcome::Ok);
        assert_eq!(assessed("storage-1", "dhcp-17", ""), Outcome::Ok);
        assert_eq!(assessed("dhcp-17", "dhcp-17", "a"), Outcome::Warn);
        assert_eq!(assessed("localhost.localdomain", "x", "x"), Outcome::Warn);
    }

    #[test]
    fn a_low_limit_of_open_files_is_reported() {
        let assessed = |limit| {
            Reporter::collect(None, |reporter| assess_open_files(limit, reporter))
                .remove(0)
                .outcome
        };
        assert_eq!(assessed(Some(64)), Outcome::Fault);
        assert_eq!(assessed(Some(512)), Outcome::Warn);
        assert_eq!(assessed(Some(1024)), Outcome::Ok);
        assert_eq!(assessed(None), Outcome::Ok);
    }
}
