//! Statistics of commits.

use std::sync::atomic::{AtomicU64, Ordering};

/// Statistics of the commits of a process.
#[derive(Debug, Default)]
pub struct CommitStats {
    /// Successful commits.
    pub commits: AtomicU64,
    /// Commits that were refused for a condition or a ceiling.
    pub refused: AtomicU64,
    /// Transactions that succeeded; commits per transaction show how well merging works.
    pub groups: AtomicU64,
    /// Transactions that failed since another node wrote what they read.
    pub conflicts: AtomicU64,
    /// Transactions whose reply was lost.
    pub lost_replies: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(u64::try_from(by).unwrap_or(u64::MAX), Ordering::Relaxed);
}
