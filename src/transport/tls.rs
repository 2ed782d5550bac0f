//! Mutual TLS between nodes: TLS 1.3, both sides with a certificate of the cluster's own authority.
//!
//! A certificate names a node ([`NodeIdentity`]), not an address: it is checked against the authority, the clock and the list of
//! revoked ones, and its content against what the node then says. Sessions are never resumed, because a resumed one is not checked
//! again. The credentials can be replaced while connections are open: new ones use the new credentials, and the certificates of
//! open ones are verified again ([`super::Router::verify_peers`]).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{Acceptor, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, TlsStream};

use super::frame::FrameError;
use super::handshake::{HandshakeError, linger};
use super::header::{Refusal, Refuse};
use crate::model::{NodeIdentity, Timestamp};

const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
const PROTOCOL: &[u8] = b"pumice";

/// The files of a node's credentials, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates of the cluster's authority.
    pub ca: PathBuf,
    /// The node's certificate, with those between it and the authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority's list of revoked certificates; without it none is revoked.
    pub crl: Option<PathBuf>,
}

/// A certificate that was verified, of this node or of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCertificate {
    /// What it says.
    pub identity: NodeIdentity,
    /// The first second in which it is no longer valid.
    pub not_after: Timestamp,
    chain: Arc<Vec<CertificateDer<'static>>>,
}

impl NodeCertificate {
    /// Reads the content of the first certificate of a chain. It is not verified.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(chain: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        let first = chain.first().ok_or("there is no certificate")?;
        let (_, parsed) = x509_parser::parse_x509_certificate(first)
            .map_err(|error| format!("the certificate cannot be read: {error}"))?;
        let names = parsed
            .subject_alternative_name()
            .map_err(|error| format!("the names of the certificate cannot be read: {error}"))?;
        let uris = names.iter().flat_map(|names| {
            names.value.general_names.iter().filter_map(|name| match name {
                x509_parser::extensions::GeneralName::URI(uri) => Some(*uri),
                _ => None,
            })
        });
        let identity = NodeIdentity::from_uris(uris).map_err(|error| error.to_string())?;
        let not_after = parsed
            .validity()
            .not_after
            .timestamp()
            .saturating_add(1)
            .saturating_mul(1_000_000);
        Ok(Self {
            identity,
            not_after: Timestamp(not_after),
            chain: Arc::new(chain),
        })
    }
}

/// A node's credentials, and the checks of others' certificates.
pub struct Credentials {
    own: NodeCertificate,
    verifier: Arc<NodeVerifier>,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("own", &self.own.identity)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads them from their files.
    ///
    /// # Errors
    /// What is wrong with one of the files, or that they do not belong together. A certificate that is expired, not valid yet or
    /// revoked is no error here: see [`Credentials::own_fault`].
    pub fn read(files: &TlsFiles) -> Result<Self, String> {
        let of = |path: &PathBuf, why: String| format!("{}: {why}", path.display());
        let roots = certificates(&files.ca)?;
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| of(&files.key, format!("no private key: {error}")))?;
        let revoked = match &files.crl {
            Some(path) => CertificateRevocationListDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| of(path, error.to_string()))
                .and_then(|lists| match lists.is_empty() {
                    true => Err(of(
                        path,
                        "it has no list of revoked certificates in PEM".to_owned(),
                    )),
                    false => Ok(Some(lists)),
                })?,
            None => None,
        };
        Self::new(roots, chain, key, revoked).map_err(|error| of(&files.certificate, error))
    }

    /// The authority's certificates, the node's with those in between, its key, and the lists of revoked ones.
    ///
    /// # Errors
    /// That they do not belong together.
    pub fn new(
        roots: Vec<CertificateDer<'static>>,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        revoked: Option<Vec<CertificateRevocationListDer<'static>>>,
    ) -> Result<Self, String> {
        let own = NodeCertificate::of(chain.clone())?;
        let mut store = RootCertStore::empty();
        for root in roots {
            store
                .add(root)
                .map_err(|error| format!("a certificate of the authority is unusable: {error}"))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider))
            .clear_root_hint_subjects();
        if let Some(revoked) = revoked {
            builder = builder.with_crls(revoked);
        }
        let inner = builder.build().map_err(|error| error.to_string())?;
        let verifier = Arc::new(NodeVerifier(inner));
        let text = |error: rustls::Error| match error {
            rustls::Error::InconsistentKeys(_) => "the key is not that of the certificate".to_owned(),
            other => other.to_string(),
        };
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(VERSIONS)
            .map_err(text)?
            .with_client_cert_verifier(Arc::clone(&verifier.0))
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(text)?;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(VERSIONS)
            .map_err(text)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
            .with_client_auth_cert(chain, key)
            .map_err(text)?;
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        client.resumption = Resumption::disabled();
        Ok(Self {
            own,
            verifier,
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }

    /// This node's certificate.
    pub fn own(&self) -> &NodeCertificate {
        &self.own
    }

    /// The settings of a dialer, for tests and measurements that speak TLS without a router.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }

    /// The settings of a listener, for the same.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// Why other nodes will not accept this node's certificate now; `None` if they will, as far as this node can know.
    pub fn own_fault(&self, now: Timestamp) -> Option<String> {
        self.verify(&self.own, now)
            .err()
            .map(|why| format!("this node's own certificate {why}"))
    }

    /// Verifies a certificate of this or another node against the authority, the clock, the list of revoked ones, and the cluster.
    ///
    /// # Errors
    /// Why it is not accepted, for the log.
    pub fn verify(&self, certificate: &NodeCertificate, now: Timestamp) -> Result<(), String> {
        let seconds = u64::try_from(now.0 / 1_000_000).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let (first, between) = certificate.chain.split_first().ok_or("does not exist")?;
        self.verifier
            .0
            .verify_client_cert(first, between, now)
            .map_err(|error| fault_of(&error))?;
        self.check_cluster(&certificate.identity)
    }

    fn check_cluster(&self, them: &NodeIdentity) -> Result<(), String> {
        let (ours, theirs) = (&self.own.identity.cluster, &them.cluster);
        match ours == theirs {
            true => Ok(()),
            false => Err(format!("is of cluster '{theirs}', not '{ours}'")),
        }
    }
}

/// The credentials in force. Clones share them.
#[derive(Clone, Debug)]
pub struct Tls(Arc<ArcSwap<Credentials>>);

impl Tls {
    /// Uses these credentials.
    pub fn new(credentials: Credentials) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(credentials)))
    }

    /// New connections use these.
    pub fn replace(&self, credentials: Credentials) {
        self.0.store(Arc::new(credentials));
    }

    /// Those in force.
    pub fn credentials(&self) -> Arc<Credentials> {
        self.0.load_full()
    }

    /// Refuses a node of another cluster.
    pub(super) fn check_cluster(&self, them: &NodeIdentity) -> Result<(), Refuse> {
        let credentials = self.0.load();
        credentials
            .check_cluster(them)
            .map_err(|why| Refuse::new(Refusal::Certificate, format!("the certificate {why}")))
    }

    /// The listener's side: the encrypted stream, and the dialer's certificate. `greeted` is called once the dialer has said
    /// something that begins TLS.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        greeted: impl FnOnce(),
    ) -> Result<(TlsStream<S>, NodeCertificate), HandshakeError> {
        let mut greeting = LazyConfigAcceptor::new(Acceptor::default(), stream);
        let begun = match (&mut greeting).await {
            Ok(begun) => begun,
            Err(error) => {
                if let Some(stream) = greeting.take_io() {
                    linger(stream).await;
                }
                return Err(self.explain(&error));
            }
        };
        greeted();
        let server = Arc::clone(&self.0.load().server);
        match begun.into_stream(server).into_fallible().await {
            Ok(stream) => self.certified(stream.into()),
            Err((error, stream)) => {
                linger(stream).await;
                Err(self.explain(&error))
            }
        }
    }

    /// The dialer's side.
    pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        remote: std::net::IpAddr,
    ) -> Result<(TlsStream<S>, NodeCertificate), HandshakeError> {
        let connector = TlsConnector::from(Arc::clone(&self.0.load().client));
        // An address is not sent, and the verifier does not look at it.
        let name = ServerName::IpAddress(remote.into());
        match connector.connect(name, stream).into_fallible().await {
            Ok(stream) => self.certified(stream.into()),
            Err((error, stream)) => {
                linger(stream).await;
                Err(self.explain(&error))
            }
        }
    }

    /// The same error, or what an alert that came within the handshake means.
    pub(super) fn explained(&self, error: HandshakeError) -> HandshakeError {
        match error {
            HandshakeError::Frame(FrameError::Io(io)) => self.explain(&io),
            other => other,
        }
    }

    fn certified<S>(&self, stream: TlsStream<S>) -> Result<(TlsStream<S>, NodeCertificate), HandshakeError> {
        let (_, session) = stream.get_ref();
        let chain = session.peer_certificates().unwrap_or_default();
        let chain = chain
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        let certificate = NodeCertificate::of(chain).map_err(HandshakeError::Tls)?;
        Ok((stream, certificate))
    }

    /// What an error means, as an operator may need it. An alert of the other side says little, so what this node knows about its
    /// own certificate is added.
    pub(super) fn explain(&self, error: &io::Error) -> HandshakeError {
        let Some(error) = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        else {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof => HandshakeError::Ended,
                kind => HandshakeError::from(io::Error::new(kind, error.to_string())),
            };
        };
        let text = match error {
            rustls::Error::InvalidCertificate(_) => {
                format!("the other node's certificate {}", fault_of(error))
            }
            rustls::Error::NoCertificatesPresented => "the other side has no certificate".to_owned(),
            rustls::Error::InvalidMessage(_) => "what came is not TLS".to_owned(),
            rustls::Error::AlertReceived(alert) => {
                let reason = match alert {
                    AlertDescription::CertificateExpired => "it is expired or not valid yet",
                    AlertDescription::CertificateRevoked => "it is revoked",
                    AlertDescription::UnknownCA => "it is not signed by the authority of that node's cluster",
                    AlertDescription::CertificateRequired => "there was none",
                    AlertDescription::BadCertificate
                    | AlertDescription::UnsupportedCertificate
                    | AlertDescription::CertificateUnknown
                    | AlertDescription::DecryptError
                    | AlertDescription::AccessDenied => "it is unusable",
                    _ => return HandshakeError::Tls(error.to_string()),
                };
                let own = self.credentials().own_fault(Timestamp::now());
                let own = own.map(|fault| format!("; {fault}")).unwrap_or_default();
                format!("the other node does not accept this node's certificate: {reason}{own}")
            }
            other => other.to_string(),
        };
        HandshakeError::Tls(text)
    }
}

/// What is wrong with a certificate, to follow its name.
fn fault_of(error: &rustls::Error) -> String {
    let at = |time: &UnixTime| {
        let micros = i64::try_from(time.as_secs())
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000);
        Timestamp(micros).to_string()
    };
    let rustls::Error::InvalidCertificate(fault) = error else {
        return format!("cannot be verified: {error}");
    };
    match fault {
        CertificateError::ExpiredContext { not_after, .. } => format!("expired at {} UTC", at(not_after)),
        CertificateError::Expired => "has expired".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("is not valid before {} UTC", at(not_before))
        }
        CertificateError::NotValidYet => "is not valid yet".to_owned(),
        CertificateError::Revoked => "is revoked".to_owned(),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "is not signed by the authority of this cluster".to_owned()
        }
        CertificateError::UnknownRevocationStatus => {
            "is not covered by the list of revoked certificates (transport.crl)".to_owned()
        }
        other => format!("cannot be verified: {other}"),
    }
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, String> {
    let of = |why: String| format!("{}: {why}", path.display());
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| of(error.to_string()))?;
    match found.is_empty() {
        true => Err(of("it has no certificate in PEM".to_owned())),
        false => Ok(found),
    }
}

/// Verifies the certificate of a listener as that of a dialer: nodes are not told apart by who dialed, and have no addresses in
/// their certificates.
#[derive(Debug)]
struct NodeVerifier(Arc<dyn ClientCertVerifier>);

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.0
            .verify_client_cert(end_entity, intermediates, now)
            .map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
