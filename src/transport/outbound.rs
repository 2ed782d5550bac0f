//! What waits to be written to a peer: bounded by count and bytes, but for what may never be shed.
//!
//! A full queue refuses commands at once (`Overloaded`), before they are on their way. Replies, pings and
//! announcements pass: to shed the answer to work that was done would turn it into "may have happened", and to shed a
//! ping would declare a busy peer dead. What passes is bounded by what the peer asked for, and the reader stops asking
//! for more while too much is waiting ([`Outbound::wait_for_room`]).

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What the writer is handed.
#[derive(Debug)]
pub enum Item {
    /// A whole frame.
    Frame(Vec<u8>),
    /// Write what was before it, then end.
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
    #[must_use]
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

    /// Queues what may not be shed.
    pub fn send_always(&self, frame: Vec<u8>) {
        self.messages.fetch_add(1, Ordering::AcqRel);
        self.bytes.fetch_add(frame.len(), Ordering::AcqRel);
        // If the writer has ended, so has the connection; nobody is left to be told.
        let _ = self.queue.send(Item::Frame(frame));
    }

    /// Has the writer end when all that waits is written.
    pub fn end(&self) {
        let _ = self.queue.send(Item::End);
    }

    /// The writer has written so much.
    pub fn written(&self, messages: usize, bytes: usize) {
        self.messages.fetch_sub(messages, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.drained.notify_waiters();
    }

    /// Messages and bytes that wait.
    #[must_use]
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
            // Listening before looking again: what was written in between is not missed.
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
