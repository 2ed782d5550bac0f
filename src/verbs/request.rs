//! What a client asks for, and how it is begun.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::control::{Control, Interrupt};
use crate::flow::Observer;
use crate::messages::Message;
use crate::messages::api::ApiTopic;
use crate::model::quota::Deltas;
use crate::model::role::Level;
use crate::model::{
    Context, Error, Operation, OperationId, Result, StepRecord, Subject, Timestamp, Volume, VolumeStatus,
};
use crate::store::record::encode_part;
use crate::verbs::{Answer, Entry};

/// Something that the Api actor is asked for by a client.
pub trait Request: Message<To = ApiTopic> {
    /// The least level that any rule of the policy demands for it.
    fn level(&self) -> Level;

    /// Whether the client may have to wait for a backend. How many may do so at once is bounded.
    fn may_wait(&self) -> bool {
        false
    }

    /// Checks the request and makes the changes that begin it, in one commit. It is called again if it met a conflict, or had to
    /// wait for another operation.
    ///
    /// # Errors
    /// [`Interrupt`]; nothing was changed then.
    fn begin(&self, at: &BeginContext<'_>) -> impl Future<Output = Result<Began<Self::Reply>, Interrupt>>;

    /// The reply to a client that has waited.
    ///
    /// # Errors
    /// What the client reads instead.
    fn reply(
        &self,
        at: &BeginContext<'_>,
        operation: Option<&Operation>,
        answer: Result<Answer>,
    ) -> impl Future<Output = Result<Self::Reply>> {
        let _ = (at, operation, answer);
        async { Err(Error::internal("nobody waits for this verb")) }
    }
}

/// Is shown each type of request.
pub trait RequestVisitor {
    /// One of them.
    fn request<R: Request>(&mut self);
}

/// What a verb begins with.
pub struct BeginContext<'a> {
    /// What it works with.
    pub control: &'a Control,
    /// Whose request it is.
    pub context: &'a Context,
    /// The id of the operation that it may begin. Whoever waits for that operation listens already.
    pub id: OperationId,
    /// Sees each step of a flow.
    pub observer: Rc<dyn Observer<Error>>,
    /// Operations that were ended by what was committed so far: whoever waits for one of them is told.
    pub superseded: Superseded,
}

/// Operations that were ended by a commit that did not belong to them.
#[derive(Debug, Default)]
pub struct Superseded(RefCell<Vec<Operation>>);

impl Superseded {
    /// These were.
    pub fn add(&self, operations: Vec<Operation>) {
        self.0.borrow_mut().extend(operations);
    }

    /// Takes those that were added since the last time.
    #[must_use]
    pub fn take(&self) -> Vec<Operation> {
        self.0.take()
    }
}

/// What a request has begun, and what happens now.
#[derive(Debug)]
pub enum Began<R> {
    /// Nothing more: this is the reply.
    Done(R),
    /// Nothing more; the reply is asked for.
    Ended,
    /// The operation is in the journal; its command is sent. This is the reply.
    Started(Box<Started>, R),
    /// The same, and its end is waited for.
    Awaited(Box<Started>),
    /// An operation that was open already does the same: its command is sent again. This is the reply.
    Repeated(Box<Operation>, R),
    /// An operation that was open already does the same: its end is waited for.
    Joined(Box<Operation>),
}

/// An operation that was begun.
#[derive(Debug)]
pub struct Started {
    /// Its journal entry.
    pub operation: Operation,
    /// Its volume as it was committed.
    pub volume: Volume,
    /// The steps that it took so far.
    pub steps: Vec<StepRecord>,
    /// What was read for it, so that it is not read again for its first command.
    pub known: Known,
}

/// What was read while an operation was begun.
#[derive(Debug, Default)]
pub struct Known {
    /// Extra specs of the volume's type.
    pub extra_specs: Option<BTreeMap<String, String>>,
    /// The other volume that it works with.
    pub other: Option<Volume>,
}

impl<R> Began<R> {
    /// A backend does the rest.
    #[must_use]
    pub fn started(operation: Operation, volume: Volume, reply: R) -> Self {
        Self::Started(Box::new(Started::new(operation, volume)), reply)
    }

    /// A backend does the rest, and the client waits for it.
    #[must_use]
    pub fn awaited(operation: Operation, volume: Volume) -> Self {
        Self::Awaited(Box::new(Started::new(operation, volume)))
    }
}

impl Started {
    /// One that has taken no steps yet.
    #[must_use]
    pub fn new(operation: Operation, volume: Volume) -> Self {
        Self {
            operation,
            volume,
            steps: Vec::new(),
            known: Known::default(),
        }
    }
}

impl BeginContext<'_> {
    /// A journal entry about a volume, for its backend.
    ///
    /// # Errors
    /// When the entry cannot be encoded.
    pub fn operation<E: Entry>(&self, entry: &E, subject: Subject, volume: &Volume) -> Result<Operation> {
        let now = Timestamp::now();
        let bytes = encode_part(entry).map_err(|error| Error::internal(error.to_string()))?;
        Ok(Operation {
            id: self.id,
            verb: E::NAME.to_owned(),
            entry: bytes,
            subject,
            volume_id: Some(volume.id),
            snapshot_id: match subject {
                Subject::Snapshot(id) => Some(id),
                _ => None,
            },
            copied_from: None,
            project_id: volume.project_id.clone(),
            user_id: self.context.user_id.clone(),
            request_id: self.context.request_id.clone(),
            attempt: 1,
            pool: volume.host.clone(),
            tried: Vec::new(),
            previous_status: Some(volume.status).filter(|status| *status != VolumeStatus::Creating),
            reserved: Deltas::new(),
            steps: Vec::new(),
            created_at: now,
            deadline: now.plus(entry.deadline(&self.control.options.deadlines, volume.size)),
        })
    }
}
