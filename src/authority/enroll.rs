//! Enrollment: how a node gets its certificate over the network.
//!
//! ```text
//!   node                                         authority
//!     TLS; the chain must contain a certificate
//!     with the fingerprint in the token          (its certificate is that of no node)
//!     { token, request } ───────────────────────> the token is used up, the certificate is recorded and signed
//!     <──────────────── { certificate, ca, crl } or { error }
//! ```
//!
//! The node's private key is made on the node and never leaves it: the request has its public key, and proves that the node has the
//! private one. Each message is its length (4 bytes, big-endian) and JSON, of bounded size and in bounded time. A connection that
//! does not finish in time is ended, and there are at most [`MOST_CONNECTIONS`] at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::signing::{ENROLLMENT_NAME, NodeKey, PublicKey, fingerprint};
use super::tokens::EnrollmentToken;
use super::{Authority, AuthorityError, NodeFiles, Result};
use crate::model::{NodeIdentity, Timestamp};
use crate::tasks;

/// The most connections at once.
pub const MOST_CONNECTIONS: usize = 32;
/// How long an enrollment may take.
const LIMIT: Duration = Duration::from_secs(10);
/// The largest message.
const MOST_BYTES: u32 = 64 * 1024;
/// How long the certificate of the server is valid: it is made anew at each start.
const SERVER_VALID: Duration = Duration::from_secs(366 * 24 * 3600);
const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

#[derive(Debug, Serialize, Deserialize)]
struct Ask {
    token: String,
    request: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Files(NodeFiles),
    Error(String),
}

/// The authority's side.
pub struct EnrollmentServer {
    authority: Arc<Authority>,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
}

impl std::fmt::Debug for EnrollmentServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnrollmentServer")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl EnrollmentServer {
    /// Listens at this address.
    ///
    /// # Errors
    /// The socket's.
    pub async fn bind(authority: Authority, address: SocketAddr) -> Result<Self> {
        let key = NodeKey::generate()?;
        let signer = authority.signer();
        let signed = signer.sign_enrollment(&key.public(), Timestamp::now(), SERVER_VALID)?;
        let leaf = CertificateDer::from_pem_slice(signed.pem.as_bytes()).map_err(AuthorityError::new)?;
        let root = CertificateDer::from(signer.certificate_der().to_vec());
        let private = PrivateKeyDer::from_pem_slice(key.pem().as_bytes()).map_err(AuthorityError::new)?;
        let tls = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)
            .and_then(|builder| {
                builder
                    .with_no_client_auth()
                    .with_single_cert(vec![leaf, root], private)
            })
            .map_err(AuthorityError::new)?;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| AuthorityError::new(format!("{address}: {error}")))?;
        Ok(Self {
            authority: Arc::new(authority),
            listener,
            tls: Arc::new(tls),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The socket's.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.listener.local_addr().map_err(AuthorityError::new)
    }

    /// Enrolls nodes until it is dropped.
    pub async fn run(self) {
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let (stream, remote) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::warn!(%remote, "too many connections at once; this one is closed");
                continue;
            };
            let (authority, tls) = (Arc::clone(&self.authority), Arc::clone(&self.tls));
            tasks::spawn(async move {
                let served = tokio::time::timeout(LIMIT, serve(authority, tls, stream)).await;
                drop(place);
                match served {
                    Ok(Ok(node)) => tracing::info!(%remote, %node, "a node was enrolled"),
                    Ok(Err(error)) => tracing::warn!(%remote, %error, "no node was enrolled"),
                    Err(_elapsed) => tracing::warn!(%remote, "an enrollment did not end in time"),
                }
            });
        }
    }
}

async fn serve(authority: Arc<Authority>, tls: Arc<ServerConfig>, stream: TcpStream) -> Result<NodeIdentity> {
    let mut stream = TlsAcceptor::from(tls)
        .accept(stream)
        .await
        .map_err(AuthorityError::new)?;
    let ask: Ask = receive(&mut stream).await?;
    let redeemed = tokio::task::spawn_blocking(move || {
        let key = PublicKey::of_request(&ask.request)?;
        let token = EnrollmentToken::parse(&ask.token)?;
        authority.redeem(token.secret(), &key)
    });
    let redeemed = redeemed.await.map_err(AuthorityError::new)?;
    let (answer, node) = match redeemed {
        Ok((node, files)) => (Answer::Files(files), Ok(node)),
        Err(error) => (Answer::Error(error.to_string()), Err(error)),
    };
    send(&mut stream, &answer).await?;
    let _ = stream.shutdown().await;
    node
}

/// The node's side: makes a key, and gets its certificate from the authority at this address.
///
/// # Errors
/// If the authority is not the one that the token is of, or it refuses the token.
pub async fn enroll(address: &str, token: &EnrollmentToken) -> Result<(NodeKey, NodeFiles)> {
    tokio::time::timeout(LIMIT, ask(address, token))
        .await
        .unwrap_or_else(|_| {
            Err(AuthorityError::new(format!(
                "{address}: no answer within {LIMIT:?}"
            )))
        })
}

async fn ask(address: &str, token: &EnrollmentToken) -> Result<(NodeKey, NodeFiles)> {
    let failed = |error: &dyn std::fmt::Display| AuthorityError::new(format!("{address}: {error}"));
    let key = NodeKey::generate()?;
    let tls = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(VERSIONS)
        .map_err(AuthorityError::new)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned {
            fingerprint: token.fingerprint.clone(),
        }))
        .with_no_client_auth();
    let name = ServerName::try_from(ENROLLMENT_NAME).map_err(AuthorityError::new)?;
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| failed(&error))?;
    let connected = TlsConnector::from(Arc::new(tls)).connect(name, stream).await;
    let mut stream = connected.map_err(|error| failed(&error))?;
    let question = Ask {
        token: token.reveal(),
        request: key.request()?,
    };
    send(&mut stream, &question).await?;
    match receive(&mut stream).await? {
        Answer::Files(files) => Ok((key, files)),
        Answer::Error(error) => Err(failed(&error)),
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, message: &impl Serialize) -> Result<()> {
    let json = serde_json::to_vec(message).map_err(AuthorityError::new)?;
    let length = u32::try_from(json.len()).map_err(AuthorityError::new)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(json);
    stream.write_all(&bytes).await.map_err(AuthorityError::new)?;
    stream.flush().await.map_err(AuthorityError::new)
}

async fn receive<S: AsyncRead + Unpin, T: DeserializeOwned>(stream: &mut S) -> Result<T> {
    let length = stream.read_u32().await.map_err(AuthorityError::new)?;
    if length > MOST_BYTES {
        return Err(AuthorityError::new(format!(
            "a message of {length} bytes is too large"
        )));
    }
    let mut json = Vec::new();
    stream
        .take(u64::from(length))
        .read_to_end(&mut json)
        .await
        .map_err(AuthorityError::new)?;
    serde_json::from_slice(&json).map_err(|error| AuthorityError::new(format!("unreadable message: {error}")))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Accepts a server whose certificate is signed by the authority with this fingerprint.
#[derive(Debug)]
struct Pinned {
    fingerprint: String,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let pinned = intermediates
            .iter()
            .find(|of| fingerprint(of) == self.fingerprint);
        let root = pinned.ok_or(CertificateError::UnknownIssuer)?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::identity;
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    async fn authority(folder: &std::path::Path) -> (Authority, String) {
        let authority = Authority::init(folder, "c1").unwrap();
        let served = Authority::open(folder).unwrap();
        let server = EnrollmentServer::bind(served, "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let address = server.local_addr().unwrap().to_string();
        actix_rt::spawn(server.run());
        (authority, address)
    }

    #[actix::test]
    async fn a_node_is_enrolled_once_with_what_the_token_says_and_keeps_its_key() {
        let home = tempfile::tempdir().unwrap();
        let (authority, address) = authority(home.path()).await;
        let token = authority.make_token(&identity("n/volume"), HOUR, HOUR).unwrap();
        let (key, files) = enroll(&address, &token).await.unwrap();
        assert_eq!(authority.issued().unwrap()[0].node, "n/volume");
        let chain = vec![CertificateDer::from_pem_slice(files.certificate.as_bytes()).unwrap()];
        let certificate = crate::transport::NodeCertificate::of(chain).unwrap();
        assert_eq!(certificate.identity, identity("n/volume"));
        for file in ["issued.json", "tokens.json", "ca.key"] {
            let text = std::fs::read_to_string(home.path().join(file)).unwrap();
            assert!(!text.contains(&key.pem()), "{file}");
        }
        let again = enroll(&address, &token).await.unwrap_err().to_string();
        assert!(
            again.ends_with("the token is unknown, expired, or was used already"),
            "{again}"
        );
        assert_eq!(authority.issued().unwrap().len(), 1);
    }

    #[actix::test]
    async fn a_token_is_shown_to_its_own_authority_only() {
        let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (authority, _) = authority(home.path()).await;
        let (_, wrong) = super::tests::authority(other.path()).await;
        let token = authority.make_token(&identity("n"), HOUR, HOUR).unwrap();
        let refused = enroll(&wrong, &token).await.unwrap_err().to_string();
        assert!(refused.contains("UnknownIssuer"), "{refused}");
        // It was not used up.
        assert!(authority.issued().unwrap().is_empty());
    }

    #[actix::test]
    async fn silent_connections_and_garbage_are_got_over() {
        let home = tempfile::tempdir().unwrap();
        let (authority, address) = authority(home.path()).await;
        let mut garbage = TcpStream::connect(&address).await.unwrap();
        garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let _silent = TcpStream::connect(&address).await.unwrap();
        let token = authority.make_token(&identity("n"), HOUR, HOUR).unwrap();
        assert!(enroll(&address, &token).await.is_ok());
    }
}
