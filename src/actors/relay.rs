//! The **Relay** actor of a control node: forwards reads between volume nodes that are not connected with each other.
//!
//! Volume nodes join control nodes, not each other. The reads of a copy are forwarded here if there is no direct connection; the
//! backend of the volume decides whether it may be read. The relay has no state, and runs on a separate thread, since a piece of
//! a volume is large and must not delay client requests. The number of concurrent reads is bounded; a read beyond it is refused
//! and retried.

use std::rc::Rc;

use crate::messages::relay::RelayTopic;
use crate::messages::volume::VolumeTopic;
use crate::model::{Context, Error};
use crate::transport::serve::EndpointBuilder;
use crate::transport::{Actor, CallError, Router, Serve};
use crate::verbs::volume::{ReadVolumeData, RelayedRead, VolumeData};

/// The most concurrent reads: each may hold a piece of one megabyte.
const MOST_READS: usize = 64;

/// See the module.
pub struct Relay {
    router: Router,
}

/// The endpoint of a relay, ready to be started and registered.
pub fn endpoint(router: Router) -> EndpointBuilder<Relay> {
    let make = move || {
        Rc::new(Relay {
            router: router.clone(),
        })
    };
    EndpointBuilder::new(None, MOST_READS, make).serves::<RelayedRead>()
}

impl Actor for Relay {
    type Topic = RelayTopic;
}

impl Serve<RelayedRead> for Relay {
    async fn serve(self: Rc<Self>, context: Context, read: RelayedRead) -> Result<VolumeData, Error> {
        let manager = self.router.server::<VolumeTopic>(&read.source.to_string());
        let answer = manager.call(&context, read.question, ReadVolumeData::LIMIT).await;
        answer.map_err(|error| match error {
            // The caller then requests a smaller piece.
            CallError::TooLarge { .. } => Error::too_large(error.to_string()),
            other => other.into(),
        })
    }
}
