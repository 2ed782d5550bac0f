//! Administrators manage users, projects, roles and assignments; users their passwords and application credentials.

use std::sync::Arc;

use pumice::store::Store;
use pumice::store::catalog::{Catalog, verify::verify};
use serde_json::{Value, json};

use crate::site::*;

/// The id in an answer.
fn id(answer: &Value, kind: &str) -> String {
    answer[kind]["id"].as_str().unwrap().to_owned()
}

/// A site where an administrator has created the user `eve` as a member of the project `green`.
struct Managed {
    store: Arc<dyn Store>,
    site: Site,
    admin: String,
    user: String,
    project: String,
    member: String,
}

const PASSWORD: &str = "eve's";

fn eve() -> Value {
    password("eve", PASSWORD, in_project("green"))
}

impl Managed {
    async fn new() -> Self {
        let store = store();
        let site = Site::on(&store, options()).await;
        let admin = site.token("ann").await;
        let project = json!({"project": {"name": "green", "description": "d", "tags": ["x"]}});
        let project = site.must(201, "POST", "projects", &admin, Some(project)).await;
        let user = json!({"user": {"name": "eve", "password": PASSWORD, "email": "eve@example.org"}});
        let user = site.must(201, "POST", "users", &admin, Some(user)).await;
        let roles = site.must(200, "GET", "roles?name=member", &admin, None).await;
        let managed = Self {
            user: id(&user, "user"),
            project: id(&project, "project"),
            member: roles["roles"][0]["id"].as_str().unwrap().to_owned(),
            store,
            site,
            admin,
        };
        managed.must(204, "PUT", &managed.grant(), None).await;
        managed
    }

    /// As the administrator.
    async fn must(&self, status: u16, method: &str, path: &str, body: Option<Value>) -> Value {
        self.site.must(status, method, path, &self.admin, body).await
    }

    fn grant(&self) -> String {
        format!(
            "projects/{}/users/{}/roles/{}",
            self.project, self.user, self.member
        )
    }

    fn user_path(&self) -> String {
        format!("users/{}", self.user)
    }

    fn project_path(&self) -> String {
        format!("projects/{}", self.project)
    }

    async fn opens(&self, token: &str) -> bool {
        self.site.get("/v3/whoami", token).await.status == 200
    }

    /// Nothing is left over, and no secret is in the store.
    async fn is_consistent(&self) {
        let catalog = Catalog::open(Arc::clone(&self.store)).await.unwrap();
        assert_eq!(verify(&catalog).await.unwrap(), []);
    }
}

#[actix_web::test]
async fn a_user_that_is_created_logs_in_and_is_there_after_a_restart() {
    let managed = Managed::new().await;
    let token = managed.site.logged_in(eve()).await;
    let me = managed.site.get("/v3/whoami", &token).await.json();
    assert_eq!(
        (&me["user"], &me["project"]),
        (&json!(managed.user), &json!(managed.project))
    );
    assert_eq!(
        (&me["roles"], &me["admin"]),
        (&json!(["member", "reader"]), &json!(false))
    );

    let again = Site::on(&managed.store, options()).await;
    assert_eq!(again.get("/v3/whoami", &token).await.status, 200);
    let shown = again
        .must(200, "GET", &managed.user_path(), &managed.admin, None)
        .await;
    let expected = json!({"user": {
        "id": managed.user, "name": "eve", "email": "eve@example.org", "domain_id": "default", "enabled": true,
        "default_project_id": null, "password_expires_at": null, "options": {},
        "links": {"self": format!("http://{}/identity/v3/users/{}", again.address, managed.user)},
    }});
    assert_eq!(shown, expected);
    let shown = again
        .must(200, "GET", &managed.project_path(), &managed.admin, None)
        .await;
    assert_eq!(shown["project"]["tags"], json!(["x"]));
    assert_eq!(shown["project"]["description"], "d");
    managed.is_consistent().await;
}

#[actix_web::test]
async fn names_are_unique_whoever_comes_first() {
    let managed = Managed::new().await;
    for (kind, all, name) in [
        ("user", "users", "eve"),
        ("user", "users", "bob"),
        ("project", "projects", "green"),
        ("project", "projects", "red"),
        ("role", "roles", "Admin"),
    ] {
        let body = json!({kind: {"name": name}});
        let answer = managed.must(409, "POST", all, Some(body)).await;
        assert!(
            answer["error"]["message"]
                .as_str()
                .unwrap()
                .contains("Conflict occurred"),
            "{answer}"
        );
    }
    let body = || Some(json!({"user": {"name": "mallory"}}));
    let create = || managed.site.ask("POST", "users", &managed.admin, body());
    let answers = futures_util::future::join_all((0..6).map(|_| create())).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409]);

    let other = managed
        .must(201, "POST", "users", Some(json!({"user": {"name": "oscar"}})))
        .await;
    let oscar = format!("users/{}", id(&other, "user"));
    managed
        .must(409, "PATCH", &oscar, Some(json!({"user": {"name": "eve"}})))
        .await;
    managed
        .must(
            200,
            "PATCH",
            &managed.user_path(),
            Some(json!({"user": {"name": "eva"}})),
        )
        .await;
    managed
        .must(200, "PATCH", &oscar, Some(json!({"user": {"name": "eve"}})))
        .await;
    managed.is_consistent().await;
}

#[actix_web::test]
async fn what_the_configuration_defines_is_listed_and_given_more_but_not_changed() {
    let managed = Managed::new().await;
    let of = async |path: &str, key: &str| {
        let answer = managed.must(200, "GET", path, None).await;
        answer[key][0]["id"].as_str().unwrap().to_owned()
    };
    let bob = of("users?name=bob", "users").await;
    let red = of("projects?name=red", "projects").await;
    for (kind, path) in [
        ("user", format!("users/{bob}")),
        ("project", format!("projects/{red}")),
        ("role", format!("roles/{}", managed.member)),
    ] {
        let answer = managed
            .must(403, "PATCH", &path, Some(json!({kind: {"enabled": false}})))
            .await;
        assert!(
            answer["error"]["message"]
                .as_str()
                .unwrap()
                .contains("configuration"),
            "{answer}"
        );
        managed.must(403, "DELETE", &path, None).await;
    }
    let own = format!("projects/{red}/users/{bob}/roles/{}", managed.member);
    managed.must(204, "PUT", &own, None).await;
    managed.must(403, "DELETE", &own, None).await;
    let body = json!({"user": {"original_password": "bob's", "password": "x"}});
    managed
        .must(403, "POST", &format!("users/{bob}/password"), Some(body))
        .await;

    let more = format!(
        "projects/{}/users/{bob}/roles/{}",
        managed.project, managed.member
    );
    managed.must(204, "PUT", &more, None).await;
    let token = managed
        .site
        .logged_in(password("bob", "bob's", in_project("green")))
        .await;
    assert!(managed.opens(&token).await);
    managed.must(204, "DELETE", &more, None).await;
    assert!(!managed.opens(&token).await);
    assert!(managed.opens(&managed.site.token("bob").await).await);
}

#[actix_web::test]
async fn a_change_ends_the_tokens_that_it_concerns_for_good() {
    let managed = Managed::new().await;
    let enabled = |kind: &str, enabled: bool| Some(json!({kind: {"enabled": enabled}}));
    let (user, project) = (managed.user_path(), managed.project_path());

    let token = managed.site.logged_in(eve()).await;
    managed.must(200, "PATCH", &user, enabled("user", false)).await;
    assert!(!managed.opens(&token).await);
    assert_eq!(managed.site.post(eve()).await.status, 401);
    managed.must(200, "PATCH", &user, enabled("user", true)).await;
    assert!(
        !managed.opens(&token).await,
        "not even when the user is enabled again"
    );

    let token = managed.site.logged_in(eve()).await;
    managed
        .must(200, "PATCH", &project, enabled("project", false))
        .await;
    assert!(!managed.opens(&token).await);
    managed
        .must(200, "PATCH", &project, enabled("project", true))
        .await;
    assert!(!managed.opens(&token).await);

    let token = managed.site.logged_in(eve()).await;
    managed.must(204, "DELETE", &managed.grant(), None).await;
    managed.must(404, "DELETE", &managed.grant(), None).await;
    assert!(!managed.opens(&token).await);
    managed.must(204, "PUT", &managed.grant(), None).await;
    assert!(!managed.opens(&token).await);

    let token = managed.site.logged_in(eve()).await;
    managed
        .must(200, "PATCH", &user, Some(json!({"user": {"password": "new"}})))
        .await;
    assert!(!managed.opens(&token).await);
    assert_eq!(managed.site.post(eve()).await.status, 401);

    let new = || password("eve", "new", in_project("green"));
    let token = managed.site.logged_in(new()).await;
    managed
        .must(
            200,
            "PATCH",
            &user,
            Some(json!({"user": {"email": "e@example.org"}})),
        )
        .await;
    assert!(managed.opens(&token).await, "other changes end none");
    let admin_again = Site::on(&managed.store, options()).await;
    managed.must(204, "DELETE", &project, None).await;
    assert!(!managed.opens(&token).await);
    managed.must(204, "DELETE", &user, None).await;
    assert_eq!(admin_again.post(new()).await.status, 401);
    managed.must(404, "GET", &user, None).await;
    let left = managed.must(200, "GET", "role_assignments", None).await;
    assert_eq!(left["role_assignments"].as_array().unwrap().len(), 3, "{left}");
    managed.is_consistent().await;
}

#[actix_web::test]
async fn a_user_changes_the_own_password_with_the_old_one() {
    let managed = Managed::new().await;
    let token = managed.site.logged_in(eve()).await;
    let path = format!("{}/password", managed.user_path());
    let change = |old: &str, new: &str| Some(json!({"user": {"original_password": old, "password": new}}));
    let wrong = managed
        .site
        .must(401, "POST", &path, "", change("wrong", "new"))
        .await;
    assert_eq!(
        wrong["error"]["message"],
        "The request you have made requires authentication."
    );
    assert!(managed.opens(&token).await);
    managed
        .site
        .must(204, "POST", &path, "", change(PASSWORD, "new"))
        .await;
    assert!(!managed.opens(&token).await);
    assert_eq!(managed.site.post(eve()).await.status, 401);
    managed
        .site
        .logged_in(password("eve", "new", in_project("green")))
        .await;
    let unknown = managed
        .site
        .ask("POST", "users/nobody/password", "", change("a", "b"))
        .await;
    assert_eq!(unknown.status, 401, "as for a user that is there");
}

#[actix_web::test]
async fn only_administrators_change_others() {
    let managed = Managed::new().await;
    let token = managed.site.logged_in(eve()).await;
    for (method, path) in [
        ("POST", "users".to_owned()),
        ("PATCH", managed.user_path()),
        ("DELETE", managed.user_path()),
        ("POST", "projects".to_owned()),
        ("PATCH", managed.project_path()),
        ("DELETE", managed.project_path()),
        ("POST", "roles".to_owned()),
        ("PUT", managed.grant()),
        ("DELETE", managed.grant()),
        ("GET", "role_assignments".to_owned()),
        ("POST", "domains".to_owned()),
    ] {
        managed
            .site
            .must(403, method, &path, &token, Some(json!({})))
            .await;
    }
    managed.must(501, "POST", "domains", Some(json!({}))).await;
    let off = json!({"user": {"options": {"ignore_password_expiry": false}}});
    managed.must(200, "PATCH", &managed.user_path(), Some(off)).await;
    let own = managed.site.must(200, "GET", "projects", &token, None).await;
    assert_eq!(own["projects"].as_array().unwrap().len(), 1);
}

#[actix_web::test]
async fn bad_bodies_are_refused_in_keystones_words() {
    let managed = Managed::new().await;
    for (all, body, words) in [
        ("users", json!({}), "'name' is a required property"),
        (
            "users",
            json!({"user": {"name": ""}}),
            "Invalid input for field 'name': '' should be non-empty",
        ),
        ("users", json!({"user": {"name": "   "}}), "does not match"),
        ("users", json!({"user": {"name": "x".repeat(256)}}), "is too long"),
        ("users", json!({"user": {"name": "a\0b"}}), "U+0000"),
        ("users", json!({"user": {"name": 1}}), "1 is not of type 'string'"),
        (
            "users",
            json!({"user": {"name": "a", "enabled": "yes"}}),
            "is not of type 'boolean'",
        ),
        (
            "users",
            json!({"user": {"name": "a", "password": ["hunter2"]}}),
            "field 'password'",
        ),
        (
            "users",
            json!({"user": {"name": "a", "password": "x".repeat(5000)}}),
            "5000 bytes",
        ),
        (
            "users",
            json!({"user": {"name": "a", "domain_id": "other"}}),
            "Cannot change domain_id",
        ),
        (
            "users",
            json!({"user": {"name": "a", "options": {"lock_password": true}}}),
            "no option 'lock_password'",
        ),
        (
            "projects",
            json!({"project": {"name": "x".repeat(65)}}),
            "is too long",
        ),
        (
            "projects",
            json!({"project": {"name": "a", "tags": ["a,b"]}}),
            "does not match",
        ),
        (
            "projects",
            json!({"project": {"name": "a", "parent_id": managed.project}}),
            "Cannot change parent_id",
        ),
        (
            "roles",
            json!({"role": {"name": null}}),
            "None is not of type 'string'",
        ),
    ] {
        let answer = managed.must(400, "POST", all, Some(body.clone())).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{body}: {message}");
        assert!(!message.contains("hunter2"));
    }
    managed
        .must(
            403,
            "POST",
            "projects",
            Some(json!({"project": {"name": "a", "is_domain": true}})),
        )
        .await;
    let long = json!({"project": {"name": "a", "description": "x".repeat(20_000)}});
    managed.must(413, "POST", "projects", Some(long)).await;
    managed
        .must(400, "PATCH", &managed.user_path(), Some(json!({"user": {}})))
        .await;
    managed
        .must(404, "PATCH", "users/x", Some(json!({"user": {"name": "b"}})))
        .await;
}

#[actix_web::test]
async fn lists_are_filtered_as_keystone_filters_them() {
    let managed = Managed::new().await;
    let count = async |path: &str, key: &str| {
        let answer = managed.must(200, "GET", path, None).await;
        answer[key].as_array().unwrap().len()
    };
    assert_eq!(count("users", "users").await, 3);
    assert_eq!(count("users?name=eve", "users").await, 1);
    assert_eq!(count("users?name__icontains=EV", "users").await, 1);
    assert_eq!(count("users?domain_id=default", "users").await, 3);
    assert_eq!(count("users?enabled=False", "users").await, 0);
    assert_eq!(
        count("projects?parent_id=default&name__startswith=gr", "projects").await,
        1
    );
    let of = |what: &str| format!("role_assignments?user.id={}{what}", managed.user);
    assert_eq!(count(&of(""), "role_assignments").await, 1);
    assert_eq!(count(&of("&effective"), "role_assignments").await, 2);
    assert_eq!(count(&of("&effective=false"), "role_assignments").await, 1);
    let project = format!(
        "role_assignments?scope.project.id={}&include_names=true",
        managed.project
    );
    let named = managed.must(200, "GET", &project, None).await;
    let expected = json!({
        "role": {"id": managed.member, "name": "member"},
        "user": {"id": managed.user, "name": "eve", "domain": {"id": "default", "name": "Default"}},
        "scope": {"project": {"id": managed.project, "name": "green", "domain": {"id": "default", "name": "Default"}}},
        "links": {"assignment": format!("http://{}/identity/v3/{}", managed.site.address, managed.grant())},
    });
    assert_eq!(named["role_assignments"], json!([expected]));
    assert_eq!(
        count(
            &format!("role_assignments?role.id={}", managed.member),
            "role_assignments"
        )
        .await,
        2
    );
    assert_eq!(
        count("role_assignments?scope.system=all", "role_assignments").await,
        0
    );
    managed.must(204, "HEAD", &managed.grant(), None).await;
    managed
        .must(
            200,
            "GET",
            &format!("projects/{}/users/{}/roles", managed.project, managed.user),
            None,
        )
        .await;
    assert_eq!(count("groups", "groups").await, 0);
    assert_eq!(count("projects?tags=x", "projects").await, 1);
    assert_eq!(count("projects?tags=x,y", "projects").await, 0);
    let rules = managed.must(200, "GET", "role_inferences", None).await;
    assert_eq!(rules["role_inferences"][0]["prior_role"]["name"], "admin");
    assert_eq!(rules["role_inferences"][1]["implies"][0]["name"], "reader");
}

fn by_credential(id: &str, secret: &str) -> Value {
    json!({"auth": {"identity": {"methods": ["application_credential"],
        "application_credential": {"id": id, "secret": secret}}}})
}

#[actix_web::test]
async fn an_application_credential_acts_as_its_user_with_its_roles_only() {
    let managed = Managed::new().await;
    let token = managed.site.logged_in(eve()).await;
    let path = format!("{}/application_credentials", managed.user_path());
    let create = async |token: &str, body: Value| {
        let body = Some(json!({"application_credential": body}));
        managed.site.ask("POST", &path, token, body).await
    };
    let made = create(&token, json!({"name": "backup", "roles": [{"name": "reader"}]})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json()["application_credential"].clone();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert_eq!(secret.len(), 86);
    assert_eq!(create(&token, json!({"name": "backup"})).await.status, 409);
    assert_eq!(
        create(&token, json!({"name": "x", "roles": [{"name": "admin"}]}))
            .await
            .status,
        400
    );
    assert_eq!(
        create(&token, json!({"name": "x", "expires_at": "2020-01-01T00:00:00"}))
            .await
            .status,
        400
    );
    assert_eq!(
        create(&token, json!({"name": "x", "access_rules": [{"path": "/"}]}))
            .await
            .status,
        501
    );
    assert_eq!(
        create(&managed.admin, json!({"name": "x"})).await.status,
        403,
        "nobody creates those of others"
    );

    let login = managed.site.post(by_credential(id, secret)).await;
    assert_eq!(login.status, 201, "{}", login.text);
    let body = login.json();
    assert_eq!(body["token"]["methods"], json!(["application_credential"]));
    assert_eq!(
        body["token"]["application_credential"],
        json!({"id": id, "name": "backup", "restricted": true})
    );
    assert_eq!(body["token"]["project"]["id"], json!(managed.project));
    let program = login.header("X-Subject-Token").unwrap().to_owned();
    let me = managed.site.get("/v3/whoami", &program).await.json();
    assert_eq!(me["roles"], json!(["reader"]));
    assert_eq!(
        create(&program, json!({"name": "y"})).await.status,
        403,
        "restricted"
    );
    assert_eq!(managed.site.post(by_credential(id, "wrong")).await.status, 401);
    assert_eq!(managed.site.post(by_credential("none", secret)).await.status, 401);
    let mut scoped = by_credential(id, secret);
    scoped["auth"]["scope"] = in_project("green");
    assert_eq!(managed.site.post(scoped).await.status, 401);
    let by_name = json!({"auth": {"identity": {"methods": ["application_credential"], "application_credential": {
        "name": "backup", "secret": secret, "user": {"name": "eve", "domain": {"name": "Default"}}}}}});
    managed.site.logged_in(by_name).await;
    let elsewhere = with_token(&program, in_project("red"));
    assert_eq!(managed.site.post(elsewhere).await.status, 401);
    managed
        .site
        .logged_in(with_token(&program, in_project("green")))
        .await;

    let listed = managed.site.must(200, "GET", &path, &token, None).await;
    assert_eq!(listed["application_credentials"].as_array().unwrap().len(), 1);
    assert!(!listed.to_string().contains("secret"), "the secret is shown once");
    let one = format!("{path}/{id}");
    managed.site.must(200, "GET", &one, &managed.admin, None).await;
    let bob = managed.site.token("bob").await;
    managed.site.must(403, "GET", &one, &bob, None).await;
    managed.must(204, "DELETE", &managed.grant(), None).await;
    assert!(!managed.opens(&program).await, "no role, no token");
    managed.must(204, "PUT", &managed.grant(), None).await;
    let program = managed.site.logged_in(by_credential(id, secret)).await;
    managed
        .site
        .must(204, "DELETE", &one, &managed.site.logged_in(eve()).await, None)
        .await;
    assert!(!managed.opens(&program).await);
    assert_eq!(managed.site.post(by_credential(id, secret)).await.status, 401);
    managed.is_consistent().await;
}

#[actix_web::test]
async fn a_role_that_is_created_can_be_given_renamed_and_deleted() {
    let managed = Managed::new().await;
    let role = managed
        .must(201, "POST", "roles", Some(json!({"role": {"name": "auditor"}})))
        .await;
    let role = id(&role, "role");
    let grant = format!("projects/{}/users/{}/roles/{role}", managed.project, managed.user);
    managed.must(204, "PUT", &grant, None).await;
    managed.must(204, "PUT", &grant, None).await;
    let token = managed.site.logged_in(eve()).await;
    let roles = async || managed.site.get("/v3/whoami", &token).await.json()["roles"].clone();
    assert_eq!(roles().await, json!(["member", "reader", "auditor"]));
    managed
        .must(
            200,
            "PATCH",
            &format!("roles/{role}"),
            Some(json!({"role": {"name": "checker"}})),
        )
        .await;
    assert_eq!(roles().await, json!(["member", "reader", "checker"]));
    managed.must(204, "DELETE", &format!("roles/{role}"), None).await;
    assert_eq!(roles().await, json!(["member", "reader"]));
    managed.must(404, "PUT", &grant, None).await;
    managed.is_consistent().await;
}

#[actix_web::test]
async fn a_user_that_is_deleted_while_it_is_given_roles_leaves_nothing() {
    let managed = Managed::new().await;
    for n in 0..8 {
        let body = json!({"user": {"name": format!("user {n}")}});
        let user = id(&managed.must(201, "POST", "users", Some(body)).await, "user");
        let grant = format!(
            "projects/{}/users/{user}/roles/{}",
            managed.project, managed.member
        );
        let user = format!("users/{user}");
        let (granted, deleted) = futures_util::future::join(
            managed.site.ask("PUT", &grant, &managed.admin, None),
            managed.site.ask("DELETE", &user, &managed.admin, None),
        )
        .await;
        assert_eq!(deleted.status, 204, "{}", deleted.text);
        assert!([204, 404].contains(&granted.status), "{}", granted.text);
    }
    let catalog = Catalog::open(Arc::clone(&managed.store)).await.unwrap();
    assert_eq!(catalog.role_assignments().await.unwrap().len(), 1, "that of eve");
    managed.is_consistent().await;
}

#[actix_web::test]
async fn guessing_at_an_application_credential_gets_slower_and_delays_nobody_else() {
    let managed = Managed::new().await;
    let token = managed.site.logged_in(eve()).await;
    let path = format!("{}/application_credentials", managed.user_path());
    let body = Some(json!({"application_credential": {"name": "backup"}}));
    let made = managed.site.must(201, "POST", &path, &token, body).await;
    let known = made["application_credential"]["id"].as_str().unwrap();
    for credential in [known, "nowhere"] {
        let mut statuses = Vec::new();
        for _ in 0..7 {
            statuses.push(managed.site.post(by_credential(credential, "guess")).await.status);
        }
        assert_eq!(statuses[..5], [401; 5], "{credential}");
        assert!(statuses.contains(&429), "{credential}: {statuses:?}");
    }
    managed.site.logged_in(eve()).await;
}
