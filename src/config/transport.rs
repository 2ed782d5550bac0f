//! `[transport]`: how actors on different nodes reach each other.

use std::net::{Ipv4Addr, SocketAddr};

use super::reading::section;
use super::units::{ByteSize, Duration};
use crate::model::volume::Secret;

section! {
    /// How actors reach each other, in this process and between processes.
    Transport {
        /// Where a control node waits for volume nodes. Loopback only, until there is TLS. A node that is control and volume
        /// in one needs no others: it waits for them only if there is a secret.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8777)),
        /// The control nodes that a volume node joins. Loopback only, until there is TLS.
        join: Vec<SocketAddr> = Vec::new(),
        /// What the nodes of one service all know; each proves it to the other and none sends it. Without it every process
        /// of this machine that reaches the port is believed. Better given as `PUMICE_TRANSPORT__SECRET`.
        secret: Secret = Secret::new(""),
        /// The most messages that wait for one actor or are in its work; one more is refused.
        mailbox_bound: usize = 1024,
        /// The largest frame, sent or received.
        max_frame: ByteSize = ByteSize::mib(1),
        /// How many volumes or names one message has at most where a backend and the control node go through all that the
        /// backend has.
        page_size: u32 = 200,
        /// How often a connection is tried; three missed answers end it.
        ping_interval: Duration = Duration::from_secs(2),
        /// How long a new connection may take to say who it is.
        handshake_timeout: Duration = Duration::from_secs(5),
    }
}

impl Transport {
    /// The secret, if there is one.
    pub fn secret(&self) -> Option<Secret> {
        Some(self.secret.clone()).filter(|secret| !secret.reveal().is_empty())
    }
}
