//! How long a call takes: in this process, and over TCP to another node on this machine, one at a time and many at once.
//!
//! `cargo run --release --example transport_round_trips [SECONDS]`. Each node has a thread of its own. One line of JSON for
//! each figure, so that a script can compare runs.

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pumice::messages::{Call, Message, Pattern, Topic};
use pumice::model::{Context, Error};
use pumice::transport::{Actor, EndpointBuilder, Handle, Router, Serve, TransportOptions};
use serde::{Deserialize, Serialize};

enum Bench {}

impl Topic for Bench {
    const NAME: &'static str = "bench";
    const VERSIONS: (u16, u16) = (1, 1);
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Echo(Vec<u8>);

impl Message for Echo {
    type To = Bench;
    type Reply = Vec<u8>;
    const NAME: &'static str = "echo";
    const PATTERN: Pattern = Pattern::Call;
    const SINCE: u16 = 1;
}

impl Call for Echo {}

struct Echoer;

impl Actor for Echoer {
    type Topic = Bench;
}

impl Serve<Echo> for Echoer {
    async fn serve(self: Rc<Self>, _: Context, message: Echo) -> Result<Vec<u8>, Error> {
        Ok(message.0)
    }
}

fn node(name: &str) -> Router {
    let router = Router::new(name);
    let endpoint = EndpointBuilder::new(Some(name.to_owned()), 4096, || Rc::new(Echoer));
    router.register(endpoint.serves::<Echo>().start());
    router
}

async fn echo(handle: &Handle<Bench>, context: &Context, bytes: usize) -> Result<Duration, String> {
    let begun = Instant::now();
    let reply = handle
        .call(context, Echo(vec![7; bytes]), Duration::from_secs(10))
        .await;
    let took = begun.elapsed();
    reply.map_err(|error| error.to_string()).map(|_| took)
}

/// Keeps `at_once` calls going for `span`; prints how many there were in a second, and how long they took.
async fn measure(
    place: &str,
    handle: &Handle<Bench>,
    bytes: usize,
    at_once: usize,
    span: Duration,
) -> Result<(), String> {
    let context = Context::internal("bench");
    let mut times = Vec::new();
    let begun = Instant::now();
    let mut going: FuturesUnordered<_> = (0..at_once).map(|_| echo(handle, &context, bytes)).collect();
    while let Some(took) = going.next().await {
        times.push(took?);
        if begun.elapsed() < span {
            going.push(echo(handle, &context, bytes));
        }
    }
    let elapsed = begun.elapsed();
    times.sort_unstable();
    let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1000].as_micros();
    let per_second = u128::try_from(times.len()).unwrap_or(0) * 1_000_000 / elapsed.as_micros().max(1);
    println!(
        "{{\"place\":\"{place}\",\"bytes\":{bytes},\"at_once\":{at_once},\"per_second\":{per_second},\
         \"p50_us\":{},\"p99_us\":{},\"p999_us\":{}}}",
        at(500),
        at(990),
        at(999),
    );
    Ok(())
}

fn main() -> Result<(), String> {
    let seconds = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(3);
    let span = Duration::from_secs(seconds);
    let (tell, address) = std::sync::mpsc::channel::<SocketAddr>();
    std::thread::spawn(move || {
        actix::System::new().block_on(async move {
            let far = node("far");
            let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
            if let Ok(listener) = far.listen(anywhere, open_options()).await {
                let _ = tell.send(listener.local_addr());
                std::future::pending::<()>().await;
            }
        });
    });
    let address = address.recv().map_err(|error| error.to_string())?;
    actix::System::new().block_on(async move {
        let near = node("near");
        near.join(address.to_string(), open_options());
        let context = Context::internal("bench");
        while echo(&near.server("far"), &context, 0).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for (place, server) in [("local", "near"), ("tcp", "far")] {
            for (bytes, at_once) in [(100, 1), (100, 64), (100, 1024), (16 * 1024, 64)] {
                measure(place, &near.server(server), bytes, at_once, span).await?;
            }
        }
        Ok(())
    })
}

/// The nodes of a measurement have no roles.
fn open_options() -> TransportOptions {
    TransportOptions {
        trusts_every_peer: true,
        ..TransportOptions::default()
    }
}
