//! A server with an identity service, and its clients.

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::{HttpResponse, web};
use pumice::actors::api::{Control, FinishedOperations, Options, endpoint};
use pumice::messages::api::ApiTopic;
use pumice::model::volume::Secret;
use pumice::store::Store;
use pumice::store::catalog::Catalog;
use pumice::store::memory::MemoryStore;
use pumice::transport::{Handle, Router};
use pumice::web::auth::Strategy;
use pumice::web::caller::Caller;
use pumice::web::identity::{Identity, IdentityOptions, PasswordCost, UserOptions};
use pumice::web::routes;
use pumice::web::server::{Site as Routes, configure, mount_open, mount_volumes, run_with};
use pumice::web::state::ServerState;
use pumice::web::trusted_proxies::TrustedProxies;
use serde_json::{Value, json};

use crate::web_support::{Answer, loopback, send};

pub const UNAUTHORIZED: &str = r#"{"error":{"code":401,"message":"The request you have made requires authentication.","title":"Unauthorized"}}"#;

/// A server with an identity service.
pub struct Site {
    pub address: SocketAddr,
    pub identity: web::Data<Identity>,
}

async fn whoami(caller: Caller) -> HttpResponse {
    let context = caller.context;
    HttpResponse::Ok().json(json!({
        "user": context.user_id, "project": context.project_id, "roles": context.roles, "admin": context.is_admin,
    }))
}

fn volumes(routes: &mut routes::Routes) {
    routes.get("/whoami", routes::Access::Token, whoami);
}

pub fn user(name: &str, password: &str, project: &str, role: &str) -> UserOptions {
    UserOptions {
        name: name.to_owned(),
        password: Some(Secret::new(password)),
        password_hash: None,
        project: project.to_owned(),
        roles: vec![role.to_owned()],
    }
}

/// Three users whose passwords cost nothing.
pub fn options() -> IdentityOptions {
    IdentityOptions {
        users: vec![
            user("ann", "ann's", "red", "admin"),
            UserOptions {
                password: None,
                ..user("ann", "", "blue", "reader")
            },
            user("bob", "bob's", "red", "member"),
        ],
        password_cost: PasswordCost {
            memory_kib: 8,
            passes: 1,
        },
        ..IdentityOptions::default()
    }
}

impl Site {
    pub async fn open() -> Self {
        Self::on(&store(), options()).await
    }

    pub async fn on(store: &Arc<dyn Store>, options: IdentityOptions) -> Self {
        Self::trusting(store, options, None).await
    }

    /// Behind this proxy.
    pub async fn trusting(store: &Arc<dyn Store>, options: IdentityOptions, proxy: Option<&str>) -> Self {
        let catalog = Catalog::open(Arc::clone(store)).await.unwrap();
        let api = api(&catalog);
        let identity = web::Data::new(Identity::open(catalog, api, options).await.unwrap());
        let mut server = ServerState::new(Strategy::Tokens(identity.clone().into_inner()));
        server.links.proxy_headers = true;
        server.trusted_proxies = TrustedProxies(proxy.iter().map(|proxy| proxy.parse().unwrap()).collect());
        let routes = Routes {
            server: web::Data::new(server),
            state: None,
            identity: Some(identity.clone()),
        };
        let (server, addresses) = run_with(&loopback(), move |cfg| {
            mount_open(cfg);
            mount_volumes(cfg, volumes);
            configure(cfg, &routes);
        })
        .unwrap();
        actix_web::rt::spawn(server);
        Self {
            address: addresses[0],
            identity,
        }
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        send(self.address, "GET", path, &[("X-Auth-Token", token)], None).await
    }

    pub async fn post(&self, auth: Value) -> Answer {
        let headers = [("Content-Type", "application/json")];
        send(
            self.address,
            "POST",
            "/identity/v3/auth/tokens",
            &headers,
            Some(auth.to_string()),
        )
        .await
    }

    /// Sends a request to the identity service.
    pub async fn ask(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
        let headers = [("X-Auth-Token", token), ("Content-Type", "application/json")];
        let path = format!("/identity/v3/{path}");
        send(
            self.address,
            method,
            &path,
            &headers,
            body.map(|body| body.to_string()),
        )
        .await
    }

    /// The answer to a request, which must have this status.
    pub async fn must(
        &self,
        status: u16,
        method: &str,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> Value {
        let answer = self.ask(method, path, token, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        if answer.text.is_empty() {
            Value::Null
        } else {
            answer.json()
        }
    }

    /// The token of a login, or panics.
    pub async fn logged_in(&self, auth: Value) -> String {
        let answer = self.post(auth).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.header("X-Subject-Token").unwrap().to_owned()
    }

    /// A token for `red`, or panics.
    pub async fn token(&self, name: &str) -> String {
        let answer = self
            .post(password(name, &format!("{name}'s"), in_project("red")))
            .await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.header("X-Subject-Token").unwrap().to_owned()
    }

    pub async fn about(&self, method: &str, token: &str, subject: &str) -> Answer {
        let headers = [("X-Auth-Token", token), ("X-Subject-Token", subject)];
        send(self.address, method, "/identity/v3/auth/tokens", &headers, None).await
    }
}

/// An Api actor on this catalog, which serves what needs no other actor.
pub fn api(catalog: &Catalog) -> Handle<ApiTopic> {
    let router = Router::new("test");
    let control = Control {
        catalog: catalog.clone(),
        quota: router.any(),
        scheduler: router.any(),
        router: router.clone(),
        finished: FinishedOperations::new(),
        nodes: pumice::actors::api::ControlNodes::alone(),
        options: Options::default(),
    };
    router.register(endpoint(control).start());
    router.any()
}

pub fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}

pub fn in_project(name: &str) -> Value {
    json!({"project": {"name": name, "domain": {"name": "Default"}}})
}

pub fn password(name: &str, password: &str, scope: Value) -> Value {
    json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "name": name, "domain": {"id": "default"}, "password": password}}},
        "scope": scope,
    }})
}

pub fn with_token(token: &str, scope: Value) -> Value {
    json!({"auth": {"identity": {"methods": ["token"], "token": {"id": token}}, "scope": scope}})
}
