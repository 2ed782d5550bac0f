//! Actor calls between two nodes over loopback TCP, by the transport that the service uses.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use pumice::authority::Authority;
use pumice::authority::signing::NodeKey;
use pumice::messages::api::{ApiTopic, BackendVolume, ListBackendVolumes};
use pumice::model::{BackendName, Context, Error, NodeIdentity, NodeRole};
use pumice::transport::serve::EndpointBuilder;
use pumice::transport::{Actor, Credentials, Router, Serve, Tls, TransportOptions};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Bytes each way that the bare comparison sends: about what a small call and its reply take on the wire.
const SIZE: usize = 256;

struct Answerer;

impl Actor for Answerer {
    type Topic = ApiTopic;
}

impl Serve<ListBackendVolumes> for Answerer {
    async fn serve(
        self: Rc<Self>,
        _context: Context,
        _question: ListBackendVolumes,
    ) -> Result<Vec<BackendVolume>, Error> {
        Ok(Vec::new())
    }
}

/// The credentials of two nodes: of the one that is called, and of the caller.
pub struct Certificates(pub Tls, pub Tls);

impl Certificates {
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let authority = Authority::init(folder.path(), "bench")?;
        let tls = |node: &str| -> Result<Tls> {
            let identity = NodeIdentity {
                cluster: "bench".to_owned(),
                node: node.to_owned(),
                roles: [NodeRole::Control].into(),
                backends: [].into(),
            };
            let key = NodeKey::generate()?;
            let files = authority.issue(&identity, &key.public(), Duration::from_secs(3600))?;
            let pem = |text: &str| CertificateDer::from_pem_slice(text.as_bytes());
            let private = PrivateKeyDer::from_pem_slice(key.pem().as_bytes())?;
            let credentials = Credentials::new(
                vec![pem(&files.ca)?],
                vec![pem(&files.certificate)?],
                private,
                None,
            );
            Ok(Tls::new(credentials.map_err(anyhow::Error::msg)?))
        };
        Ok(Self(tls("server")?, tls("client")?))
    }
}

/// Calls per second with `in_flight` at once, and the bytes of each; with TLS if there are certificates.
pub async fn round_trips(
    in_flight: usize,
    count: usize,
    certificates: Option<&Certificates>,
) -> Result<(f64, usize)> {
    let with = |tls: Option<&Tls>| TransportOptions {
        tls: tls.cloned(),
        trusts_every_peer: true,
        ..TransportOptions::default()
    };
    let server_options = with(certificates.map(|of| &of.0));
    let client_options = with(certificates.map(|of| &of.1));
    let (tell, told) = std::sync::mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    // The other node has a thread of its own.
    let node = std::thread::spawn(move || {
        actix_rt::System::new().block_on(async move {
            let router = Router::new("server");
            router.register(
                EndpointBuilder::new(None, 4096, || Rc::new(Answerer))
                    .serves::<ListBackendVolumes>()
                    .start(),
            );
            let listener = router.listen(([127, 0, 0, 1], 0).into(), server_options).await;
            let _ = tell.send(listener.as_ref().map(|listener| listener.local_addr()).ok());
            let _ = stopped.await;
        });
    });
    let address = told.recv()?.context("the other node does not listen")?;
    let router = Router::new("client");
    let _peer = router.join(address.to_string(), client_options);
    let handle = router.any::<ApiTopic>();
    let context = Context::internal("bench");
    let question = ListBackendVolumes {
        backend: BackendName::new("h", "b"),
        after: None,
        limit: 1,
    };
    let limit = Duration::from_secs(10);
    let begun = Instant::now();
    while handle.call(&context, question.clone(), limit).await.is_err() {
        anyhow::ensure!(begun.elapsed() < limit, "the nodes do not find each other");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let started = Instant::now();
    let each = count / in_flight;
    let mut tasks = Vec::new();
    for _ in 0..in_flight {
        let (handle, context, question) = (handle.clone(), context.clone(), question.clone());
        tasks.push(tokio::task::spawn_local(async move {
            for _ in 0..each {
                handle.call(&context, question.clone(), limit).await?;
            }
            Ok::<_, anyhow::Error>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let rate = (each * in_flight) as f64 / started.elapsed().as_secs_f64();
    let _ = stop.send(());
    let _ = node.join();
    Ok((rate, SIZE))
}
