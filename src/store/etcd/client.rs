//! Calls of etcd's API: several endpoints, TLS, user and password, and what a failure says about the effect of a call.
//!
//! Each call is one attempt at one endpoint, with a time limit of its own; what is repeated, and where, is decided by the callers,
//! who know whether that is safe.

use std::error::Error as _;
use std::future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use parking_lot::Mutex;
use prost::Message;
use tokio::time::{Instant, sleep, timeout};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::EtcdOptions;
use super::proto::{
    AuthenticateRequest, AuthenticateResponse, CompactionRequest, CompactionResponse, DeleteRangeRequest,
    DeleteRangeResponse, Header, Member, MemberListRequest, MemberListResponse, RangeRequest, RangeResponse,
    StatusRequest, StatusResponse, TxnRequest, TxnResponse, WatchCreateRequest, WatchRequest, WatchResponse,
    WatchUnion,
};
use super::runtime;
use crate::store::StoreError;

/// How often a connection with open calls is tested, and how long the answer may take. etcd closes connections that are tested
/// more often than each 5 s (`--grpc-keepalive-min-time`).
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(3));

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);

/// The begin of the text for a call that was not sent.
const CLOSED: &str = "the connection is closed";

/// How long to wait before a call is repeated at the next endpoint.
const BEFORE_NEXT: Duration = Duration::from_millis(50);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The database is full; nothing was changed.
    #[error("etcd's database is full: {0}")]
    NoSpace(String),
    /// The history from the requested revision on is gone.
    #[error("the requested revision is compacted")]
    Compacted,
    /// It cannot be done at present; nothing was changed.
    #[error("{0}")]
    NotNow(String),
    /// It is refused, and will be again; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// It may have been done.
    #[error("{0}")]
    Unknown(String),
}

impl CallError {
    fn of(status: &Status, url: &str) -> Self {
        let message = status.message();
        let text = format!("{url}: {message}");
        let is = |part: &str| message.contains(part);
        if is("database space exceeded") {
            return Self::NoSpace(text);
        }
        if is("has been compacted") {
            return Self::Compacted;
        }
        if is("no leader")
            || is("too many requests")
            || is("not capable")
            || is(CLOSED)
            || is_unconnected(status)
        {
            return Self::NotNow(match status.source() {
                Some(source) => format!("{text}: {}", deepest(source)),
                None => text,
            });
        }
        match status.code() {
            Code::InvalidArgument
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::Unimplemented => Self::Refused(text),
            _ => Self::Unknown(text),
        }
    }

    /// The error of a store for a call that changes nothing.
    pub(super) fn of_read(self, what: &str) -> StoreError {
        match self {
            Self::Refused(text) => StoreError::new(format!("{what}: etcd refuses it: {text}")),
            other => StoreError::unavailable(format!("{what}: {other}")),
        }
    }
}

/// Whether the call was not sent because there was no connection.
fn is_unconnected(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Responses with a header, which has the id of the cluster.
pub(super) trait Headed: Message + Default + 'static {
    fn header(&self) -> Option<&Header>;
}

macro_rules! headed {
    ($($response:ident)+) => {
        $(impl Headed for $response {
            fn header(&self) -> Option<&Header> {
                self.header.as_ref()
            }
        })+
    };
}

headed! {
    RangeResponse DeleteRangeResponse TxnResponse CompactionResponse StatusResponse MemberListResponse AuthenticateResponse
}

/// The connections to all endpoints.
pub(super) struct Client {
    endpoints: Vec<(String, Channel)>,
    /// The endpoint that answered last.
    preferred: AtomicUsize,
    user: Option<(String, String)>,
    token: Mutex<Option<MetadataValue<Ascii>>>,
    /// The cluster that all members must belong to; 0 until it is known.
    cluster: AtomicU64,
    attempt: Duration,
}

impl Client {
    /// Connections are made when they are needed.
    pub(super) fn new(options: &EtcdOptions) -> Result<Self, StoreError> {
        let tls = tls(options)?;
        let mut endpoints = Vec::new();
        for url in &options.endpoints {
            let bad = |error: tonic::transport::Error| {
                StoreError::new(format!("the endpoint {url}: {}", deepest(&error)))
            };
            let mut endpoint = Endpoint::from_shared(url.clone())
                .map_err(bad)?
                .connect_timeout(CONNECT)
                .http2_keep_alive_interval(KEEP_ALIVE.0)
                .keep_alive_timeout(KEEP_ALIVE.1)
                .tcp_nodelay(true)
                .initial_stream_window_size(4 * 1024 * 1024)
                .initial_connection_window_size(8 * 1024 * 1024);
            if url.starts_with("https://") {
                endpoint = endpoint.tls_config(tls.clone()).map_err(bad)?;
            }
            endpoints.push((url.clone(), runtime::channel(&endpoint)));
        }
        if endpoints.is_empty() {
            return Err(StoreError::new("etcd has no endpoints"));
        }
        Ok(Self {
            endpoints,
            preferred: AtomicUsize::new(0),
            user: options.user.clone(),
            token: Mutex::default(),
            cluster: AtomicU64::new(0),
            attempt: options.attempt(),
        })
    }

    /// The number of endpoints.
    pub(super) fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// The cluster of all members; 0 if it is not known yet.
    pub(super) fn cluster(&self) -> u64 {
        self.cluster.load(Ordering::Relaxed)
    }

    /// The endpoint that answered last.
    pub(super) fn preferred(&self) -> usize {
        self.preferred.load(Ordering::Relaxed)
    }

    /// Makes the endpoint after this one the preferred one, unless another already is.
    pub(super) fn prefer_next(&self, at: usize) {
        let next = (at + 1) % self.endpoints.len();
        let _ = self
            .preferred
            .compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) fn url(&self, at: usize) -> &str {
        &self.endpoints[at].0
    }

    /// One attempt of a transaction.
    pub(super) async fn txn(&self, request: TxnRequest) -> Result<TxnResponse, CallError> {
        let at = self.preferred();
        let result = self.once("/etcdserverpb.KV/Txn", request, at).await;
        if let Err(CallError::NotNow(_) | CallError::Unknown(_)) = &result {
            self.prefer_next(at);
        }
        result
    }

    /// A linearizable read, repeated until the deadline.
    pub(super) async fn range(
        &self,
        request: RangeRequest,
        deadline: Instant,
    ) -> Result<RangeResponse, CallError> {
        self.repeated("/etcdserverpb.KV/Range", request, deadline).await
    }

    /// Removes history; repeating it is harmless.
    pub(super) async fn compact(&self, revision: i64, deadline: Instant) -> Result<(), CallError> {
        let request = CompactionRequest { revision };
        let compacted: Result<CompactionResponse, CallError> =
            self.repeated("/etcdserverpb.KV/Compact", request, deadline).await;
        match compacted {
            Ok(_) | Err(CallError::Compacted) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Deletes a range of keys; repeating it is harmless.
    pub(super) async fn delete_range(
        &self,
        key: Vec<u8>,
        range_end: Vec<u8>,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let request = DeleteRangeRequest { key, range_end };
        let deleted: Result<DeleteRangeResponse, CallError> = self
            .repeated("/etcdserverpb.KV/DeleteRange", request, deadline)
            .await;
        deleted.map(drop)
    }

    /// The version and size of one member.
    pub(super) async fn status(&self, at: usize) -> Result<StatusResponse, CallError> {
        self.once("/etcdserverpb.Maintenance/Status", StatusRequest {}, at)
            .await
    }

    /// The members of the cluster, as one of them knows them.
    pub(super) async fn members(&self, deadline: Instant) -> Result<Vec<Member>, CallError> {
        let list: MemberListResponse = self
            .repeated("/etcdserverpb.Cluster/MemberList", MemberListRequest {}, deadline)
            .await?;
        Ok(list.members)
    }

    /// Begins a watch at one endpoint.
    pub(super) async fn watch(
        &self,
        create: WatchCreateRequest,
        at: usize,
    ) -> Result<Streaming<WatchResponse>, CallError> {
        let create = WatchRequest {
            union: Some(WatchUnion::Create(create)),
        };
        for is_second in [false, true] {
            // The stream of requests stays open as long as the watch.
            let requests = stream::once(future::ready(create.clone())).chain(stream::pending());
            let (url, channel) = &self.endpoints[at];
            let request = self.request(requests, at).await?;
            let opening = async {
                let mut client = Grpc::new(channel.clone()).max_decoding_message_size(usize::MAX);
                client.ready().await.map_err(|error| unready(&error))?;
                let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
                let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
                client.streaming(request, path, codec).await
            };
            match timeout(self.attempt, opening).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) if !is_second && self.must_log_in_again(&status) => {}
                Ok(Err(status)) => return Err(CallError::of(&status, url)),
                Err(_) => return Err(CallError::NotNow(format!("{url}: no answer in time"))),
            }
        }
        Err(CallError::Refused("the password is refused".to_owned()))
    }

    /// A call that may be repeated: at one endpoint after the other, until the deadline.
    async fn repeated<Q, R>(&self, path: &'static str, request: Q, deadline: Instant) -> Result<R, CallError>
    where
        Q: Message + Clone + Default + 'static,
        R: Headed,
    {
        loop {
            let at = self.preferred();
            let limited = tokio::time::timeout_at(deadline, self.once(path, request.clone(), at));
            let error = match limited.await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error @ (CallError::NotNow(_) | CallError::Unknown(_)))) => error,
                Ok(Err(error)) => return Err(error),
                Err(_) => CallError::NotNow(format!("{}: no answer in time", self.url(at))),
            };
            self.prefer_next(at);
            if Instant::now() + BEFORE_NEXT >= deadline {
                return Err(error);
            }
            sleep(BEFORE_NEXT).await;
        }
    }

    /// One attempt at one endpoint, with a new login if the token is not valid any more.
    async fn once<Q, R>(&self, path: &'static str, request: Q, at: usize) -> Result<R, CallError>
    where
        Q: Message + Clone + Default + 'static,
        R: Headed,
    {
        let url = self.url(at);
        for is_second in [false, true] {
            let sent = self.request(request.clone(), at).await?;
            match timeout(self.attempt, self.unary(path, sent, at)).await {
                Ok(Ok(response)) => return self.of_this_cluster(response, url),
                // It was refused before it was done.
                Ok(Err(status)) if !is_second && self.must_log_in_again(&status) => {}
                Ok(Err(status)) => return Err(CallError::of(&status, url)),
                Err(_) => return Err(CallError::Unknown(format!("{url}: no answer in time"))),
            }
        }
        Err(CallError::Refused("the password is refused".to_owned()))
    }

    async fn unary<Q, R>(&self, path: &'static str, request: Request<Q>, at: usize) -> Result<R, Status>
    where
        Q: Message + 'static,
        R: Message + Default + 'static,
    {
        let channel = self.endpoints[at].1.clone();
        let mut client = Grpc::new(channel).max_decoding_message_size(usize::MAX);
        client.ready().await.map_err(|error| unready(&error))?;
        let path = PathAndQuery::from_static(path);
        let response = client.unary(request, path, ProstCodec::default()).await?;
        Ok(response.into_inner())
    }

    /// Adds what each request carries: the token, and that a member without a leader refuses at once.
    async fn request<Q>(&self, message: Q, at: usize) -> Result<Request<Q>, CallError> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("hasleader", MetadataValue::from_static("true"));
        if let Some((name, password)) = &self.user {
            let known = self.token.lock().clone();
            let token = match known {
                Some(token) => token,
                None => self.log_in(name, password, at).await?,
            };
            metadata.insert("token", token);
        }
        Ok(request)
    }

    async fn log_in(&self, name: &str, password: &str, at: usize) -> Result<MetadataValue<Ascii>, CallError> {
        let request = Request::new(AuthenticateRequest {
            name: name.to_owned(),
            password: password.to_owned(),
        });
        let asked = self.unary("/etcdserverpb.Auth/Authenticate", request, at);
        let response: AuthenticateResponse = match timeout(self.attempt, asked).await {
            Ok(Ok(response)) => response,
            // A login changes nothing.
            Ok(Err(status)) => {
                return Err(match CallError::of(&status, self.url(at)) {
                    CallError::Unknown(text) => CallError::NotNow(text),
                    other => other,
                });
            }
            Err(_) => return Err(CallError::NotNow(format!("{}: no answer in time", self.url(at)))),
        };
        let token: MetadataValue<Ascii> = response
            .token
            .parse()
            .map_err(|_| CallError::Refused("the token is not text".to_owned()))?;
        *self.token.lock() = Some(token.clone());
        Ok(token)
    }

    /// Whether a call was refused because the token is not valid any more; the token is forgotten then.
    fn must_log_in_again(&self, status: &Status) -> bool {
        let message = status.message();
        let is_over = self.user.is_some()
            && (message.contains("invalid auth token")
                || message.contains("revision in header is old")
                || message.contains("user name is empty"));
        if is_over {
            *self.token.lock() = None;
        }
        is_over
    }

    fn of_this_cluster<R: Headed>(&self, response: R, url: &str) -> Result<R, CallError> {
        let Some(header) = response.header().filter(|header| header.cluster_id != 0) else {
            return Ok(response);
        };
        let known = self
            .cluster
            .compare_exchange(0, header.cluster_id, Ordering::Relaxed, Ordering::Relaxed);
        match known {
            Err(known) if known != header.cluster_id => {
                tracing::error!(
                    url,
                    expected = format!("{known:x}"),
                    found = format!("{:x}", header.cluster_id),
                    "an endpoint belongs to another cluster of etcd; it is not used. Correct store.etcd_endpoints"
                );
                Err(CallError::Unknown(format!("{url} belongs to another cluster")))
            }
            _ => Ok(response),
        }
    }
}

fn unready(error: &tonic::transport::Error) -> Status {
    Status::unavailable(format!("{CLOSED}: {}", deepest(error)))
}

fn tls(options: &EtcdOptions) -> Result<ClientTlsConfig, StoreError> {
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| StoreError::new(format!("{}", path.display())).caused_by(error))
    };
    let mut tls = ClientTlsConfig::new().timeout(CONNECT);
    tls = match &options.ca_file {
        Some(path) => tls.ca_certificate(Certificate::from_pem(read(path)?)),
        None => tls.with_native_roots(),
    };
    if let Some((certificate, key)) = &options.certificate {
        tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(tls)
}
