//! Limits, measured in the same run: what the libraries below us do when nothing of ours is in the way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::Result;
use pumice::store::{Change, Condition, Key, Store, Transaction};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::calls::Certificates;

/// An actix-web server that answers every request with the same bytes. Its threads are of this process, as a client's would
/// be of a host under load: the comparison is kept fair by running it with the two workers that pumice has.
pub fn http(body: &'static [u8]) -> Result<(SocketAddr, actix_web::dev::ServerHandle)> {
    let server = HttpServer::new(move || {
        App::new().default_service(web::to(move || async move {
            HttpResponse::Ok().content_type("application/json").body(body)
        }))
    })
    .workers(2)
    .bind(("127.0.0.1", 0))?;
    let address = server.addrs()[0];
    let server = server.disable_signals().run();
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok((address, handle))
}

/// Durable commits per second of a transaction as large as a create's, by `committers` tasks at once.
pub async fn commits(store: Arc<dyn Store>, committers: usize, count: usize) -> Result<f64> {
    let started = Instant::now();
    let each = count / committers;
    let mut tasks = Vec::new();
    for committer in 0..committers {
        let store = store.clone();
        tasks.push(tokio::task::spawn_local(async move {
            for index in 0..each {
                let name = format!("{committer:04}-{index:08}");
                let record = Key(format!("bench/record/{name}").into_bytes());
                let mut transaction = Transaction {
                    conditions: vec![Condition::Absent(record.clone())],
                    changes: vec![Change::Put(record, vec![7; 400])],
                    ceilings: Vec::new(),
                };
                for row in 0..8 {
                    transaction.changes.push(Change::Put(
                        Key(format!("bench/row/{row}/{name}").into_bytes()),
                        vec![],
                    ));
                }
                transaction.changes.push(Change::Put(
                    Key(format!("bench/op/{name}").into_bytes()),
                    vec![7; 200],
                ));
                for counter in 0..4 {
                    let key = Key(format!("bench/count/{counter}").into_bytes());
                    transaction.changes.push(Change::Add { key, delta: 1 });
                }
                store.commit(transaction).await?;
            }
            Ok::<_, anyhow::Error>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    Ok((each * committers) as f64 / started.elapsed().as_secs_f64())
}

/// `fsync`s per second of a growing file in that folder.
pub fn fsyncs(folder: &std::path::Path) -> Result<f64> {
    use std::io::Write;
    let mut file = std::fs::File::create(folder.join("fsync"))?;
    let started = Instant::now();
    let mut count = 0_u32;
    while started.elapsed() < Duration::from_secs(1) {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

/// Round trips per second of `size` bytes each way over loopback TCP, `in_flight` at once on one connection; through TLS if there
/// are certificates.
pub async fn round_trips(
    size: usize,
    in_flight: usize,
    count: usize,
    certificates: Option<&Certificates>,
) -> Result<f64> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (ready, started_at) = tokio::sync::oneshot::channel();
    let acceptor = certificates.map(|of| TlsAcceptor::from(of.0.credentials().server_config()));
    // The other end has a thread of its own, as another node would.
    let listener = listener.into_std()?;
    let echo = std::thread::spawn(move || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let _ = ready.send(());
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            match acceptor {
                Some(acceptor) => echo_all(acceptor.accept(stream).await?).await,
                None => echo_all(stream).await,
            }
        })
    });
    let _ = started_at.await;
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let rate = match certificates {
        Some(of) => {
            let connector = TlsConnector::from(of.1.credentials().client_config());
            let name = rustls::pki_types::ServerName::IpAddress(address.ip().into());
            exchange(connector.connect(name, stream).await?, size, in_flight, count).await?
        }
        None => exchange(stream, size, in_flight, count).await?,
    };
    let _ = echo.join();
    Ok(rate)
}

async fn echo_all(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
        stream.flush().await?;
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    size: usize,
    in_flight: usize,
    count: usize,
) -> Result<f64> {
    let (out, mut back) = (vec![1; size * in_flight], vec![0; size * in_flight]);
    let started = Instant::now();
    for _ in 0..count / in_flight {
        stream.write_all(&out).await?;
        stream.flush().await?;
        stream.read_exact(&mut back).await?;
    }
    let rate = (count / in_flight * in_flight) as f64 / started.elapsed().as_secs_f64();
    stream.shutdown().await?;
    Ok(rate)
}

/// A store of its own, as the service opens its.
pub fn sled(folder: &std::path::Path) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(pumice::store::sled::SledStore::open(
        folder,
        &pumice::store::sled::SledOptions::default(),
    )?))
}
