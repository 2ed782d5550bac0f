//! What someone sees who listens between two nodes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pumice::messages::api::{ApiTopic, ListManageableVolumes};
use pumice::model::Context;
use pumice::model::volume::Secret;
use pumice::transport::{Router, TransportOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::*;
use crate::transport_support::net::connected;

/// Passes connections on, and keeps all bytes of both directions.
async fn recorder(to: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, bytes) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<u8>>>::default());
    let recorded = Arc::clone(&bytes);
    actix_rt::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(to).await.unwrap();
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            for (mut from, mut into) in [(near_in, far_out), (far_in, near_out)] {
                let recorded = Arc::clone(&recorded);
                actix_rt::spawn(async move {
                    let mut buffer = vec![0; 65536];
                    while let Ok(count @ 1..) = from.read(&mut buffer).await {
                        recorded.lock().extend_from_slice(&buffer[..count]);
                        if into.write_all(&buffer[..count]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    (address, bytes)
}

const MARK: &str = "a-text-in-the-message";
const SECRET: &str = "a-long-shared-secret-123";

/// What is seen of a message with the mark.
async fn seen(dialer: &Router, to: SocketAddr, options: TransportOptions) -> Vec<u8> {
    let (address, bytes) = recorder(to).await;
    dialer.join(address.to_string(), options);
    connected(dialer, "ctl/control").await;
    let question = ListManageableVolumes {
        host: MARK.to_owned(),
    };
    let context = Context::internal("capture");
    let _ = dialer
        .any::<ApiTopic>()
        .call(&context, question, Duration::from_secs(10))
        .await;
    let bytes = bytes.lock().clone();
    assert!(bytes.len() > 500);
    bytes
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[actix_rt::test]
async fn a_capture_between_two_nodes_with_tls_shows_nothing_that_they_say() {
    let cluster = Cluster::new();
    let listener = cluster.right(&control());
    serve_control(&listener.router);
    let address = listener.listen().await.local_addr();
    let vol = volume("vol/volume", &["vol@file"]);
    let dialer = cluster.right(&vol);
    let bytes = seen(&dialer.router, address, dialer.options()).await;
    // Not even who talks: certificates are encrypted in TLS 1.3.
    for text in [
        MARK,
        "PUMICE",
        "list_manageable",
        "vol/volume",
        "ctl/control",
        "pumice://",
    ] {
        assert!(!has(&bytes, text), "{text}");
    }

    // The same without TLS: the recorder sees what there is to be seen, and the secret is not sent.
    let with_secret = TransportOptions {
        secret: Some(Secret::new(SECRET)),
        ..options()
    };
    let plain = Router::new("ctl/control");
    serve_control(&plain);
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let address = plain
        .listen(anywhere, with_secret.clone())
        .await
        .unwrap()
        .local_addr();
    let bytes = seen(&Router::new("vol/volume"), address, with_secret).await;
    assert!(has(&bytes, MARK) && has(&bytes, "vol/volume"));
    assert!(!has(&bytes, SECRET));
}
