//! HTTPS: the certificate of the server, which can be replaced while it serves.
//!
//! A connection gets the certificate that is in force when it begins. Protocols and ciphers are rustls's defaults: TLS 1.2 and 1.3,
//! nothing that is known to be weak.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate chain with its private key, ready to serve with.
#[derive(Clone)]
pub struct Certificate(Arc<ServerConfig>);

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificate")
    }
}

impl Certificate {
    /// Reads a certificate chain and its key, both PEM.
    ///
    /// # Errors
    /// What is wrong with one of the files, or that the key is not that of the certificate.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, String> {
        let of = |path: &Path, why: String| format!("{}: {why}", path.display());
        let chain: Vec<_> = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect)
            .map_err(|error| of(certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(of(certificate, "it has no certificate in PEM".to_owned()));
        }
        let private =
            PrivateKeyDer::from_pem_file(key).map_err(|error| of(key, format!("no private key: {error}")))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(|error| of(certificate, error.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

/// The certificate in force. Clones share it.
#[derive(Clone, Debug)]
pub struct Tls(Arc<ArcSwap<Certificate>>);

impl Tls {
    /// Serves with this certificate.
    pub fn new(certificate: Certificate) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(certificate)))
    }

    /// New connections get this certificate.
    pub fn replace(&self, certificate: Certificate) {
        self.0.store(Arc::new(certificate));
    }

    /// Which certificate is in force: another number after each change.
    #[cfg(test)]
    pub(crate) fn in_force(&self) -> usize {
        Arc::as_ptr(&self.0.load()) as usize
    }

    /// What a new connection is accepted with.
    pub(super) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        tokio_rustls::TlsAcceptor::from(Arc::clone(&self.0.load().0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_files_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = write("cert.pem", &made.cert.pem());
        let key = write("key.pem", &made.signing_key.serialize_pem());
        assert!(Certificate::read(&certificate, &key).is_ok());
        let wrong = |certificate: &Path, key: &Path| Certificate::read(certificate, key).unwrap_err();
        let others = write("other.pem", &other.signing_key.serialize_pem());
        assert!(wrong(&certificate, &others).contains("cert.pem"));
        let empty = write("empty.pem", "");
        assert!(wrong(&empty, &key).ends_with("empty.pem: it has no certificate in PEM"));
        assert!(wrong(&certificate, &certificate).contains("cert.pem: no private key"));
        let secret = made.signing_key.serialize_pem();
        let broken = write("broken.pem", &secret.replace("-----END", "-----"));
        let said = wrong(&certificate, &broken);
        assert!(
            said.contains("broken.pem") && !said.contains(&secret[40..60]),
            "{said}"
        );
        assert!(wrong(&folder.path().join("none"), &key).contains("none"));
    }
}
