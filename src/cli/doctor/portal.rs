//! Portals: the addresses on which a backend's target listens, and that initiators connect to.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::finding::Reporter;
use super::listen::{self, Place, Whose};
use super::machine::locks::Held;
use super::machine::ports::Listener;
use crate::config::Backend;

/// Classifies the listener of a portal by its address, its socket and, if visible, its process.
pub type IsOurs<'a> = dyn Fn(SocketAddr, &Listener, Option<(String, u32)>) -> Whose + 'a;

/// Checks every portal of a backend.
pub fn check(name: &str, backend: &Backend, reporter: &Reporter, is_ours: &IsOurs<'_>) {
    let portals = backend.portals();
    for (index, address) in portals.iter().copied().enumerate() {
        let field = if index == 0 {
            "target_portal"
        } else {
            "target_secondary_ip_addresses"
        };
        let key = format!("backend.{name}.{field}");
        // An address that initiators could not use is already reported as a fault of the configuration.
        if address.port() == 0 || address.ip().is_unspecified() {
            continue;
        }
        let place = Place {
            check: "portal",
            key: key.clone(),
            address,
        };
        listen::look(&place, reporter, |listener, owner| {
            is_ours(address, listener, owner)
        });
        reach(address.ip(), &key, reporter);
    }
}

fn reach(ip: IpAddr, key: &str, reporter: &Reporter) {
    if ip.is_loopback() {
        reporter.warn(
            "portal.reach",
            format!("{ip} is the loopback: only this machine can attach volumes"),
            format!("if others are to attach, set {key} to an address that they reach"),
        );
    }
}

/// Classifies the listener of a tgtd's portal: a separate process, owned by the holder of the lock.
pub fn of_tgtd(held: Held, owner: Option<(String, u32)>) -> Whose {
    match (held, owner) {
        (Held::By(pid), owner) if owner.as_ref().is_none_or(|(name, _)| name == "tgtd") => {
            Whose::Ours(format!("the tgtd of Pumice (pid {pid}) runs"))
        }
        (Held::By(_) | Held::Free, owner) => Whose::Others(owner),
        (Held::Unknown, _) => Whose::Unknown,
    }
}

/// Classifies the listener of a portal of the kernel's target: it has no process, but is in the kernel's configuration.
pub fn of_kernel(known: &[SocketAddr], address: SocketAddr, owner: Option<(String, u32)>) -> Whose {
    if known.contains(&address) {
        return Whose::Ours("the kernel's target listens there".to_owned());
    }
    match owner {
        None if !rustix::process::geteuid().is_root() => Whose::Unknown,
        owner => Whose::Others(owner),
    }
}

/// The portals of LIO's targets.
pub fn of_lio(configfs: &Path) -> Vec<SocketAddr> {
    let below = |folder: &Path| -> Vec<std::path::PathBuf> {
        std::fs::read_dir(folder)
            .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
            .unwrap_or_default()
    };
    below(&configfs.join("target/iscsi"))
        .iter()
        .flat_map(|target| below(target))
        .flat_map(|group| below(&group.join("np")))
        .filter_map(|portal| portal.file_name()?.to_str()?.parse().ok())
        .collect()
}

/// The portals of nvmet.
pub fn of_nvmet(configfs: &Path) -> Vec<SocketAddr> {
    let Ok(ports) = std::fs::read_dir(configfs.join("nvmet/ports")) else {
        return Vec::new();
    };
    ports
        .filter_map(|port| {
            let folder = port.ok()?.path();
            let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
            let ip: IpAddr = read("addr_traddr")?.trim().parse().ok()?;
            let port = read("addr_trsvcid")?.trim().parse().ok()?;
            Some(SocketAddr::new(ip, port))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Whose, of_kernel, of_lio, of_nvmet, of_tgtd};
    use crate::cli::doctor::machine::locks::Held;

    #[test]
    fn portals_of_the_kernel_are_read_from_its_configuration() {
        let home = tempfile::tempdir().unwrap();
        let np = home.path().join("target/iscsi/iqn.a:b/tpgt_1/np");
        std::fs::create_dir_all(np.join("10.0.0.1:3260")).unwrap();
        std::fs::create_dir_all(np.join("[fe80::1]:3260")).unwrap();
        let mut found = of_lio(home.path());
        found.sort();
        assert_eq!(found.len(), 2);
        assert!(matches!(of_kernel(&found, found[0], None), Whose::Ours(_)));
        let other = "10.0.0.1:3261".parse().unwrap();
        assert!(!matches!(of_kernel(&found, other, None), Whose::Ours(_)));

        let port = home.path().join("nvmet/ports/1");
        std::fs::create_dir_all(&port).unwrap();
        std::fs::write(port.join("addr_traddr"), "10.0.0.1\n").unwrap();
        std::fs::write(port.join("addr_trsvcid"), "4420\n").unwrap();
        assert_eq!(of_nvmet(home.path()), ["10.0.0.1:4420".parse().unwrap()]);
    }

    #[test]
    fn a_tgtd_is_ours_while_its_keeper_holds_the_lock() {
        let tgtd = Some(("tgtd".to_owned(), 9));
        assert!(matches!(of_tgtd(Held::By(7), tgtd.clone()), Whose::Ours(_)));
        assert_eq!(of_tgtd(Held::Free, tgtd.clone()), Whose::Others(tgtd));
        assert_eq!(of_tgtd(Held::Unknown, None), Whose::Unknown);
    }
}
