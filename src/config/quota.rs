//! `[quota]`: default limits.

use super::reading::section;

section! {
    /// What a project may have unless an administrator says otherwise. -1: without limit.
    Quota {
        /// Volumes (cinder: `quota_volumes`).
        volumes: i64 = 10,
        /// GiB of volumes and snapshots together (cinder: `quota_gigabytes`).
        gigabytes: i64 = 1000,
        /// Snapshots (cinder: `quota_snapshots`).
        snapshots: i64 = 10,
        /// Backups (cinder: `quota_backups`).
        backups: i64 = 10,
        /// GiB of backups (cinder: `quota_backup_gigabytes`).
        backup_gigabytes: i64 = 1000,
        /// Groups (cinder: `quota_groups`).
        groups: i64 = 10,
        /// GiB of one volume (cinder: `per_volume_size_limit`).
        per_volume_gigabytes: i64 = -1,
    }
}

impl Quota {
    /// The limits by Cinder's names.
    pub fn limits(&self) -> [(&'static str, i64); 7] {
        [
            ("volumes", self.volumes),
            ("gigabytes", self.gigabytes),
            ("snapshots", self.snapshots),
            ("backups", self.backups),
            ("backup_gigabytes", self.backup_gigabytes),
            ("groups", self.groups),
            ("per_volume_gigabytes", self.per_volume_gigabytes),
        ]
    }
}
