//! Sinks over TLS: what comes through to a server, and that another certificate than the named ones is refused.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::amqp::AmqpSink;
use super::tests::notification;
use super::webhook::WebhookSink;
use super::*;
use crate::model::volume::Secret;
use crate::tls_client;

/// A certificate for the loopback that signs itself, in a file.
struct Made {
    folder: TempDir,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Made {
    fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), made.cert.pem()).unwrap();
        Self {
            folder,
            certificate: made.cert.der().clone(),
            key: PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap(),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The settings of a client that trusts it alone.
    fn trusted(&self) -> Option<Arc<ClientConfig>> {
        Some(tls_client::settings(Some(&self.file())).unwrap())
    }
}

/// What a server was sent, each connection's first bytes. It accepts requests of HTTP, and closes other connections.
type Got = Arc<Mutex<Vec<Vec<u8>>>>;

async fn serve(made: &Made) -> (SocketAddr, Got) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.certificate.clone()], made.key.clone_key())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let got = Got::default();
    let kept = Arc::clone(&got);
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            answer(&acceptor, stream, &kept).await;
        }
    });
    (address, got)
}

async fn answer(acceptor: &TlsAcceptor, stream: TcpStream, got: &Got) {
    let Ok(mut stream) = acceptor.accept(stream).await else {
        return;
    };
    let mut first = vec![0; 8];
    if stream.read_exact(&mut first).await.is_ok() {
        if first.starts_with(b"POST") {
            let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
        got.lock().push(first);
    }
    let _ = stream.shutdown().await;
}

#[actix::test]
async fn a_webhook_over_tls_is_the_one_whose_certificate_is_trusted() {
    let (served, other) = (Made::new(), Made::new());
    let (address, got) = serve(&served).await;
    let sink = |tls| {
        WebhookSink::new(WebhookOptions {
            url: Secret::new(format!("https://{address}/events")),
            secret: None,
            timeout: Duration::from_secs(20),
            tls,
        })
    };
    let event = notification(1, "volume.create.end");
    assert_eq!(sink(served.trusted()).publish(&event).await, Ok(()));
    assert_eq!(std::mem::take(&mut *got.lock()), [b"POST /ev"]);
    let refused = sink(other.trusted()).publish(&event).await;
    assert!(matches!(refused, Err(SinkError::Unavailable(_))), "{refused:?}");
    assert!(got.lock().is_empty());
}

#[actix::test]
async fn a_broker_over_tls_is_the_one_whose_certificate_is_trusted() {
    let (served, other) = (Made::new(), Made::new());
    let (address, got) = serve(&served).await;
    let sink = |tls| {
        AmqpSink::new(AmqpOptions {
            urls: vec![Secret::new(format!("amqps://{address}/"))],
            exchange: "openstack".to_owned(),
            topics: vec!["notifications".to_owned()],
            durable: true,
            tls,
        })
    };
    let event = notification(1, "volume.create.end");
    for (tls, expected) in [
        (served.trusted(), vec![b"AMQP\0\0\x09\x01".to_vec()]),
        (other.trusted(), vec![]),
        (None, vec![]),
    ] {
        // It closes the connection: it is no broker.
        let failed = sink(tls).publish(&event).await;
        assert!(matches!(failed, Err(SinkError::Unavailable(_))), "{failed:?}");
        assert_eq!(std::mem::take(&mut *got.lock()), expected, "{failed:?}");
    }
}
