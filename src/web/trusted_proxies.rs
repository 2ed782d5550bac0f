//! The configured trusted proxies, and the client addresses that they forward: see `client_address` for the rule.

use std::net::{IpAddr, SocketAddr};

use actix_web::HttpRequest;

use crate::model::IpNetwork;

/// The trusted proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(pub Vec<IpNetwork>);

impl TrustedProxies {
    /// Whether this address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Whether this request was forwarded by one of them.
    pub fn sent(&self, request: &HttpRequest) -> bool {
        request
            .peer_addr()
            .is_some_and(|address| self.contains(address.ip()))
    }

    /// The client, given the connection's address and the values of `X-Forwarded-For` in their order.
    pub fn client<'a>(&self, peer: IpAddr, forwarded: impl IntoIterator<Item = &'a str>) -> IpAddr {
        let entries: Vec<&str> = forwarded.into_iter().flat_map(|value| value.split(',')).collect();
        let mut client = peer.to_canonical();
        let mut rest = entries.iter().rev();
        while self.contains(client) {
            // An entry that is no address ends the chain: its writer is the last known address.
            match rest.next().and_then(|entry| address(entry)) {
                Some(address) => client = address,
                None => break,
            }
        }
        client
    }
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:4711`: proxies write all of them.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bare = entry
        .strip_prefix('[')
        .and_then(|entry| entry.strip_suffix(']'))
        .unwrap_or(entry);
    let address = bare
        .parse()
        .or_else(|_| entry.parse().map(|address: SocketAddr| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxies(networks: &[&str]) -> TrustedProxies {
        TrustedProxies(networks.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn client(networks: &[&str], peer: &str, forwarded: &[&str]) -> String {
        proxies(networks)
            .client(peer.parse().unwrap(), forwarded.iter().copied())
            .to_string()
    }

    #[test]
    fn without_a_named_proxy_the_connection_counts() {
        assert_eq!(client(&[], "127.0.0.1", &["203.0.113.7"]), "127.0.0.1");
        assert_eq!(client(&["10.0.0.9"], "127.0.0.1", &["203.0.113.7"]), "127.0.0.1");
        assert_eq!(client(&[], "::ffff:192.0.2.1", &[]), "192.0.2.1");
    }

    #[test]
    fn a_trusted_proxy_names_its_client_and_the_client_itself_cannot() {
        let trusted = ["10.0.0.0/24"];
        assert_eq!(client(&trusted, "10.0.0.9", &["203.0.113.7"]), "203.0.113.7");
        assert_eq!(
            client(&trusted, "10.0.0.9", &["198.51.100.1, 203.0.113.7"]),
            "203.0.113.7",
            "what the client wrote before is not trusted"
        );
        assert_eq!(
            client(&trusted, "10.0.0.9", &["198.51.100.1", "203.0.113.7 , 10.0.0.2"]),
            "203.0.113.7",
            "a second proxy is skipped, in one header or in two"
        );
        assert_eq!(client(&trusted, "10.0.0.9", &[]), "10.0.0.9");
        assert_eq!(
            client(&trusted, "10.0.0.9", &["203.0.113.7, unknown"]),
            "10.0.0.9",
            "an entry that is no address ends the chain"
        );
        assert_eq!(client(&trusted, "10.0.0.9", &["10.0.0.1, 10.0.0.2"]), "10.0.0.1");
    }

    #[test]
    fn each_form_of_an_address_is_read() {
        let trusted = ["127.0.0.1"];
        for (entry, address) in [
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(client(&trusted, "127.0.0.1", &[entry]), address);
        }
    }

    proptest! {
        #[test]
        fn what_a_client_prepends_never_changes_the_client_address(made_up in "[0-9a-f.:, x]{0,40}") {
            let honest = client(&["10.0.0.9"], "10.0.0.9", &["203.0.113.7"]);
            let header = format!("{made_up},203.0.113.7");
            prop_assert_eq!(client(&["10.0.0.9"], "10.0.0.9", &[header.as_str()]), honest);
        }
    }
}
