//! What a node's certificate says about it: its cluster, its name, its roles, and its backends.
//!
//! ```text
//!   pumice://CLUSTER/node/NAME             one; the name that the node introduces itself with
//!   pumice://CLUSTER/role/control          one or two: control, volume
//!   pumice://CLUSTER/backend/HOST@BACKEND  any number
//! ```
//!
//! Each is a subject alternative name of type URI. Bytes that are not plain in a URI are percent-encoded. URIs of other schemes, and
//! kinds that are unknown here, say nothing.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::BackendName;

const SCHEME: &str = "pumice://";
/// What is written as it is; all else is percent-encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'@');
const LONGEST_CLUSTER: usize = 64;

/// What a node may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::Display, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum NodeRole {
    /// It has the catalog, and serves the API.
    Control,
    /// It has backends.
    Volume,
}

/// The content of a node's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The cluster: nodes of another one are strangers, also if the same authority has signed them.
    pub cluster: String,
    /// The name of the node.
    pub node: String,
    /// Its roles, at least one.
    pub roles: BTreeSet<NodeRole>,
    /// The backends that it may speak for, and hear commands for.
    pub backends: BTreeSet<BackendName>,
}

/// The names of a certificate are not those of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadIdentity {
    /// There is no name of a node, or no role.
    #[error("it has no {0}; it is no certificate of a node")]
    Missing(&'static str),
    /// There are two names of nodes.
    #[error("it names two nodes")]
    TwoNodes,
    /// There are two clusters.
    #[error("it names two clusters")]
    TwoClusters,
    /// One of the names does not have the form above.
    #[error(
        "'{0}' is not of the form pumice://CLUSTER/node/NAME, …/role/control|volume, …/backend/HOST@BACKEND"
    )]
    Malformed(String),
}

impl NodeIdentity {
    /// Whether it has this role.
    pub fn has(&self, role: NodeRole) -> bool {
        self.roles.contains(&role)
    }

    /// The names of a certificate with this content.
    pub fn uris(&self) -> Vec<String> {
        let uri = |kind: &str, value: &str| {
            format!(
                "{SCHEME}{}/{kind}/{}",
                self.cluster,
                utf8_percent_encode(value, ENCODED)
            )
        };
        let roles = self.roles.iter().map(|role| uri("role", &role.to_string()));
        let backends = self
            .backends
            .iter()
            .map(|backend| uri("backend", &backend.to_string()));
        std::iter::once(uri("node", &self.node))
            .chain(roles)
            .chain(backends)
            .collect()
    }

    /// Reads the names of a certificate.
    ///
    /// # Errors
    /// If they are not those of a node.
    pub fn from_uris<'u>(uris: impl IntoIterator<Item = &'u str>) -> Result<Self, BadIdentity> {
        let (mut cluster, mut node) = (None, None);
        let (mut roles, mut backends) = (BTreeSet::new(), BTreeSet::new());
        for uri in uris {
            let Some(rest) = uri.strip_prefix(SCHEME) else {
                continue;
            };
            let malformed = || BadIdentity::Malformed(uri.to_owned());
            let (of, rest) = rest.split_once('/').ok_or_else(malformed)?;
            let (kind, value) = rest.split_once('/').ok_or_else(malformed)?;
            let value = percent_decode_str(value).decode_utf8().map_err(|_| malformed())?;
            if !is_cluster(of) || value.is_empty() || value.chars().any(char::is_control) {
                return Err(malformed());
            }
            if *cluster.get_or_insert(of) != of {
                return Err(BadIdentity::TwoClusters);
            }
            match kind {
                "node" if node.is_some() => return Err(BadIdentity::TwoNodes),
                "node" => node = Some(value.into_owned()),
                "role" => roles.extend(NodeRole::from_str(&value).ok()),
                "backend" => {
                    backends.insert(value.parse().map_err(|_| malformed())?);
                }
                _ => {}
            }
        }
        if roles.is_empty() {
            return Err(BadIdentity::Missing("role"));
        }
        Ok(Self {
            cluster: cluster.ok_or(BadIdentity::Missing("cluster"))?.to_owned(),
            node: node.ok_or(BadIdentity::Missing("node"))?,
            roles,
            backends,
        })
    }
}

impl fmt::Display for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uris().join(", "))
    }
}

/// Whether a text can be the name of a cluster: 1 to 64 letters, digits, and `-`.
pub fn is_cluster(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=LONGEST_CLUSTER).contains(&text.len()) && text.bytes().all(is_plain)
}

/// The name of the node that a process with these roles is. It is not the host alone: a control and a volume process may share
/// one.
pub fn node_name(host: &str, is_control: bool, is_volume: bool) -> String {
    match (is_control, is_volume) {
        (true, false) => format!("{host}/control"),
        (false, true) => format!("{host}/volume"),
        _ => host.to_owned(),
    }
}

/// The host of a node with this name.
pub fn host_of(node: &str) -> &str {
    node.split_once('/').map_or(node, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn identity() -> NodeIdentity {
        NodeIdentity {
            cluster: "c1".to_owned(),
            node: "vol 1/volume".to_owned(),
            roles: [NodeRole::Volume].into(),
            backends: [BackendName::new("vol 1", "lvm")].into(),
        }
    }

    #[test]
    fn an_identity_is_written_as_uris_and_read_back() {
        let uris = identity().uris();
        assert_eq!(
            uris,
            [
                "pumice://c1/node/vol%201/volume",
                "pumice://c1/role/volume",
                "pumice://c1/backend/vol%201@lvm"
            ]
        );
        let more = ["https://example.org/node/x", "pumice://c1/later/thing"];
        let all = uris.iter().map(String::as_str).chain(more);
        assert_eq!(NodeIdentity::from_uris(all), Ok(identity()));
    }

    #[test]
    fn names_that_are_no_nodes_are_refused() {
        let (node, role) = ("pumice://c/node/n", "pumice://c/role/volume");
        for (uris, fault) in [
            (vec![], "it has no role"),
            (vec![role], "it has no node"),
            (vec![node], "it has no role"),
            (vec![node, "pumice://c/role/king"], "it has no role"),
            (vec![node, role, "pumice://c/node/m"], "it names two nodes"),
            (vec![node, "pumice://d/role/volume"], "it names two clusters"),
            (
                vec![node, role, "pumice://c/backend/lvm"],
                "'pumice://c/backend/lvm' is not",
            ),
            (vec!["pumice://c/node/"], "'pumice://c/node/' is not"),
            (vec!["pumice:///node/n"], "'pumice:///node/n' is not"),
            (vec!["pumice://c/node/%ff"], "'pumice://c/node/%ff' is not"),
            (vec!["pumice://c"], "'pumice://c' is not"),
        ] {
            let said = NodeIdentity::from_uris(uris).unwrap_err().to_string();
            assert!(said.starts_with(fault), "{said}");
        }
    }

    #[test]
    fn a_node_has_its_host_in_its_name() {
        for (name, is_control, is_volume) in [
            ("h/control", true, false),
            ("h/volume", false, true),
            ("h", true, true),
        ] {
            assert_eq!(node_name("h", is_control, is_volume), name);
            assert_eq!(host_of(name), "h");
        }
    }

    proptest! {
        #[test]
        fn any_names_are_got_over(uris: Vec<String>, rest in "pumice://[a-c/%@]{0,12}") {
            let _ = NodeIdentity::from_uris(uris.iter().map(String::as_str).chain([rest.as_str()]));
        }
    }
}
