//! One member: a server on the simulated network. Each call of this file is one life of it.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::Request;
use prost::Message;
use pumice::sim;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use turmoil::net::{TcpListener, TcpStream};

use super::grpc::{self, Gone};
use super::model::{Refusal, UNAVAILABLE, is_deletion};
use super::proto::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, Header, RangeRequest,
    RangeResponse, StatusRequest, StatusResponse, TxnRequest, WatchCreateRequest, WatchRequest,
    WatchResponse, WatchUnion,
};
use super::{Etcd, PORT, now};

const CLUSTER: u64 = 0xc1;

/// How long a member without a majority waits for one before it says that it has no leader,
const ELECTION: Duration = Duration::from_secs(1);
/// and for a request that it has begun.
const REQUEST: Duration = Duration::from_secs(7);

const NO_LEADER: Refusal = Refusal {
    code: UNAVAILABLE,
    message: "etcdserver: no leader",
};
const TIMED_OUT: Refusal = Refusal {
    code: UNAVAILABLE,
    message: "etcdserver: request timed out",
};
const LEADER_CHANGED: Refusal = Refusal {
    code: UNAVAILABLE,
    message: "etcdserver: leader changed",
};
const TOO_MANY: Refusal = Refusal {
    code: 8,
    message: "etcdserver: too many requests",
};
const UNIMPLEMENTED: Refusal = Refusal {
    code: 12,
    message: "unknown service",
};

/// The other members notice when it ends.
struct Runs(Rc<Etcd>, usize);

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.members[self.1].runs.set(false);
        self.0.wake();
    }
}

pub async fn member(etcd: Rc<Etcd>, at: usize) -> turmoil::Result {
    etcd.members[at].runs.set(true);
    etcd.wake();
    let _runs = Runs(Rc::clone(&etcd), at);
    let mut rng = sim::seeded().expect("a simulation is seeded");
    let listener = TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, PORT)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let member = Connection {
            etcd: Rc::clone(&etcd),
            at,
            cut: Rc::default(),
        };
        tokio::task::spawn_local(member.serve(stream, rng.random()));
    }
}

/// What the requests of a connection share.
#[derive(Clone)]
struct Connection {
    etcd: Rc<Etcd>,
    at: usize,
    /// It is to break.
    cut: Rc<Notify>,
}

/// What a request came to.
enum Came<R> {
    Answered(Result<R, Refusal>),
    /// The connection stays, without an answer.
    Silent,
    Cut,
}

impl Connection {
    async fn serve(self, stream: TcpStream, seed: u64) {
        let mut rng: StdRng = rand::SeedableRng::seed_from_u64(seed);
        let mut builder = h2::server::Builder::new();
        // In real time, which must not matter.
        builder.reset_stream_duration(Duration::from_secs(1_000_000));
        let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
            return;
        };
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.cut.notified() => return,
                accepted = connection.accept() => accepted,
            };
            let Some(Ok((request, respond))) = accepted else {
                return;
            };
            let (member, seed) = (self.clone(), rng.random());
            tokio::task::spawn_local(async move {
                // A caller that is gone needs no answer.
                let _: Result<(), Gone> = member.handle(request, respond, seed).await;
            });
        }
    }

    async fn handle(
        self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        seed: u64,
    ) -> Result<(), Gone> {
        let rng: StdRng = rand::SeedableRng::seed_from_u64(seed);
        let (head, mut body) = request.into_parts();
        let path = head.uri.path();
        match path {
            "/etcdserverpb.KV/Range" => {
                let range = |member: &Self, request: &RangeRequest| member.range(request);
                self.unary(&mut body, &mut respond, rng, range).await
            }
            "/etcdserverpb.KV/Txn" => {
                let txn = |member: &Self, request: &TxnRequest| {
                    let mut answer = member.etcd.txn(request)?;
                    answer.header = Some(member.header());
                    Ok(answer)
                };
                self.unary(&mut body, &mut respond, rng, txn).await
            }
            "/etcdserverpb.KV/Compact" => {
                let compact = |member: &Self, request: &CompactionRequest| {
                    member.etcd.model.borrow_mut().compact(request.revision, true)?;
                    member.etcd.count("compactions");
                    member.etcd.wake();
                    Ok(CompactionResponse {
                        header: Some(member.header()),
                    })
                };
                self.unary(&mut body, &mut respond, rng, compact).await
            }
            "/etcdserverpb.KV/DeleteRange" => {
                let delete = |member: &Self, request: &DeleteRangeRequest| {
                    member.etcd.model.borrow_mut().delete_range(request, now());
                    member.etcd.wake();
                    Ok(DeleteRangeResponse {
                        header: Some(member.header()),
                    })
                };
                self.unary(&mut body, &mut respond, rng, delete).await
            }
            "/etcdserverpb.Maintenance/Status" => {
                let _: Option<StatusRequest> = grpc::receive(&mut body).await;
                let status = StatusResponse {
                    header: Some(self.header()),
                    version: "3.4.23".to_owned(),
                    db_size: 1 << 20,
                    leader: 1,
                    ..StatusResponse::default()
                };
                grpc::answer(&mut respond, &status)
            }
            "/etcdserverpb.Watch/Watch" => {
                let request: Option<WatchRequest> = grpc::receive(&mut body).await;
                let Some(WatchUnion::Create(create)) = request.and_then(|request| request.union) else {
                    return Ok(());
                };
                let mut stream = grpc::begin(&mut respond)?;
                self.watch(&create, &mut stream, rng).await
            }
            _ => grpc::refuse(&mut respond, UNIMPLEMENTED),
        }
    }

    fn header(&self) -> Header {
        Header {
            cluster_id: CLUSTER,
            member_id: self.at as u64 + 1,
            revision: self.etcd.model.borrow().revision,
        }
    }

    fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Refusal> {
        let mut answer = self.etcd.model.borrow().range(request)?;
        answer.header = Some(self.header());
        Ok(answer)
    }

    /// True once it has a majority; false if it has none in time.
    async fn majority(&self, within: Duration) -> bool {
        let mut changed = self.etcd.changed.subscribe();
        let waiting = async {
            while !self.etcd.has_majority(self.at) {
                // The sender outlives all members.
                let _ = changed.changed().await;
            }
        };
        timeout(within, waiting).await.is_ok()
    }

    async fn unary<Q, R>(
        &self,
        body: &mut RecvStream,
        respond: &mut SendResponse<Bytes>,
        rng: StdRng,
        apply: impl Fn(&Self, &Q) -> Result<R, Refusal>,
    ) -> Result<(), Gone>
    where
        Q: Message + Default,
        R: Message,
    {
        let Some(request) = grpc::receive::<Q>(body).await else {
            return Ok(());
        };
        match self.attempt(&request, rng, apply).await {
            Came::Answered(Ok(answer)) => grpc::answer(respond, &answer),
            Came::Answered(Err(refusal)) => grpc::refuse(respond, refusal),
            Came::Silent => std::future::poll_fn(|context| respond.poll_reset(context))
                .await
                .map(drop)
                .map_err(Gone::from),
            Came::Cut => {
                self.cut.notify_one();
                Ok(())
            }
        }
    }

    async fn attempt<Q, R>(
        &self,
        request: &Q,
        mut rng: StdRng,
        apply: impl Fn(&Self, &Q) -> Result<R, Refusal>,
    ) -> Came<R> {
        let rates = self.etcd.rates.get();
        let mut happens = |per_mille: u32| rng.random_range(0..1000) < per_mille;
        let (is_refused, is_slow, is_lost) = (
            happens(rates.refused),
            happens(rates.slow_per_mille),
            happens(rates.lost_reply),
        );
        if is_refused {
            self.etcd.count("requests refused");
            return Came::Answered(Err(TOO_MANY));
        }
        if !self.majority(ELECTION).await {
            self.etcd.count("requests without a leader");
            return Came::Answered(Err(NO_LEADER));
        }
        let longest = if is_slow {
            rates.slow
        } else {
            Duration::from_millis(3)
        };
        sleep(rng.random_range(Duration::ZERO..=longest)).await;
        if !self.etcd.has_majority(self.at) {
            // It was begun, and is done by the next majority, or by none. Its caller may have given up long ago.
            let is_kept = rng.random_bool(0.5);
            let begun = Instant::now();
            if !is_kept || !self.majority(10 * REQUEST).await {
                sleep(REQUEST.saturating_sub(begun.elapsed())).await;
                self.etcd.count("requests that were lost");
                return Came::Answered(Err(TIMED_OUT));
            }
            self.etcd.count("requests done by the next majority");
        }
        let answer = apply(self, request);
        if is_lost {
            self.etcd.count("replies lost");
            return match rng.random_range(0..4) {
                0 => Came::Answered(Err(TIMED_OUT)),
                1 => Came::Answered(Err(LEADER_CHANGED)),
                2 => Came::Silent,
                _ => Came::Cut,
            };
        }
        if is_slow {
            self.etcd.count("slow requests");
            sleep(rng.random_range(Duration::ZERO..=longest)).await;
        }
        Came::Answered(answer)
    }

    /// Sends what happens, as far as this member has it.
    async fn watch(
        &self,
        create: &WatchCreateRequest,
        stream: &mut SendStream<Bytes>,
        mut rng: StdRng,
    ) -> Result<(), Gone> {
        let mut changed = self.etcd.changed.subscribe();
        let created = WatchResponse {
            header: Some(self.header()),
            ..WatchResponse::default()
        };
        grpc::send(stream, &created)?;
        let mut next = create.start_revision;
        // One that begins behind a compaction reads what is left of the history.
        let reads_history_from = self.etcd.model.borrow().compacted;
        loop {
            if !self.majority(ELECTION).await {
                return grpc::end(stream, Some(NO_LEADER));
            }
            changed.borrow_and_update();
            let lag = self.etcd.members[self.at].lag.get();
            let (compacted, is_by_engine) = {
                let model = self.etcd.model.borrow();
                (model.compacted, model.is_compacted_by_engine)
            };
            if next < compacted {
                self.etcd.count("watches behind a compaction");
                let cancelled = WatchResponse {
                    header: Some(self.header()),
                    canceled: true,
                    compact_revision: compacted,
                    ..WatchResponse::default()
                };
                grpc::send(stream, &cancelled)?;
                return grpc::end(stream, None);
            }
            let (mut events, mut due) = (Vec::new(), None);
            for (revision, changes) in self.etcd.model.borrow().log.range(next..) {
                let visible = changes.at + lag;
                if visible > now() {
                    due = Some(visible - now());
                    break;
                }
                // A slow watch reads history, too. No client can do something about that if others compact.
                let reads_history = compacted == reads_history_from || (is_by_engine && !lag.is_zero());
                let is_history = *revision == compacted && reads_history;
                let kept = changes.events.iter().filter(|event| {
                    let is_lost = is_history && is_deletion(event);
                    if is_lost {
                        self.etcd.count("deletions missing in a watch");
                    }
                    !is_lost
                });
                events.extend(kept.cloned());
                next = revision + 1;
            }
            if !events.is_empty() {
                if !lag.is_zero() {
                    self.etcd.count("late events");
                }
                let rest = match rng.random_bool(0.1) {
                    true => events.split_off(rng.random_range(0..events.len())),
                    false => Vec::new(),
                };
                let mut response = WatchResponse {
                    header: Some(self.header()),
                    fragment: !rest.is_empty(),
                    events,
                    ..WatchResponse::default()
                };
                grpc::send(stream, &response)?;
                if response.fragment {
                    (response.fragment, response.events) = (false, rest);
                    grpc::send(stream, &response)?;
                }
            }
            let later = due.unwrap_or(Duration::from_secs(3600));
            tokio::select! {
                biased;
                reset = std::future::poll_fn(|context| stream.poll_reset(context)) => {
                    return reset.map(drop).map_err(Gone::from);
                }
                // The sender outlives all members.
                _ = changed.changed() => {}
                () = sleep(later) => {}
            }
        }
    }
}
