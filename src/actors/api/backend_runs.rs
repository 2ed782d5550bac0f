//! Which run of a volume node serves a backend, and that the reports of an earlier run change nothing any more.
//!
//! A starting VolumeManager makes the exports of the attachments that the catalog lists. A report of the run before it may be on its way
//! then, at any control node: committed after the list was read, it would leave an attachment whose export nobody makes. So the first
//! page of the list records the run, and the commit of a report requires that the record has not changed. Either the report is in the
//! list, or it is dropped, and the command of its operation, which is still open, is sent to the new run.
//!
//! The record is a [`ClusterTask`]. Runs with the same data folder are ordered by their count on its disk. One with another folder, or
//! without a count, follows the recorded one: a second node of the same name is refused by the transport while the first is connected.

use crate::control::{Interrupt, retry_on_conflict};
use crate::model::{BackendName, ClusterTask, Context, Error, NodeIncarnation, Result, Timestamp};
use crate::store::CommitError;
use crate::store::catalog::{Changes, Stored};
use crate::transport::header::Incarnation;

use super::ApiActor;

/// The run that sent a message for its backend, and the record that it agrees with or replaces.
pub(super) struct ServingRun {
    recorded: Option<Stored<ClusterTask>>,
    now: ClusterTask,
}

impl ApiActor {
    /// The run that sent a message for its backend; `None` if a later one is recorded.
    pub(super) async fn serving_run(
        &self,
        context: &Context,
        backend: &BackendName,
    ) -> Result<Option<ServingRun>> {
        let run = match &context.sender {
            Some(sender) => NodeIncarnation::clone(sender),
            None => self.own_run(),
        };
        let name = ClusterTask::serving(backend);
        let mut recorded = self.catalog.cluster_task(&name).await?;
        if recorded.as_ref().is_none_or(|recorded| recorded.owner != run) {
            // Another control node may have recorded it, which may not be shown here yet.
            self.catalog.wait_current().await?;
            recorded = self.catalog.cluster_task(&name).await?;
        }
        if recorded
            .as_ref()
            .is_some_and(|recorded| is_before(&run, &recorded.owner))
        {
            return Ok(None);
        }
        let now = ClusterTask {
            name,
            owner: run,
            is_running: true,
            number: recorded.as_ref().map_or(0, |recorded| recorded.number) + 1,
            begun_at: Timestamp::now(),
        };
        Ok(Some(ServingRun { recorded, now }))
    }

    /// Records the run that begins to serve a backend: no report of an earlier one is committed from then on.
    ///
    /// # Errors
    /// 409 if a later run is recorded; 503 if the store cannot be changed. On a full disk nothing is recorded, without an error: no report
    /// can be committed either, and the backend must start.
    pub(super) async fn note_run(&self, context: &Context, backend: &BackendName) -> Result<()> {
        retry_on_conflict!(self.try_note_run(context, backend).await)
    }

    async fn try_note_run(&self, context: &Context, backend: &BackendName) -> Result<(), Interrupt> {
        let Some(run) = self.serving_run(context, backend).await? else {
            return Err(Error::conflict(format!("A later run of a node serves {backend}.")).into());
        };
        if run.is_recorded() {
            return Ok(());
        }
        let mut changes = self.catalog.change();
        run.require(&mut changes);
        match changes.commit().await {
            Ok(_) => Ok(()),
            Err(CommitError::Store(error)) if error.no_space => {
                tracing::warn!(%backend, %error, "the run that serves a backend is not recorded");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn own_run(&self) -> NodeIncarnation {
        let Incarnation { boot, random } = self.router.incarnation();
        NodeIncarnation {
            node: self.router.node().to_owned(),
            boot,
            random,
        }
    }
}

impl ServingRun {
    fn is_recorded(&self) -> bool {
        let recorded = self.recorded.as_ref();
        recorded.is_some_and(|recorded| recorded.owner == self.now.owner)
    }

    /// Requires that the record is as it was read, and records the run if it is another one.
    pub(super) fn require(&self, changes: &mut Changes) {
        match &self.recorded {
            Some(recorded) if self.is_recorded() => changes.require(recorded),
            Some(recorded) => changes.update(recorded, &self.now),
            None => changes.insert(&self.now),
        };
    }
}

/// Whether a run certainly ended before the other began.
fn is_before(run: &NodeIncarnation, other: &NodeIncarnation) -> bool {
    let of = |run: &NodeIncarnation| Incarnation {
        boot: run.boot,
        random: run.random,
    };
    run.node == other.node && run.boot < other.boot && of(run).has_folder_of(of(other))
}

#[cfg(test)]
mod tests {
    use super::{Incarnation, NodeIncarnation, is_before};

    fn run(node: &str, boot: u64, folder: u64) -> NodeIncarnation {
        let Incarnation { boot, random } = Incarnation::new(boot, folder << 32);
        NodeIncarnation {
            node: node.to_owned(),
            boot,
            random,
        }
    }

    #[test]
    fn runs_are_ordered_by_the_count_of_their_data_folder() {
        assert!(is_before(&run("n", 1, 7), &run("n", 2, 7)));
        assert!(!is_before(&run("n", 2, 7), &run("n", 1, 7)));
        assert!(!is_before(&run("n", 2, 7), &run("n", 2, 7)), "not counted");
        assert!(!is_before(&run("n", 1, 7), &run("n", 2, 8)), "another folder");
        assert!(!is_before(&run("n", 1, 7), &run("m", 2, 7)), "another node");
    }
}
