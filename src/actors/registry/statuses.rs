//! The states of all services, whichever control node is asked.
//!
//! A volume node reports to all control nodes. One that is cut off from this one may be connected to another: the registries of the
//! others are asked about services that are not up here. Whether the scheduler of another control node runs is in that node's record, which
//! is the same for all.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Registry, SCHEDULER_BINARY};
use crate::messages::registry::{
    GetHeardServices, HeardService, ListServiceStates, RegistryTopic, ServiceState, ServiceStatus,
};
use crate::model::control_node::{ControlNode, ControlNodeState};
use crate::model::node_identity::host_of;
use crate::model::{Context, Error, ServiceId, Timestamp};
use crate::transport::Serve;

/// How long other control nodes may take to answer.
const ASK: Duration = Duration::from_secs(1);

/// About how many services they are asked at once: question and answer must fit into a frame.
const ASKED_AT_ONCE: usize = 4096;

/// The silence of a control node after which it is suspect, in parts of the one after which it is down.
const SUSPECT_AFTER: Duration = Duration::from_millis(2500);

/// The states of all services.
pub(super) struct Statuses {
    pub(super) services: Vec<ServiceStatus>,
    /// Control nodes that run by their record, were asked and have not answered: they may have heard of a service that is not up here.
    pub(super) silent: Vec<String>,
}

impl Registry {
    /// The states of all services, as far as any control node knows.
    pub(super) async fn statuses(&self, context: &Context) -> Result<Statuses, Error> {
        self.liveness.loaded().await;
        if self.nodes.own().is_none() {
            return Ok(Statuses {
                services: self.liveness.statuses(Instant::now()),
                silent: Vec::new(),
            });
        }
        self.read_again().await;
        let mut statuses = self.liveness.statuses(Instant::now());
        let mut running = BTreeSet::new();
        for node in self.catalog.control_nodes().await? {
            let is_another = self.nodes.own() != Some(&node.incarnation);
            if is_another && node.state == ControlNodeState::Up {
                running.insert(node.incarnation.node.clone());
            }
            let host = host_of(&node.incarnation.node);
            let mut all = statuses.iter_mut();
            let own =
                all.find(|status| status.service.binary == SCHEDULER_BINARY && status.service.host == host);
            if let Some(status) = own {
                self.judge_control_node(&node, status);
            }
        }
        for node in self.ask_others(context, &mut statuses).await {
            running.remove(&node);
        }
        Ok(Statuses {
            services: statuses,
            silent: running.into_iter().collect(),
        })
    }

    /// The scheduler of a control node runs if the node does.
    fn judge_control_node(&self, node: &ControlNode, status: &mut ServiceStatus) {
        let is_here = self.nodes.own() == Some(&node.incarnation);
        let silence = match is_here {
            true => Some(Duration::ZERO),
            false => self.nodes.silence_of(&node.incarnation.node),
        };
        status.state = state_of(node.state, silence);
        if let (ControlNodeState::Up, Some(silence)) = (node.state, silence) {
            status.heard_at = Some(Timestamp::now().minus(silence));
        }
    }

    /// Asks the other control nodes about what is not up here; returns those that have answered.
    async fn ask_others(&self, context: &Context, statuses: &mut [ServiceStatus]) -> BTreeSet<String> {
        let is_unsure = |status: &ServiceStatus| {
            status.state != ServiceState::Up && status.service.binary != SCHEDULER_BINARY
        };
        let unsure = statuses.iter().filter(|status| is_unsure(status));
        let unsure: Vec<ServiceId> = unsure.map(|status| status.service.id).collect();
        let registries = self.router.any::<RegistryTopic>();
        let mut heard: BTreeMap<ServiceId, Vec<HeardService>> = BTreeMap::new();
        let mut answered = BTreeSet::new();
        for services in unsure.chunks(ASKED_AT_ONCE) {
            let question = GetHeardServices {
                services: services.to_vec(),
            };
            for (node, answer) in registries.call_others(context, question, ASK).await {
                match answer {
                    Ok(of_node) => {
                        answered.insert(node);
                        for service in of_node {
                            heard.entry(service.id).or_default().push(service);
                        }
                    }
                    Err(error) => {
                        tracing::debug!(node, %error, "another control node did not say which services it has heard of");
                    }
                }
            }
        }
        for status in statuses.iter_mut() {
            for heard in heard.remove(&status.service.id).into_iter().flatten() {
                merge(status, heard);
            }
        }
        answered
    }
}

/// The state of a control node that was silent for that long; `None` if it is not watched yet.
pub(super) fn state_of(state: ControlNodeState, silence: Option<Duration>) -> ServiceState {
    match state {
        ControlNodeState::Stopped => ServiceState::Stopped,
        ControlNodeState::Down => ServiceState::Down,
        ControlNodeState::Up if silence.is_some_and(|silence| silence > SUSPECT_AFTER) => {
            ServiceState::Suspect
        }
        ControlNodeState::Up => ServiceState::Up,
    }
}

/// Adds what another control node has heard: who is connected to a node knows more than who is not.
fn merge(status: &mut ServiceStatus, heard: HeardService) {
    if heard.state < status.state {
        status.state = heard.state;
        status.backend_up = heard.backend_up;
    }
    status.heard_at = status.heard_at.max(heard.heard_at);
}

impl Serve<ListServiceStates> for Registry {
    async fn serve(
        self: Rc<Self>,
        context: Context,
        _message: ListServiceStates,
    ) -> Result<Vec<ServiceStatus>, Error> {
        Ok(self.statuses(&context).await?.services)
    }
}

impl Serve<GetHeardServices> for Registry {
    async fn serve(
        self: Rc<Self>,
        _context: Context,
        message: GetHeardServices,
    ) -> Result<Vec<HeardService>, Error> {
        self.liveness.loaded().await;
        let statuses = self.liveness.statuses(Instant::now()).into_iter();
        let mut by_id: BTreeMap<ServiceId, ServiceStatus> =
            statuses.map(|status| (status.service.id, status)).collect();
        let found = message.services.into_iter().filter_map(|id| {
            by_id.remove(&id).map(|status| HeardService {
                id,
                heard_at: status.heard_at,
                state: status.state,
                backend_up: status.backend_up,
            })
        });
        Ok(found.collect())
    }
}
