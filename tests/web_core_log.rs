//! What the log says of a request, and what it never does. One test, for the log is the whole process's.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

use std::io::Write;
use std::sync::Arc;

use actix_web::web;
use parking_lot::Mutex;
use pumice::model::volume::Secret;
use pumice::store::catalog::Catalog;
use pumice::store::memory::MemoryStore;
use pumice::transport::Router;
use pumice::web::auth::Strategy;
use pumice::web::caller::Caller;
use pumice::web::fault::Fault;
use pumice::web::identity::{Identity, IdentityOptions, PasswordCost, UserOptions};
use pumice::web::routes::{Access, Routes};
use pumice::web::server::{Site, configure, mount_volumes, run_with};
use pumice::web::state::ServerState;
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

#[expect(dead_code, reason = "this file uses a part of it")]
mod web_support;
use web_support::{loopback, send};

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

async fn broken(_caller: Caller) -> Result<&'static str, Fault> {
    Err(Fault::internal("sector 7 is unreadable"))
}

fn volumes(routes: &mut Routes) {
    routes.get("/broken", Access::Token, broken);
}

#[actix_web::test]
async fn the_log_tells_causes_once_and_secrets_never() {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .init();

    let catalog = Catalog::open(Arc::new(MemoryStore::default())).await.unwrap();
    let options = IdentityOptions {
        users: vec![UserOptions {
            name: "ann".to_owned(),
            password: Some(Secret::new("correct-horse")),
            password_hash: None,
            project: "red".to_owned(),
            roles: vec!["member".to_owned()],
        }],
        password_cost: PasswordCost {
            memory_kib: 8,
            passes: 1,
        },
        ..IdentityOptions::default()
    };
    let identity = web::Data::new(
        Identity::open(catalog, Router::new("log").any(), options)
            .await
            .unwrap(),
    );
    let site = Site {
        server: web::Data::new(ServerState::new(Strategy::Tokens(identity.clone().into_inner()))),
        state: None,
        identity: Some(identity),
    };
    let (server, addresses) = run_with(&loopback(), move |cfg| {
        cfg.configure(|cfg| mount_volumes(cfg, volumes))
            .configure(|cfg| configure(cfg, &site));
    })
    .unwrap();
    actix_web::rt::spawn(server);
    let address = addresses[0];

    let login = async |name: &str, password: &str| {
        let body = json!({"auth": {"identity": {"methods": ["password"], "password": {"user": {
            "name": name, "domain": {"id": "default"}, "password": password}}}}});
        let headers = [("Content-Type", "application/json")];
        send(
            address,
            "POST",
            "/identity/v3/auth/tokens",
            &headers,
            Some(body.to_string()),
        )
        .await
    };
    assert_eq!(login("ann", "wrong-donkey").await.status, 401);
    assert_eq!(login("typed-my-password-here", "").await.status, 401);
    let token = login("ann", "correct-horse").await;
    let token = token.header("X-Subject-Token").unwrap();
    let answer = send(address, "GET", "/v3/broken", &[("X-Auth-Token", token)], None).await;
    let id = answer.header("x-openstack-request-id").unwrap();

    let log = String::from_utf8(log.0.lock().clone()).unwrap();
    for secret in ["correct-horse", "wrong-donkey", "typed-my-password-here", token] {
        assert!(!log.contains(secret), "the log tells {secret}");
    }
    let causes: Vec<&str> = log.lines().filter(|line| line.contains("sector 7")).collect();
    assert_eq!(causes.len(), 1, "{causes:?}");
    assert!(
        causes[0].contains("ERROR") && causes[0].contains(id),
        "{}",
        causes[0]
    );
    let access: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("answered") && line.contains(id))
        .collect();
    assert_eq!(access.len(), 1, "{access:?}");
    for word in ["GET", "/v3/broken", "status=500", "duration_ms="] {
        assert!(access[0].contains(word), "{}", access[0]);
    }
}
