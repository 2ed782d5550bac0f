//! Addresses to listen on: whether they belong to this machine, and are free or already used by Pumice.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::finding::Reporter;
use super::machine::locks::Held;
use super::machine::ports::{self, Listener};

/// How long `/healthcheck` may take.
const HEALTHCHECK: Duration = Duration::from_secs(2);

/// An address, and its configuration key.
#[derive(Clone, Debug)]
pub struct Place {
    /// The name of the check.
    pub check: &'static str,
    /// The configuration key.
    pub key: String,
    /// The address.
    pub address: SocketAddr,
}

/// The listener on an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// No listener.
    Free,
    /// Pumice, with a description.
    Ours(String),
    /// Another program, if it is known.
    Others(Option<(String, u32)>),
    /// An unknown program.
    Unknown,
}

/// Checks an address; `is_ours` classifies a listener, given its socket and, if visible, its process.
pub fn look(
    place: &Place,
    reporter: &Reporter,
    is_ours: impl FnOnce(&Listener, Option<(String, u32)>) -> Whose,
) -> Whose {
    let whose = match ports::taken(&ports::listeners(), place.address) {
        None => Whose::Free,
        Some(listener) => is_ours(&listener, ports::owner(&listener)),
    };
    let is_local = ports::is_local(place.address.ip());
    assess(place, is_local, &whose, &ports::local_addresses(), reporter);
    whose
}

fn assess(place: &Place, is_local: bool, whose: &Whose, addresses: &[String], reporter: &Reporter) {
    let Place { check, key, address } = place;
    let port = address.port();
    if !is_local {
        let known = if addresses.is_empty() {
            "127.0.0.1"
        } else {
            &addresses.join(", ")
        };
        reporter.fault(
            check,
            format!("{} is no address of this machine", address.ip()),
            format!("set {key} to an address of this machine ({known}), with port {port}"),
        );
        return;
    }
    match whose {
        Whose::Free if port == 0 => reporter.ok(check, format!("{address}: whichever port is free")),
        Whose::Free if needs_privilege(port) => reporter.warn(
            check,
            format!("{address} is free, but a port below 1024 takes root or CAP_NET_BIND_SERVICE"),
            format!("choose a port from 1024 on in {key}, or AmbientCapabilities=CAP_NET_BIND_SERVICE in pumice.service"),
        ),
        Whose::Free => reporter.ok(check, format!("{address} is free")),
        Whose::Ours(how) => reporter.ok(check, format!("{address} is ours: {how}")),
        Whose::Others(Some((name, pid))) => reporter.fault(
            check,
            format!("{address} is taken by {name} (pid {pid})"),
            format!("kill {pid} (systemctl status {pid} tells its service), or choose another port in {key}"),
        ),
        Whose::Others(None) => reporter.fault(
            check,
            format!("{address} is taken by another program"),
            format!("see who it is: ss -ltnp 'sport = :{port}' (as root), or choose another port in {key}"),
        ),
        Whose::Unknown => reporter.warn(
            check,
            format!("{address} is taken, by us or by another program"),
            format!("run pumice doctor as the user that serves, or see: ss -ltnp 'sport = :{port}' (as root)"),
        ),
    }
}

fn needs_privilege(port: u16) -> bool {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first = first.ok().and_then(|text| text.trim().parse::<u16>().ok());
    port != 0 && port < first.unwrap_or(1024) && !rustix::process::geteuid().is_root()
}

/// Classifies a listener by whether its process holds the lock of Pumice.
pub fn by_lock(held: Held, owner: Option<(String, u32)>) -> Whose {
    match (held, owner) {
        (Held::By(pid), Some((_, listens))) if listens == pid => {
            Whose::Ours(format!("Pumice runs (pid {pid})"))
        }
        (Held::By(pid), None) => Whose::Ours(format!("Pumice runs (pid {pid})")),
        (Held::By(_) | Held::Free, owner) => Whose::Others(owner),
        (Held::Unknown, _) => Whose::Unknown,
    }
}

/// The answer of `/healthcheck`: status and text. `None` without a valid answer.
pub fn healthcheck(listen: SocketAddr) -> Option<(u16, String)> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let address = SocketAddr::new(ip, listen.port());
    let mut stream = TcpStream::connect_timeout(&address, HEALTHCHECK).ok()?;
    stream.set_read_timeout(Some(HEALTHCHECK)).ok()?;
    stream.set_write_timeout(Some(HEALTHCHECK)).ok()?;
    let request = format!("GET /healthcheck HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = vec![0; 4096];
    let mut length = 0;
    while length < answer.len() {
        match stream.read(&mut answer[length..]) {
            Ok(0) | Err(_) => break,
            Ok(count) => length += count,
        }
    }
    parse_answer(&String::from_utf8_lossy(&answer[..length]))
}

fn parse_answer(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut words = head.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    Some((words.next()?.parse().ok()?, body.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Place, Whose, assess, by_lock, parse_answer};
    use crate::cli::doctor::finding::{Finding, Outcome, Reporter};
    use crate::cli::doctor::machine::locks::Held;

    fn assessed(is_local: bool, whose: &Whose) -> Finding {
        let place = Place {
            check: "web.listen",
            key: "web.listen".to_owned(),
            address: "127.0.0.1:8776".parse().unwrap(),
        };
        let addresses = ["10.0.0.1".to_owned()];
        Reporter::first(|reporter| assess(&place, is_local, whose, &addresses, reporter))
    }

    #[test]
    fn our_own_port_is_no_fault_and_anothers_is() {
        let owner = |pid| Some(("nginx".to_owned(), pid));
        let ours = by_lock(Held::By(7), owner(7));
        assert_eq!(assessed(true, &ours).outcome, Outcome::Ok);
        let others = assessed(true, &by_lock(Held::By(7), owner(9)));
        assert_eq!(others.outcome, Outcome::Fault);
        assert!(others.mend.unwrap().contains("kill 9"));
        assert_eq!(assessed(true, &by_lock(Held::Free, None)).outcome, Outcome::Fault);
        let unknown = by_lock(Held::Unknown, None);
        assert_eq!(assessed(true, &unknown).outcome, Outcome::Warn);
        assert_eq!(assessed(true, &Whose::Free).outcome, Outcome::Ok);
    }

    #[test]
    fn an_address_of_elsewhere_is_a_fault_and_ours_are_named() {
        let finding = assessed(false, &Whose::Free);
        assert_eq!(finding.outcome, Outcome::Fault);
        assert!(finding.mend.unwrap().contains("10.0.0.1"));
    }

    #[test]
    fn an_answer_is_read_with_its_status() {
        let answer = "HTTP/1.0 503 Service Unavailable\r\ncontent-length: 8\r\n\r\nstarting";
        assert_eq!(parse_answer(answer), Some((503, "starting".to_owned())));
        assert_eq!(parse_answer("SSH-2.0-OpenSSH\r\n"), None);
    }
}
