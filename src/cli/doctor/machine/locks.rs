//! The holder of a lock file, read from `/proc/locks`: trying to take the lock could block a starting Pumice.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The holder of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// This process.
    By(u32),
    /// None, or the file does not exist.
    Free,
    /// The file is not accessible: it belongs to another user.
    Unknown,
}

/// The holder of this lock file.
pub fn held(path: &Path) -> Held {
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Held::Free,
        Err(_) => return Held::Unknown,
    };
    let Ok(locks) = std::fs::read_to_string("/proc/locks") else {
        return Held::Unknown;
    };
    let is_pumice = |pid: u32| process_name(pid).as_deref() == Some("pumice");
    match holder(&locks, &device(found.dev()), found.ino(), is_pumice) {
        Some(pid) => Held::By(pid),
        None => Held::Free,
    }
}

/// The name of a process.
pub fn process_name(pid: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim().to_owned())
}

/// Major and minor number in the format of `/proc/locks`.
fn device(number: u64) -> String {
    format!(
        "{:02x}:{:02x}",
        rustix::fs::major(number),
        rustix::fs::minor(number)
    )
}

/// On layered file systems the device numbers of a file differ: there the process's name decides.
fn holder(locks: &str, device: &str, inode: u64, is_pumice: impl Fn(u32) -> bool) -> Option<u32> {
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["FLOCK", _, _, pid, place, ..] = words.get(1..)? else {
            return None;
        };
        let pid = pid.parse().ok()?;
        let (of, number) = place.rsplit_once(':')?;
        let same = number.parse() == Ok(inode) && (of == device || is_pumice(pid));
        same.then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::{Held, held, holder};

    const LOCKS: &str = "1: POSIX  ADVISORY  READ 31797 fe:00:10172808 0 EOF\n2: FLOCK  ADVISORY  WRITE 31765 fe:00:10166319 0 EOF\n2: -> FLOCK  ADVISORY  WRITE 9 fe:00:1 0 EOF\n";

    #[test]
    fn the_holder_is_found_by_device_and_inode() {
        assert_eq!(holder(LOCKS, "fe:00", 10_166_319, |_| false), Some(31765));
        assert_eq!(holder(LOCKS, "00:2a", 10_166_319, |_| false), None);
        assert_eq!(holder(LOCKS, "00:2a", 10_166_319, |_| true), Some(31765));
        assert_eq!(holder(LOCKS, "fe:00", 10_172_808, |_| true), None);
        assert_eq!(holder("garbage\n", "fe:00", 1, |_| true), None);
    }

    #[test]
    fn a_lock_that_is_held_is_seen_and_one_that_was_given_back_is_not() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("lock");
        assert_eq!(held(&path), Held::Free);
        let file = std::fs::File::create(&path).unwrap();
        file.lock().unwrap();
        // In a sandbox device numbers and process names may be hidden: then it appears free, never held by another process.
        assert!(
            matches!(held(&path), Held::By(pid) if pid == std::process::id()) || held(&path) == Held::Free
        );
        drop(file);
        assert_eq!(held(&path), Held::Free);
    }
}
