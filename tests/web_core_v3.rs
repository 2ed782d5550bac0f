//! The first meeting of a client with the whole house, as Cinder itself was seen to answer it: every route is the real one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::sync::Arc;

use actix_web::web;
use pumice::store::catalog::Catalog;
use pumice::store::memory::MemoryStore;
use pumice::transport::Router;
use pumice::web::auth::Strategy;
use pumice::web::fault::{GENERIC_BAD_REQUEST, UNKNOWN_ROUTE};
use pumice::web::server::{Site, run};
use pumice::web::state::{ServerState, WebState};
use serde_json::{Value, json};

mod web_support;
use web_support::{loopback, send};

const PROJECT: &str = "0123456789abcdef0123456789abcdef";

/// What an answer's body is.
enum Is {
    Json(Value),
    Text(&'static str),
    Versions,
}

fn fault(name: &str, code: u16, message: &str) -> Is {
    Is::Json(json!({name: {"code": code, "message": message}}))
}

#[actix_web::test]
async fn clients_are_met_as_cinder_meets_them() {
    let catalog = Catalog::open(Arc::new(MemoryStore::default())).await.unwrap();
    let server = ServerState::new(Strategy::NoAuth);
    server.readiness.ready();
    let site = Site {
        server: web::Data::new(server),
        state: Some(web::Data::new(WebState::new(catalog, Router::new("here")))),
        identity: None,
    };
    let (server, addresses) = run(&loopback(), site).unwrap();
    actix_web::rt::spawn(server);
    let address = addresses[0];

    let volumes = "/v3/{project_id}/volumes";
    let empty = || Is::Json(json!({"volumes": []}));
    let out_of_range = |version: &str| {
        let message =
            format!("Version {version} is not supported by the API. Minimum is 3.0 and maximum is 3.71.");
        fault("computeFault", 406, &message)
    };
    let no_form = "API Version String x is of invalid format. Must be of format MajorNum.MinorNum.";
    for (method, path, version, status, body) in [
        ("GET", "/", None, 300, Is::Versions),
        ("GET", "/v3", None, 302, Is::Text("")),
        ("GET", "/v3/", None, 200, Is::Versions),
        ("GET", "/healthcheck", None, 200, Is::Text("OK")),
        ("GET", "/v2/", None, 404, Is::Text(UNKNOWN_ROUTE)),
        ("GET", volumes, Some("volume 3.72"), 406, out_of_range("3.72")),
        ("GET", volumes, Some("volume 2.0"), 406, out_of_range("2.0")),
        (
            "GET",
            volumes,
            Some("volume x"),
            400,
            fault("badRequest", 400, no_form),
        ),
        (
            "GET",
            volumes,
            Some("compute 2.1"),
            400,
            fault("badRequest", 400, GENERIC_BAD_REQUEST),
        ),
        ("GET", volumes, Some("volume latest"), 200, empty()),
        (
            "GET",
            "/v3/ffffffffffffffffffffffffffffffff/volumes",
            Some("volume 3.71"),
            400,
            fault("badRequest", 400, "Malformed request url"),
        ),
        ("GET", "/v3/volumes", Some("volume 3.71"), 200, empty()),
        (
            "PATCH",
            volumes,
            Some("volume 3.71"),
            404,
            Is::Text(UNKNOWN_ROUTE),
        ),
        (
            "GET",
            "/v3/{project_id}/nosuch",
            Some("volume 3.71"),
            404,
            Is::Text(UNKNOWN_ROUTE),
        ),
        ("PUT", volumes, Some("volume 3.71"), 404, Is::Text(UNKNOWN_ROUTE)),
    ] {
        let token = format!("admin:{PROJECT}");
        let mut headers = vec![("X-Auth-Token", token.as_str())];
        headers.extend(version.map(|version| ("OpenStack-API-Version", version)));
        let answer = send(
            address,
            method,
            &path.replace("{project_id}", PROJECT),
            &headers,
            None,
        )
        .await;
        let case = format!("{method} {path} {version:?}");
        assert_eq!(answer.status, status, "{case}: {}", answer.text);
        match body {
            Is::Json(body) => assert_eq!(answer.json(), body, "{case}"),
            Is::Text(text) => assert_eq!(answer.text, text, "{case}"),
            Is::Versions => assert_eq!(answer.json()["versions"][0]["version"], "3.71", "{case}"),
        }
        assert!(answer.header("x-openstack-request-id").is_some(), "{case}");
    }
}
