//! Frames: the format of the bytes on a connection, independent of their meaning.
//!
//! ```text
//!   len: u32 LE │ kind: u8 │ header_len: u16 LE │ header │ payload        len counts all that follows it
//! ```
//!
//! Two parts, so that they can fail independently: a header is decoded on its own, and one that does not decode means
//! that the other side uses another protocol, so the connection is closed. A payload is decoded by its receiver's type
//! alone, and one that does not decode is an error *reply*. Sizes are checked before sending and before any byte is
//! stored; buffers grow as bytes arrive, so a claimed megabyte uses no memory until it is received.

use std::io::Write;

use bytes::{Buf, Bytes, BytesMut};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadHalf, WriteHalf};

use super::codec::{self, CodecError};

/// The largest frame by default. Commands are small; long lists go in pages.
pub const MAX_FRAME: usize = 1024 * 1024;
/// The largest frame before a peer is known.
pub const MAX_HANDSHAKE_FRAME: usize = 64 * 1024;
/// `kind` and `header_len`.
const FIXED: usize = 3;
/// `len`.
const PREFIX: usize = 4;
/// What most frames fit into.
const USUAL_FRAME: usize = 512;
/// The buffer space of one read: enough for many small frames at once,
const SMALLEST_READ: usize = 8 * 1024;
/// and never more than this, so that a large frame uses little memory before it is received.
const LARGEST_READ: usize = 64 * 1024;

/// The kind of a frame. The numbers are those of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::FromRepr, strum::VariantArray)]
#[repr(u8)]
pub enum Kind {
    /// The dialer introduces itself.
    Hello = 1,
    /// The listener introduces itself.
    Welcome = 2,
    /// The other side refuses the connection, with a reason.
    Refuse = 3,
    /// A message without an answer.
    Cast = 4,
    /// A message with an answer.
    Call = 5,
    /// The answer to a call, or why a cast was refused.
    Reply = 6,
    /// A cast was queued.
    Accepted = 7,
    /// The caller no longer waits.
    Cancel = 8,
    /// A request for a sign of life.
    Ping = 9,
    /// The answer to a ping.
    Pong = 10,
    /// The sender closes the connection on purpose.
    Goodbye = 11,
    /// What the sender serves now.
    Announce = 12,
    /// The dialer's proof that it knows the secret.
    Proof = 13,
}

impl Kind {
    /// All kinds.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;
}

/// Why bytes are not a frame, or a frame cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It is larger than the limit.
    #[error("a frame of {bytes} bytes is larger than {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Its length is less than the fixed parts need.
    #[error("a frame of {0} bytes is too short to be one")]
    TooShort(usize),
    /// Its kind is unknown.
    #[error("{0} is no kind of frame")]
    UnknownKind(u8),
    /// This kind is not expected here.
    #[error("a frame of kind {0:?} is not expected here")]
    Unexpected(Kind),
    /// Its header is not that of its kind.
    #[error("the header of a frame of kind {0:?} does not decode: {1}")]
    BadHeader(Kind, #[source] CodecError),
    /// A value cannot be encoded.
    #[error("a value cannot be encoded: {0}")]
    Encode(#[from] CodecError),
    /// The connection broke.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The connection ended within a frame.
    #[error("the connection ended within a frame")]
    Truncated,
}

/// A received frame, with its header not decoded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its kind.
    pub kind: Kind,
    /// The header, and the payload after it.
    bytes: Bytes,
    header_len: usize,
}

impl Frame {
    /// The bytes of its header.
    pub fn header(&self) -> &[u8] {
        &self.bytes[..self.header_len]
    }

    /// The bytes of its payload.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.header_len..]
    }

    /// Its payload, for one who keeps it.
    pub fn into_payload(self) -> Bytes {
        let mut bytes = self.bytes;
        bytes.advance(self.header_len);
        bytes
    }

    /// How many bytes its header and its payload are.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Decodes its header, to the type of its kind, which may borrow from the frame.
    ///
    /// # Errors
    /// `BadHeader`: the other side uses another protocol.
    pub fn decode_header<'f, H: serde::Deserialize<'f>>(&'f self) -> Result<H, FrameError> {
        codec::decode(self.header()).map_err(|error| FrameError::BadHeader(self.kind, error))
    }
}

/// Encodes a frame whose payload is already encoded.
///
/// # Errors
/// `TooLarge`, with the limit; `Encode`.
pub fn encode_raw<H: Serialize>(
    kind: Kind,
    header: &H,
    payload: &[u8],
    limit: usize,
) -> Result<Vec<u8>, FrameError> {
    let mut frame = Vec::with_capacity(USUAL_FRAME);
    encode_parts(&mut frame, kind, header, limit, |frame| {
        frame.write_all(payload)?;
        Ok(())
    })?;
    Ok(frame)
}

/// Encodes a frame.
///
/// # Errors
/// As [`encode_raw`].
pub fn encode<H: Serialize, P: Serialize>(
    kind: Kind,
    header: &H,
    payload: &P,
    limit: usize,
) -> Result<Vec<u8>, FrameError> {
    let mut frame = Vec::with_capacity(USUAL_FRAME);
    append(&mut frame, kind, header, payload, limit)?;
    Ok(frame)
}

/// Encodes a frame at the end of `onto`.
///
/// # Errors
/// As [`encode_raw`]; a part of the frame may be at its end then.
pub fn append<H: Serialize, P: Serialize>(
    onto: &mut Vec<u8>,
    kind: Kind,
    header: &H,
    payload: &P,
    limit: usize,
) -> Result<(), FrameError> {
    encode_parts(onto, kind, header, limit, |frame| {
        Ok(codec::encode_into(frame, payload)?)
    })
}

/// Writes both parts in one pass, then their lengths before them. What does not fit is measured, and not kept.
fn encode_parts<H: Serialize>(
    onto: &mut Vec<u8>,
    kind: Kind,
    header: &H,
    limit: usize,
    payload: impl FnOnce(&mut Bounded<'_>) -> Result<(), FrameError>,
) -> Result<(), FrameError> {
    let begin = onto.len();
    let mut frame = Bounded {
        bytes: onto,
        most: PREFIX.saturating_add(limit),
        written: 0,
    };
    frame.write_all(&[0; PREFIX + FIXED])?;
    codec::encode_into(&mut frame, header)?;
    let header_size = frame.written - (PREFIX + FIXED);
    let header_len = u16::try_from(header_size).map_err(|_| FrameError::TooLarge {
        bytes: header_size,
        limit: usize::from(u16::MAX),
    })?;
    payload(&mut frame)?;
    let bytes = frame.written - PREFIX;
    let too_large = FrameError::TooLarge { bytes, limit };
    let len = u32::try_from(bytes)
        .ok()
        .filter(|_| bytes <= limit)
        .ok_or(too_large)?;
    let frame = &mut onto[begin..];
    frame[..PREFIX].copy_from_slice(&len.to_le_bytes());
    frame[PREFIX] = kind as u8;
    frame[PREFIX + 1..PREFIX + FIXED].copy_from_slice(&header_len.to_le_bytes());
    Ok(())
}

/// Keeps so many bytes, and counts all.
struct Bounded<'b> {
    bytes: &'b mut Vec<u8>,
    most: usize,
    written: usize,
}

impl Write for Bounded<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    // Each integer and each length of a header is written by one call: that of the trait would loop for each.
    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.written = self.written.saturating_add(bytes.len());
        if self.written <= self.most {
            self.bytes.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Takes the next frame from the front of `buffer` if it is complete, else returns the least number of missing bytes.
///
/// # Errors
/// `TooLarge`, `TooShort`, `UnknownKind`: the start of the next frame is unknown, so the connection must be closed.
pub fn parse(buffer: &mut BytesMut, limit: usize) -> Result<Result<Frame, usize>, FrameError> {
    let Some(prefix) = buffer.first_chunk::<PREFIX>() else {
        return Ok(Err(PREFIX - buffer.len()));
    };
    let len = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
    if len > limit {
        return Err(FrameError::TooLarge { bytes: len, limit });
    }
    if len < FIXED {
        return Err(FrameError::TooShort(len));
    }
    if let Some(&byte) = buffer.get(PREFIX)
        && Kind::from_repr(byte).is_none()
    {
        return Err(FrameError::UnknownKind(byte));
    }
    if let Some(missing) = (PREFIX + len)
        .checked_sub(buffer.len())
        .filter(|missing| *missing > 0)
    {
        return Ok(Err(missing));
    }
    buffer.advance(PREFIX);
    let mut frame = buffer.split_to(len).freeze();
    let byte = frame.get_u8();
    let kind = Kind::from_repr(byte).ok_or(FrameError::UnknownKind(byte))?;
    let header_len = usize::from(frame.get_u16_le());
    if header_len > frame.len() {
        return Err(FrameError::TooShort(len));
    }
    Ok(Ok(Frame {
        kind,
        bytes: frame,
        header_len,
    }))
}

/// Reads frames from a connection.
#[derive(Debug)]
pub struct FrameReader<R> {
    stream: R,
    buffer: BytesMut,
    limit: usize,
    reads: u64,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader that accepts frames of up to `limit` bytes.
    pub fn new(stream: R, limit: usize) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            limit,
            reads: 0,
        }
    }

    /// Sets another limit, once the peer is known.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The next frame; `None` if the connection ended between two. Safe to drop and call again.
    ///
    /// # Errors
    /// If the bytes are not a frame, or the connection breaks: nothing more can be read from it.
    pub async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            let missing = match parse(&mut self.buffer, self.limit)? {
                Ok(frame) => return Ok(Some(frame)),
                Err(missing) => missing,
            };
            self.buffer.reserve(missing.clamp(SMALLEST_READ, LARGEST_READ));
            let read = self.stream.read_buf(&mut self.buffer).await?;
            self.reads += 1;
            if read == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(FrameError::Truncated)
                };
            }
        }
    }

    /// How often bytes have been read.
    pub fn reads(&self) -> u64 {
        self.reads
    }

    /// Reads exactly `N` bytes before any frame.
    ///
    /// # Errors
    /// If the connection breaks or ends.
    pub async fn preamble<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    /// The stream. Bytes that were read and are no frame yet are lost.
    pub fn into_inner(self) -> R {
        self.stream
    }

    /// The stream, for writing.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.stream
    }
}

impl<S: AsyncRead + AsyncWrite> FrameReader<S> {
    /// Splits the stream, so that it can be written to while it is read. Bytes that were already read stay with the
    /// reader.
    pub fn split(self) -> (FrameReader<ReadHalf<S>>, WriteHalf<S>) {
        let (read, write) = tokio::io::split(self.stream);
        (
            FrameReader {
                stream: read,
                buffer: self.buffer,
                limit: self.limit,
                reads: self.reads,
            },
            write,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse_all(bytes: &[u8], limit: usize) -> Result<Vec<Frame>, FrameError> {
        let mut buffer = BytesMut::from(bytes);
        let mut frames = Vec::new();
        while let Ok(frame) = parse(&mut buffer, limit)? {
            frames.push(frame);
        }
        Ok(frames)
    }

    fn fault(bytes: &[u8], limit: usize) -> String {
        parse_all(bytes, limit).unwrap_err().to_string()
    }

    #[test]
    fn a_frame_that_does_not_fit_is_refused_before_it_is_written_and_before_it_is_read() {
        let written = encode_raw(Kind::Cast, &7_u64, &[0; 89], 100).unwrap();
        assert_eq!(written.len(), 104);
        let refused = encode_raw(Kind::Cast, &7_u64, &[0; 90], 100).unwrap_err();
        assert_eq!(refused.to_string(), "a frame of 101 bytes is larger than 100");
        assert_eq!(fault(&written, 99), "a frame of 100 bytes is larger than 99");
        // The first four bytes are enough to detect it.
        assert_eq!(fault(&written[..4], 99), "a frame of 100 bytes is larger than 99");
        let header = encode_raw(Kind::Cast, &vec![0_u8; 70_000], &[], MAX_FRAME);
        assert!(matches!(header, Err(FrameError::TooLarge { .. })));
    }

    #[test]
    fn what_is_no_frame_is_seen_as_early_as_can_be() {
        assert_eq!(
            fault(&[2, 0, 0, 0], 100),
            "a frame of 2 bytes is too short to be one"
        );
        assert_eq!(fault(&[9, 0, 0, 0, 99], 100), "99 is no kind of frame");
        assert_eq!(
            fault(&[3, 0, 0, 0, 9, 1, 0], 100),
            "a frame of 3 bytes is too short to be one"
        );
    }

    #[tokio::test]
    async fn a_claimed_length_costs_nothing_until_the_bytes_are_there() {
        let mut bytes = encode_raw(Kind::Cast, &7_u64, &vec![0; 1_000_000], MAX_FRAME).unwrap();
        bytes.truncate(100);
        let mut reader = FrameReader::new(bytes.as_slice(), MAX_FRAME);
        assert!(matches!(reader.next().await, Err(FrameError::Truncated)));
        let capacity = reader.buffer.capacity();
        assert!(capacity <= 2 * LARGEST_READ, "{capacity}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_frames_or_refused_and_never_more_than_they_are(bytes: Vec<u8>, limit in 0_usize..200) {
            if let Ok(frames) = parse_all(&bytes, limit) {
                let taken: usize = frames.iter().map(|f| PREFIX + FIXED + f.size()).sum();
                prop_assert!(taken <= bytes.len());
            }
        }

        #[test]
        fn frames_are_read_back_however_the_bytes_are_cut(
            sent in prop::collection::vec((0_usize..13, any::<u64>(), any::<Vec<u8>>()), 0..5),
            cuts in prop::collection::vec(1_usize..40, 1..5),
        ) {
            let mut bytes = Vec::new();
            for (kind, header, payload) in &sent {
                bytes.extend(encode(Kind::ALL[*kind], header, payload, MAX_FRAME).unwrap());
            }
            let mut buffer = BytesMut::new();
            let (mut frames, mut rest, mut cuts) = (Vec::new(), bytes.as_slice(), cuts.iter().cycle());
            loop {
                match parse(&mut buffer, MAX_FRAME).unwrap() {
                    Ok(frame) => frames.push(frame),
                    Err(_) if rest.is_empty() => break,
                    Err(_) => {
                        let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                        buffer.extend_from_slice(now);
                        rest = later;
                    }
                }
            }
            prop_assert!(buffer.is_empty());
            prop_assert_eq!(frames.len(), sent.len());
            for (frame, (kind, header, payload)) in frames.iter().zip(&sent) {
                prop_assert_eq!(frame.kind, Kind::ALL[*kind]);
                prop_assert_eq!(frame.decode_header::<u64>().unwrap(), *header);
                prop_assert_eq!(&codec::decode::<Vec<u8>>(frame.payload()).unwrap(), payload);
            }
        }

        #[test]
        fn a_frame_cut_anywhere_is_waited_for(payload: Vec<u8>) {
            let bytes = encode_raw(Kind::Reply, &1_u64, &payload, MAX_FRAME).unwrap();
            for cut in 0..bytes.len() {
                prop_assert!(parse_all(&bytes[..cut], MAX_FRAME).unwrap().is_empty());
            }
        }
    }
}
