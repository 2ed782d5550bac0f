//! Joins the control nodes that share the store, where its engine can be shared.

use std::path::Path;
use std::time::Duration;

use actix_rt::ArbiterHandle;

use super::BoxError;
use crate::actors::api::ControlNodes;
use crate::actors::registry::control_nodes::{ControlNodeOptions, Monitor, join, leave};
use crate::config::Config;
use crate::config::store::Engine;
use crate::model::NodeIncarnation;
use crate::model::control_node::ControlNodeAbilities;
use crate::store::catalog::{Catalog, versions_read};
use crate::transport::Router;

/// How long the store may take to accept that this process ends.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

/// This process as one of the control nodes.
#[derive(Clone)]
pub(super) struct Membership {
    /// Its commits require that this process was not found down.
    pub(super) catalog: Catalog,
    pub(super) nodes: ControlNodes,
}

impl Membership {
    /// Joins the others; on a store that cannot be shared there are none.
    pub(super) async fn join(
        config: &Config,
        data_dir: &Path,
        catalog: Catalog,
        router: &Router,
    ) -> Result<Self, BoxError> {
        if config.store.engine == Engine::Sled {
            return Ok(Self {
                catalog,
                nodes: ControlNodes::alone(),
            });
        }
        let incarnation = router.incarnation();
        let own = NodeIncarnation {
            node: router.node().to_owned(),
            boot: incarnation.boot,
            random: incarnation.random,
        };
        let folder = super::folder_number(data_dir)?;
        let (catalog, nodes) = join(&catalog, &own, folder, ControlNodeOptions::default()).await?;
        let abilities = ControlNodeAbilities {
            incarnation: own,
            reads: versions_read(),
            sinks: config.notifications.sinks.clone(),
        };
        let mut changes = catalog.change();
        changes.say_abilities(&abilities);
        changes.commit().await?;
        Ok(Self { catalog, nodes })
    }

    /// Says that this process runs, and watches the others, as long as this arbiter runs.
    pub(super) fn watch(&self, on: &ArbiterHandle) {
        let monitor = Monitor::new(
            self.catalog.clone(),
            self.nodes.clone(),
            ControlNodeOptions::default(),
        );
        on.spawn(monitor.run());
    }

    /// Others take over at once.
    pub(super) async fn leave(&self) {
        match tokio::time::timeout(LEAVE_LIMIT, leave(&self.catalog, &self.nodes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the store does not know that this control node ends"),
            Err(_) => {
                tracing::warn!("the store does not answer, and does not know that this control node ends")
            }
        }
    }
}
