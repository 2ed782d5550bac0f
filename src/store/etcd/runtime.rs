//! Where the engine runs, and the connections below its calls. In one place, so that a simulation can put its network and its
//! clock there; everything above is the same.

use tonic::transport::{Channel, Endpoint};

use crate::store::StoreError;

/// The engine's tasks.
pub(super) struct Running {
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    /// Runs this on a thread with a runtime of its own. If that cannot be made, the future is dropped.
    ///
    /// # Errors
    /// If there is no thread.
    #[cfg(not(feature = "sim"))]
    pub(super) fn start<F: Future<Output = ()>>(
        engine: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Self, StoreError> {
        let body = move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(engine()),
            Err(error) => tracing::error!(%error, "there is no runtime for etcd"),
        };
        let thread = std::thread::Builder::new()
            .name("store-etcd".to_owned())
            .spawn(body)
            .map_err(|error| StoreError::new("a thread for etcd").caused_by(error))?;
        Ok(Self { thread: Some(thread) })
    }

    /// Runs this on the simulated node.
    ///
    /// # Errors
    /// None.
    #[cfg(feature = "sim")]
    pub(super) fn start<F: Future<Output = ()> + 'static>(
        engine: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Self, StoreError> {
        tokio::task::spawn_local(engine());
        Ok(Self { thread: None })
    }

    /// Waits until the tasks have ended.
    pub(super) fn join(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of etcd had ended");
        }
    }
}

/// A connection that is made when it is needed.
#[cfg(not(feature = "sim"))]
pub(super) fn channel(endpoint: &Endpoint) -> Channel {
    endpoint.connect_lazy()
}

#[cfg(feature = "sim")]
pub(super) use simulated::channel;

#[cfg(feature = "sim")]
mod simulated {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use hyper_util::rt::TokioIo;
    use tonic::codegen::Service;
    use tonic::codegen::http::Uri;
    use turmoil::net::TcpStream;

    use super::{Channel, Endpoint};
    use crate::tasks;

    /// For how long cancelled calls are remembered: real time, which must not matter.
    const REMEMBER: Duration = Duration::from_secs(1_000_000);

    /// A connection over the simulated network.
    pub(in super::super) fn channel(endpoint: &Endpoint) -> Channel {
        endpoint
            .clone()
            .http2_reset_stream_duration(REMEMBER)
            .executor(OnTheNode)
            .connect_with_connector_lazy(Connector)
    }

    type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

    #[derive(Clone)]
    struct OnTheNode;

    impl hyper::rt::Executor<Task> for OnTheNode {
        fn execute(&self, task: Task) {
            tasks::spawn(task);
        }
    }

    #[derive(Clone)]
    struct Connector;

    impl Service<Uri> for Connector {
        type Response = TokioIo<TcpStream>;
        type Error = io::Error;
        type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, uri: Uri) -> Self::Future {
            Box::pin(async move {
                let authority = uri
                    .authority()
                    .ok_or_else(|| io::Error::other("an endpoint without a host"))?;
                TcpStream::connect(authority.as_str()).await.map(TokioIo::new)
            })
        }
    }
}
