//! The **Api** actor: the engine that runs the verbs ([`crate::verbs`]).
//!
//! Every change is one commit of the catalog, which fails if the records that it was decided on have changed meanwhile;
//! so the actor has no state that a crash could lose. A change that needs a backend is an
//! [operation](crate::model::Operation), written in the same commit as the transient status that it will end. `runner`
//! drives every open operation: it sends its command again until a report is received or its deadline passes.
//!
//! | file | content |
//! |---|---|
//! | `requests` | begins and answers requests |
//! | `report` | handles the outcome of a stage: the verb decides, one commit, then the next stage or the answer |
//! | `runner`, `timers`, `lanes` | when each open operation is processed, and how many at once |
//! | `operations` | the processing of an open operation |
//! | `take_over` | operations of control nodes that have ended, and the ends of operations on others |
//! | `waiters` | requests that wait for the end of an operation |
//! | `cancel_operation` | cancelling an operation |
//! | `backend_started`, `list_backend_volumes`, `list_manageable`, `compare_storage` | messages to and from backends |
//! | `backend_runs` | which run of a volume node serves a backend: reports of earlier ones are dropped |
//! | `copy_progress` | how far a backend has copied a volume |
//! | `run_once` | requests with an idempotency key |
//! | `forget_messages` | deletion of expired records |

mod backend_runs;
mod backend_started;
mod cancel_operation;
mod compare_storage;
mod copy_progress;
mod forget_messages;
mod hand_over;
mod lanes;
mod list_backend_volumes;
mod list_manageable;
mod operations;
mod report;
mod requests;
mod run_once;
mod runner;
mod take_over;
mod timers;
mod waiters;

use std::ops::Deref;
use std::rc::Rc;

use self::timers::Timers;
use self::waiters::Waiters;
pub use crate::control::{Advance, Control, ControlNodes, Deadlines, Finished, FinishedOperations, Options};
use crate::flow::{Observer, Unobserved};
use crate::messages::Message;
use crate::messages::api::{
    ApiTopic, BackendStarted, CancelOperation, CompareStorage, ConfirmOrphans, CopyProgress, KeepAnswer,
    ListBackendVolumes, ListBackendVolumesPage, ListManageableSnapshots, ListManageableVolumes,
    OperationEnded, Progress, Report, RunOnce, TakeOperation,
};
use crate::model::{Context, Error};
use crate::transport::serve::EndpointBuilder;
use crate::transport::{Actor, Serve, Started};
use crate::verbs::{Request, RequestVisitor, every_request};

/// See the module.
pub struct ApiActor {
    control: Control,
    timers: Timers,
    waiters: Waiters,
    observer: Rc<dyn Observer<Error>>,
}

impl ApiActor {
    /// A new actor; nothing runs before it is started.
    pub fn new(control: Control) -> Self {
        Self::observed(control, Rc::new(Unobserved))
    }

    /// A new actor with an observer of its create flow, for fault injection.
    pub fn observed(control: Control, observer: Rc<dyn Observer<Error>>) -> Self {
        Self {
            control,
            timers: Timers::default(),
            waiters: Waiters::default(),
            observer,
        }
    }
}

impl Deref for ApiActor {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.control
    }
}

impl Actor for ApiActor {
    type Topic = ApiTopic;

    fn started(self: Rc<Self>, started: &Started) {
        started.spawn(Rc::clone(&self).forget_messages());
        started.spawn(Rc::clone(&self).forget_idempotency_keys());
        started.spawn(Rc::clone(&self).find_forgotten_operations());
        started.spawn(Rc::clone(&self).forget_quota_of_gone_types());
        started.spawn(self.run_operations());
    }
}

impl<R: Request> Serve<R> for ApiActor {
    async fn serve(self: Rc<Self>, context: Context, request: R) -> Result<R::Reply, Error> {
        let (reply, _) = self.run(context, request, None).await?;
        Ok(reply)
    }
}

/// The Api actor's endpoint, ready to be started and registered.
pub fn endpoint(control: Control) -> EndpointBuilder<ApiActor> {
    struct Serving(Option<EndpointBuilder<ApiActor>>);
    impl RequestVisitor for Serving {
        fn request<R: Request>(&mut self) {
            self.0 = self.0.take().map(EndpointBuilder::serves::<R>);
        }
    }
    let bound = control.options.mailbox_bound;
    // One that shares the store is reachable beside others.
    let server = control.nodes.own().map(|own| own.node.clone());
    let mut serving = Serving(Some(own_messages(EndpointBuilder::new(
        server,
        bound,
        move || Rc::new(ApiActor::new(control.clone())),
    ))));
    every_request(&mut serving);
    serving.0.expect("an endpoint that is taken is put back")
}

/// Serves a message that is not a verb by the method of that name.
macro_rules! serves {
    ($($message:ident => $method:ident,)+) => {
        $(impl Serve<$message> for ApiActor {
            async fn serve(
                self: Rc<Self>,
                context: Context,
                message: $message,
            ) -> Result<<$message as Message>::Reply, Error> {
                self.$method(context, message).await
            }
        })+

        fn own_messages(endpoint: EndpointBuilder<ApiActor>) -> EndpointBuilder<ApiActor> {
            endpoint$(.serves::<$message>())+
        }
    };
}

serves! {
    Report => report,
    ListBackendVolumes => list_backend_volumes,
    ListBackendVolumesPage => list_backend_volumes_page,
    ConfirmOrphans => confirm_orphans,
    BackendStarted => backend_started,
    ListManageableVolumes => list_manageable_volumes,
    ListManageableSnapshots => list_manageable_snapshots,
    CompareStorage => compare_storage,
    CancelOperation => cancel_operation,
    Progress => progress,
    CopyProgress => copy_progress,
    RunOnce => run_once,
    KeepAnswer => keep_answer,
    OperationEnded => operation_ended,
    TakeOperation => take_operation,
}
