//! A connection to a broker over TLS, with the settings that all requests of the service have. The TLS that lapin brings has settings of its
//! own, and depends on a library for PKCS #12.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::Stream;
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

/// Connects, and checks the broker's certificate.
///
/// # Errors
/// If the broker cannot be reached, has another certificate, or refuses the connection.
pub(super) async fn connect(
    uri: AMQPUri,
    properties: ConnectionProperties,
    tls: Arc<ClientConfig>,
) -> lapin::Result<Connection> {
    let tokio = Tokio::current();
    let runtime = Runtime::new(RuntimeParts::new(tokio.clone(), Encrypted(tokio)));
    let open = async move |uri: AMQPUri, _: Runtime<RuntimeParts<Tokio, Encrypted>>| {
        Ok(AsyncTcpStream::Plain(open(&uri, &tls).await?))
    };
    Connection::connector(uri, runtime, open, properties).await
}

async fn open(uri: &AMQPUri, tls: &Arc<ClientConfig>) -> io::Result<Compat<TlsStream<TcpStream>>> {
    let host = uri.authority.host.trim_matches(['[', ']']).to_owned();
    let stream = TcpStream::connect((host.as_str(), uri.authority.port)).await?;
    stream.set_nodelay(true)?;
    let name =
        ServerName::try_from(host).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
    Ok(stream.compat())
}

/// tokio, whose streams are encrypted. They are opened by [`connect`]'s own function only.
#[derive(Clone, Debug)]
struct Encrypted(Tokio);

#[expect(refining_impl_trait, reason = "nothing else names these types")]
impl Reactor for Encrypted {
    type TcpStream = Compat<TlsStream<TcpStream>>;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Send + 'static>(&self, _: H) -> io::Result<Self::TcpStream> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, dur: Duration) -> Self::Sleep {
        self.0.sleep(dur)
    }

    fn interval(&self, dur: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(dur)
    }

    fn tcp_connect_addr(&self, _: SocketAddr) -> std::future::Ready<io::Result<Self::TcpStream>> {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
