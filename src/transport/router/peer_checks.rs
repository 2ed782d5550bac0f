//! Checks of peers while they are connected: what they announce and send, and their certificates.

use super::Router;
use crate::messages::senders;
use crate::model::Timestamp;
use crate::transport::header::{Announcement, Identity, Refusal, Refuse};
use crate::transport::peer::Peer;
use crate::transport::{Address, Tls, TransportOptions};

impl Router {
    /// Verifies the certificates of all peers again, after credentials have changed or time has passed, and ends the connections
    /// of those that are no longer valid.
    pub fn verify_peers(&self, tls: &Tls) {
        let (credentials, now) = (tls.credentials(), Timestamp::now());
        for peer in self.inner.peers.all() {
            let Some(certificate) = &peer.certificate else {
                continue;
            };
            if let Err(why) = credentials.verify(certificate, now) {
                let (node, remote) = (&peer.them.node, &peer.remote);
                tracing::warn!(
                    peer = node,
                    remote,
                    why,
                    "disconnecting another node, whose certificate is no longer valid"
                );
                peer.dismiss(&format!("the certificate of node '{node}' {why}"));
            }
        }
    }

    /// Records what a peer serves now, unless it may not.
    pub(in crate::transport) fn announced(
        &self,
        peer: &Peer,
        announcement: Announcement,
    ) -> Result<(), Refuse> {
        self.check_local(&announcement, &peer.options)?;
        self.inner.peers.announce(peer, announcement)
    }

    /// A node was found at an address of the configuration.
    pub(in crate::transport) fn found(&self, them: &Identity) {
        self.inner.peers.found(them);
    }

    /// Logs that a message of a peer was refused because it may not send it.
    pub(in crate::transport) fn log_forbidden(&self, peer: &Peer, message: &str, why: &str) {
        self.inner.forbidden.line("many messages are forbidden", || {
            tracing::warn!(
                peer = peer.them.node,
                remote = peer.remote,
                message,
                why,
                "another node sent a message that it may not send"
            );
        });
    }

    /// Refuses what this node itself serves.
    pub(super) fn check_local(
        &self,
        announcement: &Announcement,
        options: &TransportOptions,
    ) -> Result<(), Refuse> {
        let is_local = |address: &&Address| {
            address.server.is_some() && self.local(&address.topic, address.server.as_deref()).is_some()
        };
        match announcement.endpoints.iter().find(is_local) {
            Some(address) if senders::is_of_volume_nodes(&address.topic) && !options.trusts_every_peer => {
                Err(Refuse::new(
                    Refusal::NotItsOwn,
                    format!("{address} is announced, which this node serves itself"),
                ))
            }
            _ => Ok(()),
        }
    }
}
