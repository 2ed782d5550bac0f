use std::collections::{BTreeMap, BTreeSet};

use actix_web::body::to_bytes;
use actix_web::test::TestRequest;
use serde_json::Map;

use super::super::{inspect, server, v3};
use super::*;
use crate::web::routes::{Makes, RouteInfo};

fn tables() -> Vec<(&'static str, Vec<RouteInfo>)> {
    vec![
        ("", Routes::of(server::open_routes).infos()),
        ("/v3", Routes::of(v3::routes).infos()),
        ("/inspect", Routes::of(inspect::routes).infos()),
    ]
}

/// Each row is in the document since its version and not before, with its action.
#[test]
fn every_row_is_in_the_document_since_its_version() {
    for minor in [0, 26, 27, 55, 67, 71] {
        let version = Microversion(minor);
        let document = document(version);
        for (prefix, rows) in tables() {
            for row in rows {
                let prefix = match prefix {
                    "/v3" if minor < 67 => "/v3/{project_id}",
                    other => other,
                };
                let (path, _) = parameters::of_path(&format!("{prefix}{}", row.path));
                let method = row
                    .method
                    .as_ref()
                    .map_or("get".into(), |method| method.as_str().to_lowercase());
                let operation = &document["paths"][&path][&method];
                let is_there = match row.action {
                    None => operation.is_object(),
                    Some(action) => has_action(operation, action),
                };
                assert_eq!(
                    is_there,
                    version.at_least(row.since),
                    "{method} {path} {:?} in 3.{minor}",
                    row.action
                );
            }
        }
    }
}

fn has_action(operation: &Value, action: &str) -> bool {
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    let one_of = body["oneOf"].as_array();
    let mut schemas = one_of
        .map_or(vec![body], |schemas| schemas.iter().collect())
        .into_iter();
    schemas.any(|schema| schema["properties"].get(action).is_some())
}

#[test]
fn every_served_row_says_how_it_answers() {
    for (prefix, rows) in tables() {
        for row in rows {
            let says = !row.successes.is_empty();
            assert_eq!(
                says,
                row.is_served && !row.is_always_refused,
                "{prefix}{} {:?}",
                row.path,
                row.action
            );
        }
    }
}

/// A reference that leads nowhere, or one name for two schemas, would make the document useless.
#[test]
fn references_lead_somewhere_and_names_are_unique() {
    for minor in [0, 30, 71] {
        let document = document(Microversion(minor));
        let mut references = BTreeSet::new();
        collect(&document, &mut references);
        assert!(references.len() > 20);
        for reference in references {
            let pointer = reference.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                if let Some(id) = operation["operationId"].as_str() {
                    assert!(ids.insert(id), "{method} {path}: {id} is there twice");
                }
            }
        }
    }
}

/// The links of an operation of the document.
fn links<'d>(document: &'d Value, path: &str) -> &'d Map<String, Value> {
    let answers = document["paths"][path]["post"]["responses"].as_object();
    let mut links = answers
        .into_iter()
        .flatten()
        .filter_map(|(_, answer)| answer["links"].as_object());
    links.next().unwrap_or_else(|| panic!("{path} has no links"))
}

/// A link that names an operation or a parameter that there is not, or a field that the answer does not have, leads nowhere.
#[test]
fn links_lead_to_operations_with_their_parameters() {
    for minor in [0, 27, 55, 67, 71] {
        let document = document(Microversion(minor));
        let mut of_operations = BTreeMap::new();
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                if let Some(id) = operation["operationId"].as_str() {
                    of_operations.insert(id, item["parameters"].as_array());
                }
            }
        }
        let mut count = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (status, answer) in item["post"]["responses"].as_object().into_iter().flatten() {
                for (name, link) in answer["links"].as_object().into_iter().flatten() {
                    let of_path = of_operations[link["operationId"].as_str().unwrap()];
                    let expected: BTreeSet<String> = of_path
                        .into_iter()
                        .flatten()
                        .map(|parameter| format!("path.{}", parameter["name"].as_str().unwrap()))
                        .collect();
                    let given = link["parameters"].as_object().unwrap();
                    assert_eq!(
                        given.keys().cloned().collect::<BTreeSet<_>>(),
                        expected,
                        "{path} {name}"
                    );
                    for value in given.values().filter_map(Value::as_str) {
                        let is_there = match value.strip_prefix("$response.body#/") {
                            Some(field) => {
                                has_field(&document, &answer["content"]["application/json"]["schema"], field)
                            }
                            None => {
                                path.contains(&format!("{{{}}}", value.trim_start_matches("$request.path.")))
                            }
                        };
                        assert!(is_there, "{path} {status} {name}: {value}");
                    }
                    count += 1;
                }
            }
        }
        assert!(count > 50, "only {count} links in 3.{minor}");
    }
}

/// Whether each object with that schema has this field of a field.
fn has_field(document: &Value, schema: &Value, path: &str) -> bool {
    let resolved = |schema: &Value| match schema["$ref"].as_str() {
        Some(reference) => document
            .pointer(reference.trim_start_matches('#'))
            .unwrap()
            .clone(),
        None => schema.clone(),
    };
    let mut schema = resolved(schema);
    for name in path.split('/') {
        let is_required = schema["required"]
            .as_array()
            .unwrap()
            .iter()
            .any(|other| other == name);
        if !is_required {
            return false;
        }
        schema = resolved(&schema["properties"][name]);
    }
    true
}

#[test]
fn what_makes_a_resource_leads_to_what_can_be_done_with_it() {
    let document = document(Microversion::MAX);
    let rows = Routes::of(v3::routes).infos();
    for row in rows.iter().filter(|row| row.makes != Makes::Nothing) {
        let (path, _) = parameters::of_path(&format!("/v3{}", row.path));
        assert!(!links(&document, &path).is_empty());
    }
    let to = |path: &str| {
        links(&document, path)
            .keys()
            .map(String::as_str)
            .collect::<Vec<_>>()
    };
    for made in ["/v3/volumes", "/v3/os-volume-manage"] {
        let links = to(made);
        for operation in [
            "get_v3_volumes_volume_id",
            "put_v3_volumes_volume_id",
            "delete_v3_volumes_volume_id",
            "post_v3_volumes_volume_id_action",
            "post_v3_volumes_volume_id_metadata",
        ] {
            assert!(links.contains(&operation), "{made}: {operation}");
        }
    }
    assert!(to("/v3/snapshots").contains(&"get_v3_volumes_volume_id"));
    assert!(to("/v3/volume-transfers").contains(&"post_v3_volume_transfers_transfer_id_accept"));
    assert!(to("/v3/types/{type_id}/encryption").contains(&"get_v3_types_type_id_encryption"));
    let shown = &links(&document, "/v3/volumes")["get_v3_volumes_volume_id"];
    assert_eq!(shown["parameters"]["path.volume_id"], "$response.body#/volume/id");
}

fn collect<'a>(value: &'a Value, references: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(object) => {
            references.extend(object.get("$ref").and_then(Value::as_str));
            object.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

async fn text(response: HttpResponse) -> String {
    let body = to_bytes(response.into_body()).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[actix_web::test]
async fn the_version_is_of_the_query_or_the_header_or_the_newest() {
    for (uri, header, expected) in [
        ("/openapi.json", None, Ok("3.71")),
        ("/openapi.json?microversion=3.5", None, Ok("3.5")),
        ("/openapi.json", Some("volume 3.27"), Ok("3.27")),
        (
            "/openapi.json?microversion=latest",
            Some("volume 3.27"),
            Ok("3.71"),
        ),
        ("/openapi.json?microversion=3.72", None, Err(406)),
        ("/openapi.json?microversion=x", None, Err(400)),
    ] {
        let mut request = TestRequest::with_uri(uri);
        if let Some(header) = header {
            request = request.insert_header(("OpenStack-API-Version", header));
        }
        match (json(request.to_http_request()).await, expected) {
            (Ok(response), Ok(expected)) => {
                let document: Value = serde_json::from_str(&text(response).await).unwrap();
                assert_eq!(document["info"]["version"], expected, "{uri}");
            }
            (Err(fault), Err(status)) => assert_eq!(fault.status, status, "{uri}"),
            _ => panic!("{uri}"),
        }
    }
}

#[actix_web::test]
async fn a_known_document_is_not_sent_again() {
    let first = json(TestRequest::with_uri("/").to_http_request()).await.unwrap();
    let etag = first.headers().get(header::ETAG).unwrap().clone();
    let again = TestRequest::with_uri("/").insert_header((header::IF_NONE_MATCH, etag));
    let again = json(again.to_http_request()).await.unwrap();
    assert_eq!(again.status(), 304);
    assert!(text(again).await.is_empty());
}

#[actix_web::test]
async fn the_page_needs_nothing_from_elsewhere_and_escapes_what_it_shows() {
    let response = html(TestRequest::with_uri("/openapi").to_http_request())
        .await
        .unwrap();
    let policy = response.headers().get(header::CONTENT_SECURITY_POLICY).unwrap();
    assert!(
        policy
            .to_str()
            .unwrap()
            .starts_with("default-src 'none'; style-src 'sha256-")
    );
    let page = text(response).await;
    for outside in ["<script", " src=", "http-equiv", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("/v3/volumes/{volume_id}"));
    let mut paths = Map::new();
    paths.insert(
        "/<b>".to_owned(),
        serde_json::json!({"get": {"tags": ["<i>"], "summary": "\"'&<u>", "responses": {}}}),
    );
    let shown = page::html(
        Microversion::MAX,
        &serde_json::json!({"info": {}, "paths": paths}),
    );
    assert!(!shown.contains("<i>") && !shown.contains("<u>"), "{shown}");
    assert!(shown.contains("/&lt;b&gt;") && shown.contains("&quot;&#39;&amp;&lt;u&gt;"));
}
