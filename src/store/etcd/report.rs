//! The state of etcd's members: each endpoint is asked at once, with the time limit of one attempt.

use std::collections::BTreeMap;

use futures_util::future::{join, join_all};
use tokio::time::Instant;

use super::batch::unsigned;
use super::client::CallError;
use super::node::Node;
use super::proto::{Member, StatusResponse};
use crate::store::report::{MemberReport, StoreReport, health_text};

/// Asks all endpoints.
pub(super) async fn report(node: &Node) -> StoreReport {
    let deadline = Instant::now() + node.options.attempt();
    let asked = (0..node.client.len()).map(|at| node.client.status(at));
    let (answers, members) = join(join_all(asked), node.client.members(deadline)).await;
    let answers = answers.into_iter().enumerate();
    let answers = answers.map(|(at, answer)| (node.client.url(at).to_owned(), answer));
    let members = members_of(answers.collect(), members.unwrap_or_default());
    // After the members: a node whose view is compared with this one was asked before.
    let last = node.last_commit(deadline + node.options.attempt()).await;
    let cluster = node.client.cluster();
    let size = members.iter().filter_map(|member| member.size).max();
    StoreReport {
        engine: "etcd",
        health: health_text(&node.health.borrow()),
        size,
        cluster: (cluster != 0).then(|| format!("{cluster:x}")),
        last_revision: last.ok(),
        shown_revision: Some(node.view.revision()),
        members,
    }
}

/// A line for each endpoint, and one for each member that is none of them.
fn members_of(
    answers: Vec<(String, Result<StatusResponse, CallError>)>,
    members: Vec<Member>,
) -> Vec<MemberReport> {
    let mut names: BTreeMap<u64, String> = members
        .into_iter()
        .map(|member| (member.id, member.name))
        .collect();
    let mut reports = Vec::new();
    for (url, answer) in answers {
        let endpoint = Some(url);
        reports.push(match answer {
            Ok(status) => {
                let id = status.header.as_ref().map_or(0, |header| header.member_id);
                MemberReport {
                    endpoint,
                    name: names.remove(&id),
                    ..of_status(id, status)
                }
            }
            Err(error) => MemberReport {
                endpoint,
                errors: vec![error.to_string()],
                ..MemberReport::default()
            },
        });
    }
    // Whether one of them is the member of an endpoint that did not answer is not known.
    let unknown = names.into_iter().map(|(id, name)| MemberReport {
        id: Some(format!("{id:x}")),
        name: Some(name),
        errors: vec!["none of store.etcd_endpoints that answer".to_owned()],
        ..MemberReport::default()
    });
    reports.extend(unknown);
    reports
}

fn of_status(id: u64, status: StatusResponse) -> MemberReport {
    let known = |bytes| Some(unsigned(bytes)).filter(|bytes| *bytes > 0);
    let mut errors = status.errors;
    if status.leader == 0 {
        errors.push("it knows no leader".to_owned());
    }
    MemberReport {
        id: Some(format!("{id:x}")),
        name: None,
        endpoint: None,
        version: Some(status.version),
        is_leader: id != 0 && status.leader == id,
        size: known(status.db_size),
        size_in_use: known(status.db_size_in_use),
        quota: known(status.db_size_quota),
        errors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::etcd::proto::Header;

    #[test]
    fn endpoints_are_named_by_the_members_they_are_and_others_are_listed() {
        let member = |id, name: &str| Member {
            id,
            name: name.to_owned(),
        };
        let status = StatusResponse {
            header: Some(Header {
                member_id: 1,
                ..Header::default()
            }),
            version: "3.4.23".to_owned(),
            db_size: 4096,
            leader: 1,
            errors: vec!["NOSPACE".to_owned()],
            ..StatusResponse::default()
        };
        let answers = vec![
            ("http://a".to_owned(), Ok(status)),
            ("http://b".to_owned(), Err(CallError::NotNow("away".to_owned()))),
        ];
        let found = members_of(answers, vec![member(1, "m1"), member(2, "m2")]);
        assert_eq!(found[0].name.as_deref(), Some("m1"));
        assert!(found[0].is_leader && found[0].size == Some(4096) && found[0].quota.is_none());
        assert_eq!(found[0].errors, ["NOSPACE"]);
        assert_eq!(
            (found[1].endpoint.as_deref(), found[1].errors.as_slice()),
            (Some("http://b"), &["away".to_owned()][..])
        );
        assert_eq!(
            (found[2].name.as_deref(), found[2].endpoint.as_deref()),
            (Some("m2"), None)
        );
    }
}
