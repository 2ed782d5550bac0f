//! Ends the tgtd that an earlier run left.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::drivers::Work;
use crate::drivers::command::daemon::Process;

/// The time limit of an orderly end, before the daemon is killed; of a kill as well.
pub(super) const END_LIMIT: Duration = Duration::from_secs(5);

/// The argument by which this folder's tgtd is identified.
pub(super) fn mark(folder: &Path) -> PathBuf {
    folder.join("tgtd.pid")
}

/// Ends each tgtd that an earlier run left. Must not be called without the ownership, or it could end the daemon of the
/// present owner.
pub(super) fn end_leftovers(mark: &Path, work: &Work) -> Result<(), String> {
    let processes = std::fs::read_dir("/proc").map_err(|error| format!("cannot list processes: {error}"))?;
    for entry in processes.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // The handle is opened first: if another process reuses the pid meanwhile, its command line does not match.
        let Some(process) = Process::open(pid) else {
            continue;
        };
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        if is_ours(&line, mark) {
            work.check_owner().map_err(|error| error.to_string())?;
            tracing::warn!(pid, "ending the tgtd of an earlier run");
            process.kill();
            if !process.wait_end(END_LIMIT) {
                return Err(format!("the tgtd of an earlier run, process {pid}, does not die"));
            }
        }
    }
    Ok(())
}

/// Whether a command line is that of a tgtd of this folder.
fn is_ours(command_line: &[u8], mark: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let mut words = command_line.split(|byte| *byte == 0);
    let program = words.next().unwrap_or_default();
    let name = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name == b"tgtd" && words.any(|word| word == mark.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::is_ours;

    #[test]
    fn only_a_tgtd_of_our_folder_is_ours() {
        let mark = Path::new("/srv/a/tgtd.pid");
        for (line, ours) in [
            ("/usr/sbin/tgtd\0-f\0-p\0/srv/a/tgtd.pid\0", true),
            ("tgtd\0-p\0/srv/a/tgtd.pid\0--iscsi\0portal=x\0", true),
            ("tgtd\0-p\0/srv/b/tgtd.pid\0", false),
            ("tgtd\0-f\0", false),
            ("vi\0/srv/a/tgtd.pid\0", false),
            ("tgtd\0-p/srv/a/tgtd.pid2\0", false),
            ("", false),
        ] {
            assert_eq!(is_ours(line.as_bytes(), mark), ours, "{line:?}");
        }
    }
}
