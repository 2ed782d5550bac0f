//! What a stranger's bytes go through, in one function: for the fuzzer (`fuzz/`) and for the property test that every
//! `make test` runs. It promises nothing but to return.

use bytes::BytesMut;

use super::frame::{self, Frame, Kind};
use super::header::{
    Announcement, Goodbye, Identity, MessageHeader, Numbered, Proof, Refuse, ReplyHeader, Welcome,
};
use super::inventory::{self, Visitor};
use super::{codec, handshake};
use crate::messages::Message;

/// The largest frame that is tried.
const LIMIT: usize = 64 * 1024;

/// Takes bytes for a stream of frames, and for the payload of every message and reply.
pub fn feed(bytes: &[u8]) {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Ok(frame)) = frame::parse(&mut buffer, LIMIT) {
        decode_header(&frame);
        inventory::every_message(&mut Payload(&frame.payload));
    }
    inventory::every_message(&mut Payload(bytes));
    // Whether it is one is not asked here.
    let _ = codec::decode::<crate::model::Error>(bytes);
    let _ = codec::decode::<Announcement>(bytes);
    let _ = codec::decode::<MessageHeader>(bytes);
}

/// Decodes the header of a frame as what its kind says; true if it is that.
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

struct Payload<'a>(&'a [u8]);

impl Visitor for Payload<'_> {
    fn message<M: Message>(&mut self) {
        if let Ok(message) = codec::decode::<M>(self.0) {
            // What was understood can be said again.
            assert!(
                codec::encode(&message).is_ok(),
                "{} cannot be written again",
                M::NAME
            );
        }
        let _ = codec::decode::<M::Reply>(self.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::feed;
    use crate::transport::frame::{self, Kind, MAX_FRAME};

    proptest! {
        #[test]
        fn any_bytes_are_got_over(bytes: Vec<u8>) {
            feed(&bytes);
        }

        #[test]
        fn frames_of_any_bytes_are_got_over(
            frames in prop::collection::vec((0_usize..13, any::<[u8; 24]>(), any::<Vec<u8>>()), 1..4),
        ) {
            let mut bytes = Vec::new();
            for (kind, header, payload) in &frames {
                bytes.extend(frame::encode_raw(Kind::ALL[*kind], header, payload, MAX_FRAME).unwrap());
            }
            feed(&bytes);
        }
    }
}
