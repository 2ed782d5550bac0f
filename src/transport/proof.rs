//! Proves knowledge of the shared secret without sending it: HMAC-SHA256 over both ends' introductions.
//!
//! Each end's proof covers both identities with their fresh nonces, under a separate label, so that it can neither be
//! replayed on another connection nor sent back to its author. It authenticates the handshake; it does not encrypt or
//! sign what follows, so it can replace TLS on loopback addresses only.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::codec;
use super::header::Identity;
use crate::model::volume::Secret;

/// The side that made the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The side that connected.
    Dialer,
    /// The side that was connected to.
    Listener,
}

fn mac(secret: &Secret, side: Side, dialer: &Identity, listener: &Identity) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes()).expect("HMAC takes keys of any length");
    mac.update(match side {
        Side::Dialer => b"pumice transport 1 dialer\0",
        Side::Listener => b"pumice transport 1 listener\0",
    });
    let transcript = codec::encode(&(dialer, listener)).expect("an identity is plain data");
    mac.update(&transcript);
    mac
}

/// The proof of one side; `None` without a secret.
pub fn prove(
    secret: Option<&Secret>,
    side: Side,
    dialer: &Identity,
    listener: &Identity,
) -> Option<[u8; 32]> {
    secret.map(|secret| mac(secret, side, dialer, listener).finalize().into_bytes().into())
}

/// Whether the other side's proof is valid. Without a local secret no proof is required, and a proof that is offered
/// anyway means that the other side would not accept this one: that is a mismatch, too.
pub fn verify(
    secret: Option<&Secret>,
    side: Side,
    dialer: &Identity,
    listener: &Identity,
    proof: Option<&[u8; 32]>,
) -> bool {
    match (secret, proof) {
        (None, None) => true,
        (Some(secret), Some(proof)) => mac(secret, side, dialer, listener).verify_slice(proof).is_ok(),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::header::Incarnation;

    fn identity(node: &str, nonce: u8) -> Identity {
        let incarnation = Incarnation { boot: 1, random: 2 };
        Identity {
            node: node.to_owned(),
            incarnation,
            max_frame: 9,
            nonce: [nonce; 32],
        }
    }

    #[test]
    fn a_proof_holds_for_one_secret_one_side_and_one_connection() {
        let secret = Secret::new("s");
        let (a, b) = (identity("a", 1), identity("b", 2));
        let proof = prove(Some(&secret), Side::Dialer, &a, &b);
        let (other, later_a, c) = (Secret::new("t"), identity("a", 3), identity("c", 2));
        let proves = |secret, side, dialer, listener| verify(secret, side, dialer, listener, proof.as_ref());
        assert!(proves(Some(&secret), Side::Dialer, &a, &b));
        assert!(!proves(Some(&secret), Side::Listener, &a, &b));
        assert!(!proves(Some(&other), Side::Dialer, &a, &b));
        assert!(!proves(Some(&secret), Side::Dialer, &later_a, &b));
        assert!(!proves(Some(&secret), Side::Dialer, &a, &c));
        assert!(!verify(Some(&secret), Side::Dialer, &a, &b, None));
        assert!(!proves(None, Side::Dialer, &a, &b));
        assert!(verify(None, Side::Dialer, &a, &b, None));
    }
}
