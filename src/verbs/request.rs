//! Requests of clients, and how they begin.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;

use crate::control::{Control, Interrupt};
use crate::flow::Observer;
use crate::messages::Message;
use crate::messages::api::ApiTopic;
use crate::model::idempotency::{IdempotencyKey, IdempotentRequest};
use crate::model::role::Level;
use crate::model::{
    Context, Error, Operation, OperationId, Result, StepRecord, Subject, Timestamp, Volume, VolumeStatus,
};
use crate::store::catalog::{Changes, Stored};
use crate::store::record::encode_part;
use crate::verbs::{Answer, Entry};

/// A request of a client to the Api actor.
pub trait Request: Message<To = ApiTopic> {
    /// The least level that any of its policy rules requires.
    const LEVEL: Level;

    /// The same for this request, if that depends on its content.
    fn level(&self) -> Level {
        Self::LEVEL
    }

    /// Whether the client may have to wait for a backend. The number of waiters is bounded.
    fn may_wait(&self) -> bool {
        false
    }

    /// Checks the request and makes the changes that begin it, in one commit. It is called again after a conflict, or
    /// after it had to wait for another operation.
    ///
    /// # Errors
    /// [`Interrupt`]; then nothing was changed.
    fn begin(&self, at: &BeginContext<'_>) -> impl Future<Output = Result<Began<Self::Reply>, Interrupt>>;

    /// The reply to a repeat of a request with an idempotency key, by the reply that was stored when it began.
    ///
    /// # Errors
    /// The error for the client.
    fn repeat(
        &self,
        at: &BeginContext<'_>,
        key: &IdempotencyKey,
        stored: Self::Reply,
    ) -> impl Future<Output = Result<Self::Reply>> {
        let _ = (at, key);
        async { Ok(stored) }
    }

    /// The reply to a client that has waited.
    ///
    /// # Errors
    /// The error for the client.
    fn reply(
        &self,
        at: &BeginContext<'_>,
        operation: Option<&Operation>,
        answer: Result<Answer>,
    ) -> impl Future<Output = Result<Self::Reply>> {
        let _ = (at, operation, answer);
        async { Err(Error::internal("this verb has no waiters")) }
    }
}

/// Visits each type of request.
pub trait RequestVisitor {
    /// Visits one.
    fn request<R: Request>(&mut self);
}

/// The context of the begin of a request.
pub struct BeginContext<'a> {
    /// The environment of the verb.
    pub control: &'a Control,
    /// The context of the request.
    pub context: &'a Context,
    /// The id of the operation that it may begin. The listener for its end is already registered.
    pub id: OperationId,
    /// Observes each step of a flow.
    pub observer: Rc<dyn Observer<Error>>,
    /// Operations that were ended by the commits so far: their waiters are notified.
    pub superseded: Superseded,
    /// The idempotency key of the request, if it has one.
    pub once: Option<Once>,
}

/// The idempotency key of a request that has not been answered yet.
#[derive(Debug)]
pub struct Once {
    /// The key.
    pub key: IdempotencyKey,
    /// The name of the request's message.
    pub request: &'static str,
    /// When the answer is forgotten.
    pub expires_at: Timestamp,
    /// An answer with the same key that has expired.
    pub expired: Option<Stored<IdempotentRequest>>,
}

/// Operations that were ended by a commit of another request.
#[derive(Debug, Default)]
pub struct Superseded(RefCell<Vec<Operation>>);

impl Superseded {
    /// Adds superseded operations.
    pub fn add(&self, operations: Vec<Operation>) {
        self.0.borrow_mut().extend(operations);
    }

    /// Takes the operations that were added since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Operation> {
        self.0.take()
    }
}

/// The result of the begin of a request.
#[derive(Debug)]
pub enum Began<R> {
    /// It is complete: this is the reply.
    Done(R),
    /// It is complete; [`Request::reply`] makes the reply.
    Ended,
    /// The operation is in the journal, and its command must be sent. This is the reply.
    Started(Box<Started>, R),
    /// The same, but the client waits for its end.
    Awaited(Box<Started>),
    /// An open operation does the same: its command is sent again. This is the reply.
    Repeated(Box<Operation>, R),
    /// An open operation does the same: the client waits for its end.
    Joined(Box<Operation>),
}

/// A new operation.
#[derive(Debug)]
pub struct Started {
    /// Its journal entry.
    pub operation: Operation,
    /// Its volume, as committed.
    pub volume: Volume,
    /// The steps so far.
    pub steps: Vec<StepRecord>,
    /// Records that were read for it, so that they are not read again for its first command.
    pub known: Known,
}

/// Records that were read while an operation began.
#[derive(Debug, Default)]
pub struct Known {
    /// Extra specs of the volume's type.
    pub extra_specs: Option<BTreeMap<String, String>>,
    /// The other volume that it works with.
    pub other: Option<Volume>,
}

impl<R> Began<R> {
    /// A backend does the rest.
    pub fn started(operation: Operation, volume: Volume, reply: R) -> Self {
        Self::Started(Box::new(Started::new(operation, volume)), reply)
    }

    /// A backend does the rest, and the client waits for it.
    pub fn awaited(operation: Operation, volume: Volume) -> Self {
        Self::Awaited(Box::new(Started::new(operation, volume)))
    }
}

impl Started {
    /// A new operation without steps.
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
    /// Adds the reply to the commit that begins the request, if the request has an idempotency key: a repeat gets it. Called by
    /// every verb that makes a resource. With `awaited`, the client waits for that operation's end.
    ///
    /// # Errors
    /// When the reply cannot be encoded.
    pub fn answer(
        &self,
        changes: &mut Changes,
        reply: &impl Serialize,
        awaited: Option<OperationId>,
    ) -> Result<()> {
        let Some(once) = &self.once else {
            return Ok(());
        };
        let answered = IdempotentRequest {
            project_id: self.context.project_id.clone(),
            name: once.key.name(&self.context.user_id),
            fingerprint: once.key.fingerprint,
            request: once.request.to_owned(),
            reply: encode_part(reply).map_err(|error| Error::internal(error.to_string()))?,
            answer: None,
            operation: awaited,
            expires_at: once.expires_at,
        };
        match &once.expired {
            Some(expired) => changes.update(expired, &answered),
            None => changes.insert(&answered),
        };
        Ok(())
    }

    /// A journal entry for a volume and its backend.
    ///
    /// # Errors
    /// When the entry cannot be encoded.
    pub fn operation<E: Entry>(&self, entry: &E, subject: Subject, volume: &Volume) -> Result<Operation> {
        let now = Timestamp::now();
        let bytes = encode_part(entry).map_err(|error| Error::internal(error.to_string()))?;
        let deadline = now.plus(entry.deadline(&self.control.options.deadlines, volume.size));
        Ok(Operation {
            id: self.id,
            entry: bytes,
            user_id: self.context.user_id.clone(),
            request_id: self.context.request_id.clone(),
            pool: volume.host.clone(),
            previous_status: Some(volume.status).filter(|status| *status != VolumeStatus::Creating),
            owner: self.control.nodes.own().cloned(),
            ..Operation::new(E::NAME, subject, volume, now, deadline)
        })
    }
}
