//! `[transport]`: how actors on different nodes reach each other.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::reading::section;
use super::units::{ByteSize, Duration};
use crate::model::volume::Secret;

section! {
    /// How actors reach each other, in this process and between processes.
    Transport {
        /// Where a control node waits for volume nodes. Without a certificate loopback only. A node that is control and volume
        /// in one needs no others: it waits for them only if there is a certificate or a secret.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8777)),
        /// The control nodes that this node joins: a volume node joins all, a control node the others (its own `listen` among them is left
        /// out). Without a certificate loopback only.
        join: Vec<SocketAddr> = Vec::new(),
        /// This node's certificate, PEM, which `pumice node enroll` or `pumice ca issue` makes: nodes speak TLS with each other, and
        /// each has the roles and the backends of its certificate. It and the files below are read again when one of them changes.
        certificate: PathBuf = PathBuf::new(),
        /// The private key of `certificate`, PEM.
        key: PathBuf = PathBuf::new(),
        /// The certificate of the cluster's authority, PEM.
        ca: PathBuf = PathBuf::new(),
        /// The authority's list of revoked certificates, PEM. Empty: none is revoked.
        crl: PathBuf = PathBuf::new(),
        /// What the nodes of one service on one machine all know, where they have no certificates; each proves it to the other and
        /// none sends it. Without it every process of this machine that reaches the port is believed. Better given as
        /// `PUMICE_TRANSPORT__SECRET`.
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
    /// Whether nodes speak TLS with each other.
    pub fn has_tls(&self) -> bool {
        !self.certificate.as_os_str().is_empty()
    }

    /// The secret, if there is one.
    pub fn secret(&self) -> Option<Secret> {
        Some(self.secret.clone()).filter(|secret| !secret.reveal().is_empty())
    }
}
