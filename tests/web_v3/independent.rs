//! The OpenAPI document of 3.71 against an independent one, which others have generated from Cinder's code (facts of it are in
//! `tests/api/openstack_types.tsv`, made by `scripts/openapi-facts`). Each difference of paths, query parameters, properties of bodies
//! and statuses of success is in `tests/api/openapi_differences.tsv` with its reason; any other fails, and so does one that is no
//! difference any more.

use std::collections::BTreeSet;

use pumice::web::microversion::Microversion;
use pumice::web::openapi::document;
use serde_json::Value;

/// `operation<TAB>kind<TAB>name`
type Facts = BTreeSet<String>;

/// A path without the names of its parameters.
fn unnamed(path: &str) -> String {
    let parts = path
        .split('/')
        .map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// The facts of our document, and the operations that answer 501.
fn ours() -> (Facts, BTreeSet<String>) {
    let document = document(Microversion::MAX);
    let (mut facts, mut unserved) = (Facts::new(), BTreeSet::new());
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if method == "parameters" || !path.starts_with("/v3/") || path == "/v3/{project_id}" {
                continue;
            }
            let name = format!("{} {}", method.to_uppercase(), unnamed(path));
            let mut fact = |kind: &str, what: &str| {
                facts.insert(format!("{name}\t{kind}\t{what}"));
            };
            fact("path", "");
            for parameter in operation["parameters"].as_array().unwrap() {
                if parameter["in"] == "query" {
                    fact("query", parameter["name"].as_str().unwrap());
                }
            }
            let mut found = Vec::new();
            properties(
                &operation["requestBody"]["content"]["application/json"]["schema"],
                "",
                &mut found,
            );
            found.iter().for_each(|property| fact("body", property));
            let statuses = operation["responses"].as_object().unwrap().keys();
            for status in statuses.filter(|status| status.starts_with('2')) {
                fact("status", status);
            }
            if operation["x-served"] == false {
                unserved.insert(name);
            }
        }
    }
    (facts, unserved)
}

/// The properties of a schema, and of those inside, as `volume.name`.
fn properties(schema: &Value, prefix: &str, found: &mut Vec<String>) {
    for key in ["oneOf", "anyOf"] {
        let variants = schema[key].as_array().into_iter().flatten();
        variants.for_each(|variant| properties(variant, prefix, found));
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = match prefix {
            "" => name.clone(),
            prefix => format!("{prefix}.{name}"),
        };
        properties(inner, &path, found);
        found.push(path);
    }
    if schema["items"].is_object() {
        properties(&schema["items"], &format!("{prefix}[]"), found);
    }
}

/// The differences that are listed, each with its sign: `-` only there, `+` only here.
fn listed() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for line in include_str!("../api/openapi_differences.tsv").lines().skip(1) {
        let [sign, operations, kind, names, reason] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        assert!(!reason.is_empty(), "{line}");
        for operation in operations.split(", ") {
            for name in names.split(", ") {
                let difference = format!("{sign} {operation}\t{kind}\t{name}");
                assert!(all.insert(difference), "listed twice: {operation} {kind} {name}");
            }
        }
    }
    all
}

#[test]
fn each_difference_from_the_independent_document_is_listed_with_its_reason() {
    let (ours, unserved) = ours();
    let theirs: Facts = include_str!("../api/openstack_types.tsv")
        .lines()
        .map(str::to_owned)
        .collect();
    assert!(theirs.len() > 800 && ours.len() > 500);
    // Of what is not served only the path is compared.
    let is_compared = |fact: &&String| {
        let (operation, rest) = fact.split_once('\t').unwrap();
        rest.starts_with("path") || !unserved.contains(operation)
    };
    let only = |sign: &str, one: &Facts, other: &Facts| -> Vec<String> {
        let facts = one.difference(other).filter(is_compared);
        facts.map(|fact| format!("{sign} {fact}")).collect()
    };
    let found: BTreeSet<String> = only("-", &theirs, &ours)
        .into_iter()
        .chain(only("+", &ours, &theirs))
        .collect();
    let listed = listed();
    let lines = |facts: Vec<&String>| {
        facts
            .into_iter()
            .map(|fact| format!("\n{fact}"))
            .collect::<String>()
    };
    let missing = lines(found.difference(&listed).collect());
    assert!(
        missing.is_empty(),
        "not in tests/api/openapi_differences.tsv:{missing}"
    );
    let stale = lines(listed.difference(&found).collect());
    assert!(stale.is_empty(), "no differences any more:{stale}");
}
