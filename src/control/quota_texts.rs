//! The texts of quota errors, exactly Cinder's (cinder: `exception.py`, `quota_utils.py`). The
//! class's name before the colon is part of them.

use crate::model::Error;
use crate::model::quota::MAX;

/// A resource would be over its limit; `requested` more are requested, `consumed` are in use or reserved.
pub fn over_quota(name: &str, limit: i64, requested: i64, consumed: i64) -> Error {
    let text = if name.starts_with("backup_gigabytes") {
        format!(
            "VolumeBackupSizeExceedsAvailableQuota: Requested backup exceeds allowed Backup gigabytes quota. \
             Requested {requested}G, quota is {limit}G and {consumed}G has been consumed."
        )
    } else if name.contains("gigabytes") {
        format!(
            "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed {name} quota. Requested \
             {requested}G, quota is {limit}G and {consumed}G has been consumed."
        )
    } else if name.starts_with("snapshots") {
        format!("SnapshotLimitExceeded: Maximum number of snapshots allowed ({limit}) exceeded")
    } else if name == "backups" {
        format!("BackupLimitExceeded: Maximum number of backups allowed ({limit}) exceeded")
    } else if name == "groups" {
        format!("GroupLimitExceeded: Maximum number of groups allowed ({limit}) exceeded")
    } else {
        format!(
            "VolumeLimitExceeded: Maximum number of volumes allowed ({limit}) exceeded for quota '{name}'."
        )
    };
    Error::over_quota(text)
}

/// One volume would be larger than `per_volume_gigabytes`.
pub fn too_large(size: u32, limit: i64) -> Error {
    Error::over_quota(format!(
        "VolumeSizeExceedsLimit: Requested volume size {size}G is larger than maximum allowed limit {limit}G."
    ))
}

/// A sum would overflow the counter.
pub fn overflow(name: &str) -> Error {
    Error::over_quota(format!(
        "QuotaUsageOverflow: Usage of quota '{name}' would exceed {MAX}."
    ))
}

/// A new limit is below the usage.
pub fn below_use(name: &str, limit: i64, used: i64) -> Error {
    Error::bad_request(format!(
        "Quota {name} limit must be equal or greater than existing resources. Current usage is {used} and the requested \
         limit is {limit}."
    ))
}

#[cfg(test)]
mod tests {
    use super::{below_use, over_quota, too_large};

    fn over(name: &str, limit: i64, requested: i64, consumed: i64) -> String {
        over_quota(name, limit, requested, consumed).client
    }

    #[test]
    fn a_client_reads_cinders_words() {
        assert_eq!(
            over("gigabytes", 1000, 5000, 3),
            "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. Requested \
             5000G, quota is 1000G and 3G has been consumed."
        );
        assert_eq!(
            over("gigabytes_t2", 7, 4, 4),
            "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes_t2 quota. \
             Requested 4G, quota is 7G and 4G has been consumed."
        );
        assert_eq!(
            over("volumes", 9, 1, 9),
            "VolumeLimitExceeded: Maximum number of volumes allowed (9) exceeded for quota 'volumes'."
        );
        assert_eq!(
            over("snapshots", 1, 1, 1),
            "SnapshotLimitExceeded: Maximum number of snapshots allowed (1) exceeded"
        );
        assert_eq!(
            too_large(5, 4).client,
            "VolumeSizeExceedsLimit: Requested volume size 5G is larger than maximum allowed limit 4G."
        );
        assert_eq!(
            below_use("volumes", 0, 8).client,
            "Quota volumes limit must be equal or greater than existing resources. Current usage is 8 and the \
             requested limit is 0."
        );
    }
}
