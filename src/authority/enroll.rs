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
//! does not finish in time is ended. At most [`MOST_CONNECTIONS`] are waited for at once, and a further one ends another
//! (`crate::waiting_room`): strangers end each other, and do not keep a node with a token out. A stranger is not told what is wrong on the
//! authority's side.

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
use crate::waiting_room::{Place, Stage, WaitingRoom};

/// The most connections at once that have not sent their request yet.
pub const MOST_CONNECTIONS: usize = 32;
/// How many requests are looked at at once.
const MOST_REQUESTS: usize = 8;
/// What a stranger is told of a request that cannot be read.
const UNREADABLE: &str = "the request, or the token in it, cannot be read";
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
        let room = WaitingRoom::new(MOST_CONNECTIONS);
        let requests = Arc::new(Semaphore::new(MOST_REQUESTS));
        loop {
            let (stream, remote) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let place = room.enter(remote.ip());
            let (authority, tls) = (Arc::clone(&self.authority), Arc::clone(&self.tls));
            let requests = Arc::clone(&requests);
            tasks::spawn(async move {
                let serving = serve(authority, tls, stream, place, requests);
                match tokio::time::timeout(LIMIT, serving).await {
                    Ok(Ok(node)) => tracing::info!(%remote, %node, "a node was enrolled"),
                    Ok(Err(error)) => tracing::warn!(%remote, %error, "no node was enrolled"),
                    Err(_elapsed) => tracing::warn!(%remote, "an enrollment did not end in time"),
                }
            });
        }
    }
}

async fn serve(
    authority: Arc<Authority>,
    tls: Arc<ServerConfig>,
    stream: TcpStream,
    place: Place,
    requests: Arc<Semaphore>,
) -> Result<NodeIdentity> {
    let asked = async {
        let mut stream = TlsAcceptor::from(tls)
            .accept(stream)
            .await
            .map_err(AuthorityError::new)?;
        place.reached(Stage::Introduced);
        let ask: Ask = receive(&mut stream).await?;
        Ok((stream, ask))
    };
    let (mut stream, ask) = tokio::select! {
        biased;
        () = place.cut.cancelled() => {
            return Err(AuthorityError::new("it was ended to make room for others"));
        }
        asked = asked => asked?,
    };
    // From here on it is not ended for others: the token may be used up.
    drop(place);
    let _turn = requests.acquire().await.map_err(AuthorityError::new)?;
    let redeemed = tokio::task::spawn_blocking(move || {
        let unreadable = |error: AuthorityError| error.told_as(UNREADABLE);
        let key = PublicKey::of_request(&ask.request).map_err(unreadable)?;
        let token = EnrollmentToken::parse(&ask.token).map_err(unreadable)?;
        authority.redeem(token.secret(), &key)
    });
    let redeemed = redeemed.await.map_err(AuthorityError::new)?;
    let (answer, node) = match redeemed {
        Ok((node, files)) => (Answer::Files(files), Ok(node)),
        Err(error) => (Answer::Error(error.public.to_owned()), Err(error)),
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
    use super::super::NOT_NOW;
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
    async fn more_strangers_than_there_are_places_keep_no_node_out() {
        let home = tempfile::tempdir().unwrap();
        let (authority, address) = authority(home.path()).await;
        let mut strangers = Vec::new();
        for _ in 0..3 * MOST_CONNECTIONS {
            strangers.push(TcpStream::connect(&address).await.unwrap());
        }
        let token = authority.make_token(&identity("n"), HOUR, HOUR).unwrap();
        let begun = tokio::time::Instant::now();
        enroll(&address, &token).await.unwrap();
        assert!(
            begun.elapsed() < LIMIT,
            "it need not wait until their time is over"
        );
        // The first were ended, the last were not.
        let mut byte = [0; 1];
        assert_eq!(strangers[0].read(&mut byte).await.unwrap_or(0), 0);
    }

    #[actix::test]
    async fn a_stranger_learns_nothing_of_the_folder() {
        let home = tempfile::tempdir().unwrap();
        let (authority, address) = authority(home.path()).await;
        let token = authority.make_token(&identity("n"), HOUR, HOUR).unwrap();
        std::fs::write(home.path().join("tokens.json"), "{ broken").unwrap();
        let refused = enroll(&address, &token).await.unwrap_err().to_string();
        assert!(refused.ends_with(NOT_NOW), "{refused}");
        let folder = home.path().display().to_string();
        assert!(
            !refused.contains(&folder) && !refused.contains("tokens.json"),
            "{refused}"
        );
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
