//! HTTPS: what clients see of it, and a certificate that is replaced.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pumice::web::connection::Patience;
use pumice::web::server::{self, ServerOptions};
use pumice::web::tls::{Certificate, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::House;
use crate::web_support::loopback;

struct Made {
    pem: String,
    served: Certificate,
}

fn made() -> Made {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    Made {
        pem: made.cert.pem(),
        served: Certificate::read(&certificate, &key).unwrap(),
    }
}

/// A client that trusts one certificate.
fn client(pem: &str) -> awc::Client {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    awc::Client::builder()
        .connector(awc::Connector::new().rustls_0_23(Arc::new(config)))
        .finish()
}

#[actix_web::test]
async fn https_is_served_and_a_new_certificate_is_for_new_connections() {
    let house = House::build_deaf().await;
    let (first, second) = (made(), made());
    let tls = Tls::new(first.served.clone());
    let options = ServerOptions {
        tls: Some(tls.clone()),
        patience: Patience {
            client_timeout: Duration::from_millis(300),
            ..loopback().patience
        },
        ..loopback()
    };
    let (server, addresses) = server::run(&options, house.site.clone()).unwrap();
    let handle = server.handle();
    actix_rt::spawn(server);
    let address = addresses[0];
    let url = format!("https://{address}/v3/");
    let get = async |client: &awc::Client| {
        let mut answer = client.get(&url).send().await.ok()?;
        Some(String::from_utf8(answer.body().await.unwrap().to_vec()).unwrap())
    };
    let of_first = client(&first.pem);
    let versions = get(&of_first).await.unwrap();
    assert!(
        versions.contains(&format!("\"href\":\"{url}\"")),
        "links are HTTPS: {versions}"
    );
    assert!(get(&client(&second.pem)).await.is_none());

    tls.replace(second.served.clone());
    assert!(get(&client(&second.pem)).await.is_some());
    assert!(get(&client(&first.pem)).await.is_none());
    assert!(get(&of_first).await.is_some(), "its connection goes on");

    // Plain HTTP gets no answer, and a handshake that does not go on is ended.
    for sent in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"", b"\x16\x03\x01"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let (begun, mut got) = (Instant::now(), Vec::new());
        let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut got))
            .await
            .expect("the connection is closed");
        assert!(!got.starts_with(b"HTTP"), "{got:?} after {:?}", begun.elapsed());
    }
    handle.stop(false).await;
}
