//! Connections of those who cannot authenticate, and what comes after the handshake of one who can and should not be trusted.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use pumice::transport::frame::{self, Kind, MAX_FRAME};
use pumice::transport::handshake::{self, Introduction};
use pumice::transport::header::{Announcement, Incarnation};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::cluster::*;
use crate::transport_support::net::{connected, is_connected};
use crate::transport_support::until;

const CONNECTIONS: usize = 1000;

/// The first bytes of a TLS connection that is never finished.
fn client_hello(cluster: &Cluster) -> Vec<u8> {
    let config = cluster
        .credentials(&cluster.issue(&volume("x", &[])))
        .client_config();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut session = rustls::ClientConnection::new(config, name).unwrap();
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes).unwrap();
    bytes
}

/// Keeps so many connections that never finish their handshake, and renews those that are closed.
async fn flood(to: SocketAddr, greeting: Vec<u8>) {
    let mut held: Vec<TcpStream> = Vec::new();
    loop {
        held.retain(|stream| match stream.try_read(&mut [0; 64]) {
            Ok(0) => false,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
            Ok(_) => true,
        });
        while held.len() < CONNECTIONS {
            let Ok(mut stream) = TcpStream::connect(to).await else {
                break;
            };
            let _ = stream.write_all(&greeting).await;
            held.push(stream);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_thousand_connections_that_never_finish_do_not_keep_a_node_out() {
    for half in [false, true] {
        let cluster = Cluster::new();
        let greeting = if half { client_hello(&cluster) } else { Vec::new() };
        let (tell, told) = std::sync::mpsc::channel();
        let (tls, node) = (
            cluster.right(&control()),
            cluster.right(&volume("vol/volume", &[])),
        );
        actix_rt::System::new().block_on(async move {
            let listener = tls.listen().await;
            let address = listener.local_addr();
            // Strangers have threads of their own.
            let strangers = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    tokio::select! {
                        () = flood(address, greeting) => {}
                        _ = async { while told.try_recv().is_err() { tokio::time::sleep(Duration::from_millis(50)).await } } => {}
                    }
                });
            });
            tokio::time::sleep(Duration::from_millis(300)).await;
            let begun = Instant::now();
            node.join(address);
            connected(&tls.router, "vol/volume").await;
            let took = begun.elapsed();
            assert!(took < Duration::from_secs(10), "half {half}: {took:?}");
            // A node that is in stays in.
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(is_connected(&tls.router, "vol/volume"));
            tell.send(()).unwrap();
            strangers.join().unwrap();
        });
    }
}

/// A connection of a node with a certificate, past the handshake.
async fn inside(
    cluster: &Cluster,
    pair: &Pair,
    name: &str,
    to: SocketAddr,
) -> tokio_rustls::TlsStream<TcpStream> {
    let tcp = TcpStream::connect(to).await.unwrap();
    let connector = TlsConnector::from(cluster.credentials(pair).client_config());
    let stream = connector
        .connect(ServerName::try_from("127.0.0.1").unwrap(), tcp)
        .await
        .unwrap();
    let us = Introduction {
        node: name.to_owned(),
        incarnation: Incarnation::new(0, 0),
    };
    let nothing = Announcement::default();
    let (them, options) = (control(), options());
    let stream = tokio_rustls::TlsStream::from(stream);
    let met = handshake::dial(stream, &us, &nothing, &options, Some(&them), |_| ());
    met.await.unwrap().reader.into_inner()
}

#[actix_rt::test]
async fn frames_of_any_kind_after_the_handshake_end_their_connection_at_most() {
    let cluster = Cluster::new();
    let listener = cluster.right(&control());
    let seen = serve_control(&listener.router);
    let address = listener.listen().await.local_addr();
    let good = cluster.right(&volume("good/volume", &["good@file"]));
    good.join(address);
    connected(&listener.router, "good/volume").await;
    let evil = cluster.issue(&volume("evil/volume", &["evil@file"]));
    let frames = prop::collection::vec((0_usize..13, any::<Vec<u8>>(), any::<Vec<u8>>()), 1..4);
    let anything = prop_oneof![
        any::<Vec<u8>>(),
        frames.prop_map(|frames| {
            let mut bytes = Vec::new();
            for (kind, header, payload) in &frames {
                // The header without its length, as any bytes would be.
                let mut frame = frame::encode_raw(Kind::ALL[*kind], &(), payload, MAX_FRAME).unwrap();
                let length = u32::try_from(frame.len() - 4 + header.len()).unwrap();
                frame[..4].copy_from_slice(&length.to_le_bytes());
                frame[5..7].copy_from_slice(&u16::try_from(header.len()).unwrap().to_le_bytes());
                frame.splice(7..7, header.iter().copied());
                bytes.extend(frame);
            }
            bytes
        })
    ];
    let mut runner = TestRunner::deterministic();
    for _ in 0..64 {
        let bytes = anything.new_tree(&mut runner).unwrap().current();
        let mut stream = inside(&cluster, &evil, "evil/volume", address).await;
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
    }
    until("the last is gone", || {
        !is_connected(&listener.router, "evil/volume")
    })
    .await;
    assert!(is_connected(&listener.router, "good/volume"));
    assert!(listener.router.healthy());
    assert_eq!(seen.count(), 0);
}
