//! The paths of a volume's export in configfs.
//!
//! ```text
//! target/core/iblock_N/volume-…                      backstore (fileio_N for files)
//! target/iscsi/<iqn>/tpgt_1                          target, its only portal group
//!                           /lun/lun_0/backstore ->  the backstore
//!                           /np/<ip>:<port>          portals
//!                           /acls/<initiator>        access of initiators
//!                                            /lun_0/lun -> the group's lun_0
//! ```
//!
//! `N` is the number of the backend: a backstore is created first and removed last, so its folder shows the owner of an
//! export, even of an incomplete one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::drivers::DriverResult;
use crate::drivers::targets::configfs::Tree;
use crate::drivers::targets::kernel::hash_of;

/// The iSCSI fabric.
pub(super) const FABRIC: &str = "target/iscsi";

/// Where backstores are.
const CORE: &str = "target/core";

/// The kernel's plugin for a kind of backing store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Plugin {
    /// For a block device.
    Iblock,
    /// For a file.
    Fileio,
}

impl Plugin {
    pub(super) const ALL: [Self; 2] = [Self::Iblock, Self::Fileio];
}

/// The paths of one export.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) iqn: String,
    number: u32,
}

impl Place {
    pub(super) fn new(owner: &str, iqn: String, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            iqn,
            number: number(owner),
        }
    }

    /// Uses an existing target with this spelling of the name, from before names were normalized.
    pub(super) fn or_where_it_stands(mut self, tree: &Tree, spelled: String) -> Self {
        if spelled != self.iqn && !tree.exists(&self.target()) && tree.exists(&target(&spelled)) {
            self.iqn = spelled;
        }
        self
    }

    /// The adapter of this backend's backstores of one kind.
    pub(super) fn adapter(&self, plugin: Plugin) -> PathBuf {
        adapter(plugin, self.number)
    }

    pub(super) fn backstore(&self, plugin: Plugin) -> PathBuf {
        self.adapter(plugin).join(&self.name)
    }

    pub(super) fn target(&self) -> PathBuf {
        target(&self.iqn)
    }

    pub(super) fn group(&self) -> PathBuf {
        self.target().join("tpgt_1")
    }

    pub(super) fn attribute(&self, name: &str) -> PathBuf {
        self.group().join("attrib").join(name)
    }

    pub(super) fn lun(&self) -> PathBuf {
        self.group().join("lun/lun_0")
    }

    pub(super) fn portals(&self) -> PathBuf {
        self.group().join("np")
    }

    pub(super) fn acls(&self) -> PathBuf {
        self.group().join("acls")
    }

    /// The ACL of an initiator, with its normalized name, as the kernel compares it.
    pub(super) fn acl(&self, initiator: &str) -> PathBuf {
        self.acls().join(initiator)
    }
}

fn target(iqn: &str) -> PathBuf {
    Path::new(FABRIC).join(iqn)
}

fn adapter(plugin: Plugin, number: u32) -> PathBuf {
    let plugin: &str = plugin.into();
    Path::new(CORE).join(format!("{plugin}_{number}"))
}

/// A backend's number, the same in each run. The kernel accepts any; other tools count from 0.
fn number(owner: &str) -> u32 {
    hash_of(owner) >> 1 | 0x4000_0000
}

/// The volumes with an export, or parts of one.
pub(super) fn exports(tree: &Tree, owner: &str) -> DriverResult<Vec<String>> {
    let mut names = BTreeSet::new();
    for plugin in Plugin::ALL {
        names.extend(tree.folders(&adapter(plugin, number(owner)))?);
    }
    Ok(names
        .into_iter()
        .filter(|name| name.starts_with("volume-"))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Place, Plugin, number};

    #[test]
    fn a_backend_keeps_its_number() {
        assert_eq!(number("host@lvm"), number("host@lvm"));
        assert_ne!(number("host@lvm"), number("host@lvm2"));
        assert!(number("") >= 0x4000_0000 && i32::try_from(number("host@lvm")).is_ok());
    }

    #[test]
    fn places_are_those_of_the_kernel() {
        let place = Place::new("b", "iqn.2010-10.org.openstack:volume-x".to_owned(), "volume-x");
        assert!(place.backstore(Plugin::Iblock).starts_with("target/core"));
        assert_eq!(
            place.acl("iqn.a"),
            Path::new("target/iscsi/iqn.2010-10.org.openstack:volume-x/tpgt_1/acls/iqn.a")
        );
    }
}
