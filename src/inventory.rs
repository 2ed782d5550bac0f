//! Every message there is, once: for whoever must treat them all alike, as the golden bytes and the fuzzer do.
//!
//! A test reads `src/messages` and `src/verbs` and fails if one is missing here.

use crate::backend::{BackendCommand, CommandVisitor};
use crate::messages::{Message, api, quota, registry, scheduler, volume};
use crate::transport::{codec, fuzzing};
use crate::verbs::volume::{ReadVolumeData, RelayedRead, ScheduleVolume};
use crate::verbs::{Request, RequestVisitor, every_command, every_request};

/// Is shown each type of message.
pub trait Visitor {
    /// One of them.
    fn message<M: Message>(&mut self);
}

/// Shows them all, by receiving actor.
pub fn every_message(visitor: &mut impl Visitor) {
    struct Commands<'a, V>(&'a mut V);
    impl<V: Visitor> CommandVisitor for Commands<'_, V> {
        fn command<C: BackendCommand>(self) -> Self {
            self.0.message::<C>();
            self
        }
    }
    struct Requests<'a, V>(&'a mut V);
    impl<V: Visitor> RequestVisitor for Requests<'_, V> {
        fn request<R: Request>(&mut self) {
            self.0.message::<R>();
        }
    }
    every_request(&mut Requests(visitor));
    visitor.message::<api::Report>();
    visitor.message::<api::ListBackendVolumes>();
    visitor.message::<api::BackendStarted>();
    visitor.message::<api::ListManageableVolumes>();
    visitor.message::<api::ListManageableSnapshots>();
    visitor.message::<api::CompareStorage>();
    visitor.message::<api::Progress>();
    visitor.message::<api::CancelOperation>();
    visitor.message::<api::ListBackendVolumesPage>();
    visitor.message::<api::ConfirmOrphans>();
    visitor.message::<api::CopyProgress>();

    visitor.message::<quota::CheckQuota>();
    visitor.message::<quota::UpdateQuotaSet>();
    visitor.message::<quota::DeleteQuotaSet>();
    visitor.message::<quota::UpdateQuotaClass>();

    visitor.message::<registry::Heartbeat>();
    visitor.message::<registry::ListServices>();
    visitor.message::<registry::SetServiceDisabled>();

    visitor.message::<ScheduleVolume>();
    visitor.message::<scheduler::ValidateExtend>();
    visitor.message::<scheduler::UpdateServiceCapabilities>();
    visitor.message::<scheduler::GetPools>();
    visitor.message::<scheduler::PlaceVolume>();

    let _ = every_command(Commands(visitor));
    visitor.message::<volume::ListExisting>();
    visitor.message::<volume::CancelOperation>();
    visitor.message::<volume::ListExistingPage>();
    visitor.message::<ReadVolumeData>();

    visitor.message::<RelayedRead>();
}

/// Takes bytes for a stream of frames, and for the payload of every message and reply: for the fuzzer (`fuzz/`) and for the
/// property test that every `make test` runs. It promises nothing but to return.
pub fn feed(bytes: &[u8]) {
    fuzzing::feed(bytes, |payload| every_message(&mut Payload(payload)));
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
