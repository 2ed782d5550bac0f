//! The queue of frames to a peer: bounded by count and bytes, except for frames that must never be dropped.
//!
//! A full queue refuses commands at once (`Overloaded`), before they are sent. Replies, pings and announcements are
//! always accepted: without the answer the result of completed work would be unknown, and without pings a busy peer
//! would be considered dead. They are bounded by the peer's calls, and the reader stops reading while too much is
//! waiting ([`Outbound::wait_for_room`]).

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// An item for the writer.
#[derive(Debug)]
pub enum Item {
    /// A complete frame.
    Frame(Vec<u8>),
    /// Write what is before it, then end.
    End,
}

/// The sending end.
#[derive(Debug)]
pub struct Outbound {
    queue: mpsc::UnboundedSender<Item>,
    messages: AtomicUsize,
    bytes: AtomicUsize,
    most_messages: usize,
    most_bytes: usize,
    drained: Notify,
}

impl Outbound {
    /// A queue of at most so many messages and bytes, and the end that the writer reads.
    pub fn new(most_messages: usize, most_bytes: usize) -> (Self, mpsc::UnboundedReceiver<Item>) {
        let (queue, receiver) = mpsc::unbounded_channel();
        let outbound = Self {
            queue,
            messages: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            most_messages,
            most_bytes,
            drained: Notify::new(),
        };
        (outbound, receiver)
    }

    /// Queues a command.
    ///
    /// # Errors
    /// [`Full`].
    pub fn send(&self, frame: Vec<u8>) -> Result<(), Full> {
        let (messages, bytes) = self.waiting();
        if messages >= self.most_messages || bytes.saturating_add(frame.len()) > self.most_bytes {
            return Err(Full);
        }
        self.send_always(frame);
        Ok(())
    }

    /// Queues a frame that must not be dropped.
    pub fn send_always(&self, frame: Vec<u8>) {
        self.messages.fetch_add(1, Ordering::AcqRel);
        self.bytes.fetch_add(frame.len(), Ordering::AcqRel);
        // If the writer has ended, the connection has ended, too.
        let _ = self.queue.send(Item::Frame(frame));
    }

    /// Ends the writer once everything in the queue is written.
    pub fn end(&self) {
        let _ = self.queue.send(Item::End);
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
    use super::{Full, Outbound};
    use futures_util::FutureExt;

    #[test]
    fn a_full_queue_refuses_commands_but_never_replies() {
        let (outbound, _receiver) = Outbound::new(2, 100);
        assert_eq!(outbound.send(vec![0; 101]), Err(Full));
        assert_eq!(outbound.send(vec![0; 50]), Ok(()));
        assert_eq!(outbound.send(vec![0; 50]), Ok(()));
        assert_eq!(outbound.send(vec![0; 1]), Err(Full));
        outbound.send_always(vec![0; 150]);
        assert_eq!(outbound.waiting(), (3, 250));
        assert!(outbound.wait_for_room().now_or_never().is_none());
        outbound.written(2, 100);
        assert!(outbound.wait_for_room().now_or_never().is_some());
        outbound.written(1, 150);
        assert_eq!(outbound.send(vec![0; 100]), Ok(()));
    }
}
