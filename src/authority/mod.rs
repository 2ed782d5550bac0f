//! The authority of a cluster's certificates: a folder with its key, and what it has issued and revoked.
//!
//! | file | what it is |
//! |---|---|
//! | `ca.key` | the private key of the authority, for its owner alone: who has it can be any node of the cluster |
//! | `ca.pem` | its certificate, which every node has |
//! | `crl.pem` | the list of revoked certificates, which every node has; written anew by each revocation |
//! | `issued.json` | the certificates that it has issued, and when they were revoked |
//! | `tokens.json` | hashes of the enrollment tokens that were not used yet ([`tokens`]) |
//!
//! Processes take turns by a lock on the folder; each change is a new file that takes the place of the old one.

pub mod enroll;
mod folder;
pub mod signing;
pub mod tokens;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::folder::write_private;
use self::folder::{FolderLock, lock, read_text, write_json};
use self::signing::{PublicKey, Signed, Signer};
use crate::model::{NodeIdentity, Timestamp};
use crate::private_files;

/// Why the authority cannot do something, for its operator.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct AuthorityError {
    text: String,
    /// What a node that asks over the network is told.
    public: &'static str,
}

/// What a node that asks over the network is told of a fault of the authority: the rest is for its operator.
const NOT_NOW: &str = "the authority cannot issue a certificate at present; its log says why";

impl AuthorityError {
    /// With this text, for the operator alone.
    pub fn new(why: impl std::fmt::Display) -> Self {
        Self {
            text: why.to_string(),
            public: NOT_NOW,
        }
    }

    /// About this file.
    pub fn of(path: &Path, why: impl std::fmt::Display) -> Self {
        Self::new(format!("{}: {why}", path.display()))
    }

    /// With a text that anyone may know.
    pub fn public(text: &'static str) -> Self {
        Self {
            text: text.to_owned(),
            public: text,
        }
    }

    /// The same for the operator, and this text for a node that asks over the network.
    #[must_use]
    pub fn told_as(self, public: &'static str) -> Self {
        Self { public, ..self }
    }
}

/// What is returned here.
pub type Result<T> = std::result::Result<T, AuthorityError>;

const KEY: &str = "ca.key";
const CERTIFICATE: &str = "ca.pem";
const REVOKED: &str = "crl.pem";
const ISSUED: &str = "issued.json";

/// How long the certificate of an authority is valid.
const AUTHORITY_VALID: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedCertificate {
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// The node.
    pub node: String,
    /// All that it says, as in the certificate.
    pub names: Vec<String>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Its end.
    pub not_after: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// What a node needs, all PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFiles {
    /// The node's certificate.
    pub certificate: String,
    /// The authority's.
    pub ca: String,
    /// The list of revoked ones.
    pub crl: String,
}

/// An open authority. Nothing is locked in between its functions.
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    signer: Signer,
}

impl Authority {
    /// Makes a new one, for the cluster of this name.
    ///
    /// # Errors
    /// If there is one in the folder already, or it cannot be written.
    pub fn init(folder: &Path, cluster: &str) -> Result<Self> {
        if !crate::model::node_identity::is_cluster(cluster) {
            return Err(AuthorityError::new(format!(
                "'{cluster}' cannot be the name of a cluster: that has 1 to 64 letters, digits, and '-'"
            )));
        }
        private_files::create_dir(folder).map_err(|error| AuthorityError::of(folder, error))?;
        let _lock = lock(folder)?;
        let key = folder.join(KEY);
        if key.exists() || folder.join(CERTIFICATE).exists() {
            return Err(AuthorityError::of(folder, "there is an authority already"));
        }
        let signer = Signer::new(cluster, Timestamp::now(), AUTHORITY_VALID)?;
        write_private(&key, &signer.key_pem())?;
        let authority = Self {
            folder: folder.to_owned(),
            signer,
        };
        write_private(&folder.join(CERTIFICATE), authority.signer.certificate_pem())?;
        authority.write_issued(&[])?;
        Ok(authority)
    }

    /// Opens one.
    ///
    /// # Errors
    /// If there is none in the folder, or its files are damaged.
    pub fn open(folder: &Path) -> Result<Self> {
        let key = read_text(&folder.join(KEY))?;
        let certificate = read_text(&folder.join(CERTIFICATE))?;
        let signer =
            Signer::from_pem(&key, &certificate).map_err(|error| AuthorityError::of(folder, error))?;
        Ok(Self {
            folder: folder.to_owned(),
            signer,
        })
    }

    /// The name of the cluster.
    pub fn cluster(&self) -> &str {
        self.signer.cluster()
    }

    /// What signs.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The SHA-256 of the authority's certificate, hexadecimal: what a node that is to join compares.
    pub fn fingerprint(&self) -> String {
        self.signer.fingerprint()
    }

    /// Issues a certificate for another server, of these host names and addresses, such as a member of etcd.
    ///
    /// # Errors
    /// If there is no name, or one cannot be that of a host, or the folder cannot be written.
    pub fn issue_server(&self, names: &[String], key: &PublicKey, valid: Duration) -> Result<NodeFiles> {
        let first = names
            .first()
            .ok_or_else(|| AuthorityError::new("a server has at least one name"))?;
        let lock = lock(&self.folder)?;
        let now = Timestamp::now();
        let signed = self.signer.sign_server(names, key, now, valid)?;
        self.record(&lock, signed, first.clone(), names.to_vec(), now)
    }

    /// Issues a certificate for a node's public key.
    ///
    /// # Errors
    /// If it is for another cluster, or the folder cannot be written.
    pub fn issue(&self, identity: &NodeIdentity, key: &PublicKey, valid: Duration) -> Result<NodeFiles> {
        let lock = lock(&self.folder)?;
        self.issue_locked(&lock, identity, key, valid)
    }

    fn issue_locked(
        &self,
        lock: &FolderLock,
        identity: &NodeIdentity,
        key: &PublicKey,
        valid: Duration,
    ) -> Result<NodeFiles> {
        let now = Timestamp::now();
        let signed = self.signer.sign(identity, key, now, valid)?;
        self.record(lock, signed, identity.node.clone(), identity.uris(), now)
    }

    fn record(
        &self,
        _lock: &FolderLock,
        signed: Signed,
        node: String,
        names: Vec<String>,
        issued_at: Timestamp,
    ) -> Result<NodeFiles> {
        let mut issued = self.issued()?;
        issued.push(IssuedCertificate {
            serial: signed.serial,
            node,
            names,
            issued_at,
            not_after: signed.not_after,
            revoked_at: None,
        });
        // Recorded before it is handed out: one that is not in the list could not be revoked.
        write_json(&self.folder.join(ISSUED), &issued)?;
        Ok(NodeFiles {
            certificate: signed.pem,
            ca: self.signer.certificate_pem().to_owned(),
            crl: self.revoked_pem()?,
        })
    }

    /// All certificates that were issued, the oldest first.
    ///
    /// # Errors
    /// If the list cannot be read.
    pub fn issued(&self) -> Result<Vec<IssuedCertificate>> {
        folder::read_json(&self.folder.join(ISSUED))
    }

    /// Revokes all certificates of a node, or the one with this serial number; returns those that were revoked by it.
    ///
    /// # Errors
    /// If there is none that is not revoked already, or the folder cannot be written.
    pub fn revoke(&self, node_or_serial: &str) -> Result<Vec<IssuedCertificate>> {
        let _lock = lock(&self.folder)?;
        let mut issued = self.issued()?;
        let now = Timestamp::now();
        let mut revoked = Vec::new();
        for certificate in &mut issued {
            let is_it = certificate.node == node_or_serial || certificate.serial == node_or_serial;
            if is_it && certificate.revoked_at.is_none() {
                certificate.revoked_at = Some(now);
                revoked.push(certificate.clone());
            }
        }
        if revoked.is_empty() {
            return Err(AuthorityError::new(format!(
                "there is no certificate of node '{node_or_serial}', nor with that serial number, that is not revoked already"
            )));
        }
        self.write_issued(&issued)?;
        Ok(revoked)
    }

    /// The list of revoked certificates, PEM.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn revoked_pem(&self) -> Result<String> {
        read_text(&self.folder.join(REVOKED))
    }

    /// Writes the list of issued certificates, and that of the revoked ones.
    fn write_issued(&self, issued: &[IssuedCertificate]) -> Result<()> {
        let revoked = issued
            .iter()
            .filter_map(|certificate| Some((certificate.serial.as_str(), certificate.revoked_at?)));
        let list = self.signer.revocation_list(revoked, Timestamp::now())?;
        write_json(&self.folder.join(ISSUED), &issued)?;
        write_private(&self.folder.join(REVOKED), &list)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::signing::NodeKey;
    use super::*;
    use crate::model::NodeRole;

    pub(super) fn identity(node: &str) -> NodeIdentity {
        NodeIdentity {
            cluster: "c1".to_owned(),
            node: node.to_owned(),
            roles: [NodeRole::Volume].into(),
            backends: ["h@lvm".parse().unwrap()].into(),
        }
    }

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn an_authority_is_made_once_and_its_key_is_its_owners() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("ca");
        let made = Authority::init(&folder, "c1").unwrap();
        let mode = std::fs::metadata(folder.join(KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = Authority::init(&folder, "c1").unwrap_err().to_string();
        assert!(again.ends_with("there is an authority already"), "{again}");
        let opened = Authority::open(&folder).unwrap();
        assert_eq!(opened.fingerprint(), made.fingerprint());
        assert_eq!(opened.cluster(), "c1");
        assert!(Authority::init(&home.path().join("b"), "a b").is_err());
        assert!(Authority::open(&home.path().join("none")).is_err());
    }

    #[test]
    fn a_server_has_host_names_and_addresses_and_is_no_node() {
        let home = tempfile::tempdir().unwrap();
        let authority = Authority::init(home.path(), "c1").unwrap();
        let key = NodeKey::generate().unwrap();
        let names = ["etcd-1".to_owned(), "192.0.2.11".to_owned()];
        let files = authority.issue_server(&names, &key.public(), DAY).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(files.certificate.as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let shown = certificate.subject_alternative_name().unwrap().unwrap();
        let shown: Vec<String> = shown
            .value
            .general_names
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(shown, ["DNSName(etcd-1)", "IPAddress(c0:00:02:0b)"]);
        assert_eq!(authority.issued().unwrap()[0].names, names);
        assert_eq!(authority.revoke("etcd-1").unwrap().len(), 1);
        for wrong in ["", "a b", "pumice://c1/node/a"] {
            assert!(
                authority
                    .issue_server(&[wrong.to_owned()], &key.public(), DAY)
                    .is_err()
            );
        }
        assert!(authority.issue_server(&[], &key.public(), DAY).is_err());
    }

    #[test]
    fn what_is_issued_is_recorded_and_can_be_revoked_once() {
        let home = tempfile::tempdir().unwrap();
        let authority = Authority::init(home.path(), "c1").unwrap();
        let key = NodeKey::generate().unwrap();
        for node in ["a", "b", "b"] {
            let files = authority.issue(&identity(node), &key.public(), DAY).unwrap();
            assert_eq!(files.ca, authority.signer().certificate_pem());
        }
        let other = NodeIdentity {
            cluster: "c2".to_owned(),
            ..identity("a")
        };
        assert!(authority.issue(&other, &key.public(), DAY).is_err());
        let before = authority.revoked_pem().unwrap();
        assert_eq!(authority.revoke("b").unwrap().len(), 2);
        assert!(authority.revoke("b").is_err());
        assert_ne!(authority.revoked_pem().unwrap(), before);
        let issued = authority.issued().unwrap();
        let revoked: Vec<bool> = issued.iter().map(|of| of.revoked_at.is_some()).collect();
        assert_eq!(revoked, [false, true, true]);
        let serial = &issued[0].serial;
        assert_eq!(authority.revoke(serial).unwrap()[0].node, "a");
    }
}
