//! Logging in, as Keystone's clients do it. Real HTTP over loopback.

use std::path::Path;
use std::time::Duration;

use pumice::model::volume::Secret;
use pumice::model::{Timestamp, Token, TokenHash};
use pumice::store::catalog::Catalog;
use pumice::web::identity::{Identity, IdentityOptions, OpenError, UserOptions};
use pumice::web::routes;
use serde_json::{Value, json};

use crate::site::*;
use crate::web_support::send;

#[actix_web::test]
async fn a_token_is_keystones_to_the_letter() {
    let site = Site::open().await;
    let answer = site.post(password("ann", "ann's", in_project("red"))).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("Vary"), Some("X-Auth-Token"));
    let text = answer.header("X-Subject-Token").unwrap();
    assert!(text.len() < 255, "as long as Keystone's may be");
    assert!(!answer.text.contains(text), "the token is in the header only");

    let body = answer.json();
    let project = body["token"]["project"]["id"].as_str().unwrap().to_owned();
    for time in ["expires_at", "issued_at"] {
        let time = body["token"][time].as_str().unwrap();
        assert_eq!((time.len(), &time[19..20], &time[26..]), (27, ".", "Z"), "{time}");
    }
    assert_eq!(body["token"]["audit_ids"][0].as_str().unwrap().len(), 22);
    let volume = format!("http://{}/v3/{project}", site.address);
    for (service, kind) in [(1, "volumev3"), (2, "block-storage")] {
        let service = &body["token"]["catalog"][service];
        assert_eq!(service["type"], kind);
        for (endpoint, interface) in [(0, "public"), (1, "internal"), (2, "admin")] {
            assert_eq!(service["endpoints"][endpoint]["interface"], interface);
            assert_eq!(service["endpoints"][endpoint]["url"], volume);
        }
    }
    let mut shape = body;
    shape["token"]["audit_ids"] = json!(["<id>"]);
    shape["token"]["expires_at"] = json!("<time>");
    shape["token"]["issued_at"] = json!("<time>");
    let text = serde_json::to_string_pretty(&shape)
        .unwrap()
        .replace(&site.address.to_string(), "<host>");
    insta::assert_snapshot!(text);
}

#[actix_web::test]
async fn a_token_opens_the_door_in_its_project_only() {
    let site = Site::open().await;
    let token = site.token("bob").await;
    let me = site.get("/v3/whoami", &token).await.json();
    assert_eq!(
        (&me["roles"], &me["admin"]),
        (&json!(["member", "reader"]), &json!(false))
    );
    let project = me["project"].as_str().unwrap();
    assert_eq!(
        site.get(&format!("/v3/{project}/whoami"), &token).await.status,
        200
    );
    let elsewhere = site.get("/v3/0123/whoami", &token).await;
    assert_eq!(elsewhere.json()["badRequest"]["message"], "Malformed request url");
    let admin = site.token("ann").await;
    assert_eq!(site.get("/v3/whoami", &admin).await.json()["admin"], true);
}

#[actix_web::test]
async fn nobody_gets_in_without_a_token_and_everybody_is_told_where_to_log_in() {
    let site = Site::open().await;
    let login = format!("Keystone uri=\"http://{}/identity/v3\"", site.address);
    for path in [
        "/v3/whoami",
        "/v3/0a/whoami",
        "/v3/nosuch",
        "/identity/v3/auth/tokens",
        "/identity/v3/users",
    ] {
        for headers in [
            &[][..],
            &[("X-Auth-Token", "made up")][..],
            &[("X-Auth-Token", "")][..],
        ] {
            let answer = send(site.address, "GET", path, headers, None).await;
            assert_eq!(answer.status, 401, "{path}");
            assert_eq!(answer.header("WWW-Authenticate"), Some(login.as_str()), "{path}");
            let message = &answer.json()["error"]["message"];
            assert_eq!(*message, "The request you have made requires authentication.");
        }
    }
    for path in [
        "/",
        "/v3/",
        "/v3/0a",
        "/identity",
        "/identity/v3",
        "/identity/v3/",
    ] {
        assert!(
            send(site.address, "GET", path, &[], None).await.status <= 300,
            "{path}"
        );
    }
}

#[actix_web::test]
async fn a_wrong_password_and_an_unknown_user_read_the_same() {
    let site = Site::open().await;
    for auth in [
        password("ann", "wrong", in_project("red")),
        password("nobody", "ann's", in_project("red")),
        password("ann", "ann's", in_project("green")),
        password("bob", "bob's", in_project("blue")),
        password(
            "ann",
            "ann's",
            json!({"project": {"name": "red", "domain": {"name": "Other"}}}),
        ),
        with_token("made up", Value::Null),
    ] {
        let answer = site.post(auth.clone()).await;
        assert_eq!(
            (answer.status, answer.text.as_str()),
            (401, UNAUTHORIZED),
            "{auth}"
        );
    }
}

#[actix_web::test]
async fn scopes_that_there_are_not_are_refused_in_clear_words() {
    let site = Site::open().await;
    let system = site
        .post(password("ann", "ann's", json!({"system": {"all": true}})))
        .await;
    assert_eq!(system.status, 401);
    assert!(system.text.contains("no system scope"), "{}", system.text);
    let domain = site
        .post(password("ann", "ann's", json!({"domain": {"id": "default"}})))
        .await;
    assert_eq!(domain.status, 401);
}

#[actix_web::test]
async fn a_token_without_scope_logs_in_again_but_opens_nothing() {
    let site = Site::open().await;
    let unscoped = site.post(password("ann", "ann's", json!("unscoped"))).await;
    assert_eq!(
        (unscoped.status, unscoped.json()["token"].get("project")),
        (201, None)
    );
    let unscoped = unscoped.header("X-Subject-Token").unwrap();

    let projects = site.get("/identity/v3/auth/projects", unscoped).await.json();
    let mut names: Vec<&str> = projects["projects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|project| project["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["blue", "red"]);
    assert_eq!(site.get("/identity/v3/auth/catalog", unscoped).await.status, 403);
    let nobody = site.get("/v3/whoami", unscoped).await.json();
    assert_eq!((&nobody["project"], &nobody["roles"]), (&json!(""), &json!([])));

    let first = site.about("GET", unscoped, unscoped).await.json();
    let blue = site.post(with_token(unscoped, in_project("blue"))).await;
    let body = blue.json();
    assert_eq!(body["token"]["methods"], json!(["token", "password"]));
    assert_eq!(body["token"]["roles"].as_array().unwrap().len(), 1);
    assert_eq!(body["token"]["audit_ids"][1], first["token"]["audit_ids"][0]);
    assert_eq!(
        body["token"]["expires_at"], first["token"]["expires_at"],
        "it does not live longer by it"
    );
}

#[actix_web::test]
async fn without_a_scope_the_token_is_for_the_first_project() {
    let site = Site::open().await;
    let answer = site.post(password("ann", "ann's", Value::Null)).await;
    assert_eq!(answer.json()["token"]["project"]["name"], "red");
}

#[actix_web::test]
async fn one_sees_ones_own_token_and_an_administrator_sees_all() {
    let site = Site::open().await;
    let (ann, bob) = (site.token("ann").await, site.token("bob").await);
    let own = site.about("GET", &bob, &bob).await;
    assert_eq!(
        (own.status, own.header("X-Subject-Token")),
        (200, Some(bob.as_str()))
    );
    assert_eq!(own.json()["token"]["user"]["name"], "bob");
    let head = site.about("HEAD", &ann, &bob).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_eq!(site.about("GET", &ann, "made up").await.status, 404);
    assert_eq!(site.about("GET", &bob, &ann).await.status, 403);
    assert_eq!(site.about("GET", &bob, "made up").await.status, 403);
    assert_eq!(site.about("DELETE", &bob, &ann).await.status, 403);
    let headers = [("X-Auth-Token", ann.as_str()), ("X-Subject-Token", bob.as_str())];
    let lean = send(
        site.address,
        "GET",
        "/identity/v3/auth/tokens?nocatalog",
        &headers,
        None,
    )
    .await;
    assert_eq!(lean.json()["token"].get("catalog"), None);
}

#[actix_web::test]
async fn a_revoked_token_opens_nothing_from_then_on() {
    let site = Site::open().await;
    let token = site.token("bob").await;
    assert_eq!(
        site.get("/v3/whoami", &token).await.status,
        200,
        "it is in memory now"
    );
    assert_eq!(site.about("DELETE", &token, &token).await.status, 204);
    assert_eq!(site.get("/v3/whoami", &token).await.status, 401);
    assert_eq!(site.post(with_token(&token, Value::Null)).await.status, 401);
}

#[actix_web::test]
async fn a_token_survives_a_restart_unless_its_user_did_not() {
    let store = store();
    let before = Site::on(&store, options()).await;
    let (ann, bob) = (before.token("ann").await, before.token("bob").await);
    let project = before.get("/v3/whoami", &ann).await.json()["project"].clone();

    let mut fewer = options();
    fewer.users.truncate(1);
    let after = Site::on(&store, fewer).await;
    assert_eq!(after.get("/v3/whoami", &ann).await.json()["project"], project);
    assert_eq!(after.get("/v3/whoami", &bob).await.status, 401);
}

#[actix_web::test]
async fn a_changed_password_ends_the_tokens_of_the_old_one_and_only_those() {
    let store = store();
    let before = Site::on(&store, options()).await;
    let (ann, bob) = (before.token("ann").await, before.token("bob").await);
    let mut changed = options();
    changed.users[2].password = Some(Secret::new("another"));
    let after = Site::on(&store, changed).await;
    assert_eq!(after.get("/v3/whoami", &ann).await.status, 200);
    assert_eq!(after.get("/v3/whoami", &bob).await.status, 401);
    assert_eq!(after.post(with_token(&bob, Value::Null)).await.status, 401);
    // Back again: the same password, so the same tokens.
    let back = Site::on(&store, options()).await;
    assert_eq!(back.get("/v3/whoami", &bob).await.status, 200);
}

#[actix_web::test]
async fn a_role_or_a_project_that_is_taken_away_narrows_or_ends_a_token() {
    let store = store();
    let before = Site::on(&store, options()).await;
    let ann = before.token("ann").await;
    let bob = before.token("bob").await;
    let mut fewer = options();
    fewer.users[0].roles = vec!["reader".to_owned()];
    fewer.users[2].project = "blue".to_owned();
    let after = Site::on(&store, fewer).await;
    let me = after.get("/v3/whoami", &ann).await.json();
    assert_eq!((&me["admin"], &me["roles"]), (&json!(false), &json!(["reader"])));
    assert_eq!(after.get("/v3/whoami", &bob).await.status, 401);
}

#[actix_web::test]
async fn all_tokens_of_a_user_are_ended_in_one_call() {
    let site = Site::open().await;
    let (ann, bob, stolen) = (
        site.token("ann").await,
        site.token("bob").await,
        site.token("bob").await,
    );
    let derived = site.post(with_token(&stolen, in_project("red"))).await;
    let derived = derived.header("X-Subject-Token").unwrap();
    let id = |me: &Value| me["user"].as_str().unwrap().to_owned();
    let bob_id = id(&site.get("/v3/whoami", &bob).await.json());
    let ann_id = id(&site.get("/v3/whoami", &ann).await.json());
    let end = async |who: &str, whose: &str| {
        let path = format!("/identity/v3/users/{whose}/tokens");
        send(site.address, "DELETE", &path, &[("X-Auth-Token", who)], None)
            .await
            .status
    };
    assert_eq!(end(&bob, &ann_id).await, 403, "another's");
    assert_eq!(end("made up", &bob_id).await, 401);
    assert_eq!(end(&ann, "nobody").await, 404);
    assert_eq!(end(&ann, &bob_id).await, 204, "an administrator");
    for token in [&bob, &stolen, derived] {
        assert_eq!(site.get("/v3/whoami", token).await.status, 401);
        assert_eq!(site.post(with_token(token, Value::Null)).await.status, 401);
    }
    assert_eq!(site.get("/v3/whoami", &ann).await.status, 200);
    let new = site.token("bob").await;
    assert_eq!(site.get("/v3/whoami", &new).await.status, 200);
    assert_eq!(end(&new, &bob_id).await, 204, "one's own");
    assert_eq!(site.get("/v3/whoami", &new).await.status, 401);
}

#[actix_web::test]
async fn tokens_leave_nothing_in_the_store() {
    let store = store();
    let site = Site::on(&store, options()).await;
    let rows = async || {
        let scan = pumice::store::Scan {
            prefix: Vec::new(),
            after: None,
            reverse: false,
            limit: 10_000,
        };
        store.scan(scan).await.unwrap().len()
    };
    let token = site.token("bob").await;
    let before = rows().await;
    for _ in 0..50 {
        assert_eq!(site.post(with_token(&token, in_project("red"))).await.status, 201);
    }
    assert_eq!(rows().await, before);
}

#[actix_web::test]
async fn an_expired_token_opens_nothing_and_is_swept_away() {
    let store = store();
    let site = Site::on(
        &store,
        IdentityOptions {
            token_lifetime: Duration::ZERO,
            ..options()
        },
    )
    .await;
    let answer = site.post(password("bob", "bob's", in_project("red"))).await;
    let token = answer.header("X-Subject-Token").unwrap();
    assert_eq!(site.get("/v3/whoami", token).await.status, 401);

    // Tokens as they were kept before are of no use, and go.
    let catalog = Catalog::open(store).await.unwrap();
    let mut changes = catalog.change();
    changes.insert(&Token {
        hash: TokenHash([7; 32]),
        user_id: "u".into(),
        project_id: None,
        roles: Default::default(),
        issued_at: Timestamp::now(),
        expires_at: Timestamp::now().plus(Duration::from_secs(3600)),
        audit_id: uuid::Uuid::nil(),
        audit_chain: None,
        methods: Vec::new(),
    });
    changes.commit().await.unwrap();
    let is_there = async || catalog.token(&TokenHash([7; 32])).await.unwrap().is_some();
    assert!(is_there().await);
    let tidying = actix_web::rt::spawn(
        site.identity
            .clone()
            .into_inner()
            .keep_tidy(Duration::from_secs(3600)),
    );
    while is_there().await {
        tokio::task::yield_now().await;
    }
    tidying.abort();
}

#[actix_web::test]
async fn guessing_gets_slower_and_an_unknown_name_is_no_exception() {
    let site = Site::open().await;
    for name in ["ann", "nobody"] {
        for _ in 0..5 {
            assert_eq!(site.post(password(name, "guess", Value::Null)).await.status, 401);
        }
        let throttled = site.post(password(name, "ann's", Value::Null)).await;
        assert_eq!(throttled.status, 429, "{name}");
        let wait: u64 = throttled.header("Retry-After").unwrap().parse().unwrap();
        assert!((1..=10).contains(&wait), "{wait}");
    }
    // However many names were guessed at from here, a user with the right password can log in.
    for n in 0..100 {
        let answer = site
            .post(password(&format!("nobody{n}"), "guess", Value::Null))
            .await;
        assert_eq!(answer.status, 401);
    }
    assert_eq!(site.post(password("bob", "bob's", Value::Null)).await.status, 201);
}

#[actix_web::test]
async fn who_guesses_is_not_counted_by_an_address_of_its_own_choice() {
    for (trusted, throttled) in [(None, true), (Some("127.0.0.1"), false)] {
        let site = Site::trusting(&store(), options(), trusted).await;
        let guess = async |address: String| {
            let headers = [
                ("Content-Type", "application/json"),
                ("X-Forwarded-For", address.as_str()),
            ];
            let body = password("ann", "guess", Value::Null).to_string();
            send(
                site.address,
                "POST",
                "/identity/v3/auth/tokens",
                &headers,
                Some(body),
            )
            .await
            .status
        };
        let mut answers = Vec::new();
        for n in 0..10 {
            answers.push(guess(format!("198.51.100.1, 10.0.{n}.1")).await);
        }
        assert_eq!(answers.contains(&429), throttled, "{trusted:?}");
    }
}

#[actix_web::test]
async fn a_body_that_is_no_login_is_a_400() {
    let site = Site::open().await;
    for auth in [
        json!({}),
        json!({"auth": {}}),
        json!([1]),
        json!({"auth": {"identity": {"methods": "password"}}}),
    ] {
        let answer = site.post(auth.clone()).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["title"]),
            (400, &json!("Bad Request")),
            "{auth}"
        );
    }
    let unsupported = site
        .post(json!({"auth": {"identity": {"methods": ["totp"]}}}))
        .await;
    assert_eq!(unsupported.status, 401);
}

#[actix_web::test]
async fn the_version_documents_are_keystones() {
    let site = Site::open().await;
    let api = format!("http://{}/identity/v3/", site.address);
    let one = json!({
        "id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": api}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    });
    let all = send(site.address, "GET", "/identity", &[], None).await;
    assert_eq!((all.status, all.header("Location")), (300, Some(api.as_str())));
    assert_eq!(all.json(), json!({"versions": {"values": [one]}}));
    let v3 = send(site.address, "GET", "/identity/v3/", &[], None).await;
    assert_eq!((v3.status, v3.json()), (200, json!({"version": one})));
}

#[actix_web::test]
async fn one_may_look_oneself_up_and_only_an_administrator_others() {
    let site = Site::open().await;
    let (ann, bob) = (site.token("ann").await, site.token("bob").await);
    let get = async |path: &str, token: &str| site.get(&format!("/identity/v3/{path}"), token).await;
    let me = site.get("/v3/whoami", &bob).await.json();
    let (id, project) = (me["user"].as_str().unwrap(), me["project"].as_str().unwrap());

    assert_eq!(
        get(&format!("users/{id}"), &bob).await.json()["user"]["name"],
        "bob"
    );
    assert_eq!(
        get(&format!("projects/{project}"), &bob).await.json()["project"]["name"],
        "red"
    );
    assert_eq!(
        get(&format!("users/{id}/projects"), &bob).await.json()["projects"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        get("projects", &bob).await.json()["projects"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    for path in [
        "users",
        "roles",
        "domains",
        "services",
        "endpoints",
        "role_assignments",
        "users/other",
        "projects/other",
    ] {
        assert_eq!(get(path, &bob).await.status, 403, "{path}");
    }
    assert_eq!(get("users?name=bob", &ann).await.json()["users"][0]["id"], id);
    assert_eq!(get("users?name=nobody", &ann).await.json()["users"], json!([]));
    assert_eq!(
        get("projects", &ann).await.json()["projects"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        get("roles", &ann).await.json()["roles"].as_array().unwrap().len(),
        4
    );
    assert_eq!(
        get("endpoints", &ann).await.json()["endpoints"]
            .as_array()
            .unwrap()
            .len(),
        9
    );
    assert_eq!(
        get("role_assignments", &ann).await.json()["role_assignments"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        get("users/other", &ann).await.json()["error"]["message"],
        "Could not find user: other."
    );
    assert_eq!(get("nosuch", &ann).await.status, 404);
}

/// What `clouds.yaml` says behind a key.
fn clouds(folder: &Path, key: &str) -> String {
    let text = std::fs::read_to_string(folder.join("clouds.yaml")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(&format!("{key}: ")))
        .unwrap();
    line.trim_matches('"').to_owned()
}

#[actix_web::test]
async fn the_first_start_makes_an_admin_and_tells_its_password_in_one_place() {
    let folder = tempfile::tempdir().unwrap();
    let store = store();
    let first = IdentityOptions {
        users: Vec::new(),
        clouds_dir: Some(folder.path().to_owned()),
        ..options()
    };
    let site = Site::on(&store, first.clone()).await;
    let secret = clouds(folder.path(), "password");
    let login = password("admin", &secret, in_project("admin"));
    assert_eq!(site.post(login.clone()).await.status, 201);
    let token = site.post(login.clone()).await;
    let token = token.header("X-Subject-Token").unwrap();
    assert_eq!(site.get("/v3/whoami", token).await.json()["admin"], true);

    // Started again, elsewhere: the same password, the new address.
    let moved = IdentityOptions {
        url: "http://127.0.0.1:9999".to_owned(),
        ..first
    };
    let again = Site::on(&store, moved).await;
    assert_eq!(again.post(login).await.status, 201);
    assert_eq!(clouds(folder.path(), "password"), secret);
    assert_eq!(
        clouds(folder.path(), "auth_url"),
        "http://127.0.0.1:9999/identity/v3"
    );
}

#[actix_web::test]
async fn a_user_that_cannot_log_in_is_told_at_start() {
    let open = async |user: UserOptions| {
        let catalog = Catalog::open(store()).await.unwrap();
        let api = api(&catalog);
        Identity::open(
            catalog,
            api,
            IdentityOptions {
                users: vec![user],
                ..options()
            },
        )
        .await
        .err()
    };
    let ann = user("ann", "x", "red", "admin");
    let none = UserOptions {
        password: None,
        ..ann.clone()
    };
    assert!(matches!(open(none.clone()).await, Some(OpenError::NoPassword(_))));
    let bad = UserOptions {
        password_hash: Some(Secret::new("$1$x")),
        ..none
    };
    assert!(matches!(open(bad.clone()).await, Some(OpenError::Password(..))));
    let both = UserOptions {
        password: ann.password.clone(),
        ..bad
    };
    assert!(matches!(open(both).await, Some(OpenError::TwoPasswords(_))));

    let catalog = Catalog::open(store()).await.unwrap();
    let twice = IdentityOptions {
        users: vec![
            user("ann", "x", "red", "admin"),
            user("ann", "y", "blue", "reader"),
        ],
        ..options()
    };
    let api = api(&catalog);
    let error = Identity::open(catalog, api, twice).await.err();
    assert!(matches!(error, Some(OpenError::DifferentPasswords(_))));
}

#[actix_web::test]
async fn no_route_of_the_identity_service_is_for_who_is_not_known() {
    let site = Site::open().await;
    let member = site.token("bob").await;
    let tables = pumice::web::server::tables();
    let (prefix, table) = tables
        .into_iter()
        .find(|(prefix, _)| *prefix == "/identity")
        .unwrap();
    let mut asked = 0;
    for route in table.infos() {
        let path = format!("{prefix}{}", route.path).replace(['{', '}'], "");
        let method = route.method.as_ref().map_or("GET", |method| method.as_str());
        let unknown = send(site.address, method, &path, &[], None).await.status;
        match route.access {
            routes::Access::Open => assert_ne!(unknown, 401, "{method} {path}"),
            _ => assert_eq!(unknown, 401, "{method} {path}"),
        }
        let known = send(site.address, method, &path, &[("X-Auth-Token", &member)], None)
            .await
            .status;
        assert!(known < 500 || !route.is_served, "{method} {path}: {known}");
        assert!(method == "GET" || known >= 400, "{method} {path}: {known}");
        asked += 1;
    }
    assert!(asked > 20, "{asked} routes");
    assert_eq!(site.get("/identity/v3/users", &member).await.status, 403);
}
