//! Removes the services of a host that is gone (cinder-manage: `service remove`).
//!
//! No volume may be left without the service of its host, and none may be placed there meanwhile. A placement requires that the record
//! of the backend's service has not changed and is not disabled. So the services are disabled first; after that commit no volume can
//! get there, and those that are there are counted; then the records are deleted, if they are still those that were written. If there are
//! volumes, the services get their former state back. With the scheduler of a control node its record goes: its former process can commit
//! nothing more.

use std::rc::Rc;

use super::{Registry, SCHEDULER_BINARY, VOLUME_BINARY};
use crate::actors::permission::demand;
use crate::messages::registry::{RemoveHost, ServiceState};
use crate::model::host::host_matches;
use crate::model::node_identity::host_of;
use crate::model::role::Level;
use crate::model::{BackendName, ClusterTask, Context, Error, Service, Timestamp};
use crate::store::CommitError;
use crate::transport::Serve;

/// The reason in the records while a host is removed.
const REASON: &str = "its host is being removed";

/// How many volumes are counted at once.
const PAGE: usize = 1000;

impl Serve<RemoveHost> for Registry {
    async fn serve(self: Rc<Self>, context: Context, message: RemoveHost) -> Result<Vec<Service>, Error> {
        demand::<RemoveHost>(Level::Admin, &context)?;
        let host = &message.host;
        let statuses = self.statuses(&context).await?;
        let meant = statuses
            .services
            .into_iter()
            .filter(|status| host_matches(&status.service.host, host));
        let meant: Vec<_> = meant.collect();
        if meant.is_empty() {
            return Err(Error::not_found(format!("No service found with host={host}")));
        }
        let alive = meant.iter().find(|status| status.state.is_up());
        if let Some(status) = alive {
            let how = match status.state {
                ServiceState::Suspect => {
                    "may be up (its connection was lost, and it has not been silent for long enough)"
                }
                _ => "is up",
            };
            return Err(Error::conflict(format!(
                "Service {} on host {} {how}: stop it first.",
                status.service.binary, status.service.host
            )));
        }
        if let Some(node) = statuses.silent.first() {
            return Err(Error::unavailable(
                format!("Control node {node} does not answer, so it is not known whether host {host} is up."),
                5,
            ));
        }
        let mut was = Vec::new();
        for status in &meant {
            was.push(self.disable(&status.service).await?);
        }
        let removed = self.remove(host, &was).await;
        if removed.is_err() {
            for service in &was {
                if let Err(error) = self.give_back(service).await {
                    tracing::warn!(
                        host = service.host,
                        error = error.for_operator(),
                        "a service stays disabled"
                    );
                }
            }
        }
        removed?;
        tracing::info!(host, services = was.len(), "the services of a host were removed");
        Ok(was)
    }
}

impl Registry {
    /// Disables a service; returns what it was.
    async fn disable(&self, known: &Service) -> Result<Service, Error> {
        let was = self.catalog.service(&known.binary, &known.host).await?;
        let was = was.map_or_else(|| known.clone(), |was| was.record.clone());
        self.change(&known.binary, &known.host, |now| Service {
            disabled: true,
            disabled_reason: Some(REASON.to_owned()),
            updated_at: Some(Timestamp::now()),
            ..now.unwrap_or_else(|| was.clone())
        })
        .await?;
        Ok(was)
    }

    /// Gives a service its former state back, unless it was changed meanwhile.
    async fn give_back(&self, was: &Service) -> Result<Service, Error> {
        self.change(&was.binary, &was.host, |now| match now {
            Some(now) if now.disabled_reason.as_deref() == Some(REASON) => was.clone(),
            Some(now) => now,
            None => was.clone(),
        })
        .await
    }

    /// Deletes the records of services that are disabled, unless there are volumes.
    async fn remove(&self, host: &str, services: &[Service]) -> Result<(), Error> {
        let mut volumes = 0;
        let backends = services.iter().filter(|service| service.binary == VOLUME_BINARY);
        for backend in backends.filter_map(|service| service.host.parse::<BackendName>().ok()) {
            volumes += self.volumes_on(&backend).await?;
        }
        if volumes > 0 {
            let (are, them) = if volumes == 1 {
                ("volume is", "it")
            } else {
                ("volumes are", "them")
            };
            return Err(Error::conflict(format!(
                "{volumes} {are} on host {host}: migrate or delete {them} first."
            )));
        }
        let _writing = self.writing.lock().await;
        let mut changes = self.catalog.change();
        for service in services {
            if let Some(found) = self.catalog.service(&service.binary, &service.host).await? {
                if found.disabled_reason.as_deref() != Some(REASON) {
                    return Err(Error::conflict(format!(
                        "Service {} on host {} was changed meanwhile.",
                        service.binary, service.host
                    )));
                }
                changes.delete_service(&found);
            }
            if let Ok(backend) = service.host.parse::<BackendName>()
                && let Some(run) = self.catalog.cluster_task(&ClusterTask::serving(&backend)).await?
            {
                changes.delete(&run);
            }
        }
        if services.iter().any(|service| service.binary == SCHEDULER_BINARY) {
            for node in self.catalog.control_nodes().await? {
                if host_of(&node.incarnation.node) == host {
                    changes.delete_control_node(&node);
                }
            }
        }
        match changes.commit().await {
            Ok(_) => {}
            Err(CommitError::Conflict(_)) => {
                return Err(Error::conflict(format!(
                    "A service of host {host} was changed meanwhile."
                )));
            }
            Err(error) => return Err(error.for_client("removing a host")),
        }
        if let Err(error) = self.read().await {
            tracing::warn!(%error, "services could not be read again");
        }
        self.tell_others();
        Ok(())
    }

    async fn volumes_on(&self, backend: &BackendName) -> Result<usize, Error> {
        let (mut count, mut after) = (0, None);
        loop {
            let page = self.catalog.backend_volumes(backend, after, PAGE).await?;
            count += page.records.len();
            after = page.next;
            if after.is_none() {
                return Ok(count);
            }
        }
    }
}
