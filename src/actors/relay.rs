//! The **Relay** actor of a control node: passes reads on between volume nodes that are not connected with each other.
//!
//! Volume nodes join control nodes, and not each other. What a copy reads goes through here if there is no shorter way; the backend
//! that has the volume decides whether it may be read. It keeps nothing, and has a thread of its own, for a piece of a volume is
//! large and requests of clients must not wait behind it. Few are under way at once; one more is refused, and comes again.

use std::rc::Rc;

use crate::messages::relay::RelayTopic;
use crate::messages::volume::VolumeTopic;
use crate::model::{Context, Error};
use crate::transport::serve::EndpointBuilder;
use crate::transport::{Actor, CallError, Router, Serve};
use crate::verbs::volume::{ReadVolumeData, RelayedRead, VolumeData};

/// How many reads may be under way at once: each may hold a piece of a megabyte.
const MOST_READS: usize = 64;

/// See the module.
pub struct Relay {
    router: Router,
}

/// The endpoint of a relay, ready to be started and registered.
#[must_use]
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
            // Whoever asks asks for less then.
            CallError::TooLarge { .. } => Error::too_large(error.to_string()),
            other => other.into(),
        })
    }
}
