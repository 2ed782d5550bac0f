//! What a verb works with on a control node: the catalog and how things are found in it, the bounds of what may be written, the
//! limits of a project, the other actors, the settings.
//!
//! It knows no verb. The Api actor owns one of it, and hands it to the verbs that it runs.

pub mod bounds;
pub mod decisions;
pub mod finished;
pub mod lookup;
pub mod old_connectors;
pub mod options;
pub mod quota;
pub mod quota_texts;

use std::collections::BTreeMap;

pub use self::finished::{Advance, Finished, FinishedOperations};
pub(crate) use self::lookup::retry_on_conflict;
pub use self::lookup::{Interrupt, TRIES, store_failed, try_again};
pub use self::options::{Deadlines, Options};
use crate::messages::quota::QuotaTopic;
use crate::messages::scheduler::SchedulerTopic;
use crate::model::VolumeType;
use crate::store::catalog::Catalog;
use crate::transport::{Handle, Router};

/// What the Api actor is made of.
#[derive(Clone)]
pub struct Deps {
    /// Where records live.
    pub catalog: Catalog,
    /// Knows the limits of projects.
    pub quota: Handle<QuotaTopic>,
    /// Knows whether a pool has room for growth.
    pub scheduler: Handle<SchedulerTopic>,
    /// Leads to the backends.
    pub router: Router,
    /// Where operations are remembered that have ended.
    pub finished: FinishedOperations,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    /// Where records live.
    pub catalog: Catalog,
    /// Knows the limits of projects.
    pub quota: Handle<QuotaTopic>,
    /// Finds pools.
    pub scheduler: Handle<SchedulerTopic>,
    /// Leads to the backends.
    pub router: Router,
    /// Where operations are remembered that have ended.
    pub finished: FinishedOperations,
    /// The settings.
    pub options: Options,
}

impl Control {
    /// Of these parts.
    #[must_use]
    pub fn new(deps: Deps, options: Options) -> Self {
        let Deps {
            catalog,
            quota,
            scheduler,
            router,
            finished,
        } = deps;
        Self {
            catalog,
            quota,
            scheduler,
            router,
            finished,
            options,
        }
    }
}

/// Extra specs of a type that may be missing.
#[must_use]
pub fn specs_of(volume_type: Option<&VolumeType>) -> BTreeMap<String, String> {
    volume_type
        .map(|volume_type| volume_type.extra_specs.clone())
        .unwrap_or_default()
}
