//! TLS of the service's own requests: to Keystone, and of notifications. Certificates are checked with those of the system, or with those of
//! a file.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file with the certificates of authorities.
    #[error("cafile {path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The system trusts no certificates.
    #[error("the system has no certificates of authorities ({0}): install ca-certificates, or name a cafile")]
    System(String),
    /// The library refuses its settings.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// The settings of TLS for this address; `None` if its scheme has none.
///
/// # Errors
/// If there are no certificates to check the server's with.
pub fn tls(url: &str, cafile: Option<&Path>) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    match url.starts_with("https://") || url.starts_with("amqps://") {
        true => settings(cafile).map(Some),
        false => Ok(None),
    }
}

/// The settings of TLS with the certificates of a file, or those of the system.
///
/// # Errors
/// If there are no certificates to check the server's with.
pub fn settings(cafile: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    match cafile {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| file_error(path, error))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0 {
                let why = found
                    .errors
                    .first()
                    .map_or("none was found".to_owned(), ToString::to_string);
                return Err(TlsError::System(why));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn file_error(path: &Path, why: impl std::fmt::Display) -> TlsError {
    TlsError::File {
        path: path.display().to_string(),
        why: why.to_string(),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| file_error(path, error))?
        .collect();
    match found {
        Ok(certificates) if certificates.is_empty() => Err(file_error(path, "has no certificate in PEM")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(file_error(path, error)),
    }
}
