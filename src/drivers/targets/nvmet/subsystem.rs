//! A volume's subsystem: its one namespace, and the hosts that are let in.

use std::path::Path;

use super::paths::{self, Paths, SUBSYSTEMS};
use super::ports::alone;
use crate::drivers::DriverResult;
use crate::drivers::targets::configfs::{Editor, Tree};
use crate::model::VolumeId;

/// The model that hosts see; with the serial number it is part of udev's links.
const MODEL: &str = "Pumice";

/// A subsystem as it shall be.
pub(super) struct Wanted<'a> {
    pub(super) path: &'a Path,
    /// The namespace's UUID and NGUID: os-brick, udev and multipath know the volume by it.
    pub(super) uuid: String,
    pub(super) serial: String,
    pub(super) ns_id: u32,
}

/// Builds what is missing. Nobody is let in.
pub(super) fn build(tree: &Editor<'_>, paths: &Paths, wanted: &Wanted<'_>) -> DriverResult<()> {
    let subsystem = paths.subsystem();
    tree.make(&subsystem)?;
    // The first is ours, and says whose it is; it cannot be set once a host has seen it.
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

/// Takes it down. No port may serve it any more.
pub(super) fn take_down(tree: &Editor<'_>, paths: &Paths) -> DriverResult<()> {
    shut_out_all(tree, paths)?;
    for namespace in tree.folders(&paths.namespaces())? {
        drop_namespace(tree, &paths.namespaces().join(namespace))?;
    }
    tree.remove(&paths.subsystem())
}

fn drop_namespace(tree: &Editor<'_>, namespace: &Path) -> DriverResult<()> {
    tree.set(&namespace.join("enable"), "0")?;
    tree.remove(namespace)
}

/// Lets a host in.
pub(super) fn let_in(tree: &Editor<'_>, paths: &Paths, host: &str) -> DriverResult<()> {
    let _alone = alone();
    tree.make(&paths::host(host))?;
    tree.connect(&paths::host(host), &paths.allowed_hosts().join(host))
}

/// Who is let in.
pub(super) fn allowed(tree: &Tree, paths: &Paths) -> DriverResult<Vec<String>> {
    tree.links(&paths.allowed_hosts())
}

/// Lets it in no longer. What it has open stays open.
pub(super) fn shut_out(tree: &Editor<'_>, paths: &Paths, host: &str) -> DriverResult<()> {
    let _alone = alone();
    tree.disconnect(&paths.allowed_hosts().join(host))?;
    tree.remove_unused(&paths::host(host))
}

/// Lets all in no longer.
pub(super) fn shut_out_all(tree: &Editor<'_>, paths: &Paths) -> DriverResult<()> {
    for host in allowed(tree, paths)? {
        shut_out(tree, paths, &host)?;
    }
    // Also those whose link is gone already. One that is let in nowhere and has no key is nothing to anybody.
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

/// Has the kernel look how large the volume is now, and tell its hosts.
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
