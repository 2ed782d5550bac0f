//! What the neighbours have received, and how they are to react.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::sync::Arc;

use parking_lot::Mutex;
use pumice::messages::Message;
use pumice::messages::api::FailureKind;
use pumice::model::quota::Resource;
use pumice::model::{Error, Existing, PoolName};
use pumice::transport::codec::encoded_size;

/// The name under which the scheduler's part of a create is scripted: the message has the name of the backend's.
pub const SCHEDULE: &str = "schedule";

/// How a scripted neighbour reacts to a message.
#[derive(Clone, Debug)]
pub enum Reaction {
    /// It does what is asked.
    Succeed,
    /// It does nothing: the message is lost.
    Lose,
    /// It reports that it failed.
    Fail(FailureKind),
    /// It does what is asked and reports it twice.
    ReportTwice,
}

trait AnyMessage: Any + Debug + Send + Sync {}

impl<M: Message> AnyMessage for M {}

/// A message as a neighbour received it.
#[derive(Clone, Debug)]
pub struct Received {
    pub name: &'static str,
    message: Arc<dyn AnyMessage>,
}

impl Received {
    /// The message, if it is one of that type.
    pub fn of_type<M: Message>(&self) -> Option<Arc<M>> {
        let message: Arc<dyn Any + Send + Sync> = self.message.clone();
        message.downcast().ok()
    }
}

/// What the neighbours are to do, and have received.
#[derive(Default)]
pub struct Script {
    pub received: Vec<Received>,
    /// The next reactions by message name.
    pub next: BTreeMap<&'static str, VecDeque<Reaction>>,
    /// The reaction when `next` has none: `Succeed` unless set.
    pub always: BTreeMap<&'static str, Reaction>,
    pub pools: VecDeque<PoolName>,
    pub limits: Vec<(Resource, i64)>,
    pub refuse_quota: Option<Error>,
    pub exports: usize,
    /// What lies on the backends.
    pub existing: Vec<Existing>,
    /// Backends report texts as long as may be kept, and longer ones in their failures.
    pub reports_long_texts: bool,
    /// Bytes of the largest message to a neighbour.
    pub largest_message: usize,
}

pub type Shared = Arc<Mutex<Script>>;

impl Script {
    /// Keeps the message, and says how its receiver reacts to it.
    pub fn react<M: Message>(&mut self, name: &'static str, message: M) -> Reaction {
        self.largest_message = self.largest_message.max(encoded_size(&message).unwrap());
        self.received.push(Received {
            name,
            message: Arc::new(message),
        });
        let next = self.next.get_mut(name).and_then(VecDeque::pop_front);
        next.or_else(|| self.always.get(name).cloned())
            .unwrap_or(Reaction::Succeed)
    }
}
