//! Which messages a volume node may send to another node: the table of the transport's authorization.
//!
//! Control nodes may send every message. A volume node may send what stands here as `own` for its own backends only, as `free`
//! always, and nothing else: a message without a row is for control nodes. The requests of clients and the commands to backends
//! have no rows, since all of them come from control nodes; a test goes through all messages and fails if any other has none.
//!
//! | row | a volume node may send it |
//! |---|---|
//! | `own` | if the backend that it names is one of the node's |
//! | `free` | always: what it names cannot be guessed, or its receiver checks it |
//! | `control` | never |

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::relay::RelayTopic;
use super::volume::VolumeTopic;
use super::{Message, Topic, api, logins, quota, registry, scheduler, volume};
use crate::model::BackendName;

/// The binary of the only services that volume nodes have.
const VOLUME_BINARY: &str = "cinder-volume";

/// The backend that a message is sent for.
type BackendOf = Box<dyn Fn(&dyn Any) -> Option<String> + Send + Sync>;

/// Who may send a message, besides control nodes.
pub enum Senders {
    /// No other node.
    Control,
    /// The volume node of the backend that it names.
    Own(BackendOf),
    /// Every volume node.
    Free,
}

impl std::fmt::Debug for Senders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Control => "Control",
            Self::Own(_) => "Own",
            Self::Free => "Free",
        })
    }
}

/// A row: a message and its senders.
struct Row {
    topic: &'static str,
    message: &'static str,
    senders: Senders,
}

fn control<M: Message>() -> Row {
    row::<M>(Senders::Control)
}

fn free<M: Message>() -> Row {
    row::<M>(Senders::Free)
}

/// `backend` returns the backend that a message names, `None` if it names none: then no volume node may send it.
fn own<M: Message>(backend: fn(&M) -> Option<String>) -> Row {
    let of_any = move |message: &dyn Any| backend(message.downcast_ref::<M>()?);
    row::<M>(Senders::Own(Box::new(of_any)))
}

fn row<M: Message>(senders: Senders) -> Row {
    Row {
        topic: <M::To as Topic>::NAME,
        message: M::NAME,
        senders,
    }
}

fn name(backend: &BackendName) -> Option<String> {
    Some(backend.to_string())
}

fn rows() -> Vec<Row> {
    // In the file of its verb; the operation that it names is checked by the backend of the volume.
    let read_volume_data = |topic| Row {
        topic,
        message: "read_volume_data",
        senders: Senders::Free,
    };
    vec![
        own::<api::Report>(|report| report.from.as_ref().and_then(name)),
        own::<api::CopyProgress>(|progress| name(&progress.from)),
        own::<api::BackendStarted>(|started| name(&started.backend)),
        own::<api::ListBackendVolumes>(|question| name(&question.backend)),
        own::<api::ListBackendVolumesPage>(|question| name(&question.backend)),
        own::<api::CompareStorage>(|page| name(&page.backend)),
        own::<api::ConfirmOrphans>(|question| name(&question.backend)),
        // It names no backend: the receiver compares the host of the node with that of the operation.
        free::<api::Progress>(),
        control::<api::ListManageableVolumes>(),
        control::<api::ListManageableSnapshots>(),
        control::<api::CancelOperation>(),
        control::<api::RunOnce>(),
        control::<api::KeepAnswer>(),
        control::<api::OperationEnded>(),
        control::<api::TakeOperation>(),
        control::<logins::LoginAttempted>(),
        control::<quota::CheckQuota>(),
        control::<quota::UpdateQuotaSet>(),
        control::<quota::DeleteQuotaSet>(),
        control::<quota::UpdateQuotaClass>(),
        own::<registry::Heartbeat>(|heartbeat| {
            (heartbeat.binary == VOLUME_BINARY).then(|| heartbeat.host.clone())
        }),
        control::<registry::ListServices>(),
        control::<registry::SetServiceDisabled>(),
        control::<registry::SetServiceFrozen>(),
        control::<registry::ListServiceStates>(),
        control::<registry::GetHeardServices>(),
        control::<registry::ReadServices>(),
        control::<registry::RemoveHost>(),
        control::<registry::DescribeControlNode>(),
        own::<scheduler::UpdateServiceCapabilities>(|update| name(&update.stats.backend)),
        control::<scheduler::PlaceVolume>(),
        control::<scheduler::ValidateExtend>(),
        control::<scheduler::GetPools>(),
        control::<volume::CancelOperation>(),
        control::<volume::ListExisting>(),
        control::<volume::ListExistingPage>(),
        control::<volume::GetLogLevels>(),
        control::<volume::SetLogLevels>(),
        control::<volume::DescribeVolumeNode>(),
        read_volume_data(VolumeTopic::NAME),
        read_volume_data(RelayTopic::NAME),
    ]
}

/// By topic and message.
type Table = BTreeMap<&'static str, BTreeMap<&'static str, Senders>>;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table::new();
    for row in rows() {
        let of_topic = table.entry(row.topic).or_default();
        of_topic.insert(row.message, row.senders);
    }
    table
});

/// The row of a message; `None` if it has none, then only control nodes may send it.
pub fn senders(topic: &str, message: &str) -> Option<&'static Senders> {
    TABLE.get(topic)?.get(message)
}

/// Whether the actors of this topic are on volume nodes; those of all others are on control nodes only.
pub fn is_of_volume_nodes(topic: &str) -> bool {
    topic == VolumeTopic::NAME
}
