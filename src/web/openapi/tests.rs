use std::collections::BTreeSet;

use actix_web::body::to_bytes;
use actix_web::test::TestRequest;
use serde_json::Map;

use super::super::{inspect, server, v3};
use super::*;
use crate::web::routes::RouteInfo;

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
