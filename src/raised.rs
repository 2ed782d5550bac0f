//! A program of a later release, for tests of upgrades: one topic and one kind of record have a version more.
//!
//! With `PUMICE_RAISED_VERSIONS` set, a debug build is such a program. The topic `api` has another version, and a volume has a field more in
//! its record, which this program's own version cannot read. A release has nothing of this.

/// The topic with a version more.
const TOPIC: &str = "api";

/// Whether this process is that of a later release.
#[cfg(debug_assertions)]
pub fn is_raised() -> bool {
    use std::sync::LazyLock;

    static IS_RAISED: LazyLock<bool> = LazyLock::new(|| std::env::var_os("PUMICE_RAISED_VERSIONS").is_some());
    *IS_RAISED
}

/// Whether this process is that of a later release.
#[cfg(not(debug_assertions))]
pub fn is_raised() -> bool {
    false
}

/// The versions of a topic.
pub fn topic(name: &str, (oldest, newest): (u16, u16)) -> (u16, u16) {
    (oldest, newest + u16::from(name == TOPIC && is_raised()))
}
