//! Keystone's JSON of tokens, the catalog, users, projects, roles (keystone: `common/render_token.py`, `catalog/`).

use serde_json::{Map, Value, json};

use super::directory::{DEFAULT_DOMAIN_NAME, Directory, id_for};
use super::seal::{Claims, base64_url};
use crate::model::identity::DEFAULT_DOMAIN;
use crate::model::{Project, Timestamp, User};

/// A service of the catalog, and the path of its endpoint. Both types have the same API: old clients look for
/// `volumev3`, new ones for `block-storage`.
const SERVICES: [(&str, &str, &str); 3] = [
    ("identity", "keystone", "/identity/v3"),
    ("volumev3", "pumice", "/v3/$(project_id)s"),
    ("block-storage", "pumice", "/v3/$(project_id)s"),
];

const INTERFACES: [&str; 3] = ["public", "internal", "admin"];

/// The default domain, as nested in other objects.
pub fn domain() -> Value {
    json!({"id": DEFAULT_DOMAIN, "name": DEFAULT_DOMAIN_NAME})
}

/// Times in Keystone's format.
fn time(time: Timestamp) -> String {
    format!("{time}Z")
}

/// A role by name.
pub fn role(name: &str) -> Value {
    json!({"id": id_for("role", name), "name": name})
}

/// The body of a token; `None` if its user or project is removed.
pub fn token(token: &Claims, directory: &Directory, catalog: Option<Value>) -> Option<Value> {
    let user = directory.user(&token.user_id)?;
    let audit_ids: Vec<String> = [Some(token.audit_id), token.audit_chain]
        .iter()
        .flatten()
        .map(|id| base64_url(id.as_bytes()))
        .collect();
    let mut body = Map::new();
    body.insert("methods".to_owned(), json!(token.methods()));
    body.insert(
        "user".to_owned(),
        json!({"domain": domain(), "id": user.id, "name": user.name, "password_expires_at": null}),
    );
    body.insert("audit_ids".to_owned(), json!(audit_ids));
    body.insert("expires_at".to_owned(), json!(time(token.expires_at)));
    body.insert("issued_at".to_owned(), json!(time(token.issued_at)));
    if let Some(project) = &token.project_id {
        let project = directory.project(project)?;
        let roles: Vec<Value> = directory
            .roles_in(&user.id, &project.id)
            .iter()
            .map(|name| role(name))
            .collect();
        body.insert(
            "project".to_owned(),
            json!({"domain": domain(), "id": project.id, "name": project.name}),
        );
        body.insert("is_domain".to_owned(), json!(false));
        body.insert("roles".to_owned(), json!(roles));
        if let Some(catalog) = catalog {
            body.insert("catalog".to_owned(), catalog);
        }
    }
    Some(json!({ "token": body }))
}

/// The service catalog for a project.
pub fn catalog(base_url: &str, region: &str, project_id: &str) -> Value {
    let services = SERVICES.iter().map(|(kind, name, path)| {
        let url = format!("{base_url}{}", path.replace("$(project_id)s", project_id));
        let endpoints: Vec<Value> = INTERFACES
            .iter()
            .map(|interface| {
                json!({
                    "id": endpoint_id(kind, interface),
                    "interface": interface,
                    "region_id": region,
                    "url": url,
                    "region": region,
                })
            })
            .collect();
        json!({"endpoints": endpoints, "id": id_for("service", kind), "type": kind, "name": name})
    });
    services.collect()
}

fn endpoint_id(kind: &str, interface: &str) -> String {
    id_for("endpoint", &format!("{kind}/{interface}"))
}

/// The services, as `GET /services` has them.
pub fn services(api: &str) -> impl Iterator<Item = Value> + '_ {
    SERVICES.iter().map(move |(kind, name, _)| {
        let id = id_for("service", kind);
        json!({"id": id, "type": kind, "name": name, "enabled": true,
               "links": {"self": format!("{api}/services/{id}")}})
    })
}

/// The endpoints, as `GET /endpoints` has them.
pub fn endpoints<'a>(api: &'a str, base_url: &'a str, region: &'a str) -> impl Iterator<Item = Value> + 'a {
    SERVICES.iter().flat_map(move |(kind, _, path)| {
        INTERFACES.iter().map(move |interface| {
            let id = endpoint_id(kind, interface);
            json!({"id": id, "interface": interface, "region_id": region, "region": region,
                   "service_id": id_for("service", kind), "url": format!("{base_url}{path}"), "enabled": true,
                   "links": {"self": format!("{api}/endpoints/{id}")}})
        })
    })
}

/// A user, as `GET /users/{id}` has it.
pub fn user(api: &str, user: &User) -> Value {
    json!({
        "id": user.id,
        "name": user.name,
        "domain_id": user.domain,
        "default_project_id": user.default_project,
        "enabled": user.enabled,
        "password_expires_at": null,
        "options": {},
        "links": {"self": format!("{api}/users/{}", user.id)},
    })
}

/// A project, as `GET /projects/{id}` has it.
pub fn project(api: &str, project: &Project) -> Value {
    json!({
        "id": project.id,
        "name": project.name,
        "domain_id": project.domain,
        "description": "",
        "enabled": project.enabled,
        "parent_id": project.domain,
        "is_domain": false,
        "tags": [],
        "options": {},
        "links": {"self": format!("{api}/projects/{}", project.id)},
    })
}

/// A role, as `GET /roles/{id}` has it.
pub fn whole_role(api: &str, name: &str) -> Value {
    let id = id_for("role", name);
    json!({
        "id": id,
        "name": name,
        "domain_id": null,
        "description": null,
        "options": {},
        "links": {"self": format!("{api}/roles/{id}")},
    })
}

/// The domain, as `GET /domains/{id}` has it.
pub fn whole_domain(api: &str) -> Value {
    json!({
        "id": DEFAULT_DOMAIN,
        "name": DEFAULT_DOMAIN_NAME,
        "description": "The default domain",
        "enabled": true,
        "tags": [],
        "options": {},
        "links": {"self": format!("{api}/domains/{DEFAULT_DOMAIN}")},
    })
}

/// The region, as `GET /regions/{id}` has it.
pub fn region(api: &str, name: &str) -> Value {
    json!({"id": name, "description": "", "parent_region_id": null,
           "links": {"self": format!("{api}/regions/{name}")}})
}

/// A role assignment, with names.
pub fn assignment(api: &str, user: &User, project: &Project, role_name: &str) -> Value {
    json!({
        "role": role(role_name),
        "user": {"id": user.id, "name": user.name, "domain": domain()},
        "scope": {"project": {"id": project.id, "name": project.name, "domain": domain()}},
        "links": {"assignment": format!(
            "{api}/projects/{}/users/{}/roles/{}", project.id, user.id, id_for("role", role_name))},
    })
}

/// A list under its name, with Keystone's links.
pub fn collection(name: &str, items: Vec<Value>, url: &str) -> Value {
    let mut body = Map::new();
    body.insert(name.to_owned(), Value::Array(items));
    body.insert(
        "links".to_owned(),
        json!({"next": null, "self": url, "previous": null}),
    );
    Value::Object(body)
}

/// The version document of v3.
pub fn version(api: &str) -> Value {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{api}/")}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    })
}
