//! Creates and removes an export. Each step checks the state first, so that an incomplete export of this or a killed
//! process is completed or removed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::access;
use super::place::{Place, Plugin};
use crate::drivers::targets::backing::Backing;
use crate::drivers::targets::chap::Chap;
use crate::drivers::targets::configfs::{Editor, Tree};
use crate::drivers::targets::kernel::cannot_listen;
use crate::drivers::{DriverError, DriverResult, Work};

/// The link from a LUN to its backstore; any name would do.
const TO_BACKSTORE: &str = "backstore";

/// The desired export.
pub(super) struct Wanted<'a> {
    pub(super) path: &'a Path,
    pub(super) backing: Backing,
    /// Reported to initiators; multipath and udev identify the volume by it (kernel: the NAA identifier is made of its
    /// hex digits).
    pub(super) serial: String,
    pub(super) portals: &'a [SocketAddr],
    pub(super) chap: Option<&'a Chap>,
    pub(super) discard: bool,
}

impl Wanted<'_> {
    fn plugin(&self) -> Plugin {
        match self.backing {
            Backing::Device { .. } => Plugin::Iblock,
            Backing::File { .. } => Plugin::Fileio,
        }
    }

    fn control(&self) -> String {
        let path = self.path.display();
        match self.backing {
            Backing::Device { .. } => format!("udev_path={path}"),
            // Without the last option, each write would wait for the disk; with it, a cache is reported to initiators,
            // which flush it.
            Backing::File { bytes } => format!("fd_dev_name={path},fd_dev_size={bytes},fd_buffered_io=1"),
        }
    }
}

/// Whether an export exists and is enabled.
pub(super) fn stands(tree: &Tree, place: &Place) -> bool {
    tree.exists(&place.lun().join(TO_BACKSTORE)) && is_on(tree, &place.group())
}

/// Whether the existing parts of an export belong to this backing store.
pub(super) fn is_of(tree: &Tree, place: &Place, wanted: &Wanted<'_>) -> bool {
    let other = match wanted.plugin() {
        Plugin::Iblock => Plugin::Fileio,
        Plugin::Fileio => Plugin::Iblock,
    };
    if tree.exists(&place.backstore(other)) {
        return false;
    }
    let backstore = place.backstore(wanted.plugin());
    if !is_on(tree, &backstore) {
        return true;
    }
    let info = tree.read(&backstore.join("info")).unwrap_or_default();
    let is_same = match wanted.backing {
        Backing::Device { major, minor } => device_of(&info) == Some((major, minor)),
        Backing::File { .. } => file_of(&info).is_some_and(|(path, _)| Path::new(path) == wanted.path),
    };
    // The serial cannot be changed while the LUN exists.
    is_same && (has_serial(tree, &backstore, &wanted.serial) || !tree.exists(&place.lun().join(TO_BACKSTORE)))
}

/// Creates the missing parts of an export of this backing store.
pub(super) fn build(tree: &Editor<'_>, place: &Place, wanted: &Wanted<'_>) -> DriverResult<()> {
    build_backstore(tree, place, wanted)?;
    tree.make(&place.target())?;
    tree.make(&place.group())?;
    for (name, value) in [
        ("generate_node_acls", "0"),
        ("demo_mode_discovery", "0"),
        ("demo_mode_write_protect", "1"),
        ("authentication", if wanted.chap.is_some() { "1" } else { "0" }),
    ] {
        tree.set(&place.attribute(name), value)?;
    }
    let lun = place.lun();
    let backstore = place.backstore(wanted.plugin());
    tree.make(&lun)?;
    for link in tree.links(&lun)? {
        if link != TO_BACKSTORE || !tree.leads_to(&lun.join(&link), &backstore) {
            tree.disconnect(&lun.join(link))?;
        }
    }
    tree.connect(&backstore, &lun.join(TO_BACKSTORE))?;
    build_portals(tree, &place.portals(), wanted.portals)?;
    if !is_on(tree, &place.group()) {
        // ACLs that an interrupted removal left.
        access::revoke_all(tree, place)?;
    }
    if let Some(chap) = wanted.chap {
        access::change_secret(tree, place, chap)?;
    }
    // Last, so that an incomplete export is not accessible.
    tree.set(&place.group().join("enable"), "1")
}

fn build_backstore(tree: &Editor<'_>, place: &Place, wanted: &Wanted<'_>) -> DriverResult<()> {
    let plugin = wanted.plugin();
    let backstore = place.backstore(plugin);
    tree.make(&place.adapter(plugin))?;
    tree.make(&backstore)?;
    if is_on(tree, &backstore) {
        grow(tree, &backstore, wanted.backing)?;
    } else {
        tree.write(&backstore.join("control"), &wanted.control())?;
        tree.write(&backstore.join("enable"), "1")?;
    }
    if !has_serial(tree, &backstore, &wanted.serial) {
        tree.write(&backstore.join("wwn/vpd_unit_serial"), &wanted.serial)?;
    }
    let unmap = backstore.join("attrib/emulate_tpu");
    if wanted.discard
        && let Err(error) = tree.set(&unmap, "1")
    {
        if let DriverError::Superseded { .. } = error {
            return Err(error);
        }
        tracing::warn!(volume = place.name, %error, "this backing store cannot free blocks");
    }
    Ok(())
}

fn build_portals(tree: &Editor<'_>, folder: &Path, portals: &[SocketAddr]) -> DriverResult<()> {
    // Compared as addresses, which have several notations.
    let address = |text: &str| text.parse::<SocketAddr>().ok();
    let mut there = BTreeSet::new();
    for spelled in tree.folders(folder)? {
        match address(&spelled).filter(|portal| portals.contains(portal)) {
            Some(portal) => drop(there.insert(portal)),
            None => tree.remove(&folder.join(spelled))?,
        }
    }
    for portal in portals.iter().filter(|portal| !there.contains(portal)) {
        tree.make(&folder.join(portal.to_string()))
            .map_err(|error| cannot_listen(portal, "", error))?;
    }
    Ok(())
}

/// Removes all parts of an export, sessions first, in the order that the kernel requires.
pub(super) fn take_down(tree: &Editor<'_>, place: &Place, work: &Work) -> DriverResult<()> {
    let target = place.target();
    for name in tree.folders(&target)? {
        let group = target.join(&name);
        if !name.starts_with("tpgt_") {
            continue;
        }
        if is_on(tree, &group) {
            tree.write(&group.join("enable"), "0")?;
        }
        let acls = group.join("acls");
        for initiator in tree.folders(&acls)? {
            work.check()?;
            access::drop_acl(tree, &acls.join(initiator))?;
        }
        let luns = group.join("lun");
        for lun in tree.folders(&luns)? {
            tree.disconnect_all(&luns.join(&lun))?;
            tree.remove(&luns.join(lun))?;
        }
        let portals = group.join("np");
        for portal in tree.folders(&portals)? {
            tree.remove(&portals.join(portal))?;
        }
        tree.remove(&group)?;
    }
    tree.remove(&target)?;
    for plugin in Plugin::ALL {
        tree.remove(&place.backstore(plugin))?;
    }
    Ok(())
}

/// Sets a file's new length in the kernel; that of a device it detects itself.
pub(super) fn resize(
    tree: &Editor<'_>,
    place: &Place,
    probe: impl Fn(&Path) -> DriverResult<Backing>,
) -> DriverResult<()> {
    let backstore = place.backstore(Plugin::Fileio);
    if !is_on(tree, &backstore) {
        return Ok(());
    }
    let info = tree.read(&backstore.join("info")).unwrap_or_default();
    match file_of(&info) {
        Some((path, _)) => grow(tree, &backstore, probe(&PathBuf::from(path))?),
        None => Ok(()),
    }
}

fn grow(tree: &Editor<'_>, backstore: &Path, backing: Backing) -> DriverResult<()> {
    let Backing::File { bytes } = backing else {
        return Ok(());
    };
    let info = tree.read(&backstore.join("info")).unwrap_or_default();
    if file_of(&info).is_some_and(|(_, known)| known != bytes) {
        tree.write(&backstore.join("control"), &format!("fd_dev_size={bytes}"))?;
    }
    Ok(())
}

fn is_on(tree: &Tree, object: &Path) -> bool {
    tree.read(&object.join("enable")).as_deref() == Some("1")
}

/// The kernel shows it as `T10 VPD Unit Serial Number: …`.
fn has_serial(tree: &Tree, backstore: &Path, serial: &str) -> bool {
    let shown = tree.read(&backstore.join("wwn/vpd_unit_serial"));
    shown.is_some_and(|shown| shown.rsplit(' ').next() == Some(serial))
}

/// From `… Major: 252 Minor: 3  CLAIMED: IBLOCK`.
fn device_of(info: &str) -> Option<(u32, u32)> {
    let after = |key: &str| {
        let (_, rest) = info.split_once(key)?;
        rest.split_whitespace().next()?.parse().ok()
    };
    Some((after("Major: ")?, after("Minor: ")?))
}

/// From `… File: /path Size: 1073741824 Mode: …`. Exported paths have no blanks.
fn file_of(info: &str) -> Option<(&str, u64)> {
    let (_, rest) = info.split_once("File: ")?;
    let (path, rest) = rest.split_once("  Size: ")?;
    Some((path, rest.split_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{device_of, file_of};

    #[test]
    fn what_the_kernel_shows_of_a_backstore_is_read() {
        let device = "Status: ACTIVATED  Max Queue Depth: 0  SectorSize: 512  HwMaxSectors: 128\n        \
            iBlock device: dm-3  UDEV PATH: /dev/vg/volume-x  readonly: 0\n        Major: 254 Minor: 3  CLAIMED: IBLOCK";
        assert_eq!(device_of(device), Some((254, 3)));
        let file = "Status: ACTIVATED  Max Queue Depth: 0  SectorSize: 512  HwMaxSectors: 16384\n        \
            TCM FILEIO ID: 0        File: /srv/volume-x  Size: 1073741824  Mode: Buffered-WCE Async: 0";
        assert_eq!(file_of(file), Some(("/srv/volume-x", 1 << 30)));
        for other in ["", "File: ", "File: /x  Size: y", "Major: 1", "Major: x Minor: 2"] {
            assert_eq!((file_of(other), device_of(other)), (None, None), "{other}");
        }
    }
}
