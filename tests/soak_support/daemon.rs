//! The target daemon that a volume node starts: to be killed, and to be asked what it exports.

#![expect(clippy::disallowed_types, reason = "the daemon's tool shows what it has")]

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use rustix::process::{Pid, PidfdFlags};

/// A target daemon that one may kill without ever hitting another process that got its number.
pub struct Daemon {
    pub identity: Identity,
    pub pidfd: OwnedFd,
}

/// A process's number, and when it was started: numbers come again.
pub type Identity = (i32, String);

/// What a target daemon exports: the iSCSI name's last part, and the megabytes that it tells.
pub type Exports = BTreeMap<String, u64>;

/// Whether the real daemon and its tools are on this machine.
pub fn is_installed() -> bool {
    let has = |name: &str| {
        std::env::split_paths(pumice::drivers::command::PATH).any(|folder| folder.join(name).is_file())
    };
    ["tgtd", "tgtadm", "setpriv"].into_iter().all(has)
}

/// The daemon of a node: the process of that name that the node has started.
pub fn of_process(parent: u32) -> Result<Option<Daemon>> {
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Some(process) = Pid::from_raw(pid) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let Some(started) = started_by(&stat, parent) else {
            continue;
        };
        // Looked at again once it is in hand, for its number may have gone to another since.
        let Ok(pidfd) = rustix::process::pidfd_open(process, PidfdFlags::empty()) else {
            continue;
        };
        let again = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if started_by(&again, parent) == Some(started) {
            let identity = (pid, started.to_owned());
            return Ok(Some(Daemon { identity, pidfd }));
        }
    }
    Ok(None)
}

/// What a target daemon exports, asked at its socket.
pub fn exports(socket: &Path) -> Result<Exports> {
    let shown = Command::new("tgtadm")
        .args(["-C", "1", "--lld", "iscsi", "--mode", "target", "--op", "show"])
        .env("PATH", pumice::drivers::command::PATH)
        .env("TGT_IPC_SOCKET", socket)
        .output()?;
    ensure!(
        shown.status.success(),
        "tgtadm: {}",
        String::from_utf8_lossy(&shown.stderr)
    );
    Ok(read_exports(&String::from_utf8(shown.stdout)?))
}

/// That no daemon that has this folder in its command line is left.
pub fn none_is_left(folder: &str) -> Result<()> {
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&line).replace('\0', " ");
        ensure!(
            !words.contains("tgtd ") || !words.contains(folder),
            "a daemon is left: {words}"
        );
    }
    Ok(())
}

/// When it was started, if `/proc/…/stat` is that of a living target daemon with this parent.
fn started_by(stat: &str, parent: u32) -> Option<&str> {
    // The name is in brackets, and may have blanks and brackets itself.
    let (name, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let (state, its_parent, started) = (fields.first()?, fields.get(1)?, fields.get(19)?);
    let is_it = name.ends_with("(tgtd") && *state != "Z" && *its_parent == parent.to_string();
    is_it.then_some(*started)
}

/// Reads `target show`: LUN 1 is the volume, LUN 0 the controller.
fn read_exports(text: &str) -> Exports {
    let mut exports = Exports::new();
    let (mut name, mut lun) = (String::new(), "");
    for line in text.lines() {
        let line = line.trim();
        if let Some((_, iqn)) = line
            .strip_prefix("Target ")
            .and_then(|rest| rest.split_once(": "))
        {
            name = iqn.rsplit(':').next().unwrap_or_default().to_owned();
            exports.insert(name.clone(), 0);
        } else if let Some(number) = line.strip_prefix("LUN: ") {
            lun = number;
        } else if let Some(size) = line.strip_prefix("Size: ").filter(|_| lun == "1")
            && let Some(megabytes) = size.split(' ').next().and_then(|number| number.parse().ok())
        {
            exports.insert(name.clone(), megabytes);
        }
    }
    exports
}
