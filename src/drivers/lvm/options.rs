//! How an LVM backend is.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::drivers::copy::process::CopyOptions;
use crate::model::service::OverSubscription;

/// Which kind of volumes is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LvmType {
    /// Thin if the thin pool exists or the group has no volumes yet, else thick.
    Auto,
    /// Thick: each volume has its space.
    Thick,
    /// Thin: volumes take space from a pool as they are written.
    Thin,
}

/// What happens to a thick volume's data before its space is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeClear {
    /// Zeros are written over it.
    Zero,
    /// Nothing: whoever gets the space next can read it.
    None,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct LvmOptions {
    /// The volume group.
    pub volume_group: String,
    /// Which kind of volumes is made.
    pub lvm_type: LvmType,
    /// Copies of each thick volume beside the first.
    pub mirrors: u32,
    /// LVM's configuration; its folder is what LVM reads, if the file is there.
    pub conf_file: Option<PathBuf>,
    /// Whether LVM is to be silent about open files.
    pub suppress_fd_warnings: bool,
    /// What happens to a deleted thick volume's data.
    pub volume_clear: VolumeClear,
    /// How many MiB of it are wiped; 0 is all.
    pub volume_clear_size: u32,
    /// The options of `ionice` that a wipe runs under; empty: without.
    pub volume_clear_ionice: String,
    /// How long one command of LVM's may take, also within a verb that moves data for hours.
    pub command_timeout: Duration,
    /// How data is moved.
    pub copy: CopyOptions,
    /// From how many per cent on a thin pool is warned of.
    pub thin_pool_warn_percent: u8,
    /// Where LVM's programs are, for tests; `None`: where programs are.
    pub bin_dir: Option<PathBuf>,
    /// The node's name, for `location_info`.
    pub host: String,
    /// Its one pool; the backend's name, as in Cinder.
    pub pool_name: String,
    /// Per cent that is kept free.
    pub reserved_percentage: u8,
    /// How far it may be over-subscribed.
    pub max_over_subscription_ratio: OverSubscription,
    /// What else its pool reports.
    pub extra: BTreeMap<String, String>,
}

impl LvmOptions {
    /// Cinder's defaults for a pool of that name in that volume group.
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
