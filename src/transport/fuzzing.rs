//! Decoding of untrusted bytes in the transport, for fuzzing. The messages in them are decoded by the inventory
//! ([`crate::inventory::feed`]).

use bytes::BytesMut;

use super::frame::{self, Frame, Kind};
use super::header::{
    Announcement, Goodbye, Identity, MessageHeader, Numbered, Proof, Refuse, ReplyHeader, Welcome,
};
use super::{codec, handshake};

/// The largest frame that is parsed.
const LIMIT: usize = 64 * 1024;

/// Parses bytes as a stream of frames, and passes each possible payload to `payload`. It must return without a panic.
pub fn feed(bytes: &[u8], payload: impl Fn(&[u8])) {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Ok(frame)) = frame::parse(&mut buffer, LIMIT) {
        decode_header(&frame);
        payload(frame.payload());
    }
    payload(bytes);
    // The result does not matter.
    let _ = codec::decode::<crate::model::Error>(bytes);
    let _ = codec::decode::<Announcement>(bytes);
    let _ = codec::decode::<MessageHeader>(bytes);
}

/// Decodes the header of a frame as that of its kind; true on success.
pub fn decode_header(frame: &Frame) -> bool {
    match frame.kind {
        Kind::Hello => frame.decode_header::<Identity>().is_ok(),
        Kind::Welcome => frame.decode_header::<Welcome>().is_ok(),
        Kind::Refuse => frame.decode_header::<Refuse>().is_ok(),
        Kind::Cast | Kind::Call => frame.decode_header::<MessageHeader>().is_ok(),
        Kind::Reply => frame.decode_header::<ReplyHeader>().is_ok(),
        Kind::Accepted | Kind::Cancel | Kind::Ping | Kind::Pong => frame.decode_header::<Numbered>().is_ok(),
        Kind::Goodbye => frame.decode_header::<Goodbye>().is_ok(),
        Kind::Announce => handshake::announcement(frame).is_ok(),
        Kind::Proof => frame.decode_header::<Proof>().is_ok(),
    }
}
