//! Certificates for the nodes of a benchmark.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use pumice::authority::signing::{NodeKey, Signer};
use pumice::model::{BackendName, NodeIdentity, NodeRole, Timestamp};
use pumice::transport::{Credentials, Tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const VALID: Duration = Duration::from_secs(24 * 3600);

/// The authority of a cluster.
pub struct Authority(Signer);

impl Authority {
    pub fn new() -> Result<Self> {
        Ok(Self(Signer::new("bench", Timestamp::now(), VALID)?))
    }

    /// Writes the files of a node: `node.pem`, `node.key` and `ca.pem`.
    pub fn write(
        &self,
        folder: &Path,
        node: &str,
        roles: &[NodeRole],
        backends: &[BackendName],
    ) -> Result<()> {
        let (certificate, key) = self.issue(node, roles, backends)?;
        std::fs::write(folder.join("node.pem"), certificate)?;
        std::fs::write(folder.join("node.key"), key)?;
        std::fs::write(folder.join("ca.pem"), self.0.certificate_pem())?;
        Ok(())
    }

    /// The section `[transport]` of a node whose files are in this folder.
    pub fn section(folder: &Path, listen: &str, join: &[String]) -> String {
        let file = |name: &str| folder.join(name);
        format!(
            "[transport]\nlisten = {listen:?}\njoin = {join:?}\ncertificate = {:?}\nkey = {:?}\nca = {:?}\n",
            file("node.pem"),
            file("node.key"),
            file("ca.pem"),
        )
    }

    /// What a volume node in this process shows to its peers.
    pub fn tls(&self, node: &str, backend: &BackendName) -> Result<Tls> {
        let (certificate, key) = self.issue(node, &[NodeRole::Volume], std::slice::from_ref(backend))?;
        let pem = |text: &str| CertificateDer::from_pem_slice(text.as_bytes());
        let credentials = Credentials::new(
            vec![pem(self.0.certificate_pem())?],
            vec![pem(&certificate)?],
            PrivateKeyDer::from_pem_slice(key.as_bytes())?,
            None,
        );
        Ok(Tls::new(credentials.map_err(anyhow::Error::msg)?))
    }

    fn issue(&self, node: &str, roles: &[NodeRole], backends: &[BackendName]) -> Result<(String, String)> {
        let identity = NodeIdentity {
            cluster: "bench".to_owned(),
            node: node.to_owned(),
            roles: roles.iter().copied().collect(),
            backends: backends.iter().cloned().collect(),
        };
        let key = NodeKey::generate()?;
        let signed = self.0.sign(&identity, &key.public(), Timestamp::now(), VALID)?;
        Ok((signed.pem, key.pem()))
    }
}
