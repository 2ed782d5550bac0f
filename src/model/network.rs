//! IP networks in an operator's notation: `"10.0.0.0/8"`, `"2001:db8::/32"`, or a single address.
//!
//! IPv4 addresses that are mapped into IPv6 (`::ffff:10.0.0.1`, as a socket on `[::]` reports them) are compared as IPv4.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// A network: all addresses with the same prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpNetwork {
    address: IpAddr,
    prefix: u8,
}

/// The text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no network")]
pub struct BadNetwork(String);

impl IpNetwork {
    /// The network of the first `prefix` bits of this address; a prefix longer than the address is the address alone.
    pub fn of(address: IpAddr, prefix: u8) -> Self {
        let address = address.to_canonical();
        let prefix = prefix.min(bits(address));
        let address = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(u32::from(32 - prefix)).unwrap_or(0);
                IpAddr::V4((u32::from(address) & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(u32::from(128 - prefix)).unwrap_or(0);
                IpAddr::V6((u128::from(address) & mask).into())
            }
        };
        Self { address, prefix }
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && Self::of(address, self.prefix) == *self
    }

    /// The first address of it.
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for IpNetwork {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let prefix = match prefix {
            None => bits(address),
            Some(prefix) => prefix.parse().map_err(|_| bad())?,
        };
        let network = Self::of(address, prefix);
        // `10.0.0.1/8` is more likely a mistake than intended, and a prefix of 33 bits is invalid.
        let is_whole = prefix <= bits(address) && network.address == address.to_canonical();
        is_whole.then_some(network).ok_or_else(bad)
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl<'de> Deserialize<'de> for IpNetwork {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_written_as_operators_write_it() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(text.parse::<IpNetwork>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "localhost",
            "10.0.0.0/-1",
            "::1/64",
        ] {
            assert!(text.parse::<IpNetwork>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_is_in_the_network_of_its_first_bits() {
        let contains = |network: &str, address: &str| {
            network
                .parse::<IpNetwork>()
                .unwrap()
                .contains(address.parse().unwrap())
        };
        assert!(contains("127.0.0.0/8", "127.9.9.9"));
        assert!(
            contains("127.0.0.0/8", "::ffff:127.0.0.1"),
            "a mapped address is IPv4"
        );
        assert!(contains("2001:db8::/64", "2001:db8::1:2"));
        assert!(contains("0.0.0.0/0", "192.0.2.1"));
        assert!(!contains("0.0.0.0/0", "::1"), "the families are distinct");
        assert!(!contains("10.0.0.0/8", "11.0.0.0"));
        assert!(!contains("2001:db8::/64", "2001:db8:0:1::"));
    }
}
