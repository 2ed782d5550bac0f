//! Listening sockets, read from `/proc/net`: opening a port to test it could block a starting service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::locks::process_name;

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its address.
    pub address: SocketAddr,
    /// The socket's inode; 0 if it belongs to the kernel.
    pub inode: u64,
}

/// All listening sockets in this network namespace.
pub fn listeners() -> Vec<Listener> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .flat_map(|text| parse(&text))
        .collect()
}

/// The listener that conflicts with this address.
#[must_use]
pub fn taken(listeners: &[Listener], wanted: SocketAddr) -> Option<Listener> {
    let wanted_ip = wanted.ip().to_canonical();
    let meets = |there: IpAddr| {
        let there = there.to_canonical();
        there == wanted_ip
            || there.is_unspecified() && (there.is_ipv6() || wanted_ip.is_ipv4())
            || wanted_ip.is_unspecified() && (wanted_ip.is_ipv6() || there.is_ipv4())
    };
    listeners
        .iter()
        .find(|listener| listener.address.port() == wanted.port() && meets(listener.address.ip()))
        .copied()
}

/// Whether the address belongs to this machine. It is tested with a datagram socket on an arbitrary port, which
/// has no side effects.
pub fn is_local(ip: IpAddr) -> bool {
    ip.is_unspecified() || UdpSocket::bind(SocketAddr::new(ip, 0)).is_ok()
}

/// The addresses of this machine without loopback, as text.
pub fn local_addresses() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut found = fib_locals(&text);
    found.retain(|ip| !ip.is_loopback());
    found.iter().map(ToString::to_string).collect()
}

/// The process of a listener, if visible to this user: name and id.
pub fn owner(listener: &Listener) -> Option<(String, u32)> {
    let wanted = format!("socket:[{}]", listener.inode);
    let is_wanted = |path: std::path::PathBuf| {
        std::fs::read_link(path).is_ok_and(|link| link.as_os_str() == wanted.as_str())
    };
    let pids = std::fs::read_dir("/proc").ok()?;
    let pids = pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids {
        let Ok(mut open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
            continue;
        };
        if open.any(|entry| entry.is_ok_and(|entry| is_wanted(entry.path()))) {
            return Some((process_name(pid)?, pid));
        }
    }
    None
}

fn parse(text: &str) -> Vec<Listener> {
    const LISTENING: &str = "0A";
    text.lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, LISTENING, ..] = words[..] else {
                return None;
            };
            let (ip, port) = local.split_once(':')?;
            Some(Listener {
                address: SocketAddr::new(address(ip)?, u16::from_str_radix(port, 16).ok()?),
                inode: words.get(9)?.parse().ok()?,
            })
        })
        .collect()
}

/// Words of four bytes, each in this machine's order.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| -> Option<[u8; 4]> {
        let digits = hex.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

/// The lines `|-- a.b.c.d` that are followed by `/32 host LOCAL`.
fn fib_locals(text: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in text.lines().map(str::trim) {
        if let Some(ip) = line.strip_prefix("|-- ") {
            last = ip.parse::<IpAddr>().ok();
        } else if line.starts_with("/32 host LOCAL")
            && let Some(ip) = last
            && !found.contains(&ip)
        {
            found.push(ip);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{address, fib_locals, is_local, listeners, owner, parse, taken};

    #[cfg(target_endian = "little")]
    #[test]
    fn the_kernels_table_is_read() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 186 1 000000005727d4a6 100 0 0 10 0\n   1: 0100007F:93A0 0100007F:9073 06 00000000:00000000 03:00000844 00000000     0        0 0 3 0000000010ad60c6\n";
        let found = parse(text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].address.to_string(), "0.0.0.0:2024");
        assert_eq!(found[0].inode, 186);
        assert_eq!(
            address("00000000000000000000000001000000").unwrap().to_string(),
            "::1"
        );
        assert_eq!(address("00"), None);
        assert!(taken(&found, "10.0.0.1:2024".parse().unwrap()).is_some());
        assert!(taken(&found, "[fe80::1]:2024".parse().unwrap()).is_none());
        assert!(taken(&found, "[::]:2024".parse().unwrap()).is_some());
        assert!(taken(&found, "10.0.0.1:2025".parse().unwrap()).is_none());
    }

    #[test]
    fn our_own_listener_is_seen_and_known_as_ours() {
        let ours = TcpListener::bind("127.0.0.1:0").unwrap();
        let listener = taken(&listeners(), ours.local_addr().unwrap()).unwrap();
        let (_, pid) = owner(&listener).unwrap();
        assert_eq!(pid, std::process::id());
    }

    #[test]
    fn a_foreign_address_is_distinguished_from_a_local_one() {
        assert!(is_local("127.0.0.1".parse().unwrap()));
        assert!(!is_local("192.0.2.77".parse().unwrap()));
        let text = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 172.16.0.2\n        /32 host LOCAL\n";
        assert_eq!(
            fib_locals(text),
            ["172.16.0.2".parse::<std::net::IpAddr>().unwrap()]
        );
    }
}
