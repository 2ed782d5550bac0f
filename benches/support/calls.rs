//! Actor calls between two nodes over loopback TCP, by the transport that the service uses.

use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use pumice::messages::api::{ApiTopic, BackendVolume, ListBackendVolumes};
use pumice::model::{BackendName, Context, Error};
use pumice::transport::serve::EndpointBuilder;
use pumice::transport::{Actor, Router, Serve, TransportOptions};

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

/// Calls per second with `in_flight` at once, and the bytes of each.
pub async fn round_trips(in_flight: usize, count: usize) -> Result<(f64, usize)> {
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
            let listener = router.listen(([127, 0, 0, 1], 0).into(), open_options()).await;
            let _ = tell.send(listener.as_ref().map(|listener| listener.local_addr()).ok());
            let _ = stopped.await;
        });
    });
    let address = told.recv()?.context("the other node does not listen")?;
    let router = Router::new("client");
    let _peer = router.join(address.to_string(), open_options());
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

/// The nodes of a measurement have no roles.
fn open_options() -> TransportOptions {
    TransportOptions {
        trusts_every_peer: true,
        ..TransportOptions::default()
    }
}
