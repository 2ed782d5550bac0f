//! Hosts with addresses of their own on one machine: a network namespace for each, and a bridge between them in a namespace of the
//! test's own, so that nothing listens on an address of the machine.
//!
//! A direction between two hosts is cut by a permanent neighbour entry with an address that no interface has: frames leave, and
//! arrive nowhere, as with a broken cable, and the other direction is not touched. It needs nothing beyond iproute2.

#![expect(clippy::disallowed_types, reason = "iproute2 is run, and waited for")]

use std::collections::BTreeSet;
use std::fs::File;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use rustix::thread::LinkNameSpaceType;

/// The Ethernet address that no interface has.
const NOWHERE: &str = "02:00:00:00:00:fe";

/// The address of a host is this and its number.
const NET: [u8; 3] = [10, 77, 0];

/// The number of the test itself, where the clients are.
pub const TEST: u8 = 1;

/// How many this process has made.
static NETWORKS: AtomicUsize = AtomicUsize::new(0);

/// Dropped, all of it is gone.
pub struct Network {
    prefix: String,
    hosts: Vec<u8>,
    cut: BTreeSet<(u8, u8)>,
}

impl Network {
    /// A network of these hosts; the calling thread, and those that it starts from now on, are in it.
    pub fn enter(hosts: &[u8]) -> Result<Self> {
        let network = Self {
            prefix: format!(
                "pumice-{}-{}",
                std::process::id(),
                NETWORKS.fetch_add(1, Ordering::Relaxed)
            ),
            hosts: hosts.to_vec(),
            cut: BTreeSet::new(),
        };
        let own = network.namespace(TEST);
        ip(&["netns", "add", &own])?;
        ip(&["-n", &own, "link", "set", "lo", "up"])?;
        ip(&["-n", &own, "link", "add", "br0", "type", "bridge"])?;
        let with_mask = |host| format!("{}/24", address(host));
        ip(&["-n", &own, "addr", "add", &with_mask(TEST), "dev", "br0"])?;
        ip(&["-n", &own, "link", "set", "br0", "up"])?;
        for host in hosts {
            let (namespace, port) = (network.namespace(*host), format!("h{host}"));
            ip(&["netns", "add", &namespace])?;
            ip(&[
                "-n", &own, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &namespace,
            ])?;
            ip(&["-n", &own, "link", "set", &port, "master", "br0", "up"])?;
            ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
            ip(&["-n", &namespace, "addr", "add", &with_mask(*host), "dev", "eth0"])?;
            ip(&["-n", &namespace, "link", "set", "eth0", "up"])?;
        }
        let namespace = File::open(format!("/run/netns/{own}"))?;
        rustix::thread::move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&namespace),
            Some(LinkNameSpaceType::Network),
        )
        .context("enter the network namespace")?;
        Ok(network)
    }

    fn namespace(&self, host: u8) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// What leads to a program that is to run on a host.
    pub fn command(&self, host: u8, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(host), program]);
        command
    }

    /// Nothing gets from one host to the other any more.
    pub fn cut(&mut self, from: u8, to: u8) -> Result<()> {
        let (namespace, to_address) = (self.namespace(from), address(to).to_string());
        ip(&[
            "-n",
            &namespace,
            "neigh",
            "replace",
            &to_address,
            "lladdr",
            NOWHERE,
            "nud",
            "permanent",
            "dev",
            interface(from),
        ])?;
        self.cut.insert((from, to));
        Ok(())
    }

    /// It does again.
    pub fn mend(&mut self, from: u8, to: u8) -> Result<()> {
        if self.cut.remove(&(from, to)) {
            let (namespace, to, interface) = (self.namespace(from), address(to).to_string(), interface(from));
            ip(&["-n", &namespace, "neigh", "del", &to, "dev", interface])?;
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in self.hosts.iter().chain([&TEST]) {
            let _ = ip(&["netns", "del", &self.namespace(*host)]);
        }
    }
}

fn interface(host: u8) -> &'static str {
    if host == TEST { "br0" } else { "eth0" }
}

/// The address of a host.
pub fn address(host: u8) -> Ipv4Addr {
    let [a, b, c] = NET;
    Ipv4Addr::new(a, b, c, host)
}

fn ip(words: &[&str]) -> Result<()> {
    let output = Command::new("ip")
        .args(words)
        .output()
        .context("ip is installed: scripts/install-packages iproute2")?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
