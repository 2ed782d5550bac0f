//! A volume's subsystem: its namespace, and the hosts with access.

use std::path::Path;

use super::paths::{self, Paths, SUBSYSTEMS};
use super::ports::alone;
use crate::drivers::DriverResult;
use crate::drivers::targets::configfs::{Editor, Tree};
use crate::model::VolumeId;

/// The model that hosts see; with the serial number it is part of udev's links.
const MODEL: &str = "Pumice";

/// The desired subsystem.
pub(super) struct Wanted<'a> {
    pub(super) path: &'a Path,
    /// The namespace's UUID and NGUID: os-brick, udev and multipath identify the volume by it.
    pub(super) uuid: String,
    pub(super) serial: String,
    pub(super) ns_id: u32,
}

/// Creates missing parts, without access for hosts.
pub(super) fn build(tree: &Editor<'_>, paths: &Paths, wanted: &Wanted<'_>) -> DriverResult<()> {
    let subsystem = paths.subsystem();
    tree.make(&subsystem)?;
    // The serial contains the owner; it cannot be set once a host has read it.
    tree.set(&subsystem.join("attr_serial"), &wanted.serial)?;
    tree.set(&subsystem.join("attr_allow_any_host"), "0")?;
    if tree.exists(&subsystem.join("attr_model")) {
        tree.set(&subsystem.join("attr_model"), MODEL)?;
    }
    let namespace = paths.namespace(wanted.ns_id);
    for other in tree.folders(&paths.namespaces())? {
        let other = paths.namespaces().join(other);
        if other != namespace {
            drop_namespace(tree, &other)?;
        }
    }
    tree.make(&namespace)?;
    let path = wanted.path.to_string_lossy();
    let identity = [
        ("device_path", path.as_ref()),
        ("device_uuid", wanted.uuid.as_str()),
        ("device_nguid", wanted.uuid.as_str()),
    ];
    let enable = namespace.join("enable");
    let is_so = |(name, value): &(&str, &str)| tree.read(&namespace.join(name)).as_deref() == Some(*value);
    if !identity.iter().all(is_so) {
        // It cannot be changed while it is enabled.
        tree.set(&enable, "0")?;
        for (name, value) in identity {
            tree.set(&namespace.join(name), value)?;
        }
    }
    tree.set(&enable, "1")
}

/// Removes it. It must not be on any port.
pub(super) fn take_down(tree: &Editor<'_>, paths: &Paths) -> DriverResult<()> {
    revoke_all(tree, paths)?;
    for namespace in tree.folders(&paths.namespaces())? {
        drop_namespace(tree, &paths.namespaces().join(namespace))?;
    }
    tree.remove(&paths.subsystem())
}

fn drop_namespace(tree: &Editor<'_>, namespace: &Path) -> DriverResult<()> {
    tree.set(&namespace.join("enable"), "0")?;
    tree.remove(namespace)
}

/// Grants a host access.
pub(super) fn grant(tree: &Editor<'_>, paths: &Paths, host: &str) -> DriverResult<()> {
    let _alone = alone();
    tree.make(&paths::host(host))?;
    tree.connect(&paths::host(host), &paths.allowed_hosts().join(host))
}

/// The hosts with access.
pub(super) fn allowed(tree: &Tree, paths: &Paths) -> DriverResult<Vec<String>> {
    tree.links(&paths.allowed_hosts())
}

/// Revokes a host's access. Its connections stay open.
pub(super) fn revoke(tree: &Editor<'_>, paths: &Paths, host: &str) -> DriverResult<()> {
    let _alone = alone();
    tree.disconnect(&paths.allowed_hosts().join(host))?;
    tree.remove_unused(&paths::host(host))
}

/// Revokes all access.
pub(super) fn revoke_all(tree: &Editor<'_>, paths: &Paths) -> DriverResult<()> {
    for host in allowed(tree, paths)? {
        revoke(tree, paths, &host)?;
    }
    // Also hosts whose link is already removed. A host without access and without a key is unused.
    let _alone = alone();
    for host in tree.folders(Path::new(paths::HOSTS))? {
        let host = paths::host(&host);
        if tree
            .read(&host.join("dhchap_key"))
            .is_none_or(|key| key.is_empty())
        {
            tree.remove_unused(&host)?;
        }
    }
    Ok(())
}

/// Makes the kernel read the volume's size again, and report it to hosts.
pub(super) fn look_at_size(tree: &Editor<'_>, paths: &Paths, ns_id: u32) -> DriverResult<()> {
    let namespace = paths.namespace(ns_id);
    let is_on = tree.read(&namespace.join("enable")).as_deref() == Some("1");
    let look = namespace.join("revalidate_size");
    if is_on && tree.exists(&look) {
        tree.write(&look, "1")?;
    }
    Ok(())
}

/// The volumes that this backend exports.
pub(super) fn exports(tree: &Tree, prefix: &str, owner: &str) -> DriverResult<Vec<String>> {
    let (prefix, mark) = (paths::nqn_prefix(prefix), paths::mark(owner));
    let is_ours = |nqn: &str| {
        tree.read(&Path::new(SUBSYSTEMS).join(nqn).join("attr_serial"))
            .is_some_and(|serial| serial.starts_with(&mark))
    };
    Ok(tree
        .folders(Path::new(SUBSYSTEMS))?
        .into_iter()
        .filter(|nqn| is_ours(nqn))
        .filter_map(|nqn| nqn.strip_prefix(&prefix).map(str::to_owned))
        .filter(|name| {
            name.strip_prefix("volume-")
                .is_some_and(|id| id.parse::<VolumeId>().is_ok())
        })
        .collect())
}
