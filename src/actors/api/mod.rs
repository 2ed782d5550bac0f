//! The **Api** actor: it decides what clients want changed, writes it down, has it done, and writes down what came of it.
//!
//! Every change is one commit of the catalog, decided on records that must not have changed meanwhile; so the actor holds
//! nothing that a crash could lose. What takes a backend is an [operation](crate::model::Operation), written in the same
//! commit as the transient status that it will end. `runner` owns every open operation: it sends its command again
//! until a report comes or its deadline passes.
//!
//! | file | what |
//! |---|---|
//! | `create_volume`, `delete_volume`, … | one verb each |
//! | `report`, `verdict`, `record_changes` | what backends say, what it means (pure), what is written of it |
//! | `runner`, `timers`, `lanes` | when each open operation is looked at, and how many at once |
//! | `operations`, `commands` | what is done about it then, and the commands (pure) |
//! | `overtake`, `followers` | what a stronger request ends; what a volume takes along when it goes |
//! | `waiters`, `finished` | who waits for an end; what has ended |
//! | `bounds` | how large what users and backends write may be |
//! | `lookup`, `options` | finding what clients name; settings |

mod backend_started;
mod bounds;
mod cancel_operation;
mod change_volume;
pub mod commands;
mod compare_storage;
mod complete_attachment;
mod create_attachment;
mod create_snapshot;
mod create_volume;
mod create_volume_type;
mod delete_attachment;
mod delete_message;
mod delete_snapshot;
mod delete_volume;
mod delete_volume_type;
mod extend_volume;
pub mod finished;
mod followers;
mod forget_messages;
mod initialize_connection;
mod lanes;
mod list_backend_volumes;
mod list_manageable;
mod lookup;
mod manage_volume;
pub mod old_connectors;
mod operations;
pub mod options;
mod overtake;
mod record_changes;
mod report;
mod revert_to_snapshot;
mod runner;
mod terminate_connection;
mod timers;
mod unmanage_volume;
mod update_attachment;
mod update_snapshot;
mod update_volume;
mod update_volume_metadata;
mod update_volume_type;
pub mod verdict;
mod waiters;

use std::collections::BTreeMap;
use std::rc::Rc;

pub use self::finished::{Advance, Finished, FinishedOperations};
pub use self::options::{Deadlines, Options};
use self::timers::Timers;
use self::waiters::Waiters;
use crate::flow::{Observer, Unobserved};
use crate::messages::Message;
use crate::messages::api::{
    ApiTopic, BackendStarted, CancelOperation, ChangeSnapshot, ChangeVolume, CompareStorage,
    CompleteAttachment, ConfirmOrphans, CreateAttachment, CreateSnapshot, CreateVolume, CreateVolumeType,
    DeleteAttachment, DeleteMessage, DeleteSnapshot, DeleteVolume, DeleteVolumeType, ExtendVolume,
    InitializeConnection, ListBackendVolumes, ListBackendVolumesPage, ListManageableSnapshots,
    ListManageableVolumes, ManageSnapshot, ManageVolume, Progress, Report, RevertToSnapshot,
    TerminateConnection, UnmanageSnapshot, UnmanageVolume, UpdateAttachment, UpdateSnapshot,
    UpdateSnapshotMetadata, UpdateVolume, UpdateVolumeMetadata, UpdateVolumeType,
};
use crate::messages::quota::QuotaTopic;
use crate::messages::scheduler::SchedulerTopic;
use crate::model::quota::Deltas;
use crate::model::{
    Context, Error, Operation, OperationId, OperationKind, PoolName, Timestamp, Volume, VolumeStatus,
};
use crate::store::catalog::Catalog;
use crate::transport::serve::EndpointBuilder;
use crate::transport::{Actor, Handle, Router, Serve, Started};

/// What the actor works with. Cheap to clone.
#[derive(Clone)]
pub struct ApiDeps {
    /// Where records live.
    pub catalog: Catalog,
    /// Holds room for requests.
    pub quota: Handle<QuotaTopic>,
    /// Knows whether a pool has room for growth.
    pub scheduler: Handle<SchedulerTopic>,
    /// Leads to the backends.
    pub router: Router,
    /// Where operations are remembered that have ended.
    pub finished: FinishedOperations,
}

/// See the module.
pub struct ApiActor {
    deps: ApiDeps,
    options: Options,
    timers: Timers,
    waiters: Waiters,
    observer: Rc<dyn Observer<Error>>,
}

impl ApiActor {
    /// An actor; nothing runs before it is started.
    #[must_use]
    pub fn new(deps: ApiDeps, options: Options) -> Self {
        Self::observed(deps, options, Rc::new(Unobserved))
    }

    /// An actor whose create flow is observed: for fault injection.
    #[must_use]
    pub fn observed(deps: ApiDeps, options: Options, observer: Rc<dyn Observer<Error>>) -> Self {
        Self {
            deps,
            options,
            timers: Timers::default(),
            waiters: Waiters::default(),
            observer,
        }
    }

    /// A journal entry for this volume, as this request wants it.
    fn new_operation(
        &self,
        context: &Context,
        kind: OperationKind,
        volume: &Volume,
        pool: Option<PoolName>,
    ) -> Operation {
        let now = Timestamp::now();
        Operation {
            id: OperationId::new(),
            deadline: now.plus(self.options.deadlines.of(&kind, volume.size)),
            kind,
            volume_id: volume.id,
            project_id: volume.project_id.clone(),
            user_id: context.user_id.clone(),
            request_id: context.request_id.clone(),
            attempt: 1,
            pool,
            tried: Vec::new(),
            previous_status: Some(volume.status).filter(|status| *status != VolumeStatus::Creating),
            reserved: Deltas::new(),
            steps: Vec::new(),
            created_at: now,
        }
    }
}

impl Actor for ApiActor {
    type Topic = ApiTopic;

    fn started(self: Rc<Self>, started: &Started) {
        started.spawn(Rc::clone(&self).forget_messages());
        started.spawn(Rc::clone(&self).find_forgotten_operations());
        started.spawn(Rc::clone(&self).forget_quota_of_gone_types());
        started.spawn(self.run_operations());
    }
}

/// Serves a message by the method of that name in the verb's file.
macro_rules! serves {
    ($($message:ident => $verb:ident,)+) => {
        $(impl Serve<$message> for ApiActor {
            async fn serve(
                self: Rc<Self>,
                context: Context,
                message: $message,
            ) -> Result<<$message as Message>::Reply, Error> {
                self.$verb(context, message).await
            }
        })+

        /// The Api actor's endpoint, ready to be started and registered.
        #[must_use]
        pub fn endpoint(deps: ApiDeps, options: Options) -> EndpointBuilder<ApiActor> {
            let bound = options.mailbox_bound;
            EndpointBuilder::new(None, bound, move || Rc::new(ApiActor::new(deps.clone(), options.clone())))
                $(.serves::<$message>())+
        }
    };
}

serves! {
    CreateVolume => create_volume,
    UpdateVolume => update_volume,
    DeleteVolume => delete_volume,
    ExtendVolume => extend_volume,
    UpdateVolumeMetadata => update_volume_metadata,
    ChangeVolume => change_volume,
    InitializeConnection => initialize_connection,
    TerminateConnection => terminate_connection,
    CreateAttachment => create_attachment,
    UpdateAttachment => update_attachment,
    CompleteAttachment => complete_attachment,
    DeleteAttachment => delete_attachment,
    CreateVolumeType => create_volume_type,
    UpdateVolumeType => update_volume_type,
    DeleteVolumeType => delete_volume_type,
    DeleteMessage => delete_message,
    Report => report,
    ListBackendVolumes => list_backend_volumes,
    ListBackendVolumesPage => list_backend_volumes_page,
    ConfirmOrphans => confirm_orphans,
    BackendStarted => backend_started,
    CreateSnapshot => create_snapshot,
    UpdateSnapshot => update_snapshot,
    UpdateSnapshotMetadata => update_snapshot_metadata,
    ChangeSnapshot => change_snapshot,
    DeleteSnapshot => delete_snapshot,
    RevertToSnapshot => revert_to_snapshot,
    ManageVolume => manage_volume,
    UnmanageVolume => unmanage_volume,
    ManageSnapshot => manage_snapshot,
    UnmanageSnapshot => unmanage_snapshot,
    ListManageableVolumes => list_manageable_volumes,
    ListManageableSnapshots => list_manageable_snapshots,
    CompareStorage => compare_storage,
    CancelOperation => cancel_operation,
    Progress => progress,
}

/// Extra specs of a type that may be missing.
fn specs_of(volume_type: Option<&crate::model::VolumeType>) -> BTreeMap<String, String> {
    volume_type
        .map(|volume_type| volume_type.extra_specs.clone())
        .unwrap_or_default()
}
