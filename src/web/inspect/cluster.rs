//! The cluster at one look: its nodes, their versions, who runs the open operations, and the store.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::HttpResponse;
use futures_util::stream::{self, StreamExt};
use serde::Serialize;
use serde_json::{Value, json};

use super::nodes::{service_view, state_text};
use crate::messages::registry::{
    ControlNodeReport, DescribeControlNode, ListServiceStates, RegistryTopic, ServiceState, ServiceStatus,
    SpokenTopic,
};
use crate::messages::volume::{DescribeVolumeNode, VolumeNodeReport, VolumeTopic};
use crate::model::host::host_matches;
use crate::model::node_identity::host_of;
use crate::model::{NodeIncarnation, Timestamp};
use crate::store::StoreError;
use crate::web::caller::Caller;
use crate::web::fault::HandlerResult;
use crate::web::state::{State, WebState};
use crate::web::views::service::VOLUME_BINARY;

/// How long another node may take to answer.
const ASK: Duration = Duration::from_secs(2);

/// How many volume nodes are asked at once.
const AT_ONCE: usize = 64;

/// How many operations are read at once.
const PAGE: usize = 1000;

pub(super) async fn cluster(caller: Caller, state: State) -> HandlerResult {
    // First: the views of nodes that answer later are not behind this.
    let store = state.catalog.store_report().await;
    let services = caller.call(&state, &state.registry, ListServiceStates {}).await?;
    let reports = control_reports(&caller, &state).await?;
    let owners = owners(&state).await?;
    let volume_nodes = volume_nodes(&caller, &state, &services).await;
    let own = reports.first();
    let topics: Vec<Value> = own.map(|own| topics(own, &reports)).unwrap_or_default();
    Ok(HttpResponse::Ok().json(json!({
        "asked": state.router.node(),
        "control_nodes": control_nodes(&state, &services, &reports, &owners, store.last_revision).await?,
        "volume_nodes": volume_nodes,
        "topics": topics,
        "owners": owners.iter().map(|(owner, count)| json!({
            "node": owner.as_ref().map(|owner| owner.node.clone()),
            "incarnation": owner.as_ref().map(incarnation_text),
            "operations": count,
        })).collect::<Vec<_>>(),
        "store": store,
    })))
}

/// What the control nodes say of themselves: this one first, then those that are connected.
async fn control_reports(
    caller: &Caller,
    state: &WebState,
) -> Result<Vec<ControlNodeReport>, crate::web::fault::Fault> {
    let own = caller
        .call(state, &state.registry, DescribeControlNode {})
        .await?;
    let registries = state.router.any::<RegistryTopic>();
    let others = registries
        .call_others(&caller.context, DescribeControlNode {}, ASK)
        .await;
    let others = others.into_iter().filter_map(|(node, answer)| match answer {
        Ok(report) => Some(report),
        Err(error) => {
            tracing::debug!(node, %error, "a control node did not describe itself");
            None
        }
    });
    Ok(std::iter::once(own).chain(others).collect())
}

/// How many open operations each process runs.
async fn owners(state: &WebState) -> Result<BTreeMap<Option<NodeIncarnation>, usize>, StoreError> {
    let (mut owners, mut after) = (BTreeMap::new(), None);
    loop {
        let page = state.catalog.operations(after, PAGE).await?;
        for operation in page.records {
            *owners.entry(operation.record.owner).or_default() += 1;
        }
        after = page.next;
        if after.is_none() {
            return Ok(owners);
        }
    }
}

fn incarnation_text(of: &NodeIncarnation) -> String {
    format!("{}-{:016x}", of.boot, of.random)
}

/// A control node as shown. What is not known of one that does not answer is null.
#[derive(Serialize)]
struct ControlNodeView {
    node: String,
    state: String,
    address: Option<String>,
    incarnation: Option<String>,
    version: Option<String>,
    started_at: Option<String>,
    heard_at: Option<String>,
    /// How many revisions its view is behind the last commit.
    behind: Option<u64>,
    operations: usize,
    speaks: BTreeMap<String, [u16; 2]>,
}

async fn control_nodes(
    state: &WebState,
    services: &[ServiceStatus],
    reports: &[ControlNodeReport],
    owners: &BTreeMap<Option<NodeIncarnation>, usize>,
    last: Option<u64>,
) -> Result<Vec<ControlNodeView>, StoreError> {
    let mut nodes = BTreeMap::new();
    for stored in state.catalog.control_nodes().await? {
        let node = stored.record;
        let name = node.incarnation.node.clone();
        let service = services
            .iter()
            .find(|status| status.service.binary != VOLUME_BINARY && status.service.host == host_of(&name));
        let view = ControlNodeView {
            node: name.clone(),
            state: service.map_or_else(|| format!("{:?}", node.state).to_lowercase(), state_text),
            address: None,
            incarnation: Some(incarnation_text(&node.incarnation)),
            version: Some(node.version),
            started_at: Some(node.started_at.to_string()),
            heard_at: service
                .and_then(|status| status.heard_at)
                .map(|at| at.to_string()),
            behind: None,
            operations: owners.get(&Some(node.incarnation)).copied().unwrap_or_default(),
            speaks: BTreeMap::new(),
        };
        nodes.insert(name, view);
    }
    for report in reports {
        let view = nodes
            .entry(report.node.clone())
            .or_insert_with(|| ControlNodeView {
                node: report.node.clone(),
                // It has no record, since no others share its store, and has just answered.
                state: "up".to_owned(),
                address: None,
                incarnation: None,
                version: None,
                started_at: None,
                heard_at: Some(Timestamp::now().to_string()),
                behind: None,
                operations: owners.get(&None).copied().unwrap_or_default(),
                speaks: BTreeMap::new(),
            });
        view.address.clone_from(&report.address);
        view.incarnation = Some(report.incarnation.clone());
        view.version = Some(report.version.clone());
        view.behind = last
            .zip(report.view)
            .map(|(last, shown)| last.saturating_sub(shown));
        view.speaks = by_topic(&report.speaks);
    }
    Ok(nodes.into_values().collect())
}

fn by_topic(speaks: &[SpokenTopic]) -> BTreeMap<String, [u16; 2]> {
    speaks
        .iter()
        .map(|of| (of.topic.clone(), [of.min, of.max]))
        .collect()
}

/// The versions of each topic: what the asked node speaks, and the newest that all who have the topic understand.
fn topics(own: &ControlNodeReport, reports: &[ControlNodeReport]) -> Vec<Value> {
    let mut lowest: BTreeMap<&str, u16> = BTreeMap::new();
    for common in reports.iter().flat_map(|report| &report.common) {
        let lowest = lowest.entry(&common.topic).or_insert(common.max);
        *lowest = (*lowest).min(common.max);
    }
    let speaks = by_topic(&own.speaks);
    lowest
        .into_iter()
        .map(|(topic, lowest)| json!({"topic": topic, "speaks": speaks.get(topic), "lowest": lowest}))
        .collect()
}

/// The hosts with backends, each with what its node says of itself.
async fn volume_nodes(caller: &Caller, state: &WebState, services: &[ServiceStatus]) -> Vec<Value> {
    let mut hosts: BTreeMap<&str, Vec<&ServiceStatus>> = BTreeMap::new();
    let of_backends = services
        .iter()
        .filter(|status| status.service.binary == VOLUME_BINARY);
    for status in of_backends {
        let host = status
            .service
            .host
            .split_once('@')
            .map_or(&*status.service.host, |(host, _)| host);
        hosts.entry(host).or_default().push(status);
    }
    let described = stream::iter(hosts.into_iter().map(|(host, backends)| async move {
        let up = backends.iter().find(|status| status.state == ServiceState::Up);
        let report = match up {
            Some(status) => describe(caller, state, &status.service.host).await,
            None => None,
        };
        volume_node_view(host, &backends, report)
    }));
    described.buffered(AT_ONCE).collect().await
}

async fn describe(caller: &Caller, state: &WebState, backend: &str) -> Option<VolumeNodeReport> {
    let manager = state.router.server::<VolumeTopic>(backend);
    let answer = manager.call(&caller.context, DescribeVolumeNode {}, ASK).await;
    answer
        .inspect_err(|error| tracing::debug!(backend, %error, "a volume node did not describe itself"))
        .ok()
}

fn volume_node_view(host: &str, backends: &[&ServiceStatus], report: Option<VolumeNodeReport>) -> Value {
    debug_assert!(
        backends
            .iter()
            .all(|status| host_matches(&status.service.host, host))
    );
    let best = backends.iter().min_by_key(|status| status.state);
    let heard_at = backends.iter().filter_map(|status| status.heard_at).max();
    let (node, incarnation, version) = match report {
        Some(report) => (Some(report.node), Some(report.incarnation), Some(report.version)),
        None => (None, None, None),
    };
    json!({
        "host": host,
        "state": best.map(|status| state_text(status)),
        "node": node,
        "incarnation": incarnation,
        "version": version,
        "heard_at": heard_at.map(|at| at.to_string()),
        "backends": backends.iter().map(|status| service_view(status)).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_version_of_a_topic_is_that_of_any_node() {
        let of = |max| SpokenTopic {
            topic: "api".to_owned(),
            min: 1,
            max,
        };
        let report = |speaks, common| ControlNodeReport {
            node: "c".to_owned(),
            incarnation: String::new(),
            version: String::new(),
            address: None,
            view: None,
            speaks: vec![of(speaks)],
            common: vec![of(common)],
        };
        let reports = [report(9, 9), report(8, 7)];
        let found = topics(&reports[0], &reports);
        assert_eq!(found, [json!({"topic": "api", "speaks": [1, 9], "lowest": 7})]);
    }
}
