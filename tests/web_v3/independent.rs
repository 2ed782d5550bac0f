//! The OpenAPI document of 3.71 against an independent one, which others have generated from Cinder's code (facts of it are in
//! `tests/api/openstack_types.tsv`, made by `scripts/openapi-facts`). Each difference of paths, query parameters, properties of bodies,
//! their types and bounds as far as the independent one states them, and statuses of success is in `tests/api/openapi_differences.tsv`
//! with its reason; any other fails, and so does one that is no difference any more.

use std::collections::{BTreeMap, BTreeSet};

use pumice::web::microversion::Microversion;
use pumice::web::openapi::document;
use serde_json::Value;

/// Keywords of a schema that are facts, besides its type and its values.
const BOUNDS: [&str; 4] = ["minLength", "maxLength", "minimum", "maximum"];

/// `operation<TAB>kind<TAB>name`; of a keyword, `operation<TAB>place keyword<TAB>name=value`.
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
                    let mut said = Said::default();
                    let parameter_name = parameter["name"].as_str().unwrap();
                    said.note(parameter_name, "", String::new());
                    said.add(&parameter["schema"], parameter_name);
                    said.facts("query", &mut fact);
                }
            }
            let mut said = Said::default();
            said.add(
                &operation["requestBody"]["content"]["application/json"]["schema"],
                "",
            );
            said.facts("body", &mut fact);
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

/// What a schema, and those inside, say: values by path (`volume.name`) and keyword, and an empty keyword for each property.
#[derive(Default)]
struct Said(BTreeMap<(String, String), BTreeSet<String>>);

impl Said {
    fn note(&mut self, path: &str, keyword: &str, value: String) {
        let values = self.0.entry((path.to_owned(), keyword.to_owned())).or_default();
        values.insert(value);
    }

    fn add(&mut self, schema: &Value, path: &str) {
        for key in ["oneOf", "anyOf"] {
            let variants = schema[key].as_array().into_iter().flatten();
            variants.for_each(|variant| self.add(variant, path));
        }
        let types = schema["type"].as_array();
        let types = types.map_or(std::slice::from_ref(&schema["type"]), Vec::as_slice);
        for one in types.iter().filter_map(Value::as_str) {
            self.note(path, "type", one.to_owned());
        }
        for one in schema["enum"].as_array().into_iter().flatten() {
            self.note(path, "enum", one.to_string());
        }
        for keyword in BOUNDS {
            // A length of at least 0 is no bound.
            if let Some(value) = schema.get(keyword)
                && (keyword, value.as_u64()) != ("minLength", Some(0))
            {
                self.note(path, keyword, value.to_string());
            }
        }
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let path = path.trim_start_matches('.');
            self.note(path, "", String::new());
            self.add(inner, path);
        }
        let patterns = schema["patternProperties"].as_object().into_iter().flatten();
        let others = patterns
            .map(|(_, inner)| inner)
            .chain(schema.get("additionalProperties"));
        for inner in others.filter(|inner| inner.is_object()) {
            self.add(inner, &format!("{path}.<>"));
        }
        if schema["items"].is_object() {
            self.add(&schema["items"], &format!("{path}[]"));
        }
    }

    fn facts(self, place: &str, fact: &mut impl FnMut(&str, &str)) {
        for ((path, keyword), values) in self.0 {
            if keyword.is_empty() {
                fact(place, &path);
            } else if !path.is_empty() {
                let values: Vec<String> = values.into_iter().collect();
                fact(
                    &format!("{place} {keyword}"),
                    &format!("{path}={}", values.join("|")),
                );
            }
        }
    }
}

/// Of a fact about a keyword: what must be there for it to be compared, in the other document (a fact of the same parameter or property) and in
/// the independent one (the same keyword of it).
fn subject(fact: &str) -> Option<(String, &str)> {
    let (keyword_of, _) = fact.split_once('=')?;
    let [operation, kind, path] = keyword_of.split('\t').collect::<Vec<_>>()[..] else {
        return None;
    };
    let (place, _) = kind.split_once(' ')?;
    Some((format!("{operation}\t{place}\t{path}"), keyword_of))
}

/// The subjects of all facts about keywords, and all properties and parameters.
fn subjects(facts: &Facts) -> (BTreeSet<String>, BTreeSet<&str>) {
    let (mut known, mut keywords) = (facts.clone(), BTreeSet::new());
    for (subject, keyword_of) in facts.iter().filter_map(|fact| subject(fact)) {
        known.insert(subject);
        keywords.insert(keyword_of);
    }
    (known, keywords)
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
    assert!(theirs.len() > 1600 && ours.len() > 1000);
    let ((known, _), (_, stated)) = (subjects(&ours), subjects(&theirs));
    // Of what is not served only the path is compared; of keywords, those that the independent one states of what both have.
    let is_compared = |fact: &&String| {
        let (operation, rest) = fact.split_once('\t').unwrap();
        let is_stated = subject(fact)
            .is_none_or(|(subject, keyword_of)| known.contains(&subject) && stated.contains(keyword_of));
        rest.starts_with("path") || (!unserved.contains(operation) && is_stated)
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
