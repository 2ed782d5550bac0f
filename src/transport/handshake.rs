//! The handshake: what two nodes exchange before anything else, with a limit on time and size.
//!
//! ```text
//!   dialer                                   listener
//!     magic, protocol range, Hello ─────────────>        its identity, a nonce
//!     <───────────── magic, protocol range, Welcome      its identity, a nonce, its proof
//!     Proof, Announce ──────────────────────────>        its proof; what it serves
//!     <────────────────────────────────── Announce       what it serves: the dialer is accepted
//! ```
//!
//! Either side may end it with Refuse and a reason. Neither side reveals what it serves before the other has proven
//! that it knows the secret, if there is one. Protocol versions define the format of headers; topics have separate
//! versions.

use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::frame::{self, Frame, FrameError, FrameReader, Kind, MAX_HANDSHAKE_FRAME};
use super::header::{Announcement, Identity, Incarnation, Proof, Refusal, Refuse, Welcome};
use super::options::TransportOptions;
use super::proof::{self, Side};

/// The first bytes that each side sends.
pub const MAGIC: [u8; 8] = *b"PUMICE\r\n";
/// The protocol versions that this program supports.
pub const PROTOCOLS: (u16, u16) = (1, 1);
const PREAMBLE: usize = 12;
/// The smallest frame limit of a peer: answers would not fit a smaller one.
const SMALLEST_MAX_FRAME: u32 = 4096;
const LONGEST_NAME: usize = 255;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// What was received is not from Pumice.
    #[error("what came does not begin as a pumice connection does")]
    NotPumice,
    /// What was received is not an expected frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// No version in common.
    #[error("it speaks protocol versions {}..={}, this node {}..={}", theirs.0, theirs.1, PROTOCOLS.0, PROTOCOLS.1)]
    Protocol {
        /// The versions that the other side supports.
        theirs: (u16, u16),
    },
    /// The other side refused.
    #[error("refused ({:?}): {}", .0.reason, .0.text)]
    RefusedByPeer(Refuse),
    /// This side refused.
    #[error("turned away ({:?}): {}", .0.reason, .0.text)]
    TurnedAway(Refuse),
    /// The handshake took too long.
    #[error("the handshake took longer than {0:?}")]
    Timeout(Duration),
    /// It was ended to make room for others.
    #[error("it was ended within the handshake, because there were too many at once")]
    MadeRoom,
    /// The connection ended before the handshake was complete.
    #[error("the connection ended within the handshake")]
    Ended,
}

impl HandshakeError {
    /// The reason, if either side refused.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::RefusedByPeer(refuse) | Self::TurnedAway(refuse) => Some(refuse.reason),
            Self::Protocol { .. } => Some(Refusal::Protocol),
            _ => None,
        }
    }
}

impl From<std::io::Error> for HandshakeError {
    fn from(error: std::io::Error) -> Self {
        Self::Frame(FrameError::Io(error))
    }
}

/// This node's introduction.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// Its name.
    pub node: String,
    /// Its incarnation.
    pub incarnation: Incarnation,
}

impl Introduction {
    fn identity(&self, options: &TransportOptions) -> Identity {
        Identity {
            node: self.node.clone(),
            incarnation: self.incarnation,
            max_frame: u32::try_from(options.max_frame).unwrap_or(u32::MAX),
            nonce: crate::rng::number(),
        }
    }
}

/// A peer that has introduced itself, and its stream.
#[derive(Debug)]
pub struct Introduced<S> {
    /// Reads frames from the peer, and contains the stream for writing.
    pub reader: FrameReader<S>,
    /// Its identity.
    pub them: Identity,
    /// What it serves.
    pub announcement: Announcement,
}

/// Introduces this node to a listener. `meet` is called with the listener's identity as soon as it is proven, even if the
/// listener then refuses.
///
/// # Errors
/// If there is no connection, with the reason.
pub async fn dial<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    us: &Introduction,
    ours: &Announcement,
    options: &TransportOptions,
    meet: impl FnOnce(&Identity),
) -> Result<Introduced<S>, HandshakeError> {
    let exchange = async {
        let mut reader = FrameReader::new(stream, MAX_HANDSHAKE_FRAME);
        let own = us.identity(options);
        let mut bytes = preamble().to_vec();
        bytes.extend(frame::encode(Kind::Hello, &own, &(), MAX_HANDSHAKE_FRAME)?);
        write(&mut reader, &bytes).await?;

        agree(read_preamble(&mut reader).await?)?;
        let welcome: Welcome = due(&mut reader, Kind::Welcome).await?.decode_header()?;
        let them = welcome.identity;
        if let Err(refuse) = check_identity(&them, us) {
            return turn_away(&mut reader, refuse).await;
        }
        let secret = options.secret.as_ref();
        if !proof::verify(secret, Side::Listener, &own, &them, welcome.proof.as_ref()) {
            let refuse = bad_proof(secret.is_some(), welcome.proof.is_some());
            return turn_away(&mut reader, refuse).await;
        }
        meet(&them);
        let proof = Proof {
            proof: proof::prove(secret, Side::Dialer, &own, &them),
        };
        let mut bytes = frame::encode(Kind::Proof, &proof, &(), MAX_HANDSHAKE_FRAME)?;
        bytes.extend(frame::encode(Kind::Announce, &(), ours, MAX_HANDSHAKE_FRAME)?);
        write(&mut reader, &bytes).await?;
        let announcement = announcement(&due(&mut reader, Kind::Announce).await?)?;
        reader.set_limit(options.max_frame);
        Ok(Introduced {
            reader,
            them,
            announcement,
        })
    };
    timed(options, exchange).await
}

/// Performs the listener's side. `meet` is called once the dialer has introduced itself, before its proof. `admit` decides
/// whether it is accepted, and returns the announcement of this node.
///
/// # Errors
/// If there is no connection, with the reason.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin, T>(
    stream: S,
    us: &Introduction,
    options: &TransportOptions,
    meet: impl FnOnce(),
    admit: impl FnOnce(&Identity, &Announcement) -> Result<(Announcement, T), Refuse>,
) -> Result<(Introduced<S>, T), HandshakeError> {
    let exchange = async {
        let mut reader = FrameReader::new(stream, MAX_HANDSHAKE_FRAME);
        let theirs = read_preamble(&mut reader).await?;
        write(&mut reader, &preamble()).await?;
        if let Err(error) = agree(theirs) {
            let refuse = Refuse::new(Refusal::Protocol, error.to_string());
            send(&mut reader, Kind::Refuse, &refuse, &()).await?;
            return Err(error);
        }
        let them: Identity = due(&mut reader, Kind::Hello).await?.decode_header()?;
        if let Err(refuse) = check_identity(&them, us) {
            return turn_away(&mut reader, refuse).await;
        }
        meet();
        let own = us.identity(options);
        let secret = options.secret.as_ref();
        let proof = proof::prove(secret, Side::Listener, &them, &own);
        let identity = own.clone();
        send(&mut reader, Kind::Welcome, &Welcome { identity, proof }, &()).await?;

        let proof: Proof = due(&mut reader, Kind::Proof).await?.decode_header()?;
        if !proof::verify(secret, Side::Dialer, &them, &own, proof.proof.as_ref()) {
            let refuse = bad_proof(secret.is_some(), proof.proof.is_some());
            return turn_away(&mut reader, refuse).await;
        }
        let announcement = announcement(&due(&mut reader, Kind::Announce).await?)?;
        reader.set_limit(options.max_frame);
        let (ours, admitted) = match admit(&them, &announcement) {
            Ok(admitted) => admitted,
            Err(refuse) => return turn_away(&mut reader, refuse).await,
        };
        send(&mut reader, Kind::Announce, &(), &ours).await?;
        let introduced = Introduced {
            reader,
            them,
            announcement,
        };
        Ok((introduced, admitted))
    };
    timed(options, exchange).await
}

/// Decodes an Announce frame.
///
/// # Errors
/// `BadHeader` if it does not decode.
pub fn announcement(frame: &Frame) -> Result<Announcement, FrameError> {
    // It is in the payload, since it may be larger than a header.
    super::codec::decode(&frame.payload).map_err(|error| FrameError::BadHeader(frame.kind, error))
}

async fn timed<T>(
    options: &TransportOptions,
    exchange: impl Future<Output = Result<T, HandshakeError>>,
) -> Result<T, HandshakeError> {
    let within = options.handshake_timeout;
    tokio::time::timeout(within, exchange)
        .await
        .unwrap_or(Err(HandshakeError::Timeout(within)))
}

fn preamble() -> [u8; PREAMBLE] {
    let mut bytes = [0; PREAMBLE];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&PROTOCOLS.0.to_le_bytes());
    bytes[10..].copy_from_slice(&PROTOCOLS.1.to_le_bytes());
    bytes
}

async fn read_preamble<S: AsyncRead + Unpin>(
    reader: &mut FrameReader<S>,
) -> Result<(u16, u16), HandshakeError> {
    let [magic @ .., a, b, c, d] = reader.preamble::<PREAMBLE>().await?;
    if magic != MAGIC {
        return Err(HandshakeError::NotPumice);
    }
    Ok((u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])))
}

/// The newest version that both sides support.
fn agree(theirs: (u16, u16)) -> Result<u16, HandshakeError> {
    let newest = theirs.1.min(PROTOCOLS.1);
    if newest < theirs.0.max(PROTOCOLS.0) {
        Err(HandshakeError::Protocol { theirs })
    } else {
        Ok(newest)
    }
}

async fn due<S: AsyncRead + Unpin>(reader: &mut FrameReader<S>, kind: Kind) -> Result<Frame, HandshakeError> {
    let frame = reader.next().await?.ok_or(HandshakeError::Ended)?;
    if frame.kind == Kind::Refuse {
        return Err(HandshakeError::RefusedByPeer(frame.decode_header()?));
    }
    if frame.kind != kind {
        return Err(FrameError::Unexpected(frame.kind).into());
    }
    Ok(frame)
}

async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    reader: &mut FrameReader<S>,
    bytes: &[u8],
) -> Result<(), HandshakeError> {
    let stream = reader.get_mut();
    stream.write_all(bytes).await.map_err(FrameError::Io)?;
    Ok(stream.flush().await.map_err(FrameError::Io)?)
}

async fn send<S: AsyncRead + AsyncWrite + Unpin>(
    reader: &mut FrameReader<S>,
    kind: Kind,
    header: &impl Serialize,
    payload: &impl Serialize,
) -> Result<(), HandshakeError> {
    let frame = frame::encode(kind, header, payload, MAX_HANDSHAKE_FRAME)?;
    write(reader, &frame).await
}

async fn turn_away<S: AsyncRead + AsyncWrite + Unpin, T>(
    reader: &mut FrameReader<S>,
    refuse: Refuse,
) -> Result<T, HandshakeError> {
    send(reader, Kind::Refuse, &refuse, &()).await?;
    Err(HandshakeError::TurnedAway(refuse))
}

fn check_identity(them: &Identity, us: &Introduction) -> Result<(), Refuse> {
    let refuse = |reason, text| Err(Refuse::new(reason, text));
    if them.node.is_empty() || them.node.len() > LONGEST_NAME || them.node.chars().any(char::is_control) {
        return refuse(Refusal::Malformed, "a node's name is 1 to 255 printable bytes");
    }
    if them.max_frame < SMALLEST_MAX_FRAME {
        return refuse(Refusal::Malformed, "frames that small carry nothing");
    }
    if them.node == us.node {
        return refuse(Refusal::SameName, "both nodes have the same name");
    }
    Ok(())
}

fn bad_proof(ours: bool, theirs: bool) -> Refuse {
    let text = match (ours, theirs) {
        (true, false) => "a secret is set here, but not there",
        (false, true) => "a secret is set there, but not here",
        _ => "the secrets of the two nodes differ",
    };
    Refuse::new(Refusal::BadProof, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::volume::Secret;

    fn node(name: &str) -> Introduction {
        Introduction {
            node: name.to_owned(),
            incarnation: Incarnation { boot: 1, random: 7 },
        }
    }

    fn with_secret(secret: Option<&str>) -> TransportOptions {
        TransportOptions {
            secret: secret.map(Secret::new),
            ..TransportOptions::default()
        }
    }

    async fn meet(
        dialer: (&str, Option<&str>),
        listener: (&str, Option<&str>),
    ) -> (Result<String, HandshakeError>, Result<String, HandshakeError>) {
        let (near, far) = tokio::io::duplex(1 << 16);
        let (dial_as, listen_as) = (node(dialer.0), node(listener.0));
        let (dial_with, listen_with) = (with_secret(dialer.1), with_secret(listener.1));
        let nothing = Announcement::default();
        let (dialed, accepted) = tokio::join!(
            dial(near, &dial_as, &nothing, &dial_with, |_| ()),
            accept(
                far,
                &listen_as,
                &listen_with,
                || (),
                |_, _| Ok((Announcement::default(), ()))
            ),
        );
        (
            dialed.map(|it| it.them.node),
            accepted.map(|(it, ())| it.them.node),
        )
    }

    #[tokio::test]
    async fn two_nodes_exchange_their_identities() {
        for secret in [None, Some("s")] {
            let (dialed, accepted) = meet(("a", secret), ("b", secret)).await;
            assert_eq!(
                (dialed.unwrap(), accepted.unwrap()),
                ("b".to_owned(), "a".to_owned())
            );
        }
    }

    #[tokio::test]
    async fn nodes_with_different_secrets_or_one_without_do_not_talk() {
        for (one, other) in [(Some("s"), Some("t")), (None, Some("s")), (Some("s"), None)] {
            let (dialed, accepted) = meet(("a", one), ("b", other)).await;
            assert_eq!(dialed.unwrap_err().refusal(), Some(Refusal::BadProof));
            assert_eq!(accepted.unwrap_err().refusal(), Some(Refusal::BadProof));
        }
    }

    #[tokio::test]
    async fn a_node_does_not_talk_to_its_namesake() {
        let (dialed, accepted) = meet(("a", None), ("a", None)).await;
        assert_eq!(dialed.unwrap_err().refusal(), Some(Refusal::SameName));
        assert_eq!(accepted.unwrap_err().refusal(), Some(Refusal::SameName));
    }

    async fn say(bytes: &[u8]) -> HandshakeError {
        let (mut near, far) = tokio::io::duplex(1 << 16);
        near.write_all(bytes).await.unwrap();
        let options = TransportOptions {
            handshake_timeout: Duration::from_millis(50),
            ..with_secret(None)
        };
        let admit = |_: &Identity, _: &Announcement| Ok((Announcement::default(), ()));
        accept(far, &node("b"), &options, || (), admit)
            .await
            .map(|_| ())
            .unwrap_err()
    }

    #[tokio::test]
    async fn strangers_are_seen_for_what_they_are() {
        let after_preamble = |rest: &[u8]| [preamble().as_slice(), rest].concat();
        let ping = frame::encode(Kind::Ping, &1_u64, &(), 99).unwrap();
        for (bytes, what) in [
            (
                b"GET / HTTP/1.1\r\n\r\n".to_vec(),
                "what came does not begin as a pumice connection does",
            ),
            (b"PUM".to_vec(), "the handshake took longer than 50ms"),
            (
                [MAGIC.as_slice(), &[9, 0, 9, 0]].concat(),
                "it speaks protocol versions 9..=9, this node 1..=1",
            ),
            (after_preamble(&ping), "a frame of kind Ping is not expected here"),
            (
                after_preamble(&u32::MAX.to_le_bytes()),
                "a frame of 4294967295 bytes is larger than 65536",
            ),
        ] {
            assert_eq!(say(&bytes).await.to_string(), what);
        }
    }

    #[test]
    fn the_newest_common_version_is_spoken() {
        assert_eq!(agree((0, 9)).unwrap(), PROTOCOLS.1);
        assert!(agree((PROTOCOLS.1 + 1, PROTOCOLS.1 + 1)).is_err());
        // An inverted range is empty.
        assert!(agree((5, 0)).is_err());
    }
}
