//! What every client meets before it reaches a volume: versions, request ids, authentication, errors. Real HTTP over loopback.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::{HttpResponse, web};
use serde_json::json;

use pumice::web::admission::{AdmissionOptions, AdmissionQueues};
use pumice::web::auth::Strategy;
use pumice::web::caller::Caller;
use pumice::web::connection::ConnectionLimits;
use pumice::web::fault::{self, UNKNOWN_ROUTE};
use pumice::web::policy::member;
use pumice::web::readiness::Readiness;
use pumice::web::request::Body;
use pumice::web::routes::{Access, Routes};
use pumice::web::server::{ServerOptions, mount_open, mount_volumes, run_with};
use pumice::web::state::ServerState;

mod web_support;
use web_support::{Answer, loopback, send};

const PROJECT: &str = "0123456789abcdef0123456789abcdef";

async fn list(_caller: Caller) -> HttpResponse {
    HttpResponse::Ok().json(json!({"volumes": []}))
}

async fn messages(_caller: Caller) -> HttpResponse {
    HttpResponse::Ok().json(json!({"messages": []}))
}

async fn create(_caller: Caller, Body(body): Body) -> HttpResponse {
    HttpResponse::Accepted().json(body)
}

async fn whoami(caller: Caller) -> HttpResponse {
    let context = caller.context;
    HttpResponse::Ok().json(json!({"user": context.user_id, "global": context.global_request_id}))
}

async fn burst(caller: Caller) -> HttpResponse {
    panic!("the password of {} is hunter2", caller.context.user_id)
}

/// Stand-ins for the routes of volumes: what is tested here is in front of them.
fn volumes(routes: &mut Routes) {
    routes.get("/volumes", Access::Token, list);
    routes.post("/volumes", member("volume:create"), create);
    routes.get("/messages", Access::Token, messages).since(3);
    routes.get("/whoami", Access::Token, whoami);
    routes.get("/burst", Access::Token, burst);
}

/// A server of its own for each test, without authentication.
struct Site {
    address: SocketAddr,
    readiness: Readiness,
}

impl Site {
    fn open() -> Self {
        Self::with(ServerState::new(Strategy::NoAuth))
    }

    fn with(server: ServerState) -> Self {
        Self::listening(server, &loopback())
    }

    fn listening(server: ServerState, options: &ServerOptions) -> Self {
        let readiness = server.readiness.clone();
        let server = web::Data::new(server);
        let (server, addresses) = run_with(options, move |cfg| {
            cfg.app_data(server.clone());
            mount_open(cfg);
            mount_volumes(cfg, volumes);
            cfg.default_service(web::to(async || fault::unknown_route()));
        })
        .unwrap();
        actix_web::rt::spawn(server);
        Self {
            address: addresses[0],
            readiness,
        }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        send(self.address, method, path, headers, body.map(str::to_owned)).await
    }

    /// A GET with a token and a version.
    async fn get(&self, path: &str, version: Option<&str>) -> Answer {
        let token = format!("admin:{PROJECT}");
        let version = version.map(|version| format!("volume {version}"));
        let mut headers = vec![("X-Auth-Token", token.as_str())];
        headers.extend(
            version
                .as_deref()
                .map(|version| ("OpenStack-API-Version", version)),
        );
        self.send("GET", &path.replace("{project_id}", PROJECT), &headers, None)
            .await
    }
}

#[actix_web::test]
async fn the_version_document_is_given_to_anyone_wherever_clients_look() {
    let site = Site::open();
    let base = format!("http://{}", site.address);
    for (path, status) in [("/", 300), ("/v3/", 200), ("/v3/0a9f/", 200), ("/v3/0a9f", 200)] {
        let answer = site.send("GET", path, &[], None).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(
            answer.json(),
            json!({"versions": [{
                "id": "v3.0", "status": "CURRENT", "version": "3.71", "min_version": "3.0",
                "updated": "2023-08-31T00:00:00Z",
                "links": [
                    {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
                    {"rel": "self", "href": format!("{base}/v3/")},
                ],
                "media-types": [{
                    "base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"
                }],
            }]})
        );
        assert_eq!(answer.header("OpenStack-API-Version"), Some("volume 3.0"));
    }
    let redirect = site.send("GET", "/v3", &[], None).await;
    assert_eq!(
        (redirect.status, redirect.header("location")),
        (302, Some(format!("{base}/v3/").as_str()))
    );
    assert_eq!(redirect.text, "");
}

#[actix_web::test]
async fn without_authentication_names_that_no_record_has_room_for_are_refused() {
    let site = Site::open();
    let long = "x".repeat(256);
    let refused = |answer: &Answer, which: &str| {
        assert_eq!(
            (answer.status, answer.json()["badRequest"]["message"].clone()),
            (
                400,
                json!(format!(
                    "Invalid input received: {which} has 256 characters, more than 255."
                ))
            )
        );
    };
    for (token, which) in [
        (format!("{long}:{PROJECT}"), "user_id"),
        (format!("user:{long}"), "project_id"),
        (long.clone(), "user_id"),
    ] {
        let headers = [("X-Auth-Token", token.as_str())];
        let answer = site
            .send("GET", &format!("/v3/{PROJECT}/volumes"), &headers, None)
            .await;
        refused(&answer, which);
    }
    for (header, which) in [("X-Auth-User", "user_id"), ("X-Auth-Project-Id", "project_id")] {
        let headers = [(header, long.as_str())];
        let answer = site
            .send("GET", &format!("/v3/{PROJECT}/volumes"), &headers, None)
            .await;
        refused(&answer, which);
    }
    let token = format!("{}:{PROJECT}", &long[1..]);
    let headers = [("X-Auth-Token", token.as_str())];
    let answer = site
        .send("GET", &format!("/v3/{PROJECT}/volumes"), &headers, None)
        .await;
    assert_eq!(answer.status, 200);
}

#[actix_web::test]
async fn links_follow_the_host_and_trusted_proxies_only() {
    let forwarded = [
        ("Host", "inner"),
        ("X-Forwarded-Host", "cloud.example"),
        ("X-Forwarded-Proto", "https"),
    ];
    let href = |answer: &Answer| answer.json()["versions"][0]["links"][1]["href"].clone();

    let site = Site::open();
    assert_eq!(
        href(&site.send("GET", "/", &forwarded, None).await),
        "http://inner/v3/"
    );

    let mut server = ServerState::new(Strategy::NoAuth);
    server.links.proxy_headers = true;
    assert_eq!(
        href(&Site::with(server).send("GET", "/", &forwarded, None).await),
        "https://cloud.example/v3/"
    );

    let mut server = ServerState::new(Strategy::NoAuth);
    server.links.public_endpoint = Some("https://cloud.example/volume".to_owned());
    let site = Site::with(server);
    assert_eq!(
        href(&site.send("GET", "/", &forwarded, None).await),
        "https://cloud.example/volume/v3/"
    );
}

#[actix_web::test]
async fn the_health_check_says_whether_to_send_requests() {
    let site = Site::open();
    let check = async || {
        let answer = site.send("GET", "/healthcheck", &[], None).await;
        (answer.status, answer.text)
    };
    assert_eq!(check().await, (503, "starting".to_owned()));
    site.readiness.ready();
    assert_eq!(check().await, (200, "OK".to_owned()));
    site.readiness.unready("draining");
    assert_eq!(check().await, (503, "draining".to_owned()));
}

#[actix_web::test]
async fn versions_are_negotiated_as_cinder_does() {
    let site = Site::open();
    let volumes = "/v3/{project_id}/volumes";
    for (path, version, status, body) in [
        (
            volumes,
            "3.72",
            406,
            json!({"computeFault": {"code": 406, "message":
            "Version 3.72 is not supported by the API. Minimum is 3.0 and maximum is 3.71."}}),
        ),
        (
            volumes,
            "2.0",
            406,
            json!({"computeFault": {"code": 406, "message":
            "Version 2.0 is not supported by the API. Minimum is 3.0 and maximum is 3.71."}}),
        ),
        (
            volumes,
            "x",
            400,
            json!({"badRequest": {"code": 400, "message":
            "API Version String x is of invalid format. Must be of format MajorNum.MinorNum."}}),
        ),
        (volumes, "latest", 200, json!({"volumes": []})),
        (
            "/v3/{project_id}/messages",
            "3.0",
            404,
            json!({"itemNotFound": {"code": 404, "message":
            "The resource could not be found."}}),
        ),
        (
            "/v3/ffffffffffffffffffffffffffffffff/volumes",
            "3.71",
            400,
            json!({"badRequest": {"code": 400,
            "message": "Malformed request url"}}),
        ),
        ("/v3/volumes", "3.71", 200, json!({"volumes": []})),
    ] {
        let answer = site.get(path, Some(version)).await;
        assert_eq!((answer.status, answer.json()), (status, body), "{path} {version}");
    }
    // The router of Cinder knows no such path: a client that asks for a volume without an id is not given a list.
    let slash = site.get("/v3/{project_id}/volumes/", Some("3.71")).await;
    assert_eq!((slash.status, slash.text.as_str()), (404, fault::UNKNOWN_ROUTE));
    let other = [
        ("X-Auth-Token", "admin:0a"),
        ("OpenStack-API-Version", "compute 2.1"),
    ];
    let answer = site.send("GET", "/v3/volumes", &other, None).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["badRequest"]["message"], fault::GENERIC_BAD_REQUEST);
}

#[actix_web::test]
async fn answers_say_which_version_was_spoken() {
    let site = Site::open();
    for (version, echo) in [
        (None, "volume 3.0"),
        (Some("3.27"), "volume 3.27"),
        (Some("latest"), "volume 3.71"),
        (Some("3.72"), "volume 3.72"),
    ] {
        let answer = site.get("/v3/{project_id}/volumes", version).await;
        assert_eq!(answer.header("OpenStack-API-Version"), Some(echo));
        assert_eq!(answer.header("Vary"), Some("OpenStack-API-Version"));
    }
    let nowhere = site.get("/v3/{project_id}/nosuch", Some("3.72")).await;
    assert_eq!(
        (nowhere.status, nowhere.header("OpenStack-API-Version")),
        (404, None)
    );
}

#[actix_web::test]
async fn unknown_paths_and_methods_are_plain_404s() {
    let site = Site::open();
    for (method, path) in [
        ("GET", "/v2/"),
        ("GET", "/v3/{project_id}/nosuch"),
        ("PATCH", "/v3/{project_id}/volumes"),
        ("PUT", "/v3/volumes"),
        ("GET", "/v3//volumes"),
        ("GET", "/..%2f..%2fetc/passwd"),
    ] {
        let headers = [("X-Auth-Token", "admin:0123456789abcdef0123456789abcdef")];
        let answer = site
            .send(method, &path.replace("{project_id}", PROJECT), &headers, None)
            .await;
        assert_eq!(
            (answer.status, answer.text.as_str()),
            (404, UNKNOWN_ROUTE),
            "{method} {path}"
        );
        assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
        assert!(answer.header("x-openstack-request-id").is_some());
    }
}

#[actix_web::test]
async fn every_answer_has_a_request_id_and_a_well_formed_one_is_linked() {
    let site = Site::open();
    let answer = site.send("GET", "/", &[], None).await;
    let id = answer.header("x-openstack-request-id").unwrap();
    assert!(pumice::web::middleware::is_request_id(id), "{id}");
    assert_eq!(answer.header("x-compute-request-id"), Some(id));

    let mine = "req-0e9c2b1a-7a3f-4f5e-9c1d-2b3a4c5d6e7f";
    let headers = [("X-Auth-Token", "u:0a"), ("X-OpenStack-Request-ID", mine)];
    let answer = site.send("GET", "/v3/whoami", &headers, None).await;
    assert_eq!(answer.json(), json!({"user": "u", "global": mine}));
    assert_ne!(answer.header("x-openstack-request-id"), Some(mine));
}

#[actix_web::test]
async fn without_authentication_a_token_is_handed_out() {
    let site = Site::open();
    let headers = [("X-Auth-User", "u"), ("X-Auth-Project-Id", "0a")];
    let answer = site.send("GET", "/v3/volumes", &headers, None).await;
    assert_eq!(
        (answer.status, answer.header("X-Auth-Token")),
        (204, Some("u:0a"))
    );
    let answer = site.send("GET", "/v3/0a/volumes", &[], None).await;
    assert_eq!(
        (answer.status, answer.header("X-Auth-Token")),
        (204, Some("admin:admin"))
    );
}

#[actix_web::test]
async fn a_body_is_json_of_bounded_size() {
    let site = Site::open();
    let post = async |kind: Option<&str>, body: &str| {
        let mut headers = vec![("X-Auth-Token", "u:0a")];
        headers.extend(kind.map(|kind| ("Content-Type", kind)));
        site.send("POST", "/v3/0a/volumes", &headers, Some(body)).await
    };
    let json = Some("application/json");
    let fine = post(json, r#"{"volume": {"size": 1}}"#).await;
    assert_eq!((fine.status, fine.json()), (202, json!({"volume": {"size": 1}})));

    let wrong = post(Some("application/xml"), "<a/>").await;
    assert_eq!(wrong.status, 415);
    assert_eq!(
        wrong.json(),
        json!({"badMediaType": {"code": 415, "message": "Unsupported Content-Type"}})
    );

    let broken = post(json, "{").await;
    assert_eq!(
        broken.json(),
        json!({"badRequest": {"code": 400, "message": "Malformed request body"}})
    );

    let large = format!("{{\"a\": \"{}\"}}", "x".repeat(114_688));
    let refused = post(json, &large).await;
    assert_eq!(refused.status, 413);
    assert_eq!(refused.json()["overLimit"]["code"], 413);
    assert_eq!(refused.header("Retry-After"), None);
}

#[actix_web::test]
async fn a_handler_that_panics_answers_500_and_the_server_goes_on() {
    let site = Site::open();
    let answer = site
        .send("GET", "/v3/burst", &[("X-Auth-Token", "u:0a")], None)
        .await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json()["computeFault"]["code"], 500);
    assert!(!answer.text.contains("hunter2"), "{}", answer.text);
    assert!(answer.header("x-openstack-request-id").is_some());
    assert_eq!(
        site.send("GET", "/v3/volumes", &[("X-Auth-Token", "u:0a")], None)
            .await
            .status,
        200
    );
}

/// Clients send head and body apart. A refusal between the two must not cut the connection: they would lose the answer with it.
#[actix::test]
async fn a_refusal_before_the_body_came_leaves_the_connection_whole() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let refuses = ServerState::new(Strategy::NoAuth);
    refuses.admission.close();
    let site = Site::with(refuses);
    let mut stream = tokio::net::TcpStream::connect(site.address).await.unwrap();
    let mut got = String::new();
    for number in 1..=2 {
        let head = format!(
            "POST /v3/{PROJECT}/volumes HTTP/1.1\r\nHost: here\r\nX-Auth-Token: user:{PROJECT}\r\nContent-Type: \
             application/json\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut chunk = [0; 4096];
        // The head is in the server's hands when it asks for the rest.
        while got.matches("100 Continue").count() < number {
            let read = stream.read(&mut chunk).await.unwrap();
            assert!(read > 0, "it hung up: {got}");
            got.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
        }
        stream.write_all(b"{}").await.unwrap();
        while got.matches("stopping").count() < number {
            let read = stream.read(&mut chunk).await.unwrap();
            assert!(read > 0, "it hung up: {got}");
            got.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
        }
    }
    assert_eq!(got.matches("HTTP/1.1 503").count(), 2, "{got}");
    assert_eq!(got.matches("retry-after: 1").count(), 2, "{got}");
}

/// A connection on which a body is announced that does not come.
async fn half_a_body(site: &Site, headers: &str) -> tokio::net::TcpStream {
    use tokio::io::AsyncWriteExt;
    let mut stream = tokio::net::TcpStream::connect(site.address).await.unwrap();
    let head =
        format!("POST /v3/volumes HTTP/1.1\r\nHost: x\r\nX-Auth-Token: admin:{PROJECT}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn rest_of(mut stream: tokio::net::TcpStream) -> String {
    use tokio::io::AsyncReadExt;
    let mut text = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut text)).await;
    read.expect("the connection was not closed").unwrap();
    String::from_utf8(text).unwrap()
}

#[actix_web::test]
async fn a_body_that_does_not_come_has_no_turn_and_is_ended() {
    let mut server = ServerState::new(Strategy::NoAuth);
    server.body.time = Duration::from_millis(500);
    server.admission = AdmissionQueues::new(&AdmissionOptions {
        at_once: 1,
        per_project: 1,
        waiting: 1,
        patience: Duration::from_millis(100),
    });
    let site = Site::with(server);
    let announced = half_a_body(&site, "Content-Type: application/json\r\nContent-Length: 9\r\n").await;
    let chunked = half_a_body(&site, "Transfer-Encoding: chunked\r\n").await;
    let token = format!("admin:{PROJECT}");
    let headers = [
        ("X-Auth-Token", token.as_str()),
        ("Content-Type", "application/json"),
    ];
    let answer = site.send("POST", "/v3/volumes", &headers, Some("{}")).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    for stream in [announced, chunked] {
        let text = rest_of(stream).await;
        assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
        assert!(text.to_ascii_lowercase().contains("connection: close"), "{text}");
    }
}

#[actix_web::test]
async fn whoever_is_looked_for_with_another_method_is_there() {
    let site = Site::open();
    site.readiness.ready();
    for (method, path, status) in [
        ("OPTIONS", "/", 300),
        ("HEAD", "/", 300),
        ("POST", "/", 300),
        ("HEAD", "/v3/", 200),
        ("OPTIONS", "/v3/", 200),
        ("HEAD", "/v3", 302),
        ("HEAD", "/v3/0a9f", 200),
        ("HEAD", "/healthcheck", 200),
    ] {
        let answer = site.send(method, path, &[], None).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(
            answer.text.is_empty(),
            method == "HEAD" || status == 302,
            "{method} {path}"
        );
    }
    let token = format!("admin:{PROJECT}");
    let headers = [("X-Auth-Token", token.as_str())];
    let head = site.send("HEAD", "/v3/volumes", &headers, None).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_eq!(
        site.send("OPTIONS", "/v3/volumes", &headers, None).await.status,
        404
    );
}

#[actix_web::test]
async fn a_connection_is_not_kept_for_half_a_head() {
    use tokio::io::AsyncWriteExt;
    let mut options = loopback();
    options.patience.client_timeout = Duration::from_millis(200);
    let site = Site::listening(ServerState::new(Strategy::NoAuth), &options);
    let mut stream = tokio::net::TcpStream::connect(site.address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    // The answer is there before the next head begins.
    stream.readable().await.unwrap();
    stream.write_all(b"GET / HT").await.unwrap();
    let text = rest_of(stream).await;
    assert!(text.starts_with("HTTP/1.1 300 "), "{text}");
    assert_eq!(text.matches("HTTP/1.1").count(), 1, "{text}");
}

#[actix_web::test]
async fn no_address_takes_more_connections_than_its_share() {
    let mut options = loopback();
    options.connections = ConnectionLimits {
        total: 100,
        per_address: 4,
    };
    let site = Site::listening(ServerState::new(Strategy::NoAuth), &options);
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(half_a_body(&site, "Content-Length: 9\r\n").await);
    }
    let refused = tokio::net::TcpStream::connect(site.address).await.unwrap();
    let text = rest_of(refused).await;
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    drop(held);
    let began = std::time::Instant::now();
    loop {
        let stream = half_a_body(&site, "Content-Length: 2\r\nConnection: close\r\n").await;
        let sent = {
            use tokio::io::AsyncWriteExt;
            let mut stream = stream;
            let _ = stream.write_all(b"{}").await;
            stream
        };
        use tokio::io::AsyncReadExt;
        let mut text = String::new();
        let mut sent = sent;
        if sent.read_to_string(&mut text).await.is_ok() && text.starts_with("HTTP/1.1 202 ") {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "no room was made: {text}"
        );
    }
}

#[actix_web::test]
async fn a_query_names_no_more_than_a_url_holds() {
    let site = Site::open();
    let token = format!("admin:{PROJECT}");
    let headers = [("X-Auth-Token", token.as_str())];
    let path = |keys: usize| format!("/v3/volumes?sort={}", vec!["id:asc"; keys].join(","));
    assert_eq!(site.send("GET", &path(1000), &headers, None).await.status, 200);
    let answer = site.send("GET", &path(2000), &headers, None).await;
    assert_eq!((answer.status, answer.text.as_str()), (414, ""));
    assert!(answer.header("X-OpenStack-Request-ID").is_some());
}
