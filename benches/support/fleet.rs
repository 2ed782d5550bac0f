//! A thousand volume nodes in this process, with the managers and the transport of real ones (TLS, a connection and a certificate each),
//! and drivers that keep their volumes in memory.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pumice::actors::volume_manager;
use pumice::authority::signing::{NodeKey, Signer};
use pumice::backend::{BackendState, Options};
use pumice::drivers::VolumeDriver;
use pumice::drivers::fake::{FakeDriver, FakeOptions};
use pumice::model::{BackendName, NodeIdentity, NodeRole, Timestamp};
use pumice::transport::{Credentials, JoinedPeer, Router, Tls, TransportOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::http::{Client, request};
use super::server::Server;

const VALID: Duration = Duration::from_secs(24 * 3600);

/// How long all nodes may take to join.
const JOINED: Duration = Duration::from_secs(300);

/// The authority of the fleet, with the files of the control node in a folder.
pub struct Authority(Signer);

impl Authority {
    pub fn new(folder: &Path) -> Result<Self> {
        let signer = Signer::new("fleet", Timestamp::now(), VALID)?;
        let authority = Self(signer);
        let (certificate, key) = authority.issue("control/control", NodeRole::Control, None)?;
        std::fs::write(folder.join("node.pem"), certificate)?;
        std::fs::write(folder.join("node.key"), key)?;
        std::fs::write(folder.join("ca.pem"), authority.0.certificate_pem())?;
        Ok(authority)
    }

    fn issue(&self, node: &str, role: NodeRole, backend: Option<BackendName>) -> Result<(String, String)> {
        let identity = NodeIdentity {
            cluster: "fleet".to_owned(),
            node: node.to_owned(),
            roles: [role].into(),
            backends: backend.into_iter().collect(),
        };
        let key = NodeKey::generate()?;
        let signed = self.0.sign(&identity, &key.public(), Timestamp::now(), VALID)?;
        Ok((signed.pem, key.pem()))
    }

    fn tls(&self, node: &str, backend: &BackendName) -> Result<Tls> {
        let (certificate, key) = self.issue(node, NodeRole::Volume, Some(backend.clone()))?;
        let pem = |text: &str| CertificateDer::from_pem_slice(text.as_bytes());
        let credentials = Credentials::new(
            vec![pem(self.0.certificate_pem())?],
            vec![pem(&certificate)?],
            PrivateKeyDer::from_pem_slice(key.as_bytes())?,
            None,
        );
        Ok(Tls::new(credentials.map_err(anyhow::Error::msg)?))
    }
}

/// The nodes; they end with this process.
pub struct Fleet {
    _nodes: Vec<(Router, JoinedPeer)>,
    _arbiter: actix_rt::Arbiter,
}

impl Fleet {
    /// Starts so many nodes of so many pools, which join a control node.
    pub fn start(authority: &Authority, count: usize, pools: usize, control: SocketAddr) -> Result<Self> {
        // A connection is a file on either side.
        let files = Resource::Nofile;
        let maximum = getrlimit(files).maximum;
        let limit = Rlimit {
            current: maximum,
            maximum,
        };
        setrlimit(files, limit)?;
        let arbiter = actix_rt::Arbiter::new();
        let mut nodes = Vec::new();
        for number in 0..count {
            let host = format!("volume-{number:04}");
            let backend = BackendName::new(host.clone(), "fake".to_owned());
            let fake = FakeDriver::new(FakeOptions {
                pools,
                capacity_gib: Some(1_000_000),
                ..FakeOptions::default()
            });
            let state = BackendState::new(
                backend.clone(),
                Arc::new(move || Arc::new(fake.clone()) as Arc<dyn VolumeDriver>),
                None,
                Options::default(),
            );
            let node = format!("{host}/volume");
            let router = Router::new(&node);
            let endpoint = volume_manager::endpoint(state, router.clone(), 1024);
            router.register(endpoint.start_on(&arbiter.handle()));
            let options = TransportOptions {
                tls: Some(authority.tls(&node, &backend)?),
                ..TransportOptions::default()
            };
            let joined = router.join(control.to_string(), options);
            nodes.push((router, joined));
        }
        Ok(Self {
            _nodes: nodes,
            _arbiter: arbiter,
        })
    }
}

/// How many volume services a control node shows as up.
pub async fn up(server: &Server) -> Result<usize> {
    let path = format!("/v3/{}/os-services?binary=cinder-volume", server.project);
    let answer = Client::connect(server.address)
        .await?
        .send(&request("GET", &path, &server.token, ""))
        .await?;
    let shown: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let services = shown["services"].as_array().context("no services")?;
    Ok(services.iter().filter(|one| one["state"] == "up").count())
}

/// Waits until all are up; returns how long that took.
pub async fn all_are_up(server: &Server, count: usize) -> Result<Duration> {
    let begun = Instant::now();
    while up(server).await? < count {
        ensure!(
            begun.elapsed() < JOINED,
            "{} of {count} nodes are up after {JOINED:?}",
            up(server).await?
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(begun.elapsed())
}
