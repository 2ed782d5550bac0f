//! Moves the bytes of one connection in both directions until it ends, and returns the reason.
//!
//! Three loops in one task: the reader receives frames and passes messages to the router, the writer empties the queue,
//! the ticker pings on the same socket that carries the messages, so that a stuck socket is detected. The first loop to
//! end ends all. A malformed frame ends this connection and affects nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, MissedTickBehavior};

use super::endpoint::Arrival;
use super::frame::{Frame, FrameError, FrameReader, Kind};
use super::handshake;
use super::header::{Goodbye, Incoming, Numbered, ReplyHeader};
use super::outbound::Batch;
use super::peer::{Answer, Peer};
use super::{CallError, Router};
use crate::messages::Pattern;
use crate::model::ErrorKind;

/// A peer that was silent for so many pings is disconnected.
const SUSPECT_AFTER: u32 = 3;
/// After so many frames those whom they are for get their turn, and what they answer is written, while further frames wait: else both ends of a
/// connection work by turns, each with all that the other has sent at once.
const FRAMES_AT_ONCE: usize = 16;
/// The most bytes of one write.
const WRITE_BYTES: usize = 64 * 1024;
/// The most memory that a buffer of outgoing frames keeps when it was written.
const MOST_KEPT: usize = 4 * WRITE_BYTES;

/// Runs a connection until it ends. When it returns, the peer is closed and has no waiting callers.
pub(super) async fn run<S: AsyncRead + AsyncWrite>(
    router: &Router,
    peer: &Arc<Peer>,
    reader: FrameReader<S>,
    announced_version: u64,
) {
    let (reader, writer) = reader.split();
    let reason = tokio::select! {
        biased;
        () = peer.closing.cancelled() => peer.reason(),
        reason = read(router, peer, reader) => reason,
        reason = write(peer, writer) => reason,
        reason = tick(router, peer, announced_version) => reason,
    };
    peer.close(reason);
}

fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(u64::try_from(amount).unwrap_or(u64::MAX), Ordering::Relaxed);
}

async fn read<R: AsyncRead + Unpin>(router: &Router, peer: &Arc<Peer>, mut reader: FrameReader<R>) -> String {
    let (mut now, mut reads, mut taken) = (Instant::now(), 0, 0);
    loop {
        // A peer that sends calls faster than it reads the answers is slowed here.
        peer.outbound.wait_for_room().await;
        if taken == FRAMES_AT_ONCE {
            taken = 0;
            tokio::task::yield_now().await;
        }
        let frame = match reader.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return "the peer closed the connection".to_owned(),
            Err(error) => return error.to_string(),
        };
        // Frames that came together came at one time.
        if reads != reader.reads() {
            reads = reader.reads();
            now = Instant::now();
            *peer.heard.lock() = now;
        }
        taken += 1;
        add(&peer.traffic.frames_in, 1);
        add(&peer.traffic.bytes_in, frame.size());
        match dispatch(router, peer, frame, now) {
            Ok(None) => {}
            Ok(Some(reason)) => return format!("the peer said goodbye: {reason}"),
            Err(error) => return error.to_string(),
        }
    }
}

/// Handles a frame. `Some` is the peer's reason for leaving.
fn dispatch(
    router: &Router,
    peer: &Arc<Peer>,
    frame: Frame,
    now: Instant,
) -> Result<Option<String>, FrameError> {
    match frame.kind {
        Kind::Cast => deliver(router, peer, Pattern::Cast, &frame, now)?,
        Kind::Call => deliver(router, peer, Pattern::Call, &frame, now)?,
        Kind::Reply => {
            let header: ReplyHeader = frame.decode_header()?;
            peer.answered(header.id, Answer::Reply(header.status, frame.into_payload()));
        }
        Kind::Accepted => peer.answered(frame.decode_header::<Numbered>()?.id, Answer::Accepted),
        Kind::Cancel => {
            peer.cancelled(frame.decode_header::<Numbered>()?.id);
        }
        Kind::Ping => {
            let ping: Numbered = frame.decode_header()?;
            peer.send_always(Kind::Pong, &ping);
        }
        Kind::Pong => {
            let sent = frame.decode_header::<Numbered>()?.id;
            let rtt = router.uptime_micros().saturating_sub(sent);
            peer.traffic.rtt_micros.store(rtt, Ordering::Relaxed);
        }
        Kind::Announce => {
            if let Err(refuse) = router.announced(peer, handshake::announcement(&frame)?) {
                peer.dismiss(&refuse.text);
            }
        }
        Kind::Goodbye => {
            let goodbye: Goodbye = frame.decode_header()?;
            peer.note_goodbye();
            return Ok(Some(goodbye.reason));
        }
        Kind::Hello | Kind::Welcome | Kind::Refuse | Kind::Proof => {
            return Err(FrameError::Unexpected(frame.kind));
        }
    }
    Ok(None)
}

/// Delivers a peer's message and arranges for its answer.
fn deliver(
    router: &Router,
    peer: &Arc<Peer>,
    pattern: Pattern,
    frame: &Frame,
    now: Instant,
) -> Result<(), FrameError> {
    let mut header: Incoming<'_> = frame.decode_header()?;
    let (id, to, message) = (header.id, header.to, header.message);
    let arrival = match header.remaining_ms {
        Some(left) => Arrival::waited_for(now, Duration::from_millis(left)),
        None => Arrival {
            at: now,
            deadline: None,
        },
    };
    let rights = peer.rights();
    let delivered = match router.open_endpoint(to).filter(|_| !peer.is_dismissed()) {
        Some(endpoint) => match rights.check_name(to.topic, message) {
            Ok(()) => {
                header.context = rights.believed(header.context, &peer.them.node);
                header.context.sender = Some(Arc::clone(&peer.run));
                let delivered = endpoint.deliver_bytes(header, pattern, frame.payload(), arrival, peer);
                delivered.inspect_err(|error| {
                    if let CallError::Refused(error) = error
                        && error.kind == ErrorKind::Forbidden
                    {
                        router.log_forbidden(peer, message, &error.client);
                    }
                })
            }
            Err(error) => {
                router.log_forbidden(peer, message, &error.client);
                Err(CallError::Refused(error))
            }
        },
        None => Err(CallError::Unreachable(to.to_address())),
    };
    match delivered {
        Ok(()) if pattern == Pattern::Cast => peer.send_always(Kind::Accepted, &Numbered { id }),
        Ok(()) => {}
        Err(error) => peer.refuse(id, error),
    }
    Ok(())
}

async fn write<W: AsyncWrite + Unpin>(peer: &Peer, mut writer: W) -> String {
    let patience = peer.options.ping_interval * SUSPECT_AFTER;
    let mut batch = Batch::default();
    loop {
        peer.outbound.take(&mut batch).await;
        for chunk in batch.bytes.chunks(WRITE_BYTES) {
            let written = async {
                writer.write_all(chunk).await?;
                writer.flush().await
            };
            match tokio::time::timeout(patience, written).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error.to_string(),
                Err(_elapsed) => return format!("the peer took nothing for {patience:?}"),
            }
            add(&peer.traffic.bytes_out, chunk.len());
            peer.outbound.written(0, chunk.len());
        }
        add(&peer.traffic.frames_out, batch.frames);
        peer.outbound.written(batch.frames, 0);
        if batch.is_last {
            // The peer may have left already.
            let _ = writer.shutdown().await;
            return "this node said goodbye".to_owned();
        }
        if batch.bytes.capacity() > MOST_KEPT {
            batch.bytes = Vec::new();
        }
    }
}

async fn tick(router: &Router, peer: &Peer, mut announced_version: u64) -> String {
    let interval = peer.options.ping_interval;
    let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut served = router.served();
    let (mut heard, mut silent) = (0, 0);
    loop {
        tokio::select! {
            biased;
            _ = ticks.tick() => {
                // Counted in ticks, not in time: if this node was paused, the peer's frames are waiting to be read, and
                // the peer is not dead.
                let now = peer.traffic.frames_in.load(Ordering::Relaxed);
                silent = if now == heard { silent + 1 } else { 0 };
                heard = now;
                if silent >= SUSPECT_AFTER {
                    return format!("the peer was silent for {:?}", interval * silent);
                }
                peer.send_always(Kind::Ping, &Numbered { id: router.uptime_micros() });
            }
            Ok(version) = async { served.wait_for(|version| *version != announced_version).await.map(|v| *v) } => {
                announced_version = version;
                let (version, announcement) = router.announcement();
                announced_version = announced_version.max(version);
                if let Err(error) = peer.queue(Kind::Announce, &(), &announcement) {
                    tracing::error!(peer = peer.them.node, %error, "an announcement could not be written");
                }
            }
        }
    }
}
