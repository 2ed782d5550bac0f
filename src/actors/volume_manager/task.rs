//! What the flows of one command share: whose command it is, what it is about, and how it runs a driver verb.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::delete_volume::park;
use super::parts::Parts;
use super::worker::Claim;
use crate::drivers::{DriverError, DriverResult, Managed, VolumeDriver, Work};
use crate::flow::{Flow, FlowReport, Observer};
use crate::messages::api::Outcome;
use crate::messages::volume::CommandId;
use crate::model::VolumeSpec;

/// A command being obeyed; `about` is what it is about, beside the volume.
pub struct Task<A> {
    /// The backend.
    pub parts: Arc<Parts>,
    /// Whose command this is.
    pub command: CommandId,
    /// The volume.
    pub volume: VolumeSpec,
    /// What else it is about.
    pub about: A,
    /// What was adopted, where something was.
    pub managed: Managed,
    limit: Duration,
    parked: bool,
}

impl<A> Task<A> {
    /// At the beginning, with so much time.
    #[must_use]
    pub fn new(parts: Arc<Parts>, command: CommandId, volume: VolumeSpec, about: A, limit: Duration) -> Self {
        Self {
            parts,
            command,
            volume,
            about,
            managed: Managed::default(),
            limit,
            parked: false,
        }
    }

    /// Runs a driver verb. A manager that is stopping parks the task: its failure is none.
    ///
    /// # Errors
    /// The driver's.
    pub async fn drive<T: Send + 'static>(
        &mut self,
        claim: impl Into<Claim>,
        verb: impl Fn(&dyn VolumeDriver, &Work) -> DriverResult<T> + Clone + Send + 'static,
    ) -> DriverResult<T> {
        let driven = self.parts.drive(claim, self.limit, verb).await;
        driven.map_err(|error| park(error, &mut self.parked))
    }

    /// Runs the whole flow. `None` if the manager is stopping.
    pub async fn run(
        mut self,
        flow: Flow<Self, DriverError>,
        observer: Rc<dyn Observer<DriverError>>,
        outcome: impl FnOnce(Self) -> Outcome,
    ) -> Option<FlowReport<DriverError, Outcome>> {
        let attempt = self.command.attempt;
        let report = flow.run(&mut self, attempt, observer).await;
        if self.parked {
            return None;
        }
        Some(report.map(|()| outcome(self)))
    }
}
