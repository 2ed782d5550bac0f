//! Options of an LVM backend.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::drivers::copy::process::CopyOptions;
use crate::model::lvm::{LvmType, VolumeClear};
use crate::model::service::OverSubscription;

/// See the module.
#[derive(Clone, Debug)]
pub struct LvmOptions {
    /// The volume group.
    pub volume_group: String,
    /// The kind of new volumes.
    pub lvm_type: LvmType,
    /// The number of mirrors of each thick volume.
    pub mirrors: u32,
    /// LVM's configuration; if the file exists, LVM reads its folder.
    pub conf_file: Option<PathBuf>,
    /// Whether LVM's warnings about open files are suppressed.
    pub suppress_fd_warnings: bool,
    /// What happens to a deleted thick volume's data.
    pub volume_clear: VolumeClear,
    /// How many MiB of it are wiped; 0 is all.
    pub volume_clear_size: u32,
    /// The options of `ionice` for a wipe; empty: without `ionice`.
    pub volume_clear_ionice: String,
    /// How long one command of LVM's may take, also within a verb that moves data for hours.
    pub command_timeout: Duration,
    /// Options of data transfers.
    pub copy: CopyOptions,
    /// The percentage from which a full thin pool is logged.
    pub thin_pool_warn_percent: u8,
    /// The folder of LVM's programs, for tests; `None` for the default search path.
    pub bin_dir: Option<PathBuf>,
    /// The node's name, for `location_info`.
    pub host: String,
    /// Its one pool; the backend's name, as in Cinder.
    pub pool_name: String,
    /// The percentage that is kept free.
    pub reserved_percentage: u8,
    /// Its largest over-subscription ratio.
    pub max_over_subscription_ratio: OverSubscription,
    /// Further data that its pool reports.
    pub extra: BTreeMap<String, String>,
}

impl LvmOptions {
    /// Cinder's defaults for a pool with that name in that volume group.
    pub fn new(volume_group: impl Into<String>, pool_name: impl Into<String>) -> Self {
        Self {
            volume_group: volume_group.into(),
            lvm_type: LvmType::Auto,
            mirrors: 0,
            conf_file: None,
            suppress_fd_warnings: false,
            volume_clear: VolumeClear::Zero,
            volume_clear_size: 0,
            volume_clear_ionice: String::new(),
            command_timeout: Duration::from_secs(600),
            copy: CopyOptions::default(),
            thin_pool_warn_percent: 80,
            bin_dir: None,
            host: "localhost".to_owned(),
            pool_name: pool_name.into(),
            reserved_percentage: 0,
            max_over_subscription_ratio: OverSubscription::Ratio(20.0),
            extra: BTreeMap::new(),
        }
    }
}
