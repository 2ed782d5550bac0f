//! The environment of a verb on a control node: the catalog and its look-ups, the bounds of records, the limits of a project,
//! the other actors, the options.
//!
//! It does not depend on verbs. The Api actor owns one [`Control`], and passes it to the verbs that it runs.

pub mod bounds;
pub mod cluster_tasks;
pub mod control_nodes;
pub mod decisions;
pub mod finished;
pub mod login_attempts;
pub mod lookup;
pub mod notifications;
pub mod old_connectors;
pub mod options;
pub mod periodic_task;
pub mod qos_specs;
pub mod quota;
pub mod quota_texts;

use std::collections::BTreeMap;

pub use self::control_nodes::ControlNodes;
pub use self::finished::{Advance, Finished, FinishedOperations};
pub(crate) use self::lookup::retry_on_conflict;
pub use self::lookup::{Interrupt, TRIES, try_again, try_again_in};
pub use self::options::{Deadlines, Options};
use crate::messages::quota::QuotaTopic;
use crate::messages::scheduler::SchedulerTopic;
use crate::model::VolumeType;
use crate::store::catalog::Catalog;
use crate::transport::{Handle, Router};

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    /// The catalog.
    pub catalog: Catalog,
    /// The Quota actor.
    pub quota: Handle<QuotaTopic>,
    /// The Scheduler actor.
    pub scheduler: Handle<SchedulerTopic>,
    /// The router to the backends.
    pub router: Router,
    /// The ended operations.
    pub finished: FinishedOperations,
    /// The control nodes that share the store.
    pub nodes: ControlNodes,
    /// The options.
    pub options: Options,
}

/// Extra specs of a type that may be missing.
pub fn specs_of(volume_type: Option<&VolumeType>) -> BTreeMap<String, String> {
    volume_type
        .map(|volume_type| volume_type.extra_specs.clone())
        .unwrap_or_default()
}
