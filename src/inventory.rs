//! The list of all messages, for code that treats them alike, such as the golden tests and the fuzzer.
//!
//! A test reads `src/messages` and `src/verbs` and fails if one is missing here.

use crate::backend::{BackendCommand, CommandVisitor};
use crate::messages::{Message, api, logins, quota, registry, scheduler, volume};
use crate::transport::{codec, fuzzing};
use crate::verbs::volume::{ReadVolumeData, RelayedRead, ScheduleVolume};
use crate::verbs::{Request, RequestVisitor, every_command, every_request};

/// Visits each type of message.
pub trait Visitor {
    /// Visits one type.
    fn message<M: Message>(&mut self);
}

/// Visits all of them, by receiving actor.
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
    visitor.message::<api::RunOnce>();
    visitor.message::<api::KeepAnswer>();
    visitor.message::<api::OperationEnded>();
    visitor.message::<api::TakeOperation>();

    visitor.message::<logins::LoginAttempted>();

    visitor.message::<quota::CheckQuota>();
    visitor.message::<quota::UpdateQuotaSet>();
    visitor.message::<quota::DeleteQuotaSet>();
    visitor.message::<quota::UpdateQuotaClass>();

    visitor.message::<registry::Heartbeat>();
    visitor.message::<registry::ListServices>();
    visitor.message::<registry::SetServiceDisabled>();
    visitor.message::<registry::SetServiceFrozen>();
    visitor.message::<registry::ListServiceStates>();
    visitor.message::<registry::GetHeardServices>();
    visitor.message::<registry::ReadServices>();
    visitor.message::<registry::RemoveHost>();
    visitor.message::<registry::DescribeControlNode>();

    visitor.message::<ScheduleVolume>();
    visitor.message::<scheduler::ValidateExtend>();
    visitor.message::<scheduler::UpdateServiceCapabilities>();
    visitor.message::<scheduler::GetPools>();
    visitor.message::<scheduler::PlaceVolume>();

    let _ = every_command(Commands(visitor));
    visitor.message::<volume::ListExisting>();
    visitor.message::<volume::CancelOperation>();
    visitor.message::<volume::ListExistingPage>();
    visitor.message::<volume::GetLogLevels>();
    visitor.message::<volume::SetLogLevels>();
    visitor.message::<volume::DescribeVolumeNode>();
    visitor.message::<ReadVolumeData>();

    visitor.message::<RelayedRead>();
}

/// Decodes bytes as a stream of frames, and as the payload of every message and reply: for the fuzzer (`fuzz/`) and for the
/// property test in `make test`. It must return without a panic.
pub fn feed(bytes: &[u8]) {
    fuzzing::feed(bytes, |payload| every_message(&mut Payload(payload)));
}

struct Payload<'a>(&'a [u8]);

impl Visitor for Payload<'_> {
    fn message<M: Message>(&mut self) {
        if let Ok(message) = codec::decode::<M>(self.0) {
            // What was decoded can be encoded again.
            assert!(
                codec::encode(&message).is_ok(),
                "{} cannot be encoded again",
                M::NAME
            );
        }
        let _ = codec::decode::<M::Reply>(self.0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use std::collections::BTreeSet;

    use super::{ScheduleVolume, Visitor, every_message, feed};
    use crate::backend::{BackendCommand, CommandVisitor};
    use crate::messages::senders::{Senders, senders};
    use crate::messages::{Message, Topic};
    use crate::transport::frame::{self, Kind, MAX_FRAME};
    use crate::verbs::{Request, RequestVisitor, every_command, every_request};

    type Names = BTreeSet<(&'static str, &'static str)>;

    fn insert<M: Message>(names: &mut Names) {
        names.insert((<M::To as Topic>::NAME, M::NAME));
    }

    #[derive(Default)]
    struct All(Names);

    impl Visitor for All {
        fn message<M: Message>(&mut self) {
            insert::<M>(&mut self.0);
        }
    }

    /// The requests of clients, and the commands to backends.
    #[derive(Default)]
    struct OfVerbs(Names);

    impl RequestVisitor for OfVerbs {
        fn request<R: Request>(&mut self) {
            insert::<R>(&mut self.0);
        }
    }

    impl CommandVisitor for OfVerbs {
        fn command<C: BackendCommand>(mut self) -> Self {
            insert::<C>(&mut self.0);
            self
        }
    }

    #[test]
    fn every_message_has_a_row_that_says_who_may_send_it() {
        let (mut all, mut of_verbs) = (All::default(), OfVerbs::default());
        every_message(&mut all);
        every_request(&mut of_verbs);
        let mut of_verbs = every_command(of_verbs).0;
        insert::<ScheduleVolume>(&mut of_verbs);
        assert!(of_verbs.len() > 50 && all.0.len() > of_verbs.len() + 25);
        for (topic, message) in &all.0 {
            let row = senders(topic, message);
            let is_of_a_verb = of_verbs.contains(&(*topic, *message));
            assert!(
                is_of_a_verb || row.is_some(),
                "{message} to {topic} has no row in src/messages/senders.rs"
            );
            assert!(
                !is_of_a_verb || matches!(row, None | Some(Senders::Control)),
                "{message} to {topic} comes from control nodes only"
            );
        }
    }

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
