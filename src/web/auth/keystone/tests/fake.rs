//! A Keystone whose answers the tests choose.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::HeaderMap;
use actix_web::{HttpRequest, HttpResponse, web};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::model::Timestamp;
use crate::web::server::{ServerOptions, run_with};

pub(super) const PASSWORD: &str = "hunter2";

/// A Keystone.
#[derive(Default)]
pub(super) struct Fake {
    /// `METHOD path subject`, of each request.
    pub(super) requests: Mutex<Vec<String>>,
    /// The bodies of valid tokens.
    tokens: Mutex<Vec<(String, Value)>>,
    /// Tokens of the service that are accepted, the last one is the newest.
    pub(super) own: Mutex<Vec<String>>,
    /// How long those hold, in seconds.
    pub(super) own_lifetime: Mutex<Option<u64>>,
    behaviour: Mutex<Behaviour>,
    released: Notify,
}

#[derive(Clone, Default)]
pub(super) enum Behaviour {
    #[default]
    Right,
    /// No answer to validations until `released`.
    Waits,
    /// This answer to validations.
    Answers(u16, String, Vec<(&'static str, String)>),
    /// Logins are refused.
    NoLogin,
}

pub(super) fn later(seconds: u64) -> String {
    format!("{}Z", Timestamp::now().plus(Duration::from_secs(seconds)))
}

pub(super) fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

impl Fake {
    pub(super) fn start(self: &Arc<Self>) -> SocketAddr {
        let (fake, options) = (
            web::Data::from(Arc::clone(self)),
            ServerOptions {
                listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
                workers: 1,
                ..ServerOptions::default()
            },
        );
        let (server, addresses) = run_with(&options, move |cfg| {
            cfg.app_data(fake.clone()).default_service(web::to(answer));
        })
        .unwrap();
        actix_rt::spawn(server);
        addresses[0]
    }

    pub(super) fn allow(&self, token: &str, change: Value) {
        let mut body = json!({
            "user": {"id": "u", "name": "eve"}, "project": {"id": "0a"}, "roles": [{"name": "member"}, {"name": "reader"}],
            "expires_at": later(3600),
        });
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        self.tokens.lock().push((token.to_owned(), body));
    }

    pub(super) fn revoke(&self, token: &str) {
        self.tokens.lock().retain(|(text, _)| text != token);
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock() = behaviour;
        self.released.notify_waiters();
    }

    fn count(&self, begin: &str) -> usize {
        self.requests
            .lock()
            .iter()
            .filter(|request| request.starts_with(begin))
            .count()
    }

    pub(super) fn logins(&self) -> usize {
        self.count("POST")
    }

    pub(super) fn validations(&self) -> usize {
        self.count("GET /v3/auth/tokens")
    }
}

async fn answer(fake: web::Data<Fake>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let subject = text(request.headers(), "x-subject-token");
    let query = request.query_string();
    fake.requests.lock().push(format!(
        "{} {}?{query} {subject}",
        request.method(),
        request.path()
    ));
    if request.method() == "POST" {
        return log_in(&fake, &serde_json::from_slice(&body).unwrap());
    }
    if !fake.own.lock().contains(&text(request.headers(), "x-auth-token")) {
        return HttpResponse::Unauthorized().finish();
    }
    let behaviour = fake.behaviour.lock().clone();
    match behaviour {
        Behaviour::Waits => fake.released.notified().await,
        Behaviour::Answers(status, body, headers) => {
            let mut response = HttpResponse::build(status.try_into().unwrap());
            headers.into_iter().for_each(|header| {
                response.insert_header(header);
            });
            return response.body(body);
        }
        Behaviour::Right | Behaviour::NoLogin => {}
    }
    if let Some(project) = request.path().strip_prefix("/v3/projects/") {
        return match project {
            "0a" => HttpResponse::Ok().json(json!({"project": {"id": "0a"}})),
            "hidden" => HttpResponse::Forbidden().finish(),
            _ => HttpResponse::NotFound().finish(),
        };
    }
    let tokens = fake.tokens.lock();
    let token = tokens
        .iter()
        .find(|(text, _)| *text == subject)
        .map(|(_, body)| body);
    let is_over =
        |token: &&Value| Timestamp::parse(token["expires_at"].as_str().unwrap()).unwrap() < Timestamp::now();
    let token = token.filter(|token| !is_over(token) || query.contains("allow_expired=1"));
    match token {
        Some(token) => HttpResponse::Ok()
            .insert_header(("X-Subject-Token", subject))
            .json(json!({ "token": token })),
        None => {
            HttpResponse::NotFound().json(json!({"error": {"code": 404, "message": "Could not find token"}}))
        }
    }
}

fn log_in(fake: &Fake, body: &Value) -> HttpResponse {
    let user = &body["auth"]["identity"]["password"]["user"];
    let is_right = user["password"] == PASSWORD && user["domain"]["name"] == "Default";
    if !is_right || matches!(*fake.behaviour.lock(), Behaviour::NoLogin) {
        return HttpResponse::Unauthorized().finish();
    }
    let mut own = fake.own.lock();
    let token = format!("own-{}", own.len());
    own.push(token.clone());
    let lifetime = fake.own_lifetime.lock().unwrap_or(3600);
    HttpResponse::Created()
        .insert_header(("X-Subject-Token", token))
        .json(json!({"token": {"expires_at": later(lifetime)}}))
}
