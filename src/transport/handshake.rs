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
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::frame::{self, Frame, FrameError, FrameReader, Kind, MAX_HANDSHAKE_FRAME};
use super::header::{Announcement, Goodbye, Identity, Incarnation, Proof, Refusal, Refuse, Welcome};
use super::options::TransportOptions;
use super::proof::{self, Side};
use crate::model::NodeIdentity;

/// The first bytes that each side sends.
pub const MAGIC: [u8; 8] = *b"PUMICE\r\n";
/// The protocol versions that this program supports.
pub const PROTOCOLS: (u16, u16) = (1, 1);
const PREAMBLE: usize = 12;
/// The smallest frame limit of a peer: answers would not fit a smaller one.
const SMALLEST_MAX_FRAME: u32 = 4096;
const LONGEST_NAME: usize = 255;
/// How long a refused side is read from,
const LINGER: Duration = Duration::from_millis(500);
/// and how many bytes.
const LINGER_BYTES: u64 = 16 * 1024;

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
    /// TLS failed.
    #[error("{0}")]
    Tls(String),
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

/// Introduces this node to a listener. `certified` is what the listener's certificate says; without it the secret of the options is
/// proven. `meet` is called with the listener's identity as soon as it is proven, even if the
/// listener then refuses.
///
/// # Errors
/// If there is no connection, with the reason.
pub async fn dial<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    us: &Introduction,
    ours: &Announcement,
    options: &TransportOptions,
    certified: Option<&NodeIdentity>,
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
        if let Err(refuse) = check_identity(&them, us).and_then(|()| check_name(&them, certified)) {
            return turn_away(&mut reader, refuse).await;
        }
        let secret = options.secret.as_ref().filter(|_| certified.is_none());
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

/// Performs the listener's side. `certified` is what the dialer's certificate says; without it the secret of the options is proven.
/// `meet` is called once the dialer has introduced itself, before its proof. `admit` decides
/// whether it is accepted, and returns the announcement of this node.
///
/// # Errors
/// If there is no connection, with the reason.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin, T>(
    stream: S,
    us: &Introduction,
    options: &TransportOptions,
    certified: Option<&NodeIdentity>,
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
        if let Err(refuse) = check_identity(&them, us).and_then(|()| check_name(&them, certified)) {
            return turn_away(&mut reader, refuse).await;
        }
        meet();
        let own = us.identity(options);
        let secret = options.secret.as_ref().filter(|_| certified.is_none());
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

/// Refuses a stream before the handshake.
///
/// # Errors
/// `TurnedAway`, always.
pub(super) async fn decline<S: AsyncRead + AsyncWrite + Unpin, T>(
    stream: S,
    refuse: Refuse,
    options: &TransportOptions,
) -> Result<T, HandshakeError> {
    let exchange = async {
        let mut reader = FrameReader::new(stream, MAX_HANDSHAKE_FRAME);
        write(&mut reader, &preamble()).await?;
        let declined = turn_away(&mut reader, refuse).await;
        linger(reader.get_mut()).await;
        declined
    };
    timed(options, exchange).await
}

/// Leaves a listener that has accepted this node, and says why.
///
/// # Errors
/// `TurnedAway`, always.
pub(super) async fn take_leave<S: AsyncRead + AsyncWrite + Unpin, T>(
    mut reader: FrameReader<S>,
    refuse: Refuse,
    options: &TransportOptions,
) -> Result<T, HandshakeError> {
    let goodbye = Goodbye {
        reason: refuse.text.clone(),
    };
    let exchange = async { send(&mut reader, Kind::Goodbye, &goodbye, &()).await };
    // The reason is for the other side's log only.
    let _ = timed(options, exchange).await;
    Err(HandshakeError::TurnedAway(refuse))
}

/// Ends a refused stream so that the other side can read why: a socket that is closed with unread bytes takes back what it has sent.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let drained = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(LINGER, drained).await;
}

/// Decodes an Announce frame.
///
/// # Errors
/// `BadHeader` if it does not decode.
pub fn announcement(frame: &Frame) -> Result<Announcement, FrameError> {
    // It is in the payload, since it may be larger than a header.
    super::codec::decode(frame.payload()).map_err(|error| FrameError::BadHeader(frame.kind, error))
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

/// A node with a certificate has the name that stands in it.
fn check_name(them: &Identity, certified: Option<&NodeIdentity>) -> Result<(), Refuse> {
    match certified {
        Some(identity) if identity.node != them.node => Err(Refuse::new(
            Refusal::Certificate,
            format!(
                "the certificate is that of node '{}', but the node says that it is '{}'",
                identity.node, them.node
            ),
        )),
        _ => Ok(()),
    }
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
mod tests;
