//! The frames that wait for a peer, in one buffer: bounded by count and bytes, except for frames that must never be dropped.
//!
//! A full queue refuses commands at once (`Overloaded`), before they are sent. Replies, pings and announcements are
//! always accepted: without the answer the result of completed work would be unknown, and without pings a busy peer
//! would be considered dead. They are bounded by the peer's calls, and the reader stops reading while too much is
//! waiting ([`Outbound::wait_for_room`]).
//!
//! Frames are encoded into the buffer that the writer writes, one after the other: a frame costs no memory of its own.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::frame::FrameError;

/// Why a command was not queued.
#[derive(Debug, thiserror::Error)]
pub enum Unsent {
    /// The queue is full.
    #[error("the queue is full")]
    Full,
    /// It cannot be encoded.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// What the writer takes at once.
#[derive(Debug, Default)]
pub struct Batch {
    /// Complete frames.
    pub bytes: Vec<u8>,
    /// How many.
    pub frames: usize,
    /// Nothing follows.
    pub is_last: bool,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    frames: usize,
    has_ended: bool,
}

/// The queue of a peer.
#[derive(Debug)]
pub struct Outbound {
    queue: Mutex<Queue>,
    filled: Notify,
    /// Waiting, or taken by the writer and not written yet.
    messages: AtomicUsize,
    bytes: AtomicUsize,
    most_messages: usize,
    most_bytes: usize,
    drained: Notify,
}

impl Outbound {
    /// A queue of at most so many messages and bytes.
    pub fn new(most_messages: usize, most_bytes: usize) -> Self {
        Self {
            queue: Mutex::default(),
            filled: Notify::new(),
            messages: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            most_messages,
            most_bytes,
            drained: Notify::new(),
        }
    }

    /// Queues a command, which `encode` appends.
    ///
    /// # Errors
    /// If the queue is full, or its own; nothing is queued then.
    pub fn send(&self, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>) -> Result<(), Unsent> {
        let (messages, bytes) = self.waiting();
        if messages >= self.most_messages {
            return Err(Unsent::Full);
        }
        self.push(encode, |frame| bytes.saturating_add(frame) <= self.most_bytes)
    }

    /// Queues a frame that must not be dropped.
    ///
    /// # Errors
    /// Those of `encode`.
    pub fn send_always(
        &self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>,
    ) -> Result<(), FrameError> {
        match self.push(encode, |_| true) {
            Err(Unsent::Frame(error)) => Err(error),
            Ok(()) | Err(Unsent::Full) => Ok(()),
        }
    }

    fn push(
        &self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError>,
        fits: impl FnOnce(usize) -> bool,
    ) -> Result<(), Unsent> {
        let mut queue = self.queue.lock();
        let before = queue.bytes.len();
        let encoded = encode(&mut queue.bytes).map_err(Unsent::Frame);
        let frame = queue.bytes.len() - before;
        let queued = encoded.and_then(|()| fits(frame).then_some(()).ok_or(Unsent::Full));
        // After the end it is not written any more, as after the end of a connection.
        if queued.is_err() || queue.has_ended {
            queue.bytes.truncate(before);
            return queued;
        }
        queue.frames += 1;
        self.messages.fetch_add(1, Ordering::AcqRel);
        self.bytes.fetch_add(frame, Ordering::AcqRel);
        drop(queue);
        if before == 0 {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Ends the writer once everything in the queue is written.
    pub fn end(&self) {
        self.queue.lock().has_ended = true;
        self.filled.notify_one();
    }

    /// Waits until there is something to be written, and takes all of it: `batch` gives its memory to what comes next.
    pub async fn take(&self, batch: &mut Batch) {
        loop {
            {
                let mut queue = self.queue.lock();
                if !queue.bytes.is_empty() || queue.has_ended {
                    batch.bytes.clear();
                    std::mem::swap(&mut batch.bytes, &mut queue.bytes);
                    batch.frames = std::mem::take(&mut queue.frames);
                    batch.is_last = queue.has_ended;
                    return;
                }
            }
            self.filled.notified().await;
        }
    }

    /// Records what the writer has written.
    pub fn written(&self, messages: usize, bytes: usize) {
        self.messages.fetch_sub(messages, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.drained.notify_waiters();
    }

    /// Waiting messages and bytes.
    pub fn waiting(&self) -> (usize, usize) {
        (
            self.messages.load(Ordering::Acquire),
            self.bytes.load(Ordering::Acquire),
        )
    }

    /// Waits until no more than twice the bound is waiting.
    pub async fn wait_for_room(&self) {
        while !self.has_room() {
            let mut drained = std::pin::pin!(self.drained.notified());
            drained.as_mut().enable();
            // Subscribes before it checks again, so that a write in between is not missed.
            if self.has_room() {
                return;
            }
            drained.await;
        }
    }

    fn has_room(&self) -> bool {
        let (messages, bytes) = self.waiting();
        messages <= 2 * self.most_messages && bytes <= 2 * self.most_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn bytes(count: usize) -> impl FnOnce(&mut Vec<u8>) -> Result<(), FrameError> {
        move |into| {
            into.resize(into.len() + count, 7);
            Ok(())
        }
    }

    #[test]
    fn a_full_queue_refuses_commands_but_never_replies() {
        let outbound = Outbound::new(2, 100);
        assert!(matches!(outbound.send(bytes(101)), Err(Unsent::Full)));
        outbound.send(bytes(50)).unwrap();
        outbound.send(bytes(50)).unwrap();
        assert!(matches!(outbound.send(bytes(1)), Err(Unsent::Full)));
        outbound.send_always(bytes(150)).unwrap();
        assert_eq!(outbound.waiting(), (3, 250));
        assert!(outbound.wait_for_room().now_or_never().is_none());
        let mut batch = Batch::default();
        assert!(outbound.take(&mut batch).now_or_never().is_some());
        assert_eq!((batch.bytes.len(), batch.frames, batch.is_last), (250, 3, false));
        // Taken is not written yet.
        assert_eq!(outbound.waiting(), (3, 250));
        outbound.written(2, 100);
        assert!(outbound.wait_for_room().now_or_never().is_some());
        outbound.written(1, 150);
        outbound.send(bytes(100)).unwrap();
    }

    #[test]
    fn what_cannot_be_encoded_leaves_nothing_and_nothing_follows_the_end() {
        let outbound = Outbound::new(10, 1000);
        outbound.send(bytes(10)).unwrap();
        let half = |into: &mut Vec<u8>| {
            into.extend_from_slice(&[1, 2, 3]);
            Err(FrameError::Truncated)
        };
        assert!(matches!(outbound.send(half), Err(Unsent::Frame(_))));
        outbound.end();
        outbound.send_always(bytes(10)).unwrap();
        let mut batch = Batch::default();
        assert!(outbound.take(&mut batch).now_or_never().is_some());
        assert_eq!((batch.bytes, batch.frames, batch.is_last), (vec![7; 10], 1, true));
    }
}
