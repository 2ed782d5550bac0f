//! How LVM's volumes are made and deleted, as configured.

use serde::Deserialize;

/// The kind of new volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LvmType {
    /// Thin if the thin pool exists or the group has no volumes yet, else thick.
    Auto,
    /// Thick: each volume has its space.
    #[serde(rename = "default")]
    Thick,
    /// Thin: volumes take space from a pool as they are written.
    Thin,
}

/// What happens to a thick volume's data before its space is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeClear {
    /// It is overwritten with zeros.
    Zero,
    /// Nothing: the next owner of the space can read it.
    None,
}
