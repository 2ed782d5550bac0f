//! Tokens are validated by a Keystone whose answers the tests choose, over real HTTP.

mod failures;
mod fake;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_rt::Arbiter;
use actix_web::http::header;
use serde_json::json;

use self::fake::{Behaviour, Fake, PASSWORD, text};
use super::*;
use crate::model::Timestamp;
use crate::web::auth::{Admission, Scope, Strategy, admit};

/// A Keystone, and who asks it.
struct Site {
    fake: Arc<Fake>,
    keystone: Arc<Keystone>,
}

fn options(address: SocketAddr) -> KeystoneOptions {
    KeystoneOptions {
        url: format!("http://{address}"),
        password: Password::Text(Secret::new(PASSWORD)),
        timeout: Duration::from_secs(20),
        ..KeystoneOptions::default()
    }
}

impl Site {
    fn new() -> Self {
        Self::with(|options| options)
    }

    fn with(change: impl FnOnce(KeystoneOptions) -> KeystoneOptions) -> Self {
        let fake = Arc::new(Fake::default());
        let address = fake.start();
        let keystone = Keystone::start(change(options(address)), &Arbiter::current()).unwrap();
        Self {
            fake,
            keystone: Arc::new(keystone),
        }
    }

    async fn ask(&self, token: &str, service_token: Option<&str>) -> Result<Option<Principal>, Fault> {
        let credentials = Credentials {
            token,
            service_token,
            method: "GET",
            path: "/v3/0a/volumes",
        };
        self.keystone.authenticate(&credentials).await
    }

    async fn accepts(&self, token: &str) -> bool {
        self.ask(token, None).await.unwrap().is_some()
    }

    /// The operator's text for a question that cannot be answered; the client's is checked.
    async fn fails(&self, token: &str) -> String {
        let fault = self.ask(token, None).await.unwrap_err();
        assert_eq!(
            (fault.status.as_u16(), fault.retry_after),
            (503, Some(RETRY_AFTER))
        );
        assert_eq!(fault.message, UNAVAILABLE);
        let operator = fault.operator.unwrap();
        assert!(
            !operator.contains(PASSWORD) && !operator.contains(token),
            "{operator}"
        );
        operator
    }
}

#[actix_rt::test]
async fn a_token_is_asked_for_once_and_says_who_the_user_is() {
    let site = Site::new();
    site.fake.allow("token-1", json!({}));
    for _ in 0..3 {
        let principal = site.ask("token-1", None).await.unwrap().unwrap();
        assert_eq!(
            (principal.user_id.as_str(), principal.project_id.as_str()),
            ("u", "0a")
        );
        assert_eq!(
            (principal.roles, principal.is_admin),
            (vec!["member".to_owned(), "reader".to_owned()], false)
        );
        assert_eq!(principal.scope, Scope::Project);
        assert!(!site.accepts("token-2").await);
    }
    assert_eq!((site.fake.logins(), site.fake.validations()), (1, 2));
    assert!(
        site.fake
            .requests
            .lock()
            .contains(&"GET /v3/auth/tokens?nocatalog token-1".to_owned())
    );
}

#[actix_rt::test]
async fn a_revoked_token_is_refused_when_the_time_of_the_cache_is_over() {
    let site = Site::with(|options| KeystoneOptions {
        cache_time: Duration::from_millis(300),
        ..options
    });
    site.fake.allow("token-1", json!({}));
    let asked_at = std::time::Instant::now();
    assert!(site.accepts("token-1").await);
    site.fake.revoke("token-1");
    while site.accepts("token-1").await {
        assert!(asked_at.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(asked_at.elapsed() >= Duration::from_millis(300));
}

#[actix_rt::test]
async fn many_requests_with_one_token_share_a_question() {
    let site = Site::new();
    site.fake.allow("token-1", json!({}));
    assert!(!site.accepts("other").await);
    site.fake.behave(Behaviour::Waits);
    let asking: Vec<_> = (0..50).map(|_| site.ask("token-1", None)).collect();
    let release = async {
        while site.fake.validations() < 2 {
            tokio::task::yield_now().await;
        }
        // The others are sent to the thread that asks before it can have an answer.
        tokio::time::sleep(Duration::from_millis(20)).await;
        site.fake.behave(Behaviour::Right);
    };
    let (answers, ()) = futures_util::future::join(futures_util::future::join_all(asking), release).await;
    assert!(
        answers
            .iter()
            .all(|answer| answer.as_ref().is_ok_and(Option::is_some))
    );
    assert_eq!(site.fake.validations(), 2);
}

#[actix_rt::test]
async fn the_password_is_read_from_its_file_at_each_login() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    let site = Site::with(|options| KeystoneOptions {
        password: Password::File(file.clone()),
        ..options
    });
    let operator = site.fails("token-1").await;
    assert!(operator.contains("auth.keystone.password_file"), "{operator}");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    assert_eq!(
        site.keystone.check().await.unwrap_err().to_string(),
        "Keystone's answer to the validation of a token cannot be used: the token it gave out is not valid"
    );
    site.fake.allow("own-0", json!({}));
    site.fake.allow("own-1", json!({}));
    assert_eq!(site.keystone.check().await, Ok(()));
}

#[actix_rt::test]
async fn an_expired_token_is_accepted_with_a_service_token_only() {
    let site = Site::new();
    let past = format!("{}Z", Timestamp(Timestamp::now().0 - 60_000_000));
    site.fake.allow("expired", json!({ "expires_at": past }));
    site.fake
        .allow("of-nova", json!({"roles": [{"name": "service"}]}));
    site.fake.allow("of-eve", json!({}));
    let asked = async |token: &'static str, service| site.ask(token, service).await.unwrap().is_some();
    assert!(!asked("expired", None).await);
    assert!(asked("expired", Some("of-nova")).await);
    assert!(
        !asked("expired", None).await,
        "the answer with a service token counts with one only"
    );
    assert!(
        !asked("of-eve", Some("of-eve")).await,
        "a service token has the role of a service"
    );
    assert!(!asked("of-eve", Some("unknown")).await);
    assert!(!asked("of-eve", Some("expired")).await);
    assert!(!asked("of-eve", Some("")).await);
    assert!(asked("of-eve", Some("of-nova")).await);

    let site = Site::with(|options| KeystoneOptions {
        service_token_roles_required: false,
        ..options
    });
    site.fake.allow("expired", json!({ "expires_at": past }));
    site.fake.allow("of-eve", json!({}));
    let asked = async |token: &'static str, service| site.ask(token, service).await.unwrap().is_some();
    assert!(asked("of-eve", Some("of-eve")).await);
    assert!(
        !asked("expired", Some("of-eve")).await,
        "that needs the role in any case"
    );
    assert!(!asked("of-eve", Some("unknown")).await);

    // A Keystone that says so of an expired token is not believed.
    let body = json!({"token": {"user": {"id": "u"}, "expires_at": past}}).to_string();
    site.fake.behave(Behaviour::Answers(200, body, vec![]));
    assert!(!asked("token-9", None).await);
}

#[actix_rt::test]
async fn tokens_for_the_system_and_for_domains_are_those_of_an_administrator_if_they_have_that_role() {
    let site = Site::new();
    let admin = json!([{"name": "admin"}, {"name": "member"}, {"name": "reader"}]);
    site.fake.allow(
        "system",
        json!({"project": null, "system": {"all": true}, "roles": admin}),
    );
    site.fake.allow(
        "domain",
        json!({"project": null, "domain": {"id": "d"}, "roles": admin}),
    );
    site.fake.allow(
        "reader",
        json!({"project": null, "system": {"all": true}, "roles": [{"name": "reader"}]}),
    );
    site.fake.allow("unscoped", json!({"project": null, "roles": []}));
    let mut found = Vec::new();
    for token in ["system", "domain", "reader", "unscoped"] {
        let principal = site.ask(token, None).await.unwrap().unwrap();
        assert_eq!(principal.project_id.as_str(), "");
        found.push((principal.scope, principal.is_admin));
    }
    let domain = Scope::Domain("d".to_owned());
    let expected = [
        (Scope::System, true),
        (domain, true),
        (Scope::System, false),
        (Scope::None, false),
    ];
    assert_eq!(found, expected);
}

#[actix_rt::test]
async fn an_application_credential_is_bound_by_its_access_rules() {
    let site = Site::new();
    let rules = |service: &str, path: &str| {
        json!({"application_credential": {"id": "c", "restricted": true,
            "access_rules": [{"id": "r", "service": service, "method": "GET", "path": path}]}})
    };
    site.fake.allow("fits", rules("block-storage", "/v3/*/volumes"));
    site.fake
        .allow("other", rules("block-storage", "/v3/*/snapshots"));
    site.fake.allow("compute", rules("compute", "/v3/*/volumes"));
    site.fake.allow(
        "none",
        json!({"application_credential": {"id": "c", "access_rules": null}}),
    );
    site.fake
        .allow("of-nova", json!({"roles": [{"name": "service"}]}));
    for (token, accepted) in [
        ("fits", true),
        ("other", false),
        ("compute", false),
        ("none", true),
    ] {
        assert_eq!(site.accepts(token).await, accepted, "{token}");
        assert!(site.ask(token, Some("of-nova")).await.unwrap().is_some());
    }
}

#[actix_rt::test]
async fn a_project_is_looked_up() {
    let site = Site::new();
    let known = async |id: &str| site.keystone.has_project(&ProjectId::from(id)).await;
    assert_eq!(known("0a").await, Ok(true));
    assert_eq!(known("0b").await, Ok(false));
    assert_eq!(known("../0a?x").await, Ok(false));
    assert_eq!(known("hidden").await, Ok(true), "the service may not know");
    site.fake.behave(Behaviour::Answers(500, String::new(), vec![]));
    assert_eq!(known("0a").await.unwrap_err().status, 503);
}

#[actix_rt::test]
async fn a_refusal_says_where_to_log_in_and_a_failure_when_to_try_again() {
    let site = Site::with(|options| KeystoneOptions {
        www_authenticate_uri: "https://keystone.example.org:5000/v3".to_owned(),
        ..options
    });
    let strategy = Strategy::Tokens(site.keystone.clone());
    let ask = async |headers: &[(&'static str, &'static str)]| {
        let mut request = actix_web::test::TestRequest::get().uri("/v3/volumes");
        for header in headers {
            request = request.insert_header(*header);
        }
        match admit(&strategy, String::new, &request.to_http_request()).await {
            Admission::Come(principal) => Ok(principal.user_id.0),
            Admission::Answer(answer) => {
                let headers = answer.headers();
                Err((
                    answer.status().as_u16(),
                    text(headers, header::WWW_AUTHENTICATE.as_str()),
                    text(headers, header::RETRY_AFTER.as_str()),
                ))
            }
        }
    };
    site.fake.allow("token-1", json!({}));
    let log_in = "Keystone uri=\"https://keystone.example.org:5000/v3\"".to_owned();
    let refused = Err((401, log_in, String::new()));
    assert_eq!(ask(&[]).await, refused);
    assert_eq!(ask(&[("X-Auth-Token", "token-2")]).await, refused);
    assert_eq!(ask(&[("X-Auth-Token", " token-1 ")]).await, Ok("u".to_owned()));
    assert_eq!(
        ask(&[("X-Auth-Token", "token-1"), ("X-Service-Token", "x")]).await,
        refused
    );
    site.fake.behave(Behaviour::Answers(500, String::new(), vec![]));
    let failed = Err((503, String::new(), RETRY_AFTER.to_string()));
    assert_eq!(ask(&[("X-Auth-Token", "token-3")]).await, failed);
    assert_eq!(
        ask(&[("X-Auth-Token", "token-1"), ("X-Service-Token", "y")]).await,
        failed
    );
}
