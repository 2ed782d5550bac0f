//! `[transport]`: how actors on different nodes reach each other.

use std::net::{Ipv4Addr, SocketAddr};

use super::reading::section;
use super::units::{ByteSize, Duration};

section! {
    /// How actors reach each other, in this process and between processes.
    Transport {
        /// Where a control node waits for volume nodes. Loopback only, until there is TLS.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8777)),
        /// The control nodes that a volume node joins. Loopback only, until there is TLS.
        join: Vec<SocketAddr> = Vec::new(),
        /// The most messages that wait for one actor or are in its work; one more is refused.
        mailbox_bound: usize = 1024,
        /// The largest frame, sent or received.
        max_frame: ByteSize = ByteSize::mib(1),
        /// How often a connection is tried; three missed answers end it.
        ping_interval: Duration = Duration::from_secs(2),
        /// How long a new connection may take to say who it is.
        handshake_timeout: Duration = Duration::from_secs(5),
    }
}
