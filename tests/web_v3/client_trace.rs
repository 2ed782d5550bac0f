//! Each request that openstackclient and cinderclient were seen to send to Cinder, in their order: the statuses are the same, or it
//! is said here why not. A backend is there, so each command finds what earlier ones made at rest.
//!
//! A placeholder stands for what a client knows from an earlier answer: `<volumes v1>` for the id of the volume of that name,
//! `<marker>` for the last id of the page before.

use std::collections::BTreeMap;

use pumice::drivers::DriverError;
use pumice::drivers::fake::{Fault, Verb};
use serde_json::Value;

use crate::api::{House, PROJECT};

/// One request of a client.
struct Traced {
    command: &'static str,
    method: &'static str,
    /// From the root of the server.
    path: &'static str,
    version: &'static str,
    agent: &'static str,
    has_token: bool,
    body: &'static str,
    status: u16,
}

fn trace() -> Vec<Traced> {
    let request = |line: &'static str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [command, method, path, version, agent, token, body, status] = fields[..] else {
            panic!("{line}")
        };
        Traced {
            command,
            method,
            path,
            version: if version == "-" { "" } else { version },
            agent,
            has_token: token == "yes",
            body,
            status: status.parse().unwrap(),
        }
    };
    include_str!("../api/client_trace.tsv")
        .lines()
        .skip(1)
        .map(request)
        .collect()
}

/// An answer that differs for each request of that method and path.
struct Difference {
    method: &'static str,
    path: &'static str,
    cinders: u16,
    ours: u16,
    why: &'static str,
}

const DIFFERENT: &[Difference] = &[
    Difference {
        method: "GET",
        path: "/v3/",
        cinders: 204,
        ours: 200,
        why: "without a token Cinder's noauth gives one out; the document of versions needs none",
    },
    Difference {
        method: "GET",
        path: "/v3/{project}",
        cinders: 204,
        ours: 200,
        why: "as above",
    },
    Difference {
        method: "GET",
        path: "/v3/{project}/messages",
        cinders: 404,
        ours: 200,
        why: "openstackclient lists messages without a version",
    },
    Difference {
        method: "POST",
        path: "/v3/{project}/backups",
        cinders: 202,
        ours: 501,
        why: "backups are not served",
    },
    Difference {
        method: "GET",
        path: "/v3/{project}/backups/detail?all_tenants=False",
        cinders: 200,
        ours: 501,
        why: "backups are not served",
    },
    Difference {
        method: "POST",
        path: "/v3/{project}/group_types",
        cinders: 202,
        ours: 501,
        why: "groups are not served",
    },
];

/// What a client knows from the answers it got.
#[derive(Default)]
struct Known {
    ids: BTreeMap<String, String>,
    last_of_page: String,
}

impl Known {
    fn fill(&self, text: &str) -> String {
        let mut filled = text
            .replace("{project}", PROJECT)
            .replace("<marker>", &self.last_of_page);
        for (name, id) in &self.ids {
            filled = filled.replace(name.as_str(), id);
        }
        filled
    }

    /// Learns ids: of one resource, or of those of a list.
    fn learn(&mut self, path: &str, answer: &Value) {
        let Some(collection) = path.split(['/', '?']).nth(3) else {
            return;
        };
        for found in answer.as_object().into_iter().flat_map(|answer| answer.values()) {
            let found = found
                .as_array()
                .map_or(std::slice::from_ref(found), Vec::as_slice);
            for resource in found {
                let Some(id) = resource["id"].as_str() else {
                    continue;
                };
                id.clone_into(&mut self.last_of_page);
                if let Some(name) = resource["name"].as_str() {
                    self.ids.insert(format!("<{collection} {name}>"), id.to_owned());
                }
            }
        }
    }
}

/// Waits until no operation is in progress.
async fn until_all_rest(house: &House) {
    house
        .until("all operations to end", async || {
            let open = house.catalog.operations(None, 1).await.unwrap();
            open.records.is_empty().then_some(())
        })
        .await;
}

#[actix_web::test]
async fn clients_get_the_statuses_that_cinder_gave_them() {
    let house = House::build().await;
    // Where the requests were recorded nothing was carried out, and later ones are for a volume of the former size.
    house.driver.script(
        Verb::ExtendVolume,
        Fault::Fails(|| DriverError::refused("recorded")),
    );
    let mut known = Known::default();
    let mut met = BTreeMap::new();
    let mut command = "";
    let trace = trace();
    assert_eq!(trace.len(), 279);
    for (number, traced) in trace.iter().enumerate() {
        if traced.command != command {
            until_all_rest(&house).await;
            command = traced.command;
        }
        let path = known.fill(traced.path);
        let shown = format!("line {}: {command}: {} {path}", number + 2, traced.method);
        assert!(!path.contains('<'), "{shown}: of nothing known");
        let mut request = house
            .request_at(traced.method, &path)
            .version(traced.version)
            .header("User-Agent", traced.agent);
        if !traced.has_token {
            request = request.by_anyone();
        }
        if !traced.body.is_empty() {
            request = request.body(serde_json::from_str(&known.fill(traced.body)).unwrap());
        }
        let answer = request.send().await;
        let is_of = |one: &Difference| {
            (one.method, one.path, one.cinders) == (traced.method, traced.path, traced.status)
        };
        let expected = match DIFFERENT.iter().position(is_of) {
            Some(at) => {
                *met.entry(at).or_insert(0) += 1;
                DIFFERENT[at].ours
            }
            None => traced.status,
        };
        assert_eq!(answer.status, expected, "{shown}: {}", answer.text);
        if (200..300).contains(&answer.status) {
            known.learn(&path, &serde_json::from_str(&answer.text).unwrap_or_default());
        }
    }
    house.close().await;
    for (at, difference) in DIFFERENT.iter().enumerate() {
        let Difference {
            method, path, why, ..
        } = difference;
        assert!(met.contains_key(&at), "{method} {path} does not differ: {why}");
    }
    let different: usize = met.values().sum();
    assert_eq!(trace.len() - different, 159, "lines that are answered alike");
}
