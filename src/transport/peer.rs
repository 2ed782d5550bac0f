//! One connection to one incarnation of another node, for senders: what it serves, and the unanswered messages.
//!
//! The bytes are moved by [`super::connection`]. Here a message becomes a numbered frame, and its sender receives the
//! answer with that number; or `Lost`, as soon as the connection is closed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::admission::DialedBy;
use super::frame::{self, FrameError, Kind};
use super::header::{Announcement, Failure, Goodbye, Identity, Numbered, Outgoing, ReplyHeader, ReplyStatus};
use super::options::TransportOptions;
use super::outbound::{Outbound, Unsent};
use super::rights::Rights;
use super::tls::NodeCertificate;
use super::{Address, CallError, codec};
use crate::messages::Message;
use crate::model::{Context, Error, NodeIncarnation, Timestamp};
use crate::tasks;

/// How long a dismissed peer may take to read why.
const DISMISSAL: Duration = Duration::from_secs(1);

/// The answer to a message.
#[derive(Debug)]
pub(super) enum Answer {
    /// A cast was queued.
    Accepted,
    /// The reply to a message.
    Reply(ReplyStatus, Bytes),
}

/// Counters of one connection.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub(super) frames_in: AtomicU64,
    pub(super) frames_out: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    /// The round trip of the last ping; 0 before the first.
    pub(super) rtt_micros: AtomicU64,
}

/// A node that has introduced itself, and may become a peer.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) them: Identity,
    pub(super) announcement: Announcement,
    /// With TLS.
    pub(super) certificate: Option<NodeCertificate>,
    pub(super) dialed_by: DialedBy,
    pub(super) remote: String,
}

/// A connection to a peer.
pub(super) struct Peer {
    /// Distinguishes two connections to the same node.
    pub(super) number: u64,
    pub(super) them: Identity,
    /// The same, for the contexts of its messages.
    pub(super) run: Arc<NodeIncarnation>,
    /// With TLS.
    pub(super) certificate: Option<NodeCertificate>,
    pub(super) dialed_by: DialedBy,
    pub(super) remote: String,
    pub(super) since: Timestamp,
    pub(super) options: TransportOptions,
    pub(super) outbound: Outbound,
    pub(super) traffic: Traffic,
    pub(super) closing: CancellationToken,
    pub(super) heard: Mutex<Instant>,
    /// The peer's calls that are not answered yet, by its numbers.
    answering: Mutex<BTreeSet<u64>>,
    answered: Notify,
    announced: RwLock<Arc<Announcement>>,
    rights: RwLock<Arc<Rights>>,
    /// Its messages are no longer taken.
    dismissed: AtomicBool,
    /// It said that it leaves.
    said_goodbye: AtomicBool,
    /// The waiting senders, by this node's numbers; `None` once it is closed.
    waiting: Mutex<Option<BTreeMap<u64, oneshot::Sender<Answer>>>>,
    next: AtomicU64,
    reason: Mutex<Option<String>>,
    /// The largest frame that both sides accept.
    limit: usize,
}

impl Peer {
    pub(super) fn new(
        number: u64,
        candidate: Candidate,
        rights: Rights,
        options: TransportOptions,
    ) -> Arc<Self> {
        let Candidate {
            them,
            announcement,
            certificate,
            dialed_by,
            remote,
        } = candidate;
        let outbound = Outbound::new(options.outbound_messages, options.outbound_bytes);
        let limit = options
            .max_frame
            .min(usize::try_from(them.max_frame).unwrap_or(usize::MAX));
        let run = NodeIncarnation {
            node: them.node.clone(),
            boot: them.incarnation.boot,
            random: them.incarnation.random,
        };
        let peer = Self {
            number,
            them,
            run: Arc::new(run),
            certificate,
            dialed_by,
            remote,
            since: Timestamp::now(),
            options,
            outbound,
            traffic: Traffic::default(),
            closing: CancellationToken::new(),
            heard: Mutex::new(Instant::now()),
            answering: Mutex::default(),
            answered: Notify::new(),
            announced: RwLock::new(Arc::new(announcement)),
            rights: RwLock::new(Arc::new(rights)),
            dismissed: AtomicBool::new(false),
            said_goodbye: AtomicBool::new(false),
            waiting: Mutex::new(Some(BTreeMap::new())),
            next: AtomicU64::new(1),
            reason: Mutex::default(),
            limit,
        };
        Arc::new(peer)
    }

    pub(super) fn announced(&self) -> Arc<Announcement> {
        Arc::clone(&self.announced.read())
    }

    /// Whether its actors of that topic support a message of that version.
    pub(super) fn understands(&self, topic: &str, since: u16) -> bool {
        let versions = self.announced.read().versions(topic);
        versions.is_some_and(|(_, max)| max >= since)
    }

    pub(super) fn announce(&self, announcement: Announcement) {
        *self.announced.write() = Arc::new(announcement);
    }

    /// What it may serve and send.
    pub(super) fn rights(&self) -> Arc<Rights> {
        Arc::clone(&self.rights.read())
    }

    pub(super) fn set_rights(&self, rights: Rights) {
        *self.rights.write() = Arc::new(rights);
    }

    /// Takes no more messages of the peer, says why, and closes the connection.
    pub(super) fn dismiss(self: &Arc<Self>, reason: &str) {
        if self.dismissed.swap(true, Ordering::AcqRel) {
            return;
        }
        self.reason.lock().get_or_insert_with(|| reason.to_owned());
        self.say_goodbye(reason);
        let peer = Arc::clone(self);
        tasks::spawn(async move {
            if tokio::time::timeout(DISMISSAL, peer.closing.cancelled())
                .await
                .is_err()
            {
                peer.close("it did not read in time why it was dismissed");
            }
        });
    }

    /// Whether its messages are no longer taken.
    pub(super) fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Acquire)
    }

    /// Whether it said that it leaves.
    pub(super) fn said_goodbye(&self) -> bool {
        self.said_goodbye.load(Ordering::Acquire)
    }

    pub(super) fn note_goodbye(&self) {
        self.said_goodbye.store(true, Ordering::Release);
    }

    /// How many messages wait for an answer.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.lock().as_ref().map_or(0, BTreeMap::len)
    }

    /// Ends the connection. All waiting senders get `Lost`. The first reason is kept.
    pub(super) fn close(&self, reason: impl Into<String>) {
        self.reason.lock().get_or_insert_with(|| reason.into());
        self.closing.cancel();
        let waiting = self.waiting.lock().take();
        // Outside the lock, since each of them wakes a task.
        drop(waiting);
        // Answers cannot be sent any more; the work itself continues.
        self.answering.lock().clear();
        self.answered.notify_waiters();
    }

    /// The answer that is owed to a call of the peer; `None` if it used the number of a call that is not answered yet.
    pub(super) fn owe(self: &Arc<Self>, id: u64) -> Option<OwedAnswer> {
        self.answering.lock().insert(id).then(|| OwedAnswer {
            peer: Arc::clone(self),
            id,
            is_sent: false,
        })
    }

    /// Sends an owed answer, unless the peer no longer waits for it.
    fn pay(&self, id: u64, answer: impl FnOnce(&Self)) {
        // Held until the answer is queued, so that no goodbye is sent before it.
        let mut answering = self.answering.lock();
        if answering.remove(&id) {
            answer(self);
            if answering.is_empty() {
                self.answered.notify_waiters();
            }
        }
    }

    /// The peer no longer waits for it. The work that was begun continues.
    pub(super) fn cancelled(&self, id: u64) {
        if self.answering.lock().remove(&id) {
            self.answered.notify_waiters();
        }
    }

    /// Waits until all calls of the peer are answered.
    pub(super) async fn all_answered(&self) {
        loop {
            let mut answered = std::pin::pin!(self.answered.notified());
            answered.as_mut().enable();
            if self.answering.lock().is_empty() {
                return;
            }
            answered.await;
        }
    }

    /// Why it was closed.
    pub(super) fn reason(&self) -> String {
        self.reason.lock().clone().unwrap_or_else(|| "open".to_owned())
    }

    /// Sends a goodbye to the peer, and closes the connection once it is written.
    pub(super) fn say_goodbye(&self, reason: &str) {
        let reason = reason.to_owned();
        self.send_always(Kind::Goodbye, &Goodbye { reason });
        self.outbound.end();
    }

    /// Queues a frame without payload that must not be dropped.
    pub(super) fn send_always<H: Serialize>(&self, kind: Kind, header: &H) {
        if let Err(error) = self.queue(kind, header, &()) {
            tracing::error!(peer = self.them.node, ?kind, %error, "a frame could not be written");
        }
    }

    /// The same with a payload.
    pub(super) fn queue<H: Serialize, P: Serialize>(
        &self,
        kind: Kind,
        header: &H,
        payload: &P,
    ) -> Result<(), FrameError> {
        self.outbound
            .send_always(|onto| frame::append(onto, kind, header, payload, self.limit))
    }

    /// Sends a message with a new number; its answer is received by the returned value.
    ///
    /// # Errors
    /// If it was certainly not sent.
    pub(super) fn send<M: Message>(
        self: &Arc<Self>,
        kind: Kind,
        to: &Address,
        context: &Context,
        message: &M,
        remaining_ms: Option<u64>,
    ) -> Result<Awaited, CallError> {
        let versions = self.announced.read().versions(&to.topic);
        if let Some((_, speaks)) = versions
            && speaks < M::SINCE
        {
            return Err(CallError::UnsupportedVersion {
                to: to.clone(),
                speaks,
                needs: M::SINCE,
            });
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let header = Outgoing {
            id,
            to,
            message: M::NAME,
            version: M::SINCE,
            remaining_ms,
            context,
        };
        let (sender, answer) = oneshot::channel();
        match &mut *self.waiting.lock() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(CallError::Unreachable(to.clone())),
        };
        let awaited = Awaited {
            id,
            peer: Arc::clone(self),
            answer,
            cancel: kind == Kind::Call,
        };
        let queued = self
            .outbound
            .send(|onto| frame::append(onto, kind, &header, message, self.limit));
        if let Err(unsent) = queued {
            awaited.forget();
            return Err(match unsent {
                Unsent::Full => CallError::Overloaded(to.clone()),
                Unsent::Frame(FrameError::TooLarge { bytes, limit }) => CallError::TooLarge {
                    to: to.clone(),
                    bytes,
                    limit,
                },
                Unsent::Frame(other) => {
                    CallError::Refused(Error::internal(format!("{} to {to}: {other}", M::NAME)))
                }
            });
        }
        Ok(awaited)
    }

    /// Passes an answer of the peer to the sender. Answers without a waiting sender are dropped.
    pub(super) fn answered(&self, id: u64, answer: Answer) {
        if let Some(sender) = self.take_waiting(id) {
            let _ = sender.send(answer);
        }
    }

    fn take_waiting(&self, id: u64) -> Option<oneshot::Sender<Answer>> {
        self.waiting.lock().as_mut()?.remove(&id)
    }

    /// Tells the peer why a message was not handled.
    pub(super) fn refuse(&self, id: u64, error: CallError) {
        match Failure::from_error(error) {
            Ok(failure) => self.failed(id, failure),
            Err(refused) => self.reply(id, ReplyStatus::Refused, &refused),
        }
    }

    /// Sends a reply, or why it cannot be sent.
    fn reply<P: Serialize>(&self, id: u64, status: ReplyStatus, payload: &P) {
        match self.queue(Kind::Reply, &ReplyHeader { id, status }, payload) {
            Ok(()) => {}
            Err(FrameError::TooLarge { bytes, limit }) => self.failed(id, Failure::too_large(bytes, limit)),
            Err(error) if status == ReplyStatus::Done => {
                let error = Error::internal(format!("unwritable reply: {error}"));
                self.refuse(id, CallError::Refused(error));
            }
            Err(error) => {
                tracing::error!(peer = self.them.node, %error, "a reply could not be written");
                self.failed(id, Failure::Lost);
            }
        }
    }

    fn failed(&self, id: u64, failure: Failure) {
        let status = ReplyStatus::Failed(failure);
        self.send_always(Kind::Reply, &ReplyHeader { id, status });
    }
}

/// The answer that is owed to a call of a peer. Dropped without one, the peer gets `Lost`.
pub(super) struct OwedAnswer {
    peer: Arc<Peer>,
    id: u64,
    is_sent: bool,
}

impl OwedAnswer {
    pub(super) fn send<R: Serialize>(mut self, result: Result<R, CallError>) {
        self.is_sent = true;
        let id = self.id;
        self.peer.pay(id, |peer| match result {
            Ok(reply) => peer.reply(id, ReplyStatus::Done, &reply),
            Err(error) => peer.refuse(id, error),
        });
    }
}

impl Drop for OwedAnswer {
    fn drop(&mut self) {
        if !self.is_sent {
            let id = self.id;
            self.peer.pay(id, |peer| peer.failed(id, Failure::Lost));
        }
    }
}

/// A sent message without an answer yet. Dropping it sends the peer a Cancel.
pub(super) struct Awaited {
    id: u64,
    peer: Arc<Peer>,
    answer: oneshot::Receiver<Answer>,
    cancel: bool,
}

impl Awaited {
    /// The answer, or `None` if the connection was closed before it was received.
    pub(super) async fn answer(mut self) -> Option<Answer> {
        let answer = (&mut self.answer).await.ok();
        self.cancel = false;
        answer
    }

    fn forget(mut self) {
        self.cancel = false;
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if self.peer.take_waiting(self.id).is_some() && self.cancel {
            self.peer.send_always(Kind::Cancel, &Numbered { id: self.id });
        }
    }
}

/// The result for the sender.
pub(super) fn outcome<R: serde::de::DeserializeOwned>(
    to: &Address,
    answer: Option<Answer>,
) -> Result<R, CallError> {
    let unreadable =
        |error| CallError::Refused(Error::internal(format!("unreadable reply from {to}: {error}")));
    match answer {
        None => Err(CallError::Lost(to.clone())),
        Some(Answer::Accepted) => codec::decode(&[]).map_err(unreadable),
        Some(Answer::Reply(ReplyStatus::Done, payload)) => codec::decode(&payload).map_err(unreadable),
        Some(Answer::Reply(ReplyStatus::Refused, payload)) => {
            Err(CallError::Refused(codec::decode(&payload).unwrap_or_else(
                |error| Error::internal(format!("{to} refused for a reason that cannot be read: {error}")),
            )))
        }
        Some(Answer::Reply(ReplyStatus::Failed(failure), _)) => Err(failure.into_error(to)),
    }
}
