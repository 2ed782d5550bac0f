//! A TCP proxy between a node and a member, which loses replies or cuts connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const PASS: u8 = 0;
const SWALLOW: u8 = 1;
const REFUSE: u8 = 2;

pub struct Proxy {
    pub endpoint: String,
    mode: Arc<AtomicU8>,
    cut: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut.notify_waiters();
    }
}

impl Proxy {
    /// Passes everything to this server.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mode = Arc::new(AtomicU8::new(PASS));
        let cut = Arc::new(Notify::new());
        let (of_task, cut_of_task) = (Arc::clone(&mode), Arc::clone(&cut));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if of_task.load(Ordering::SeqCst) == REFUSE {
                    continue;
                }
                let (mode, cut) = (Arc::clone(&of_task), Arc::clone(&cut_of_task));
                tokio::spawn(async move {
                    tokio::select! {
                        () = connect(client, server, mode) => {}
                        () = cut.notified() => {}
                    }
                });
            }
        });
        Self {
            endpoint,
            mode,
            cut,
            task,
        }
    }

    /// Replies are lost from now on; requests still arrive.
    pub fn swallow_replies(&self) {
        self.mode.store(SWALLOW, Ordering::SeqCst);
    }

    /// Ends all connections, and refuses new ones.
    pub fn cut(&self) {
        self.mode.store(REFUSE, Ordering::SeqCst);
        self.cut.notify_waiters();
    }

    /// Ends all connections, and passes everything on new ones.
    pub fn pass(&self) {
        self.mode.store(PASS, Ordering::SeqCst);
        self.cut.notify_waiters();
    }
}

async fn connect(client: TcpStream, server: SocketAddr, mode: Arc<AtomicU8>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read) = from_client.read(&mut buffer).await {
            if read == 0 || to_server.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    let replies = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read) = from_server.read(&mut buffer).await {
            if read == 0 {
                return;
            }
            if mode.load(Ordering::SeqCst) == PASS && to_client.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = requests => {}
        () = replies => {}
    }
}
