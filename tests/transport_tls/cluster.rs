//! An authority with certificates of all sorts, right and wrong, and nodes that use them.

use std::cell::RefCell;
use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pumice::authority::Authority;
use pumice::messages::Message;
use pumice::messages::api::{
    ApiTopic, BackendStarted, CancelOperation, ListBackendVolumes, ListManageableVolumes,
};
use pumice::messages::registry::{Heartbeat, RegistryTopic, SetServiceDisabled};
use pumice::model::{Context, Error, NodeIdentity, NodeRole, Service};
use pumice::transport::{
    Actor, Credentials, EndpointBuilder, ListenerHandle, Router, Serve, Tls, TransportOptions,
};
use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use tempfile::TempDir;
use time::OffsetDateTime;

/// A cluster's authority.
pub struct Cluster {
    folder: TempDir,
    pub authority: Authority,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Pair {
    pub certificate: CertificateDer<'static>,
    key: String,
}

impl Pair {
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

/// What a certificate is made of.
pub struct Made {
    pub names: Vec<String>,
    /// From now, in days.
    pub valid: (i64, i64),
    pub usages: Vec<ExtendedKeyUsagePurpose>,
}

pub fn identity(node: &str, role: NodeRole, backends: &[&str]) -> NodeIdentity {
    NodeIdentity {
        cluster: "c1".to_owned(),
        node: node.to_owned(),
        roles: [role].into(),
        backends: backends.iter().map(|name| name.parse().unwrap()).collect(),
    }
}

pub fn volume(node: &str, backends: &[&str]) -> NodeIdentity {
    identity(node, NodeRole::Volume, backends)
}

pub fn control() -> NodeIdentity {
    identity("ctl/control", NodeRole::Control, &[])
}

impl Made {
    pub fn of(identity: &NodeIdentity) -> Self {
        Self {
            names: identity.uris(),
            valid: (-1, 30),
            usages: vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
        }
    }
}

impl Cluster {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::init(folder.path(), "c1").unwrap();
        Self { folder, authority }
    }

    fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(name)).unwrap()
    }

    fn root(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(&self.file("ca.pem")).unwrap()
    }

    pub fn revoked(&self) -> CertificateRevocationListDer<'static> {
        CertificateRevocationListDer::from_pem_slice(&self.file("crl.pem")).unwrap()
    }

    /// Signs what the authority itself would not.
    pub fn sign(&self, made: Made) -> Pair {
        let text = |name: &str| String::from_utf8(self.file(name)).unwrap();
        let issuer =
            Issuer::from_ca_cert_pem(&text("ca.pem"), KeyPair::from_pem(&text("ca.key")).unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let names = made
            .names
            .iter()
            .map(|name| SanType::URI(name.as_str().try_into().unwrap()));
        params.subject_alt_names = names.collect();
        let now = OffsetDateTime::now_utc();
        params.not_before = now + time::Duration::days(made.valid.0);
        params.not_after = now + time::Duration::days(made.valid.1);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = made.usages;
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from(7_u64));
        Pair {
            certificate: params.signed_by(&key, &issuer).unwrap().der().clone(),
            key: key.serialize_pem(),
        }
    }

    /// A certificate as the authority issues it.
    pub fn issue(&self, identity: &NodeIdentity) -> Pair {
        let key = pumice::authority::signing::NodeKey::generate().unwrap();
        let files = self
            .authority
            .issue(identity, &key.public(), Duration::from_secs(86400))
            .unwrap();
        Pair {
            certificate: CertificateDer::from_pem_slice(files.certificate.as_bytes()).unwrap(),
            key: key.pem(),
        }
    }

    /// The credentials of a node with this certificate.
    pub fn credentials(&self, pair: &Pair) -> Credentials {
        let roots = vec![self.root()];
        let chain = vec![pair.certificate.clone()];
        Credentials::new(roots, chain, pair.key(), Some(vec![self.revoked()])).unwrap()
    }

    /// A node with this certificate. Its router has the name `name`.
    pub fn node(&self, name: &str, pair: &Pair) -> Node {
        Node::new(name, Tls::new(self.credentials(pair)))
    }

    /// A node with the certificate that the authority issues for it.
    pub fn right(&self, identity: &NodeIdentity) -> Node {
        self.node(&identity.node, &self.issue(identity))
    }
}

/// A router with TLS.
pub struct Node {
    pub router: Router,
    pub tls: Tls,
}

pub fn options() -> TransportOptions {
    TransportOptions {
        ping_interval: Duration::from_millis(500),
        first_backoff: Duration::from_millis(5),
        longest_backoff: Duration::from_millis(100),
        ..TransportOptions::default()
    }
}

impl Node {
    pub fn new(name: &str, tls: Tls) -> Self {
        Self {
            router: Router::new(name),
            tls,
        }
    }

    pub fn options(&self) -> TransportOptions {
        TransportOptions {
            tls: Some(self.tls.clone()),
            ..options()
        }
    }

    pub async fn listen(&self) -> ListenerHandle {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        self.router.listen(anywhere, self.options()).await.unwrap()
    }

    pub fn join(&self, address: impl std::fmt::Display) {
        self.router.join(address.to_string(), self.options());
    }
}

/// Stands for all actors of a control node: counts, and keeps the contexts.
#[derive(Default)]
pub struct Seen {
    pub contexts: RefCell<Vec<(&'static str, Context)>>,
}

pub struct ControlApi(Rc<Seen>);
pub struct ControlRegistry(Rc<Seen>);

impl Actor for ControlApi {
    type Topic = ApiTopic;
}

impl Actor for ControlRegistry {
    type Topic = RegistryTopic;
}

impl Seen {
    fn note<M: Message>(&self, context: Context) {
        self.contexts.borrow_mut().push((M::NAME, context));
    }

    pub fn count(&self) -> usize {
        self.contexts.borrow().len()
    }
}

macro_rules! seen {
    ($actor:ty, $message:ty, $reply:expr) => {
        impl Serve<$message> for $actor {
            async fn serve(
                self: Rc<Self>,
                context: Context,
                _message: $message,
            ) -> Result<<$message as Message>::Reply, Error> {
                self.0.note::<$message>(context);
                $reply
            }
        }
    };
}

seen!(ControlApi, ListBackendVolumes, Ok(Vec::new()));
seen!(ControlApi, BackendStarted, Ok(()));
seen!(ControlApi, ListManageableVolumes, Ok(Vec::new()));
seen!(ControlApi, CancelOperation, Ok(()));
seen!(ControlRegistry, Heartbeat, Ok(()));
seen!(
    ControlRegistry,
    SetServiceDisabled,
    Err::<Service, _>(Error::not_found("none"))
);

/// Registers the actors of a control node.
pub fn serve_control(router: &Router) -> Rc<Seen> {
    // The actors run on this thread, so what they share need not be sent.
    thread_local!(static SEEN: RefCell<Rc<Seen>> = RefCell::default());
    let seen = Rc::new(Seen::default());
    SEEN.set(Rc::clone(&seen));
    let shared = || SEEN.with_borrow(Rc::clone);
    router.register(
        EndpointBuilder::new(None, 64, move || Rc::new(ControlApi(shared())))
            .serves::<ListBackendVolumes>()
            .serves::<BackendStarted>()
            .serves::<ListManageableVolumes>()
            .serves::<CancelOperation>()
            .start(),
    );
    router.register(
        EndpointBuilder::new(None, 64, move || Rc::new(ControlRegistry(shared())))
            .serves::<Heartbeat>()
            .serves::<SetServiceDisabled>()
            .start(),
    );
    seen
}

/// What this thread logs.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Logs to it until the guard is dropped.
    pub fn begin(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }

    /// Whether there is a line with all of these.
    pub fn has(&self, parts: &[&str]) -> bool {
        let text = self.text();
        text.lines()
            .any(|line| parts.iter().all(|part| line.contains(part)))
    }

    pub fn clear(&self) {
        self.0.lock().clear();
    }
}
