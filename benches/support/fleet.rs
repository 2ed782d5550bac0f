//! A thousand volume nodes in this process, with the managers and the transport of real ones (TLS, a connection and a certificate each),
//! and drivers that keep their volumes in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pumice::actors::volume_manager;
use pumice::backend::{BackendState, Options};
use pumice::drivers::VolumeDriver;
use pumice::drivers::fake::{FakeDriver, FakeOptions};
use pumice::model::BackendName;
use pumice::transport::{JoinedPeer, Router, TransportOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::authority::Authority;
use super::http::{Client, request};
use super::server::Server;

/// How long all nodes may take to join.
const JOINED: Duration = Duration::from_secs(300);

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
    up_at(server.address, server).await
}

/// The same for the control node at this address, with the token of another.
pub async fn up_at(address: SocketAddr, with: &Server) -> Result<usize> {
    let path = format!("/v3/{}/os-services?binary=cinder-volume", with.project);
    let answer = Client::connect(address)
        .await?
        .send(&request("GET", &path, &with.token, ""))
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
